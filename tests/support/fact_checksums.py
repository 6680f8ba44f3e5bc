"""Every fact of a run in one number per table, the same whenever and wherever it was loaded."""

from typing import NamedTuple

import psycopg
from psycopg import sql

from feature_atlas.etl.run_folder.table_rows import DENSE, SPARSE, table_of

FACTS = (*DENSE, *SPARSE, "feature_record")
OWN = ("id", "run_id", "measurement_id")  # numbers that each load gives anew


class Facts(NamedTuple):
    """A table's rows of one run."""

    n_rows: int
    md5: str


def visible_facts(url: str) -> tuple[str, dict[str, Facts]]:
    """Name of the run that readers see, and its facts, in one transaction as the reader role."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute("SET LOCAL ROLE atlas_reader")
        row = connection.execute("SELECT id, slug FROM atlas.current_run").fetchone()
        assert row is not None
        return str(row[1]), {table: _facts(connection, table, row[0]) for table in FACTS}


def run_facts(url: str, slug: str) -> dict[str, Facts]:
    """Facts of one run, whatever its state."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT id FROM atlas.run WHERE slug = %s", (slug,)).fetchone()
        assert row is not None
        return {table: _facts(connection, table, row[0]) for table in FACTS}


def _facts(connection: psycopg.Connection, table: str, run_id: int) -> Facts:
    names = [column.name for column in table_of(table).columns if column.name not in OWN]
    values = [
        sql.SQL("sample.external_id") if name == "sample_id" else sql.Identifier("fact", name)
        for name in names
    ]
    join = "JOIN atlas.sample ON sample.id = fact.sample_id" if "sample_id" in names else ""
    query = sql.SQL(
        "SELECT count(*), md5(coalesce(string_agg(line, ',' ORDER BY line), '')) FROM ("
        " SELECT md5(ROW({})::text) AS line FROM {} AS fact {} WHERE run_id = {}) AS lines"
    ).format(
        sql.SQL(", ").join(values),
        sql.Identifier("atlas", table),
        sql.SQL(join),
        sql.Literal(run_id),
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return Facts(*row)
