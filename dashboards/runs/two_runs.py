"""What changed from one run to another: funnel, drift, one metric, camps, surprises."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.addressed import addressed, remember
from feature_atlas.dashboards.features.scatter import MAX_POINTS, N_BINS
from feature_atlas.dashboards.fold import fold
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.part_choice import choose_part
from feature_atlas.dashboards.queries.two_runs import CAMPS, FLOORS, SURPRISING, camps_of
from feature_atlas.dashboards.run_choice import run_in_words
from feature_atlas.dashboards.runs.comparable import caution, like, why_not
from feature_atlas.dashboards.runs.pair_charts import (
    camp_matrix,
    chosen_ranges,
    drift_bars,
    funnels,
    old_against_new,
)
from feature_atlas.dashboards.runs.pair_table import NUMBER, PAIR, TEXT, pair_table
from feature_atlas.dashboards.table_under import table_under
from feature_atlas.models.features.feature_record import METRICS, FeatureRecord

DRIFT = {
    "label": TEXT("description", width="medium"),
    "value_before": NUMBER("before", format="%.4g"),
    "value_after": NUMBER("after", format="%.4g"),
    "change": NUMBER("change", format="%+.3f", help="Of odds ratios and energies: of logarithms."),
}
SURPRISE = {
    "surprise": NUMBER("surprise", format="%.1f", help="Standard deviations of all changes."),
    "metric": TEXT("in"),
}
ANY = "any metric"


def show_two_runs(runs: pd.DataFrame) -> None:
    """Everything that changed from the run `?a=` to the run `?b=`."""
    before, after = choose_pair(runs)
    if before.run_id == after.run_id:
        st.info(
            "Both are the same run: nothing changed. Choose another above; `feature-atlas build` "
            "with another checkpoint or seed makes one."
        )
        st.stop()
    reason = why_not(before, after)
    if reason:
        st.warning(reason)
        st.stop()
    told = caution(before, after)
    if told:
        st.info(told)
    pair = int(before.run_id), int(after.run_id)
    _show_funnels(*pair)
    PARTS[choose_part("What changed", PARTS, "part")](
        *pair, is_large=before.n_layers * before.d_sae > MAX_POINTS
    )


def choose_pair(runs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The runs `?a=` and `?b=`; by default the newest run, and the one of its
    shape before it."""
    names = {str(run_id): run_in_words(run) for run_id, run in runs.iterrows()}
    left, right = st.columns(2)
    with right:
        b = addressed("After", list(names), "b", names.__getitem__)
    after = runs.loc[int(b)]
    alike = like(runs, after).index.tolist()
    before = str(alike[max(alike.index(after.run_id) - 1, 0)])
    with left:
        a = addressed("Before", list(names), "a", names.__getitem__, list(names).index(before))
    # a copied address stays on these when a newer run comes
    remember("a", a)
    remember("b", b)
    return runs.loc[int(a)], after


def _show_funnels(before: int, after: int) -> None:
    old, new = queries.funnel(before), queries.funnel(after)
    for skill, column in zip(new.skill.unique(), st.columns(2), strict=False):
        with column:
            draw(funnels(old, new, skill), f"funnels_{skill}")


def _show_drift(before: int, after: int, **_: bool) -> None:
    st.subheader(
        "Drift",
        help="Changes beyond chance or convention: 95 % intervals that do not overlap (odds "
        "ratios, ablation), cosines more than 0.1 apart, energies in a ratio above 2, another "
        "label, a set entered or left. The same as `atlas.run_drift(a, b)` in SQL.",
    )
    kinds, reports = queries.drift_kinds(before, after), queries.drift_reports(before, after)
    for report in reports.itertuples():
        st.caption(
            f"Re-ingestion reported {report.n_changed:,} of {report.n_features:,} features changed "
            f"on {report.created_at:%d %b %Y}, at cosines {report.cosine_threshold:g} apart and "
            f"energies in a ratio of {report.energy_factor:g}."
        )
    if kinds.empty:
        st.info("Nothing drifted: no feature changed beyond its interval or threshold.")
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        draw(drift_bars(kinds), "drift_kinds")
    with right:
        kind = addressed("Features whose change is", kinds.kind.tolist(), "drift", _spaced)
        pair_table(queries.drifted(before, after, kind), (before, after), DRIFT, "drifted")


def _show_metric(before: int, after: int, *, is_large: bool) -> None:
    st.subheader(
        "One metric, before against after",
        help="On the dotted line nothing changed. Click a point, or draw with the box above the "
        "chart, to list features.",
    )
    metric = addressed("Metric", METRICS, "metric", _spaced, width=300)
    st.caption(str(FeatureRecord.__table__.c[metric].comment))
    if is_large:
        cloud = queries.metric_bins(before, after, metric, N_BINS)
    else:
        cloud = queries.metric_points(before, after, metric)
    if cloud.empty:
        st.info("Not measured in both runs.")
        return
    floor = FLOORS.get(metric)
    notes = [f"Values below {floor:g} are drawn there."] if floor else []
    notes += [f"Counted in {N_BINS} × {N_BINS} bins."] if is_large else []
    event = draw(
        old_against_new(cloud, metric),
        "old_against_new",
        on_select="rerun",
        selection_mode=("points", "box"),
    )
    if notes:
        st.caption(" ".join(notes))
    ranges = chosen_ranges(event.selection, cloud, metric)
    if ranges:
        found = queries.pairs_between(before, after, metric, *ranges)
        pair_table(found, (before, after), PAIR, "selected_pairs")
    table_under(cloud, "old_against_new")


def _show_camps(before: int, after: int, **_: bool) -> None:
    st.subheader(
        "Who changed camp",
        help="Each feature is in the innermost set that has it: a survivor is a candidate too, and "
        "both are adapted. Rows: before; columns: after. Click a number to list its features.",
    )
    scheme = addressed("Camps", list(CAMPS), "camps", _scheme_in_words, width=300)
    moves = queries.transitions(before, after, scheme)
    changed = moves[moves.camp_before != moves.camp_after]
    left, right = st.columns([2, 3], gap="large")
    with left:
        draw(
            camp_matrix(moves, camps_of(scheme)),
            "camp_matrix",
            on_select=_list_the_clicked,
            selection_mode="points",
        )
        table_under(moves, "camp_matrix")
    with right:
        counts = {
            f"{row.camp_before} → {row.camp_after}": row.n_features
            for row in pd.concat([changed, moves]).itertuples()
        }
        way = addressed(
            "Features that went", list(counts), "way", lambda way: f"{way} ({counts[way]:,})"
        )
        found = queries.movers(before, after, scheme, *way.split(" → "))
        pair_table(found, (before, after), PAIR, "movers")
        _say_limit(found)


def _list_the_clicked() -> None:
    points = st.session_state["camp_matrix"].selection.points
    if points:
        remember("way", " → ".join(points[0]["customdata"]))


def _show_surprises(before: int, after: int, **_: bool) -> None:
    st.subheader(
        "Most surprising",
        help="Surprise: how far a feature's change is from the mean change of all features, in "
        "standard deviations of these changes. Energies, firing rates and odds ratios change by "
        "their logarithm. Any metric: the largest of "
        f"{', '.join(_spaced(metric) for metric in SURPRISING)}.",
    )
    within = addressed("Surprise in", [ANY, *SURPRISING], "surprise", _spaced, width=300)
    metrics = SURPRISING if within == ANY else (within,)
    found = queries.surprises(before, after, metrics)
    if found.empty:
        st.info("No feature changed in these metrics.")
        return
    shown = found.assign(metric=found.metric.map(_spaced))
    pair_table(shown, (before, after), SURPRISE | PAIR, "surprises")
    fold(
        "Spread of the changes", "change_spread",
        lambda: st.dataframe(queries.change_spread(before, after), hide_index=True),
        icon=":material/table:",
    )  # fmt: skip


def _say_limit(found: pd.DataFrame) -> None:
    if len(found) == queries.MAX_ROWS:
        st.caption(f"The first {queries.MAX_ROWS} by cosine.")


def _spaced(name: Any) -> str:
    return str(name).replace("_", " ")


def _scheme_in_words(scheme: str) -> str:
    return f"by {'vision' if scheme == 'turned' else scheme}: {', '.join(camps_of(scheme)[1:])}"


PARTS: dict[str, Callable[..., None]] = {
    "drift": _show_drift,
    "one metric": _show_metric,
    "camps": _show_camps,
    "surprises": _show_surprises,
}
