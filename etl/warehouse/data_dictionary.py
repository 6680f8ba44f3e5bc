"""The data dictionary: every view, table and function, from the catalogue itself."""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.warehouse.markdown_table import markdown_table
from feature_atlas.etl.warehouse.migrate import current_revision
from feature_atlas.models import LISTS, SCHEMA


class Column(NamedTuple):
    """One column of a relation, in the catalogue's words."""

    relation: str
    """The table or view."""
    name: str
    """Of the column."""
    type: str
    """As SQL writes it."""
    may_be_null: bool
    """Whether rows may leave it empty; of a view the catalogue does not know."""
    is_key: bool
    """Whether it is part of the primary key."""
    refers_to: str | None
    """The table whose id it holds."""
    comment: str | None
    """What it holds."""


def data_dictionary(engine: Engine) -> str:
    """The document, in Markdown, of a migrated database."""
    if current_revision(engine) is None:
        raise RuntimeError("the database has no atlas yet: run `feature-atlas migrate` first.")
    with engine.connect() as connection:
        # types are written without the schema, whoever asks
        connection.execute(text("SELECT set_config('search_path', :s, true)"), {"s": SCHEMA})
        parts = [
            HEAD,
            "## Views",
            *_relations(connection, VIEWS),
            "## Tables",
            *_relations(connection, TABLES),
            "## Functions",
            *_functions(connection),
            "## What readers keep",
            KEPT,
            *_relations(connection, TABLES, LISTS),
        ]
    return "\n\n".join(parts) + "\n"


def _relations(connection: Connection, kinds: str, schema: str = SCHEMA) -> Iterator[str]:
    asked = {"schema": schema, "kinds": list(kinds)}
    rows = (Column(*row) for row in connection.execute(text(COLUMNS), asked))
    columns = {name: list(group) for name, group in groupby(rows, lambda row: row.relation)}
    for name, comment, is_partitioned in connection.execute(text(RELATIONS), asked):
        yield f"### {name if schema == SCHEMA else f'{schema}.{name}'}"
        yield _sentence(comment) + (" One partition per run." if is_partitioned else "")
        yield _view(columns[name]) if kinds == VIEWS else _table(columns[name])


def _view(columns: list[Column]) -> str:
    head = ("column", "type", "what it holds")
    return markdown_table(head, ((f"`{c.name}`", c.type, _cell(c.comment)) for c in columns))


def _table(columns: list[Column]) -> str:
    head = ("column", "type", "key", "null", "what it holds")
    rows = (
        (f"`{c.name}`", c.type, _key(c), "null" if c.may_be_null else "", _cell(c.comment))
        for c in columns
    )
    return markdown_table(head, rows)


def _functions(connection: Connection) -> Iterator[str]:
    for name, arguments, result, comment in connection.execute(text(FUNCTIONS), {"schema": SCHEMA}):
        yield f"### {name}({arguments})"
        yield _sentence(comment)
        yield f"Returns `{result}`."


def _key(column: Column) -> str:
    marks = ["key"] if column.is_key else []
    return ", ".join([*marks, *([f"→ {column.refers_to}"] if column.refers_to else [])])


def _cell(comment: str | None) -> str:
    return (comment or "").replace("|", r"\|").replace("\n", " ")


def _sentence(comment: str | None) -> str:
    said = _cell(comment).rstrip(".")
    return f"{said[:1].upper()}{said[1:]}." if said else ""


HEAD = """\
# Data dictionary

*For whoever writes a query and must know what a table, view or column holds.*

Everything in the schema `atlas`, in the words of its own catalogue (`\\d+` in psql shows the same).
Parentheses hold sections of the paper, square brackets a number's unit and the range that its table
lets in; `atlas.columns` has both by themselves. Written by `make dictionary`; a test fails where it
is out of date. [The cookbook](cookbook.md) has questions that these answer."""

KEPT = """\
The schema `lists`, which no run touches. The view `listed` joins it with the runs."""

VIEWS, TABLES = "vm", "rpf"
"""Kinds of relation, as the catalogue abbreviates them."""

# Alembic's own table, partitions of a run, and what an extension brought are not ours to describe
OURS = """
    relation.relnamespace = to_regnamespace(:schema)
    AND relation.relkind::text = ANY(:kinds)
    AND NOT relation.relispartition
    AND relation.relname <> 'alembic_version'
    AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = relation.oid AND deptype = 'e'
    )
"""

RELATIONS = f"""
SELECT relation.relname, obj_description(relation.oid, 'pg_class'), relation.relkind = 'p'
FROM pg_class AS relation
WHERE {OURS}
ORDER BY relation.relname
"""

COLUMNS = f"""
SELECT
    relation.relname,
    own.attname,
    format_type(own.atttypid, own.atttypmod),
    NOT own.attnotnull,
    EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = relation.oid AND contype = 'p' AND own.attnum = ANY(conkey)
    ),
    (
        SELECT min(target.relname::text)
        FROM pg_constraint JOIN pg_class AS target ON target.oid = confrelid
        WHERE conrelid = relation.oid AND contype = 'f' AND conkey = ARRAY[own.attnum]
    ),
    col_description(relation.oid, own.attnum)
FROM pg_class AS relation
JOIN pg_attribute AS own ON own.attrelid = relation.oid
WHERE {OURS} AND own.attnum > 0 AND NOT own.attisdropped
ORDER BY relation.relname, own.attnum
"""

FUNCTIONS = """
SELECT
    proname,
    pg_get_function_identity_arguments(oid),
    pg_get_function_result(oid),
    obj_description(oid, 'pg_proc')
FROM pg_proc AS function
WHERE pronamespace = to_regnamespace(:schema) AND prokind = 'f'
    AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_proc'::regclass AND objid = function.oid AND deptype = 'e'
    )
ORDER BY proname, pg_get_function_identity_arguments(oid) COLLATE "C"
"""
