"""An atlas to look at: ten runs of 1,048,576 features, which stay in the ATLAS_HOME that is named.

Two runs have every table filled; the others, copied by the server, the wide read model alone.
`browser_times.py` times its pages.

python benchmarks/large_atlas.py HOME [features of a run] [runs]
"""

import shutil
import sys
import time
from pathlib import Path

from sqlalchemy import text
from synthetic import copy_run, served, write_run

from feature_atlas.etl.warehouse.load import ingest

N_WHOLE = 2
SIZE = "SELECT pg_database_size(current_database())"


def main() -> None:
    """Print a line a run: how long it took, and how large the database is by then."""
    if len(sys.argv) < 2:
        print(__doc__)
        return
    home = Path(sys.argv[1])
    n_features = int(sys.argv[2]) if len(sys.argv) > 2 else 1_048_576
    n_runs = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    with served(home) as engine:
        whole = []
        for number in range(n_runs):
            started = time.perf_counter()
            if number < N_WHOLE:
                folder = write_run(home, n_features, seed=number)
                whole.append(ingest(folder, engine).run_id)
                shutil.rmtree(folder)
            else:
                copy_run(engine, whole[0], number)
            with engine.connect() as connection:
                gigabytes = connection.scalar(text(SIZE)) / 1e9
            seconds = time.perf_counter() - started
            print(f"run {number + 1}: {seconds:.0f} s, {gigabytes:.2f} GB in all", flush=True)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))


if __name__ == "__main__":
    main()
