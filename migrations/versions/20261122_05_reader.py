"""The role that may read everything and change nothing.

Roles belong to the whole server, not to one database. Where we may not make one (a managed
server), the administrator does, and runs the migration's settings; see the notice.

PostgreSQL lets everybody take advisory locks (the loader's among them), leave large objects and
temporary tables, and end sessions of the same role. In the atlas's database only its owner still
may; taking that away needs a superuser, so on a managed server it stays as it was.
"""

from alembic import op
from sqlalchemy import text

revision = "20261122_05_reader"
down_revision = "20261122_04_published_result"
branch_labels = None
depends_on = None

NOT_FOR_READERS = (
    "pg_(try_)?advisory_.*",
    "lo_creat|lo_create|lo_from_bytea|lo_put|lowrite",
    "pg_(cancel|terminate)_backend",
)


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF to_regrole('atlas_reader') IS NULL THEN
                CREATE ROLE atlas_reader LOGIN;
            END IF;
            ALTER ROLE atlas_reader SET default_transaction_read_only = on;
            ALTER ROLE atlas_reader SET statement_timeout = '30s';
            ALTER ROLE atlas_reader SET idle_in_transaction_session_timeout = '5min';
            ALTER ROLE atlas_reader SET search_path = atlas, public;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'may not make the role atlas_reader; ask the administrator';
            WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this server made it at the same moment
        END
        $$
    """)
    op.execute("""
        DO $$
        BEGIN
            IF to_regrole('atlas_reader') IS NOT NULL THEN
                GRANT USAGE ON SCHEMA atlas TO atlas_reader;
                GRANT SELECT ON ALL TABLES IN SCHEMA atlas TO atlas_reader;
                ALTER DEFAULT PRIVILEGES IN SCHEMA atlas GRANT SELECT ON TABLES TO atlas_reader;
            END IF;
        END
        $$
    """)
    execute_as_superuser("ALTER ROLE atlas_reader SET temp_file_limit = '10GB'")  # of sorts
    execute_as_superuser("REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
    execute_as_superuser("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    for function in functions():
        execute_as_superuser(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        execute_as_superuser(f"GRANT EXECUTE ON FUNCTION {function} TO pg_database_owner")


def downgrade() -> None:
    for function in functions():
        execute_as_superuser(f"REVOKE EXECUTE ON FUNCTION {function} FROM pg_database_owner")
        execute_as_superuser(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC")
    execute_as_superuser("GRANT TEMPORARY ON DATABASE {database} TO PUBLIC")
    # the right to CREATE in public does not come back: new databases have not had it since 15
    # the role stays: other databases of the server may use it
    op.execute("""
        DO $$
        BEGIN
            IF to_regrole('atlas_reader') IS NOT NULL THEN
                ALTER DEFAULT PRIVILEGES IN SCHEMA atlas
                    REVOKE SELECT ON TABLES FROM atlas_reader;
                REVOKE ALL ON ALL TABLES IN SCHEMA atlas FROM atlas_reader;
                REVOKE USAGE ON SCHEMA atlas FROM atlas_reader;
            END IF;
        END
        $$
    """)


def functions() -> list[str]:
    """Signatures of what everybody may call and a reader has no business with."""
    query = text("""
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ :names ORDER BY 1
    """)
    names = f"^({'|'.join(NOT_FOR_READERS)})$"
    return list(op.get_bind().scalars(query, {"names": names}))


def execute_as_superuser(statement: str) -> None:
    """Execute it if we may; {database} is the name of this one."""
    connection = op.get_bind()
    query = "SELECT rolsuper, quote_ident(current_database()) FROM pg_roles WHERE rolname = USER"
    is_superuser, database = connection.execute(text(query)).one()
    if is_superuser:
        op.execute(statement.format(database=database))
