"""Rows of the widest table into Postgres: our COPY, the floor, and what people use today.

The floor is the server reading a prebuilt binary file by itself. Slow ways get fewer rows; their
time is scaled. ADBC is compared where `adbc_driver_postgresql` is installed.
"""

import importlib.util
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
from clock import medians, print_ratios
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    insert,
)
from sqlalchemy.dialects.postgresql import REAL

from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.etl.warehouse.binary_copy import HEADER, TRAILER, BinaryRows
from feature_atlas.models import FeatureRecord
from feature_atlas.models.session import make_engine

N_ROWS, BLOCK = 1_048_576, 65_536
FLOOR = "server: COPY FROM a binary file"
TABLE: Table = FeatureRecord.__table__  # type: ignore[assignment]


def main() -> None:
    """Print the ratios; starts and stops an embedded server of its own."""
    columns = [_values(column.type) for column in TABLE.columns]
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder))
        try:
            _compare(server.start(), columns, Path(folder))
        finally:
            server.stop()


def _values(kind: object) -> np.ndarray:
    rng = np.random.default_rng(0)
    if isinstance(kind, Boolean):
        return rng.random(N_ROWS) < 0.5
    if isinstance(kind, SmallInteger):
        return rng.integers(0, 32, N_ROWS, dtype=np.int16)
    if isinstance(kind, Integer):
        return rng.integers(
            0, 30_000, N_ROWS, dtype=np.int64 if isinstance(kind, BigInteger) else np.int32
        )
    return rng.random(N_ROWS, dtype=np.float32 if isinstance(kind, REAL) else np.float64)


def _compare(url: str, columns: list[np.ndarray], folder: Path) -> None:
    engine = make_engine(url)
    with psycopg.connect(url, autocommit=True) as connection:
        create = _definition(engine)
        connection.execute(f"create table t ({create})")
        file = _binary_file(columns, folder)

        def fresh(fill: Callable[[], object]) -> None:
            connection.execute("truncate t")
            fill()

        contenders = {
            FLOOR: lambda: connection.execute(f"copy t from '{file}' (format binary)"),
            "ours: arrays -> binary COPY": lambda: _copy(connection, columns),
        }
        if importlib.util.find_spec("adbc_driver_postgresql"):
            contenders["ADBC adbc_ingest"] = partial(_adbc, url, columns)
        seconds = medians({name: partial(fresh, fill) for name, fill in contenders.items()})
        for name, share, fill in _usual_ways(engine, connection, columns):
            seconds[f"{name} (a {share}th, scaled)"] = (
                medians({name: partial(fresh, fill)}, rounds=1)[name] * share
            )
    print_ratios(f"{N_ROWS:,} rows x {len(columns)} columns", seconds, FLOOR)


def _bare_table() -> Table:
    """The table t as SQLAlchemy knows it."""
    return Table("t", MetaData(), *(Column(c.name, c.type) for c in TABLE.columns))


def _definition(engine: Engine) -> str:
    return ", ".join(
        f"{column.name} {column.type.compile(engine.dialect)}" for column in TABLE.columns
    )


def _binary_file(columns: list[np.ndarray], folder: Path) -> Path:
    """Where the server's own user may read it."""
    path = folder / "postgres" / "rows.bin"
    with path.open("wb") as file:
        for part in _blocks(columns):
            file.write(part)
    path.chmod(0o644)
    return path


def _blocks(columns: list[np.ndarray]) -> list[bytes]:
    rows = BinaryRows([column.dtype for column in columns], BLOCK)
    starts = range(0, len(columns[0]), BLOCK)
    body = [bytes(rows.encode([c[start : start + BLOCK] for c in columns])) for start in starts]
    return [HEADER, *body, TRAILER]


def _copy(connection: psycopg.Connection, columns: list[np.ndarray]) -> None:
    rows = BinaryRows([column.dtype for column in columns], BLOCK)
    with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
        copy.write(HEADER)
        for start in range(0, len(columns[0]), BLOCK):
            copy.write(rows.encode([c[start : start + BLOCK] for c in columns]))
        copy.write(TRAILER)


def _adbc(url: str, columns: list[np.ndarray]) -> None:
    import adbc_driver_postgresql.dbapi as adbc
    import pyarrow as pa

    names = [column.name for column in TABLE.columns]
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("t", pa.table(dict(zip(names, columns, strict=True))), mode="append")
        connection.commit()


def _usual_ways(
    engine: Engine, connection: psycopg.Connection, columns: list[np.ndarray]
) -> list[tuple[str, int, Callable[[], object]]]:
    """Name, which share of the rows, and how they get in."""

    def some(share: int) -> pd.DataFrame:
        names = [column.name for column in TABLE.columns]
        cut = [column[: N_ROWS // share] for column in columns]
        return pd.DataFrame(dict(zip(names, cut, strict=True)))

    def row_by_row() -> None:
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            for row in some(16).itertuples(index=False):
                copy.write_row(row)

    def bulk_insert() -> None:
        with engine.begin() as transaction:
            transaction.execute(insert(_bare_table()), some(64).to_dict("records"))

    return [
        ("psycopg copy.write_row", 16, row_by_row),
        ("SQLAlchemy bulk insert", 64, bulk_insert),
        ("DataFrame.to_sql", 64, lambda: some(64).to_sql(
            "t", engine, if_exists="append", index=False)),
        ("DataFrame.to_sql(method='multi')", 256, lambda: some(256).to_sql(
            "t", engine, if_exists="append", index=False, method="multi", chunksize=1000)),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
