"""What readers and writer may do with lists: everybody reads; the pages' role keeps them."""

from sqlalchemy import Connection, text

from feature_atlas.models import LISTS
from feature_atlas.models.session import READER, WRITER

WRITES = (
    "INSERT, DELETE ON {0}.list, {0}.entry",
    "UPDATE (title, note) ON {0}.list",
    "UPDATE (note) ON {0}.entry",
    "INSERT ON {0}.comment",
)
"""Slugs, owners, dictionaries and comments stay as they were written."""


def grant_lists(connection: Connection) -> None:
    """Rights in the schema of the lists, of the roles that there are."""
    for role, rights in ((READER, ()), (WRITER, WRITES)):
        if connection.scalar(text("SELECT to_regrole(:name)"), {"name": role}) is None:
            continue
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {LISTS} TO {role}")
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {LISTS} TO {role}")
        for right in rights:
            connection.exec_driver_sql(f"GRANT {right.format(LISTS)} TO {role}")
