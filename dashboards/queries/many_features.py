"""Many features of a run at once: the cloud, a box of it, those that stand out."""

import pandas as pd

from feature_atlas.dashboards.queries.database import MAX_ROWS, cached, select


@cached
def feature_points(run_id: int) -> pd.DataFrame:
    """layer, feature, cosine, visual_energy, is_adapted: every feature."""
    return select(
        """
        SELECT layer, feature, cosine, visual_energy, is_adapted
        FROM atlas.feature_record WHERE run_id = :run_id ORDER BY layer, feature
        """,
        run_id=run_id,
    )


@cached
def feature_bins(run_id: int, n_bins: int) -> pd.DataFrame:
    """is_adapted, cosine and visual_energy of the middle of the bin (energy 0 stays 0),
    n_features: the same cloud in `n_bins` x `n_bins` bins, the energy in steps of its logarithm."""
    x_low, x_high, y_low, y_high = _ends(run_id)
    return select(
        """
        WITH bin AS (
            SELECT is_adapted,
                   least(floor((cosine - :x_low) / :x_step), :n_bins - 1) AS x,
                   -- least alone would take NULL, an energy of 0, for the highest bin
                   CASE WHEN visual_energy > 0
                        THEN least(floor((ln(visual_energy::float) - :y_low) / :y_step),
                                   :n_bins - 1) END AS y,
                   count(*) AS n_features
            FROM atlas.feature_record WHERE run_id = :run_id GROUP BY 1, 2, 3
        )
        SELECT is_adapted, :x_low + (x + 0.5) * :x_step AS cosine,
               coalesce(exp(:y_low + (y + 0.5) * :y_step), 0) AS visual_energy, n_features
        FROM bin
        """,
        run_id=run_id,
        n_bins=n_bins,
        x_low=x_low,
        x_step=max(x_high - x_low, 1e-9) / n_bins,
        y_low=y_low,
        y_step=max(y_high - y_low, 1e-9) / n_bins,
    )


def _ends(run_id: int) -> list[float]:
    """Lowest and highest cosine, lowest and highest logarithm of an energy: from the indexes.

    Numbers, not a join: with a join Postgres would not share the scan between its workers. Doubles,
    because a real is printed shorter than it is: the lowest cosine would fall below its own bin.
    """
    found = select(
        """
        SELECT (SELECT min(cosine)::float FROM atlas.feature_record
                WHERE run_id = :run_id) AS x_low,
               (SELECT max(cosine)::float FROM atlas.feature_record
                WHERE run_id = :run_id) AS x_high,
               (SELECT ln(min(visual_energy)::float) FROM atlas.feature_record
                WHERE run_id = :run_id AND visual_energy > 0) AS y_low,
               (SELECT ln(max(visual_energy)::float) FROM atlas.feature_record
                WHERE run_id = :run_id AND visual_energy > 0) AS y_high
        """,
        run_id=run_id,
    )
    return [0.0 if pd.isna(end) else float(end) for end in found.iloc[0]]


_WITH_LABEL = """
    SELECT layer, feature, cosine, visual_energy, is_adapted, is_spatial_candidate,
           survives_spatial, is_ocr_candidate, survives_ocr, spatial_delta_p, spatial_odds_ratio,
           spatial_odds_ratio_low, spatial_odds_ratio_high, ocr_odds_ratio, label, f1,
           ablation_relation, ablation_delta, ablation_low, ablation_high
    FROM atlas.feature_all_runs WHERE run_id = :run_id AND
"""


@cached
def marked_features(run_id: int) -> pd.DataFrame:
    """Candidates, described and removed features: the columns of `_WITH_LABEL`, by layer."""
    return select(
        _WITH_LABEL
        + """(is_spatial_candidate OR is_ocr_candidate OR label IS NOT NULL
              OR ablation_delta IS NOT NULL)
        ORDER BY layer, feature LIMIT 20000
        """,
        run_id=run_id,
    )


@cached
def features_between(
    run_id: int, cosine: tuple[float, float], visual_energy: tuple[float, float]
) -> pd.DataFrame:
    """At most `MAX_ROWS` features of a box, the most energetic first: as `_WITH_LABEL`."""
    return select(
        _WITH_LABEL
        + """cosine BETWEEN :cosine_low AND :cosine_high
             AND visual_energy BETWEEN :energy_low AND :energy_high
        ORDER BY visual_energy DESC, layer, feature LIMIT :max_rows
        """,
        run_id=run_id,
        cosine_low=cosine[0],
        cosine_high=cosine[1],
        energy_low=visual_energy[0],
        energy_high=visual_energy[1],
        max_rows=MAX_ROWS,
    )
