"""The adapted set at any thresholds, counted as they are moved (4.2, A.4)."""

import pandas as pd

from feature_atlas.dashboards.queries.database import kept, select


@kept
def cosine_cuts(run_id: int, cosine_quantiles: list[float]) -> pd.DataFrame:
    """cosine_quantile, cosine: at or below it a feature is in the bottom share. One sort for all,
    so that moving a threshold costs none."""
    return select(
        """
        SELECT cosine_quantile, cosine::float AS cosine
        FROM atlas.cosine_cut(cast(:cosine_quantiles AS float[]), cast(:run_id AS integer))
        """,
        run_id=run_id,
        cosine_quantiles=cosine_quantiles,
    )


@kept
def selected_by_layer(run_id: int, epsilon: float, cosine: float) -> pd.DataFrame:
    """layer, n_features, n_selected (energy above `epsilon`, cosine at most `cosine`, and updated
    at all), n_chosen (adapted by the run's own thresholds), n_both."""
    return select(
        """
        SELECT layer, count(*) AS n_features,
               count(*) FILTER (WHERE passes) AS n_selected,
               count(*) FILTER (WHERE is_adapted) AS n_chosen,
               count(*) FILTER (WHERE passes AND is_adapted) AS n_both
        FROM atlas.feature_record
        CROSS JOIN LATERAL (
            SELECT visual_energy > :epsilon AND cosine <= :cosine AND cosine < 1 AS passes
        ) AS tried
        WHERE run_id = :run_id GROUP BY layer ORDER BY layer
        """,
        run_id=run_id,
        epsilon=epsilon,
        cosine=cosine,
    )
