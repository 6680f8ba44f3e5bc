"""What dashboards and people ask of ten runs, from 65,536 features a run upwards: p95 of each.

python benchmarks/queries.py [features ...]: one table row a size.
"""

import os
import random
import sys
import time
from collections.abc import Callable

import numpy as np
from sqlalchemy import Connection, text
from synthetic import atlas, copy_run, load_run

from feature_atlas.dashboards.queries import (
    cosine_cuts,
    explored_bins,
    explored_layers,
    explored_rows,
    feature_bins,
    selected_by_layer,
)
from feature_atlas.dashboards.queries.explore import Filter, View
from feature_atlas.dashboards.queries.explore_columns import columns_of

SIZES, N_RUNS = (65_536, 1_048_576), 10
METRICS = (
    *("cosine", "cosine_image", "cosine_full", "visual_energy", "energy_image", "firing_rate"),
    *("spatial_delta_p", "spatial_odds_ratio", "ocr_odds_ratio", "vsr_odds_ratio", "n_firings"),
)

PAGE = """
SELECT * FROM atlas.feature_record WHERE run_id = :run AND {metric} IS NOT NULL
ORDER BY {metric} DESC LIMIT 25
"""
FILTER = """
SELECT * FROM atlas.feature_record
WHERE run_id = :run AND cosine < :cosine AND visual_energy > :energy AND spatial_odds_ratio > :odds
ORDER BY spatial_odds_ratio DESC LIMIT 100
"""
DIFF = """
SELECT layer, feature, cosine_before, cosine_after FROM atlas.run_diff(:run, :other)
ORDER BY abs(cosine_after - cosine_before) DESC LIMIT 50
"""


def main() -> None:
    """Print the p95 in milliseconds of every question, one line a size."""
    for n_features in [int(size) for size in sys.argv[1:]] or SIZES:
        with atlas() as (folder, engine):
            first = load_run(folder, engine, n_features).run_id
            runs = [first] + [copy_run(engine, first, seed) for seed in range(1, N_RUNS)]
            os.environ["ATLAS_DATABASE_URL"] = engine.url.render_as_string(hide_password=False)
            with engine.connect() as connection:
                connection.execute(text("SELECT sum(cosine) FROM atlas.feature_record"))
                _measure(connection, runs, n_features)


def _measure(connection: Connection, runs: list[int], n_features: int) -> None:
    chosen = random.Random(0)

    def page() -> None:
        query = text(PAGE.format(metric=chosen.choice(METRICS)))
        connection.execute(query, {"run": chosen.choice(runs)}).all()

    def filtered() -> None:
        bounds = {"cosine": chosen.uniform(0.2, 0.9), "energy": chosen.uniform(0, 5)}
        values = {"run": chosen.choice(runs), "odds": chosen.uniform(0.5, 3)} | bounds
        connection.execute(text(FILTER), values).all()

    def difference() -> None:
        run, other = chosen.sample(runs, 2)
        connection.execute(text(DIFF), {"run": run, "other": other}).all()

    print(f"\n{n_features:,} features x {len(runs)} runs")
    _print("any-metric page of 25", page, 200)
    _print("three-metric filter and sort", filtered, 50)
    _print("run_diff, top 50", difference, 20)
    _print("Fig. 2, 100 x 100 bins", lambda: _bins(chosen.choice(runs)), 20)
    _print("Thresholds, first opened", lambda: _cuts(chosen.choice(runs)), 20)
    _print("Thresholds, a slider moved", lambda: _moved(chosen.choice(runs), chosen.random()), 50)
    _print("Explore, a page of three filters", lambda: _explored(_view(chosen, runs)), 50)
    _print("Explore, their layers", lambda: _left(_view(chosen, runs)), 20)
    _print("Explore, two metrics in bins", lambda: _against(_view(chosen, runs)), 10)


def _view(chosen: random.Random, runs: list[int]) -> View:
    """As a reader would narrow it: three numbers, one of them a skill's."""
    columns = columns_of(("spatial",))
    filters = (
        Filter(columns["cosine"], None, chosen.uniform(0.2, 0.9)),
        Filter(columns["visual_energy"], chosen.uniform(0, 5), None),
        Filter(columns["spatial/odds_ratio"], chosen.uniform(0.5, 3), None),
    )
    # the first run alone has the skills' own table filled
    return View(runs[0], filters, "", columns[chosen.choice(METRICS)], True)


def _explored(view: View) -> None:
    explored_rows.clear()
    explored_rows(view, None, 50)


def _left(view: View) -> None:
    explored_layers.clear()
    explored_layers(view)


def _against(view: View) -> None:
    columns = columns_of(())
    explored_bins.clear()
    explored_bins(view, columns["cosine"], columns["visual_energy"], (False, True), 60)


def _bins(run: int) -> None:
    feature_bins.clear()  # the dashboard's own question, not its cached answer
    feature_bins(run, 100)


def _cuts(run: int) -> None:
    cosine_cuts.clear()
    cosine_cuts(run, [step / 100 for step in range(101)])


def _moved(run: int, share: float) -> None:
    selected_by_layer.clear()
    selected_by_layer(run, 10 ** (4 * share - 4), share)


def _print(name: str, ask: Callable[[], None], times: int) -> None:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - started)
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    print(f"  {name:<32} median {p50:9.1f} ms   p95 {p95:9.1f} ms")


if __name__ == "__main__":
    main()
