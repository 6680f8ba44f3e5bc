"""The role that may add reviews and change nothing else: the pages write as it.

As with atlas_reader: where we may not make a role, the administrator does (docs/commands.md).
"""

from alembic import op

revision = "20261128_31_writer"
down_revision = "20261128_30_writes_and_resembles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF to_regrole('atlas_writer') IS NULL THEN
                CREATE ROLE atlas_writer LOGIN;
            END IF;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'may not make the role atlas_writer; ask the administrator';
            WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this server made it at the same moment
        END
        $$
    """)
    op.execute("""
        DO $$
        BEGIN
            IF to_regrole('atlas_writer') IS NOT NULL THEN
                GRANT USAGE ON SCHEMA atlas TO atlas_writer;
                GRANT SELECT ON ALL TABLES IN SCHEMA atlas TO atlas_writer;
                GRANT INSERT ON atlas.review TO atlas_writer;
                ALTER DEFAULT PRIVILEGES IN SCHEMA atlas GRANT SELECT ON TABLES TO atlas_writer;
            END IF;
        END
        $$
    """)


def downgrade() -> None:
    # the role stays: other databases of the server may use it
    op.execute("""
        DO $$
        BEGIN
            IF to_regrole('atlas_writer') IS NOT NULL THEN
                ALTER DEFAULT PRIVILEGES IN SCHEMA atlas
                    REVOKE SELECT ON TABLES FROM atlas_writer;
                REVOKE ALL ON ALL TABLES IN SCHEMA atlas FROM atlas_writer;
                REVOKE USAGE ON SCHEMA atlas FROM atlas_writer;
            END IF;
        END
        $$
    """)
