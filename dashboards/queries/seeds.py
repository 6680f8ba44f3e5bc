"""What turned again when the data came in another order."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select


@cached
def seed_stability(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """n_seeds, cosine_mean, cosine_sd, cosine_low, cosine_high, n_seeds_adapted,
    n_seeds_turned_by_vision (NULL: no controls); no row where the run has one seed."""
    return select(
        """
        SELECT n_seeds, cosine_mean, cosine_sd, cosine_low, cosine_high, n_seeds_adapted,
               n_seeds_turned_by_vision
        FROM atlas.seed_stability
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def seed_sets(run_id: int) -> pd.DataFrame:
    """feature_set, n_seeds (in at least so many), n_features, share (of the first seed's set; NULL:
    it is empty), share_by_chance; the largest set first, no row where the run has one seed."""
    return select(
        """
        SELECT feature_set, n_seeds, n_features, share, share_by_chance
        FROM atlas.seed_set
        WHERE run_id = :run_id
        ORDER BY max(n_features) OVER (PARTITION BY feature_set) DESC, feature_set, n_seeds
        """,
        run_id=run_id,
    )
