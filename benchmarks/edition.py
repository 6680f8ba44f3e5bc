"""An edition of a run: how long it takes, what it weighs, how soon it answers.

The export and the first queries run in processes of their own: the one for its peak memory, the
others so that nothing is cached. The run has the true tables and made-up numbers; where it has more
than eight layers, the server copies the first eight as often as it takes.

python benchmarks/edition.py [features ...]
"""

import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import Engine, text
from synthetic import D_SAE, atlas, load_run

from feature_atlas.etl.bridges.edition.edition import export_edition
from feature_atlas.etl.run_folder.table_rows import DENSE
from feature_atlas.models.session import make_reader_engine

LOADED = 8 * D_SAE

INDEXES = """
SELECT indexrelid::regclass::text FROM pg_index
WHERE indrelid = 'atlas.feature_record'::regclass AND NOT indisprimary
"""
COLUMNS = """
SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attnum > 0
"""

QUESTIONS = {
    "how many features": "SELECT count(*) FROM atlas.feature",
    "one feature": "FROM atlas.feature WHERE layer = 3 AND feature = 77",
    "most turned": "FROM atlas.feature ORDER BY cosine LIMIT 25",
    "three bounds": "FROM atlas.feature WHERE cosine < 0.6 AND visual_energy > 1 "
    "AND spatial_odds_ratio > 2 ORDER BY spatial_odds_ratio DESC LIMIT 100",
    "the layers": "FROM atlas.layer_summary ORDER BY layer",
    "adapted at other thresholds": "SELECT layer, count(*) FROM atlas.adapted_set(0.5, 0.2) "
    "GROUP BY layer ORDER BY layer",
    "a skill": "FROM atlas.skill_shift WHERE skill = 'spatial' AND survives",
    "cosines of two regimes": "SELECT layer, corr(cosine, cosine_image) FROM atlas.feature "
    "GROUP BY layer ORDER BY layer",
}


def main() -> None:
    """Print what an edition of every size took."""
    for n_features in [int(size) for size in sys.argv[1:]] or [8 * D_SAE]:
        with atlas() as (folder, engine):
            run = load_run(folder, engine, min(n_features, LOADED)).run_id
            for first_layer in range(8, n_features // D_SAE, 8):
                _copy_layers(engine, run, first_layer)
            url = engine.url.render_as_string(hide_password=False)
            target = folder / "edition"
            seconds, busy, n_rows, megabytes = _apart(_export, url, run, target)
            print(
                f"\n{n_features:,} features, {n_rows:,} rows: {seconds:.1f} s, peak {megabytes} MB"
            )
            print(f"  of its own cores {busy:.1f} s; the others are the server's, or waiting")
            (file,) = target.glob("*.duckdb")
            parquet = sum(one.stat().st_size for one in target.glob("parquet/*"))
            print(f"  DuckDB {file.stat().st_size / 1e6:.0f} MB, Parquet {parquet / 1e6:.0f} MB")
            for name, sql in QUESTIONS.items():
                first, again = _apart(_ask, str(file), sql)
                print(f"  {name:<28} first {first * 1000:7.0f} ms   again {again * 1000:6.1f} ms")


def _copy_layers(engine: Engine, run: int, first_layer: int) -> None:
    """The first eight layers once more, under other numbers."""
    with engine.begin() as connection:
        for index in connection.scalars(text(INDEXES)).all():
            connection.execute(text(f"DROP INDEX {index}"))  # an edition reads every row
        for table in (*DENSE, "feature_record"):
            name = f"atlas.{table}_run_{run}"
            columns = connection.scalar(text(COLUMNS), {"table": name})
            values = columns.replace("layer", f"(layer + {first_layer})::smallint", 1)
            connection.execute(
                text(f"INSERT INTO {name} ({columns}) SELECT {values} FROM {name} WHERE layer < 8")
            )


def _export(url: str, run: int, target: Path) -> tuple[float, float, int, int]:
    """Seconds, those of the process's own cores, rows, and the process's peak memory."""
    started = time.perf_counter()
    engine = make_reader_engine(url, statement_timeout="1h")
    done = export_edition(engine, str(run), target)
    # not getrusage: its peak begins with that of the process that started this one
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kilobytes = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    seconds, n_rows = time.perf_counter() - started, sum(done.rows.values())
    return seconds, time.process_time(), n_rows, int(kilobytes) // 1024


def _ask(file: str, sql: str) -> tuple[float, float]:
    """Opening the file and asking; then asking once more."""
    started = time.perf_counter()
    with duckdb.connect(file, read_only=True) as database:
        database.execute(sql).fetchall()
        first = time.perf_counter() - started
        started = time.perf_counter()
        database.execute(sql).fetchall()
        return first, time.perf_counter() - started


def _apart(function: Any, *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


if __name__ == "__main__":
    main()
