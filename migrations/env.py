"""Alembic's entry: the metadata of `models` on the connection that `etl.migrate` hands over."""

from typing import Literal

from alembic import context
from sqlalchemy import Connection, text

from feature_atlas.models import LISTS, SCHEMA, Base, Kept

connection: Connection = context.config.attributes["connection"]


def partitions() -> set[str]:
    """Tables that belong to a run; publication makes them, not migrations."""
    query = "SELECT relname FROM pg_class WHERE relispartition"
    return set(connection.scalars(text(query)))


unversioned = partitions()

Kind = Literal[
    "schema",
    "table",
    "column",
    "index",
    "unique_constraint",
    "foreign_key_constraint",
    "check_constraint",
]


def is_versioned(name: str | None, kind: Kind, parents: object) -> bool:
    """Whether migrations are about this thing at all."""
    if kind == "schema":
        return name in (SCHEMA, LISTS)
    return kind != "table" or name not in unversioned


# even where the search path says atlas (a user of that name), the schema is always spelled out
connection.dialect.default_schema_name = "public"

context.configure(
    connection=connection,
    target_metadata=[Base.metadata, Kept.metadata],
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=is_versioned,  # type: ignore[arg-type]
    compare_server_default=True,
    autogenerate_plugins=[
        "alembic.autogenerate.*",
        "alembic.ext.checkconstraint_byname",
        "~alembic.autogenerate.comments",  # `migrate` puts the models' comments in place
    ],
)

with context.begin_transaction():
    context.run_migrations()
