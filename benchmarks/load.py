"""Loading dense facts against the floor: the server copying a table into another by itself.

Beside it what people use today: DataFrame.to_sql (on a twentieth of the rows, scaled).
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
from clock import medians, print_ratios

from feature_atlas.etl.binary_copy import HEADER, TRAILER, BinaryRows
from feature_atlas.etl.postgres import EmbeddedPostgres
from feature_atlas.models.session import make_engine

N_ROWS, SHARE = 524_288, 20
TYPES = [np.dtype(np.int32)] * 4 + [np.dtype(np.float32)] * 12
BLOCK = 65_536


def main() -> None:
    """Print the ratios; starts and stops an embedded server of its own."""
    rng = np.random.default_rng(0)
    columns = [
        (rng.integers(0, 1000, N_ROWS) if t.kind == "i" else rng.random(N_ROWS)).astype(t)
        for t in TYPES
    ]
    frame = pd.DataFrame({f"c{i}": c[: N_ROWS // SHARE] for i, c in enumerate(columns)})
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder))
        url = server.start()
        try:
            _compare(url, columns, frame)
        finally:
            server.stop()


def _compare(url: str, columns: list[np.ndarray], frame: pd.DataFrame) -> None:
    definition = ", ".join(
        f"c{i} {'integer' if t.kind == 'i' else 'real'}" for i, t in enumerate(TYPES)
    )
    rows = BinaryRows(TYPES, BLOCK)
    engine = make_engine(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table source ()")
        connection.execute(f"drop table source; create table source ({definition})")
        _copy(connection, "source", rows, columns)

        def fresh() -> None:
            connection.execute(f"drop table if exists t; create table t ({definition})")

        def ours() -> None:
            fresh()
            _copy(connection, "t", rows, columns)

        def floor() -> None:
            fresh()
            connection.execute("insert into t select * from source")

        def to_sql() -> None:
            frame.to_sql("t_sql", engine, if_exists="replace", index=False)

        seconds = medians(
            {"server: insert from a table": floor, "numpy -> binary COPY": ours}, rounds=5
        )
        scaled = medians({"to_sql": to_sql}, rounds=1)["to_sql"] * SHARE
        print_ratios(
            f"{N_ROWS:,} rows x {len(TYPES)} columns",
            {**seconds, f"DataFrame.to_sql ({SHARE} x a {SHARE}th)": scaled},
            "server: insert from a table",
        )


def _copy(
    connection: psycopg.Connection, table: str, rows: BinaryRows, columns: list[np.ndarray]
) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
        copy.write(HEADER)
        for start in range(0, len(columns[0]), BLOCK):
            copy.write(rows.encode([c[start : start + BLOCK] for c in columns]))
        copy.write(TRAILER)


if __name__ == "__main__":
    main()
