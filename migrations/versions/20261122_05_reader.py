"""The role that may read everything and change nothing.

Roles belong to the whole server, not to one database. Where we may not make one (a managed
server), the administrator does, and runs the migration's three settings; see the notice.
"""

from alembic import op

revision = "20261122_05_reader"
down_revision = "20261122_04_published_result"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF to_regrole('atlas_reader') IS NULL THEN
                CREATE ROLE atlas_reader LOGIN;
            END IF;
            ALTER ROLE atlas_reader SET default_transaction_read_only = on;
            ALTER ROLE atlas_reader SET statement_timeout = '30s';
            ALTER ROLE atlas_reader SET search_path = atlas;
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


def downgrade() -> None:
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
