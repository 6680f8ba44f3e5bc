"""The two thresholds of the adapted set, and a grid of others around them (4.2, A.4)."""

import pandas as pd

from feature_atlas.dashboards import queries

PAPERS_POINT = (1e-3, 0.25)
"""epsilon and cosine quantile that the paper adopts."""

COSINE_QUANTILES = tuple(round(0.05 * step, 2) for step in range(1, 11))
DECADES = tuple(step / 2 for step in range(-6, 5))
"""epsilon is tried from a thousandth to a hundred times the chosen one, in half decades."""


def chosen_point(run: pd.Series) -> tuple[float, float]:
    """epsilon and cosine quantile of the run's configuration, else of the paper."""
    chosen = run.config.get("selection") or {}
    epsilon, quantile = PAPERS_POINT
    # a run that took any energy above 0 has no decade to start from
    return chosen.get("epsilon") or epsilon, chosen.get("cosine_quantile", quantile)


def sweep_around(run: pd.Series) -> pd.DataFrame:
    """`queries.selection_sweep` around the point of the run."""
    epsilon, quantile = chosen_point(run)
    epsilons = [epsilon * 10**decade for decade in DECADES]
    return queries.selection_sweep(run.run_id, epsilons, sorted({*COSINE_QUANTILES, quantile}))
