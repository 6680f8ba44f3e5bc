"""A whole run of 1,048,576 features into the atlas: every step, its memory, and the floor.

The floor is the server reading the same rows of the dense tables from prebuilt binary files, into
bare tables and into ones with the CHECKs that the load copies into. The load verifies hashes and
values first, indexes, builds the wide rows, publishes.
"""

import multiprocessing
import sys
import time
from pathlib import Path

from sqlalchemy import Engine, text
from synthetic import D_SAE, atlas, write_run

from feature_atlas.etl.run_folder.table_rows import DENSE
from feature_atlas.etl.warehouse.load import IngestReport, ingest
from feature_atlas.models.session import make_engine


def main() -> None:
    """Print step by step for an eighth of the layers and for all."""
    n_features = int(sys.argv[1]) if len(sys.argv) > 1 else 32 * D_SAE
    for n in (n_features // 8, n_features):
        with atlas() as (folder, engine):
            run = write_run(folder, n)
            report, megabytes = _in_a_process(run, engine)
            floor = {
                name: _floor(folder, engine, report.run_id, including)
                for name, including in (("floor", ""), ("with checks", "INCLUDING CONSTRAINTS"))
            }
            _print(n, report, megabytes, floor)


def _in_a_process(run: Path, engine: Engine) -> tuple[IngestReport, int]:
    """The load in a process of its own, so that its peak memory is its own."""
    url = engine.url.render_as_string(hide_password=False)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_ingest, (run, url))


def _ingest(run: Path, url: str) -> tuple[IngestReport, int]:
    report = ingest(run, make_engine(url))
    # not getrusage: its peak begins with that of the process that started this one
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kilobytes = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return report, int(kilobytes) // 1024


def _floor(folder: Path, engine: Engine, run_id: int, including: str) -> float:
    seconds = 0.0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in DENSE:
            file = folder / "postgres" / f"{table}.bin"
            connection.execute(text(f"COPY atlas.{table}_run_{run_id} TO '{file}' (FORMAT binary)"))
            connection.execute(text(f"CREATE TABLE bare_{table} (LIKE atlas.{table} {including})"))
            connection.execute(text("CHECKPOINT"))
            started = time.perf_counter()
            connection.execute(text(f"COPY bare_{table} FROM '{file}' (FORMAT binary)"))
            seconds += time.perf_counter() - started
            connection.execute(text(f"DROP TABLE bare_{table}"))
    return seconds


def _print(n: int, report: IngestReport, megabytes: int, floor: dict[str, float]) -> None:
    whole = sum(report.seconds.values())
    print(f"\n{n:,} features, {sum(report.rows.values()):,} rows; peak memory {megabytes} MB")
    for step, seconds in {**floor, **report.seconds, "whole load": whole}.items():
        print(f"  {step:<12} {seconds:8.2f} s {seconds / floor['floor']:8.2f} x")


if __name__ == "__main__":
    main()
