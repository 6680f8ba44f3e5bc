"""Keys, indexes and statistics of the run's own tables.

Part of the loader (`load.py`). References come with `publish`: attaching a table that has them, or
dropping it, would lock out readers of the tables that it refers to.
"""

from collections.abc import Generator
from typing import Any, cast

from psycopg import sql
from sqlalchemy import Index, Table

from feature_atlas.etl.run_folder.table_rows import PARTITIONED, table_of
from feature_atlas.etl.warehouse.side_by_side import side_by_side
from feature_atlas.etl.warehouse.staging import Load, claim, interrupt


def index_tables(load: Load) -> None:
    """Those of every table whose partition this run's table becomes, some side by side."""
    done: list[str] = []

    def tell(table: str, _: int) -> None:
        done.append(table)
        load.progress("index", len(done), len(PARTITIONED))

    side_by_side(load.lanes(), _index_table, PARTITIONED, tell, interrupt)


def index_record(load: Load) -> None:
    """Those of the wide rows: an index for every number that features are sorted by."""
    indexes = sorted(table_of("feature_record").indexes, key=lambda index: str(index.name))
    side_by_side(load.lanes(), _create_index, indexes, lambda *_: None, interrupt)
    _finish(load, "feature_record")


def _index_table(load: Load, table: str) -> Generator[int, None, None]:
    for index in table_of(table).indexes:
        for _ in _create_index(load, index):
            pass
    _finish(load, table)
    yield 1


def _create_index(load: Load, index: Index) -> Generator[int, None, None]:
    table, options = cast(Table, index.table).name, index.dialect_options["postgresql"]
    where = sql.SQL("WHERE " + str(options["where"]) if options["where"] is not None else "")
    kind = sql.Identifier(options["using"] or "btree")
    with load.connection.transaction():
        claim(load, table)
        load.run(
            "CREATE INDEX ON {} USING {} ({}) {}", load.staged(table), kind, _names(index), where
        )
    yield 1


def _finish(load: Load, table: str) -> None:
    """The primary key, and statistics."""
    staged = load.staged(table)
    with load.connection.transaction():
        claim(load, table)
        load.run("ALTER TABLE {} ADD PRIMARY KEY ({})", staged, _names(table_of(table).primary_key))
    with load.connection.transaction():
        load.run("ANALYZE {}", staged)


def _names(of: Any) -> sql.Composed:
    """The columns of a key or index."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in of.columns)
