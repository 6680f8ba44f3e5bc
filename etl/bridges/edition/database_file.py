"""The atlas of one run as a DuckDB file: the same names, the same rows, no server.

Tables, and what Postgres works out from them, become tables: their rows are those of Postgres, to
the last bit. Views that only choose or join rows stay views, in the same words (`SAME_WORDS`) or
in DuckDB's (`duckdb.sql`), so that nothing big is there twice.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import duckdb
import pyarrow as pa

from feature_atlas.etl.bridges.edition.relations import Column, Relation
from feature_atlas.etl.bridges.export_rows import Rows
from feature_atlas.etl.warehouse.schema.sql_text import sql_text
from feature_atlas.etl.warehouse.schema.view_files import views

MEMORY = "1GB"
"""What DuckDB may hold; the rest lies on disk."""

SAME_WORDS = (
    *("adapted", "spatial", "ocr", "visual_energy_paper", "skill_shift", "vsr_odds_ratio"),
    *("shown_example", "top_example"),
)
"""Views whose SQL DuckDB reads as Postgres does."""

OWN_WORDS = (
    *("current_run", "feature_all_runs", "feature_record", "near_feature", "activation_bin"),
)
"""Views that an edition words itself."""


@contextmanager
def new_database(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new file with an empty schema atlas; written out and closed at the end."""
    with duckdb.connect(file) as database:
        database.execute(f"SET memory_limit = '{MEMORY}'")
        database.execute("SET enable_progress_bar = false")
        database.execute("CREATE SCHEMA atlas")
        yield database
        database.execute("CHECKPOINT")


def is_table(relation: Relation) -> bool:
    """Whether its rows are in the file; else it is a view of them."""
    return relation.name not in SAME_WORDS + OWN_WORDS


def fill_table(database: duckdb.DuckDBPyConnection, relation: Relation, rows: Rows) -> int:
    """Make a table of these rows, batch by batch. Returns how many there were."""
    reader = pa.RecordBatchReader.from_batches(rows.schema, rows.record_batches())
    database.register("incoming", reader)
    values = ", ".join(map(_value, relation.columns))
    made = database.execute(f"CREATE TABLE {_name(relation)} AS SELECT {values} FROM incoming")
    (n_rows,) = made.fetchone() or (0,)
    database.unregister("incoming")
    return int(n_rows)


def write_parquet(database: duckdb.DuckDBPyConnection, relation: Relation, file: Path) -> None:
    """A table as a file of its own; JSON is text there."""
    as_text = [_quoted(c.name) for c in relation.columns if c.type == "jsonb"]
    replaced = ", ".join(f"{name}::VARCHAR AS {name}" for name in as_text)
    values = f"* REPLACE ({replaced})" if replaced else "*"
    database.execute(
        f"COPY (SELECT {values} FROM {_name(relation)}) TO {sql_text(str(file))} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )


def make_views(database: duckdb.DuckDBPyConnection, found: Iterable[Relation]) -> None:
    """The views and functions on top of the tables, and what everything is."""
    relations = {relation.name: relation for relation in found}
    kept = ", ".join(_quoted(column.name) for column in relations["feature_record"].columns)
    database.execute("CREATE VIEW atlas.feature_all_runs AS FROM atlas.feature")
    database.execute(f"CREATE VIEW atlas.feature_record AS SELECT {kept} FROM atlas.feature")
    for name, words in views().items():
        if name in SAME_WORDS:
            database.execute(words.partition(";\n")[0])
    database.execute((files(__package__) / "duckdb.sql").read_text(encoding="utf-8"))
    database.begin()  # one write for hundreds of sentences
    for relation in relations.values():
        _comment(database, relation)
    database.commit()


def _comment(database: duckdb.DuckDBPyConnection, relation: Relation) -> None:
    kind = "TABLE" if is_table(relation) else "VIEW"
    database.execute(f"COMMENT ON {kind} {_name(relation)} IS {sql_text(relation.comment)}")
    for column in relation.columns:
        place = f"{_name(relation)}.{_quoted(column.name)}"
        database.execute(f"COMMENT ON COLUMN {place} IS {sql_text(column.comment)}")


def _value(column: Column) -> str:
    name = _quoted(column.name)
    return f"{name}::JSON AS {name}" if column.type == "jsonb" else name


def _name(relation: Relation) -> str:
    return f"atlas.{_quoted(relation.name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
