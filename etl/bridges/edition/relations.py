"""What the schema holds, as an edition of one run takes it: each relation, its rows, its words."""

from typing import Any, NamedTuple

from psycopg import sql

from feature_atlas.etl.warehouse.staging import Connection, in_atlas


class Column(NamedTuple):
    """A column of a table or view."""

    name: str
    type: str
    """As PostgreSQL says it, e.g. real[]."""
    comment: str
    """What it holds, with its unit."""


class Relation(NamedTuple):
    """A table or view of the schema atlas."""

    name: str
    comment: str
    """What one row is."""
    columns: list[Column]


def relations(connection: Connection) -> list[Relation]:
    """All that the connection's role may read, by name."""
    return [
        Relation(name, comment, [Column(*column) for column in zip(*columns, strict=True)])
        for name, comment, *columns in connection.execute(CATALOGUE)
        if name not in LEFT_OUT
    ]


def rows_of_run(relation: Relation) -> sql.Composed:
    """The SELECT of a relation's rows that belong to %(run)s, or to the %(datasets)s it read."""
    source = "feature_all_runs" if relation.name == "feature" else relation.name
    names = [column.name for column in relation.columns]
    condition = WHOSE.get(relation.name, OF_RUN if "run_id" in names else "true")
    return sql.SQL("SELECT {} FROM {} WHERE {}").format(
        sql.SQL(", ").join(_value(relation.name, column) for column in relation.columns),
        in_atlas(source),
        sql.SQL(condition),  # type: ignore[arg-type]  # from the lists below
    )


def _value(relation: str, column: Column) -> sql.Composable:
    """A column; pictures stay with the data sets that they come from."""
    name = sql.Identifier(column.name)
    if column.type == "bytea":
        return sql.SQL("NULL::bytea AS {}").format(name)
    if (relation, column.name) == ("runs", "is_current"):  # current_run is the edition's own run
        return sql.SQL("true AS {}").format(name)
    return name


LEFT_OUT = {
    "alembic_version": "of the server",
    "columns": "of the server; the comments of an edition say the same",
    "stable_promise": "of the server",
    "listed": "of its readers, who did not mean to publish it",
    "view_file": "of the server",
    "label_embedding": "vectors are of use beside their model alone",
}

OF_RUN = "run_id = %(run)s"

WHOSE: dict[str, Any] = {
    "run": "id = %(run)s",
    "vlm": "id = (SELECT vlm_id FROM atlas.run WHERE id = %(run)s)",
    "sae_set": "id = (SELECT sae_set_id FROM atlas.run WHERE id = %(run)s)",
    "base_label": "sae_set_id = (SELECT sae_set_id FROM atlas.run WHERE id = %(run)s)",
    "dataset": "id = ANY (%(datasets)s)",
    "sample": "dataset_id = ANY (%(datasets)s)",
    "image": "id IN (SELECT image_id FROM atlas.sample WHERE dataset_id = ANY (%(datasets)s))",
    "stable_run": "id = %(run)s",
}
"""Rows of relations without a run_id; all others of them belong to every run."""

CATALOGUE = """
SELECT
    relation.relname,
    coalesce(obj_description(relation.oid, 'pg_class'), ''),
    array_agg(own.attname::text ORDER BY own.attnum),
    array_agg(format_type(own.atttypid, NULL) ORDER BY own.attnum),
    array_agg(coalesce(col_description(relation.oid, own.attnum), '') ORDER BY own.attnum)
FROM pg_class AS relation
JOIN pg_attribute AS own ON own.attrelid = relation.oid
WHERE relation.relnamespace = 'atlas'::regnamespace
    AND relation.relkind IN ('r', 'p', 'v', 'm')
    AND NOT relation.relispartition
    AND has_table_privilege(relation.oid, 'SELECT')
    AND own.attnum > 0
    AND NOT own.attisdropped
GROUP BY relation.oid, relation.relname
ORDER BY relation.relname
"""
