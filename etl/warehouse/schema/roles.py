"""Reader and writer where they are missing: roles belong to a server, and a backup has none.

The revisions 05 and 31 made them where the atlas was made. A backup that is restored on another
server comes without: then they are made again, with what they may do here.
"""

from sqlalchemy import Connection, text

from feature_atlas.etl.warehouse.schema.grants import grant_readers
from feature_atlas.models import SCHEMA
from feature_atlas.models.session import READER, READER_PATH, WRITER

SETTINGS = {
    READER: (
        "default_transaction_read_only = on",
        "statement_timeout = '30s'",
        "idle_in_transaction_session_timeout = '5min'",
        f"search_path = {READER_PATH}",
    ),
    WRITER: (),
}

MAY_MAKE = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"


def make_missing_roles(connection: Connection, functions: list[str]) -> None:
    """Make what is missing, with its rights; where we may not, the administrator does."""
    missing = [role for role in SETTINGS if _is_missing(connection, role)]
    if not missing or not connection.scalar(text(MAY_MAKE)):
        return
    for role in missing:
        if connection.scalar(text("SELECT to_regrole(:role)"), {"role": role}) is None:
            connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
            for setting in SETTINGS[role]:
                connection.exec_driver_sql(f"ALTER ROLE {role} SET {setting}")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}")
        connection.exec_driver_sql(
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {SCHEMA} GRANT SELECT ON TABLES TO {role}"
        )
    if WRITER in missing:
        connection.exec_driver_sql(f"GRANT INSERT ON {SCHEMA}.review TO {WRITER}")
    _limit_files(connection)
    grant_readers(connection, functions)


def _is_missing(connection: Connection, role: str) -> bool:
    # asked one after the other: of a role that is not there no right can be asked
    there = connection.scalar(text("SELECT to_regrole(:role)"), {"role": role}) is not None
    query = text("SELECT has_schema_privilege(:role, :schema, 'USAGE')")
    return not there or not connection.scalar(query, {"role": role, "schema": SCHEMA})


def _limit_files(connection: Connection) -> None:
    """Of sorts; only a superuser may."""
    if connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
        connection.exec_driver_sql(f"ALTER ROLE {READER} SET temp_file_limit = '10GB'")
