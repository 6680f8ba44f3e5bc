"""How the database grows with runs: bytes of a run, and what readers wait for as runs come.

One run is loaded, with 131,072 features or as many as asked for; others are copied beside it by the
server. Readers ask of the published run, whose partition alone is read: what may grow is planning.

python benchmarks/growth.py [features of a run] [runs]
"""

import sys
import time

from sqlalchemy import Engine, text
from synthetic import atlas, copy_run, load_run

SIZE = "SELECT pg_database_size(current_database())"
QUESTIONS = {
    "most turned": "SELECT * FROM atlas.feature_record WHERE run_id = :run "
    "ORDER BY cosine LIMIT 25",
    "one feature": "SELECT * FROM atlas.feature_record WHERE run_id = :run AND layer = 1 "
    "AND feature = 77",
    "the runs": "SELECT slug, state FROM atlas.run ORDER BY id DESC LIMIT 20",
    "funnel": "SELECT * FROM atlas.funnel WHERE run_id = :run",
}


def main() -> None:
    """Print a line whenever the number of runs has doubled."""
    n_features = int(sys.argv[1]) if len(sys.argv) > 1 else 4 * 32_768
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    with atlas() as (folder, engine):
        empty = _size(engine)
        run = load_run(folder, engine, n_features).run_id
        whole = _size(engine) - empty
        print(f"{n_features:,} features: {whole / 1e6:.0f} MB, {whole / n_features:.0f} a feature")
        copied, n_runs = _size(engine), 1
        while True:
            waits = ", ".join(
                f"{name} {_wait(engine, ask, run):.1f}" for name, ask in QUESTIONS.items()
            )
            print(f"{n_runs:5d} runs, {_size(engine) / 1e9:.2f} GB; ms: {waits}", flush=True)
            if n_runs >= most:
                break
            for seed in range(n_runs, 2 * n_runs):
                copy_run(engine, run, seed)
            n_runs *= 2
        each = (_size(engine) - copied) / (n_runs - 1)
        print(f"a further run's read model: {each / 1e6:.1f} MB")


def _size(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(SIZE)))


def _wait(engine: Engine, question: str, run: int) -> float:
    """Milliseconds, the median of fifteen."""
    times = []
    with engine.connect() as connection:
        for _ in range(15):
            started = time.perf_counter()
            connection.execute(text(question), {"run": run} if ":run" in question else {}).all()
            times.append(time.perf_counter() - started)
    return sorted(times)[7] * 1e3


if __name__ == "__main__":
    main()
