"""What every score is by chance."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select


@cached
def chance_scores(run_id: int) -> pd.DataFrame:
    """score; n, mean, low, high (95 %), p5, p95 of the run's features; n_random, random_mean,
    random_low, random_high, random_p5, random_p95 of frozen random ones; is_beyond_chance. NULL:
    not known. No row where the run has no regime frozen_random."""
    return select(
        """
        SELECT score, n, mean, low, high, p5, p95, n_random, random_mean, random_low, random_high,
               random_p5, random_p95, is_beyond_chance
        FROM atlas.chance_score
        WHERE run_id = :run_id
        ORDER BY score
        """,
        run_id=run_id,
    )
