"""What tests of runs as versions look at: their states, their lines, their rows."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from feature_atlas.etl.run_folder.table_rows import DENSE, SPARSE
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.runs import resolve_run

FACTS = (*DENSE, "feature_record", *SPARSE)


def scalar(engine: Engine, sql: str, **values: object) -> object:
    with engine.connect() as connection:
        return connection.scalar(text(sql), values)


def states(engine: Engine) -> dict[str, tuple[str, str | None]]:
    """State and parent of every run."""
    query = """
        SELECT run.slug, run.state, parent.slug
        FROM atlas.run LEFT JOIN atlas.run AS parent ON parent.id = run.parent_id
    """
    with engine.connect() as connection:
        return {slug: (state, parent) for slug, state, parent in connection.execute(text(query))}


def run_id(engine: Engine, folder: Path) -> int:
    with engine.connect() as connection:
        return resolve_run(connection, folder.name).id


def contents(engine: Engine, run: int) -> dict[str, str]:
    """A checksum of every table's rows of a run."""
    with engine.connect() as connection:
        return {
            table: str(
                connection.scalar(
                    text(
                        f"SELECT md5(string_agg(fact::text, ';' ORDER BY fact::text))"
                        f" FROM atlas.{table} AS fact WHERE run_id = :run"
                    ),
                    {"run": run},
                )
            )
            for table in (*FACTS, "measurement")
        }


def ingest_until_failure(engine: Engine, folder: Path) -> None:
    def fail(step: str, done: int, total: int) -> None:
        if step == "record":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(folder, engine, fail)
