"""A whole run of 1,048,576 features into the atlas: every step, its memory, and the floor.

The floor is the server reading the rows of the run's own tables from prebuilt binary files, the
quicker of two times, into bare tables and into ones with the CHECKs that the load copies into. The
load verifies hashes and values first, indexes, builds the wide rows, publishes. Last, the bytes
that a feature takes in each of these tables, keys and indexes included.

Beside the clock stand processor seconds, of the loader and of all the server's processes: where
others use the machine they say more. Linux only.
"""

import multiprocessing
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text
from synthetic import D_SAE, atlas, write_run

from feature_atlas.etl.run_folder.table_rows import PARTITIONED
from feature_atlas.etl.warehouse.load import IngestReport, ingest
from feature_atlas.models.session import make_engine


class Loaded(NamedTuple):
    """What a load did, and what it took."""

    report: IngestReport
    megabytes: int
    processor: dict[str, float]
    """Seconds by step; the verification in two, hashes and values."""


class Taken(NamedTuple):
    """By the clock, and of processors."""

    seconds: float
    processor: float


def main() -> None:
    """Print step by step for an eighth of the layers and for all."""
    n_features = int(sys.argv[1]) if len(sys.argv) > 1 else 32 * D_SAE
    for n in (n_features // 8, n_features):
        with atlas() as (folder, engine):
            loaded = _in_a_process(write_run(folder, n), engine)
            floor = {
                name: _floor(folder, engine, loaded.report.run_id, including)
                for name, including in (("floor", ""), ("with checks", "INCLUDING CONSTRAINTS"))
            }
            _print(n, loaded, floor)
            _print_bytes(n, engine, loaded.report.run_id)


def _in_a_process(run: Path, engine: Engine) -> Loaded:
    """The load in a process of its own, so that its peak memory is its own."""
    url = engine.url.render_as_string(hide_password=False)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_ingest, (run, url))


def _ingest(run: Path, url: str) -> Loaded:
    engine, processor = make_engine(url), Counter[str]()
    begin = _processor_seconds(engine)

    def attribute(step: str, done: int, total: int) -> None:
        nonlocal begin
        now = _processor_seconds(engine)
        processor[step] += now - begin
        begin = now

    report = ingest(run, engine, attribute)
    # not getrusage: its peak begins with that of the process that started this one
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kilobytes = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return Loaded(report, int(kilobytes) // 1024, dict(processor))


def _processor_seconds(engine: Engine) -> float:
    """Of this process and of the server's, those that have ended among them."""
    path = Path(engine.url.query["host"]).parent / "data" / "postmaster.pid"
    server = int(path.read_text(encoding="utf-8").split()[0])
    children = Path(f"/proc/{server}/task/{server}/children").read_text(encoding="utf-8").split()
    ticks = sum(_ticks(server)) + sum(sum(_ticks(int(child))[:2]) for child in children)
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> list[int]:
    """A process's own user and system time, and that of its children that ended."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return [0, 0, 0, 0]
    return [int(word) for word in said.rpartition(")")[2].split()[11:15]]


def _floor(folder: Path, engine: Engine, run_id: int, including: str) -> Taken:
    seconds = processor = 0.0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in PARTITIONED:
            file = folder / "postgres" / f"{table}.bin"
            connection.execute(text(f"COPY atlas.{table}_run_{run_id} TO '{file}' (FORMAT binary)"))
            connection.execute(text(f"CREATE TABLE bare (LIKE atlas.{table} {including})"))
            taken = [_copy(engine, connection, file) for _ in range(2)]
            seconds += min(one.seconds for one in taken)
            processor += min(one.processor for one in taken)
            connection.execute(text("DROP TABLE bare"))
            file.unlink()
    return Taken(seconds, processor)


def _copy(engine: Engine, connection: Connection, file: Path) -> Taken:
    connection.execute(text("TRUNCATE bare"))
    connection.execute(text("CHECKPOINT"))
    begin, started = _processor_seconds(engine), time.perf_counter()
    connection.execute(text(f"COPY bare FROM '{file}' (FORMAT binary)"))
    return Taken(time.perf_counter() - started, _processor_seconds(engine) - begin)


def _print(n: int, loaded: Loaded, floor: dict[str, Taken]) -> None:
    report, processor = loaded.report, loaded.processor
    steps = {step: Taken(s, processor.get(step, 0.0)) for step, s in report.seconds.items()}
    verify = processor.get("hash", 0.0) + processor.get("verify", 0.0)
    steps["verify"] = steps["verify"]._replace(processor=verify)
    whole = Taken(sum(report.seconds.values()), sum(processor.values()))
    print(f"\n{n:,} features, {sum(report.rows.values()):,} rows; peak {loaded.megabytes} MB")
    for step, taken in {**floor, **steps, "whole load": whole}.items():
        ratios = [a / b for a, b in zip(taken, floor["floor"], strict=True)]
        print(f"  {step:<12} {taken.seconds:8.2f} s {ratios[0]:6.2f} x", end="")
        print(f" {taken.processor:10.2f} processor s {ratios[1]:6.2f} x")


def _print_bytes(n: int, engine: Engine, run_id: int) -> None:
    with engine.connect() as connection:
        for table in (*PARTITIONED, "feature_record"):
            size = f"SELECT pg_total_relation_size('atlas.{table}_run_{run_id}')"
            print(
                f"  {table:<22} {int(connection.scalar(text(size)) or 0) / n:8.0f} bytes a feature"
            )


if __name__ == "__main__":
    main()
