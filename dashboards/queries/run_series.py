"""A series of runs of one dictionary shape: training checkpoints, or seeds."""

import pandas as pd

from feature_atlas.dashboards.queries.database import MAX_ROWS, kept, select
from feature_atlas.models.features.feature_record import METRICS

MAX_RUNS = 30

# a bit per run: bit 0 is the first of the series
_SEEN = """
    SELECT record.layer, record.feature, sum(1::bigint << (asked.place::int - 1))::bigint AS seen
    FROM unnest(cast(:runs AS integer[])) WITH ORDINALITY AS asked (run_id, place)
    JOIN atlas.feature_record AS record USING (run_id)
    WHERE record.is_adapted AND record.run_id = ANY(cast(:runs AS integer[]))
    GROUP BY record.layer, record.feature
"""

# the first place from which on every bit is set; none: it is not in the last run
_TURNED = """
    SELECT min(place) FROM generate_series(1, :n_runs) AS place
    WHERE seen >> (place - 1) = (1::bigint << (:n_runs - place + 1)) - 1
"""


@kept
def sets_by_run(runs: list[int]) -> pd.DataFrame:
    """place (from 1), run_id, n_adapted, n_turned_by_vision (NULL: no controls), n_spatial, n_ocr
    (survivors); a row per run, in the order given."""
    return select(
        """
        SELECT asked.place, asked.run_id, counted.*
        FROM unnest(cast(:runs AS integer[])) WITH ORDINALITY AS asked (run_id, place)
        CROSS JOIN LATERAL (
            SELECT count(*) AS n_adapted,
                   CASE WHEN count(is_turned_by_vision) > 0
                        THEN count(*) FILTER (WHERE is_turned_by_vision) END AS n_turned_by_vision,
                   count(*) FILTER (WHERE survives_spatial) AS n_spatial,
                   count(*) FILTER (WHERE survives_ocr) AS n_ocr
            FROM atlas.feature_record AS record
            WHERE record.run_id = asked.run_id AND record.is_adapted
        ) AS counted
        ORDER BY asked.place
        """,
        runs=runs,
    )


@kept
def turned_when(runs: list[int]) -> pd.DataFrame:
    """turned_at (place of the first run in which it is adapted and stays so; NULL: adapted in some
    run but not in the last), layer, n_features."""
    return select(
        f"""
        SELECT turned_at, layer, sum(n_features)::bigint AS n_features
        FROM (
            SELECT layer, ({_TURNED}) AS turned_at, n_features
            FROM (SELECT layer, seen, count(*) AS n_features
                  FROM ({_SEEN}) AS each_feature GROUP BY layer, seen) AS pattern
        ) AS placed
        GROUP BY turned_at, layer ORDER BY turned_at, layer
        """,
        runs=runs,
        n_runs=len(runs),
    )


@kept
def turned_at(runs: list[int], place: int) -> pd.DataFrame:
    """layer, feature, label, cosine, visual_energy, survives_spatial, survives_ocr, of the last
    run: at most `MAX_ROWS` that turned at this place of the series, the most turned first."""
    return select(
        f"""
        WITH chosen AS MATERIALIZED (
            SELECT layer, feature, cosine, visual_energy, survives_spatial, survives_ocr
            FROM ({_SEEN}) AS each_feature
            JOIN atlas.feature_record AS last USING (layer, feature)
            WHERE ({_TURNED}) = :place AND last.run_id = :last_run
            ORDER BY cosine, layer, feature LIMIT :max_rows
        )
        SELECT chosen.*, (
            SELECT label FROM atlas.feature_label AS said
            WHERE said.run_id = :last_run AND said.layer = chosen.layer
              AND said.feature = chosen.feature LIMIT 1
        ) AS label
        FROM chosen ORDER BY cosine, layer, feature
        """,
        runs=runs,
        n_runs=len(runs),
        place=place,
        last_run=runs[-1],
        max_rows=MAX_ROWS,
    )


@kept
def trajectories(
    runs: list[int], layers: list[int], features: list[int], metric: str
) -> pd.DataFrame:
    """place, layer, feature, value (NULL: not measured), is_adapted: of each feature (`layers` and
    `features` pair by pair) in each run."""
    if metric not in METRICS:
        raise ValueError(f"no metric {metric!r}; feature_record has {', '.join(METRICS)}.")
    return select(
        f"""
        SELECT asked.place, record.layer, record.feature, record.{metric} AS value,
               record.is_adapted
        FROM unnest(cast(:runs AS integer[])) WITH ORDINALITY AS asked (run_id, place)
        CROSS JOIN unnest(cast(:layers AS integer[]), cast(:features AS integer[]))
            AS chosen (layer, feature)
        JOIN atlas.feature_record AS record
            ON record.run_id = asked.run_id AND record.layer = chosen.layer
            AND record.feature = chosen.feature
        ORDER BY record.layer, record.feature, asked.place
        """,
        runs=runs,
        layers=layers,
        features=features,
    )
