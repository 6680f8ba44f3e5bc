"""What the page Compare asks of two runs of 1,048,576 features: median and longest of each.

python benchmarks/compare.py [features]
"""

import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from sqlalchemy import text
from synthetic import atlas, copy_run, load_run

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.queries.two_runs import SURPRISING

N_TIMES = 3


def main() -> None:
    """Print a line a question."""
    n_features = int(sys.argv[1]) if len(sys.argv) > 1 else 1_048_576
    with atlas() as (folder, engine):
        first = load_run(folder, engine, n_features).run_id
        pair = first, copy_run(engine, first, 1)
        os.environ["ATLAS_DATABASE_URL"] = engine.url.render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.execute(text("SELECT sum(cosine) FROM atlas.feature_record"))
        print(f"\n{n_features:,} features x 2 runs")
        series = list(pair)
        _print("drift by kind", queries.drift_kinds, *pair)
        _print("drift, one kind", queries.drifted, *pair, "cosine")
        _print("old against new, 100 x 100 bins", queries.metric_bins, *pair, "visual_energy", 100)
        _print("camps", queries.transitions, *pair, "spatial")
        _print("one move", queries.movers, *pair, "spatial", "adapted", "not adapted")
        _print("spread of changes", queries.change_spread, *pair)
        _print("surprises", queries.surprises, *pair, SURPRISING)
        _print("series: sets", queries.sets_by_run, series)
        _print("series: turned when", queries.turned_when, series)
        _print("series: turned at", queries.turned_at, series, 1)
        _print("origin of a number", queries.origins, first, "decoder_cosine")


def _print(name: str, query: Callable[..., Any], *asked: Any) -> None:
    seconds = []
    for _ in range(N_TIMES):
        query.clear()  # type: ignore[attr-defined]  # the question, not its kept answer
        begun = time.perf_counter()
        query(*asked)
        seconds.append(time.perf_counter() - begun)
    print(f"{name:34s} {1000 * median(seconds):8.0f} {1000 * max(seconds):8.0f} ms", flush=True)


if __name__ == "__main__":
    main()
