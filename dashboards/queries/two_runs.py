"""Two runs of one dictionary shape: every feature before and after."""

import pandas as pd

from feature_atlas.dashboards.queries.database import MAX_ROWS, cached, kept, select
from feature_atlas.models.features.feature_record import METRICS

FLOORS = {
    **dict.fromkeys(("visual_energy", "energy_image", "energy_question_no_image"), 1e-3),
    **dict.fromkeys(("spatial_odds_ratio", "ocr_odds_ratio", "vsr_odds_ratio"), 1e-2),
    "firing_rate": 1e-5,
    "n_firings": 1,
}
"""Metrics that are compared by their logarithm, and the value that smaller ones are taken for."""

CAMPS = {
    "spatial": {"survivor": "survives_spatial", "candidate": "is_spatial_candidate"},
    "ocr": {"survivor": "survives_ocr", "candidate": "is_ocr_candidate"},
    "turned": {"turned by vision": "is_turned_by_vision"},
}
"""Sets inside the adapted set, the innermost first; a feature is in the first that has it."""

SURPRISING = (
    *("cosine", "excess_rotation", "visual_energy", "firing_rate"),
    *("spatial_odds_ratio", "ocr_odds_ratio"),
)
"""Metrics whose changes are weighed against one another."""

_PAIR = """
    atlas.feature_record AS old JOIN atlas.feature_record AS new USING (layer, feature)
    WHERE old.run_id = :before AND new.run_id = :after
"""

_SHOWN = ("cosine", "visual_energy", "spatial_odds_ratio")


def camps_of(scheme: str) -> list[str]:
    """The camps of a scheme, from outside in."""
    return ["not adapted", "adapted", *reversed(CAMPS[scheme])]


@kept
def transitions(before: int, after: int, scheme: str) -> pd.DataFrame:
    """camp_before, camp_after, n_features: a row per pair of camps (`camps_of`) that has any."""
    return select(
        f"""
        SELECT {_camp("old", scheme)} AS camp_before, {_camp("new", scheme)} AS camp_after,
               count(*) AS n_features
        FROM {_PAIR} GROUP BY 1, 2 ORDER BY 1, 2
        """,
        before=before,
        after=after,
    )


@kept
def movers(before: int, after: int, scheme: str, camp_before: str, camp_after: str) -> pd.DataFrame:
    """layer, feature, label_before, label_after, and of cosine, visual_energy and
    spatial_odds_ratio both values: at most `MAX_ROWS` that went from a camp to another, the most
    turned first."""
    return select(
        _with_labels(
            f"""
            SELECT * FROM (
                SELECT layer, feature, {_both_values()} FROM {_PAIR}
                  AND {_camp("old", scheme)} = :camp_before AND {_camp("new", scheme)} = :camp_after
                OFFSET 0  -- else the planner walks the whole index of cosines for the first few
            ) AS moved
            ORDER BY cosine_after, layer, feature LIMIT :max_rows
            """,
            "cosine_after, layer, feature",
        ),
        before=before,
        after=after,
        camp_before=camp_before,
        camp_after=camp_after,
        max_rows=MAX_ROWS,
    )


@kept
def metric_points(before: int, after: int, metric: str) -> pd.DataFrame:
    """layer, feature, before, after, is_adapted (in either run): every feature that has both."""
    return select(
        f"""
        SELECT layer, feature, old.{_known(metric)} AS before, new.{metric} AS after,
               old.is_adapted OR new.is_adapted AS is_adapted
        FROM {_PAIR} AND old.{metric} IS NOT NULL AND new.{metric} IS NOT NULL
        ORDER BY layer, feature
        """,
        before=before,
        after=after,
    )


@kept
def metric_bins(before: int, after: int, metric: str, n_bins: int) -> pd.DataFrame:
    """before, after (the middle of a bin), is_adapted, n_features: the same in `n_bins` x `n_bins`
    bins, both axes alike, in steps of the logarithm where `FLOORS` has the metric."""
    low, high = _ends(before, after, _known(metric))
    middle = "{low} + ({axis} + 0.5) * {step}"
    shown = "exp({})" if metric in FLOORS else "{}"
    x, y = (shown.format(middle.format(low=":low", axis=axis, step=":step")) for axis in ("x", "y"))
    return select(
        f"""
        SELECT {x} AS before, {y} AS after, is_adapted, n_features
        FROM (
            SELECT least(floor(({_scaled("old", metric)} - :low) / :step), :n_bins - 1) AS x,
                   least(floor(({_scaled("new", metric)} - :low) / :step), :n_bins - 1) AS y,
                   old.is_adapted OR new.is_adapted AS is_adapted, count(*) AS n_features
            FROM {_PAIR} AND old.{metric} IS NOT NULL AND new.{metric} IS NOT NULL
            GROUP BY 1, 2, 3
        ) AS bin ORDER BY 1, 2, 3
        """,
        before=before,
        after=after,
        n_bins=n_bins,
        low=low,
        step=max(high - low, 1e-9) / n_bins,
    )


@kept
def pairs_between(
    before: int, after: int, metric: str, old: tuple[float, float], new: tuple[float, float]
) -> pd.DataFrame:
    """The columns of `movers`: at most `MAX_ROWS` features whose metric is between the ends of
    `old` before and between those of `new` after, the most turned first."""
    return select(
        _with_labels(
            f"""
            SELECT layer, feature, {_both_values()} FROM {_PAIR}
              AND old.{_known(metric)} BETWEEN :old_low AND :old_high
              AND new.{metric} BETWEEN :new_low AND :new_high
            ORDER BY new.cosine, layer, feature LIMIT :max_rows
            """,
            "cosine_after, layer, feature",
        ),
        before=before,
        after=after,
        old_low=old[0],
        old_high=old[1],
        new_low=new[0],
        new_high=new[1],
        max_rows=MAX_ROWS,
    )


@kept
def change_spread(before: int, after: int) -> pd.DataFrame:
    """metric, n_features, mean, spread (standard deviation) of the change from one run to the
    other, of logarithms where `FLOORS` has the metric; a row for each of `SURPRISING`."""
    values = ", ".join(
        f"('{metric}', n_{metric}, mean_{metric}, spread_{metric})" for metric in SURPRISING
    )
    sums = ", ".join(
        f"count({_change(metric)}) AS n_{metric}, avg({_change(metric)}) AS mean_{metric},"
        f" coalesce(stddev_pop({_change(metric)}), 0) AS spread_{metric}"
        for metric in SURPRISING
    )
    return select(
        f"""
        SELECT metric, n_features, mean, spread FROM (SELECT {sums} FROM {_PAIR}) AS summed
        CROSS JOIN LATERAL (VALUES {values}) AS part (metric, n_features, mean, spread)
        """,
        before=before,
        after=after,
    )


@kept
def surprises(before: int, after: int, metrics: tuple[str, ...]) -> pd.DataFrame:
    """surprise, metric (where it is), and the columns of `movers`: at most `MAX_ROWS`, the greatest
    surprise first.

    The surprise in a metric is how far its change is from the mean change of all features, in
    standard deviations of these changes; that of a feature is the largest over `metrics`.
    """
    spread = change_spread(before, after).set_index("metric")
    moved = [metric for metric in metrics if spread.spread[metric] > 0]
    known = {f"mean_{metric}": float(spread["mean"][metric]) for metric in moved}
    known |= {f"spread_{metric}": float(spread.spread[metric]) for metric in moved}
    each = {
        metric: f"abs({_change(metric)} - :mean_{metric}) / :spread_{metric}" for metric in moved
    }
    # a run compared with itself: nothing moved
    largest = f"greatest({', '.join(each.values())})" if each else "NULL::float"
    named = " ".join(f"WHEN {largest} = {z} THEN '{metric}'" for metric, z in each.items())
    return select(
        _with_labels(
            f"""
            SELECT {largest} AS surprise, {f"CASE {named} END" if named else "NULL"} AS metric,
                   layer, feature, {_both_values()}
            FROM {_PAIR} AND {largest} IS NOT NULL
            ORDER BY 1 DESC, layer, feature LIMIT :max_rows
            """,
            "surprise DESC, layer, feature",
        ),
        before=before,
        after=after,
        max_rows=MAX_ROWS,
        **known,
    )


@kept
def drift_kinds(before: int, after: int) -> pd.DataFrame:
    """kind, n_features: how many changed, and how; the kinds of `atlas.run_drift`."""
    return select(
        """
        SELECT kind, count(*) AS n_features FROM atlas.run_drift(:before, :after)
        GROUP BY kind ORDER BY n_features DESC, kind
        """,
        before=before,
        after=after,
    )


@kept
def drifted(before: int, after: int, kind: str) -> pd.DataFrame:
    """layer, feature, value_before, value_after, change, label_before, label_after: at most
    `MAX_ROWS` features of a kind of drift, the largest change first."""
    return select(
        """
        SELECT layer, feature, value_before, value_after, change, label_before, label_after
        FROM atlas.run_drift(:before, :after) WHERE kind = :kind
        ORDER BY abs(change) DESC NULLS LAST, layer, feature LIMIT :max_rows
        """,
        before=before,
        after=after,
        kind=kind,
        max_rows=MAX_ROWS,
    )


@cached
def drift_reports(before: int, after: int) -> pd.DataFrame:
    """created_at, cosine_threshold, energy_factor, energy_floor, n_features, n_changed: the report
    that re-ingestion kept of these two, if there is one."""
    return select(
        """
        SELECT created_at, cosine_threshold, energy_factor, energy_floor, n_features, n_changed
        FROM atlas.drift_report WHERE run_id = :after AND against_run_id = :before
        """,
        before=before,
        after=after,
    )


def _known(metric: str) -> str:
    """The metric itself: identifiers come from the list of the schema alone."""
    if metric not in METRICS:
        raise ValueError(f"no metric {metric!r}; feature_record has {', '.join(METRICS)}.")
    return metric


def _scaled(side: str, metric: str) -> str:
    column = f"{side}.{_known(metric)}::float"
    return f"ln(greatest({column}, {FLOORS[metric]}))" if metric in FLOORS else column


def _change(metric: str) -> str:
    """Its difference, of logarithms where it spans decades; NULL where one run has none."""
    change = f"({_scaled('new', metric)} - {_scaled('old', metric)})"
    if metric not in FLOORS:
        return change
    # greatest takes NULL for nothing, not for not known
    has_both = f"old.{metric} IS NOT NULL AND new.{metric} IS NOT NULL"
    return f"(CASE WHEN {has_both} THEN {change} END)"


def _camp(side: str, scheme: str) -> str:
    cases = " ".join(
        f"WHEN {side}.{column} THEN '{camp}'" for camp, column in CAMPS[scheme].items()
    )
    return f"CASE {cases} WHEN {side}.is_adapted THEN 'adapted' ELSE 'not adapted' END"


def _both_values() -> str:
    return ", ".join(
        f"old.{metric} AS {metric}_before, new.{metric} AS {metric}_after" for metric in _SHOWN
    )


def _with_labels(chosen: str, order: str) -> str:
    """Labels of the few rows that are shown, not of all."""
    label = """(SELECT label FROM atlas.feature_label AS said
                WHERE said.run_id = :{run} AND said.layer = chosen.layer
                  AND said.feature = chosen.feature LIMIT 1) AS label_{run}"""
    labels = ", ".join(label.format(run=run) for run in ("before", "after"))
    return f"""
        WITH chosen AS MATERIALIZED ({chosen})
        SELECT chosen.*, {labels} FROM chosen ORDER BY {order}
    """


def _ends(before: int, after: int, metric: str) -> tuple[float, float]:
    """Lowest and highest value of both runs, as scaled: from the indexes."""
    low, high = (
        f"(SELECT {way}(found) FROM (VALUES "
        + ", ".join(
            f"((SELECT {way}({metric})::float FROM atlas.feature_record WHERE run_id = :{run}))"
            for run in ("before", "after")
        )
        + ") AS either (found))"
        for way in ("min", "max")
    )
    found = select(f"SELECT {low} AS low, {high} AS high", before=before, after=after).iloc[0]
    ends = [0.0 if pd.isna(end) else float(end) for end in found]
    if metric in FLOORS:
        floor = FLOORS[metric]
        scaled = select(
            "SELECT ln(greatest(:low, :floor)) AS low, ln(greatest(:high, :floor)) AS high",
            low=ends[0],
            high=ends[1],
            floor=float(floor),
        ).iloc[0]
        ends = [float(end) for end in scaled]
    return ends[0], ends[1]
