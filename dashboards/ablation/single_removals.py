"""One feature removed at a time: this run's Tables 1 and 2 beside the paper's (5.3, D)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.benches import show_benches
from feature_atlas.dashboards.ablation.beside_paper import beside_paper
from feature_atlas.dashboards.ablation.forest import forest
from feature_atlas.dashboards.facts import intervals, number, show_facts
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.palette import draw, plain

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
N_IN_FOREST = 20

# columns of the view ablation_summary that are fractions of answers
ACCURACY_DELTAS = [
    *("delta_vsr", "delta_vsr_low", "delta_vsr_high"),
    *("delta_vqa", "delta_vqa_low", "delta_vqa_high"),
    *("control_mean", "control_min", "control_max"),
]

COLUMNS = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "relation": TEXT("VSR relation"),
    "survives_spatial": st.column_config.CheckboxColumn(
        "neutral", width=64, help="Survives the neutral prompts; others were found by screening."
    ),
    "delta_vsr": NUMBER("Δ VSR", format="%+.2f", help="Accuracy on statements of its relation."),
    "interval_vsr": TEXT("95 %", help="Bootstrap over images."),
    "q_value": NUMBER("q", format="%.2g", help="Exact McNemar, Benjamini-Hochberg over the run."),
    "control_mean": NUMBER(
        "Δ control", format="%+.2f", help="Mean over random features of the same layer."
    ),
    "controls": TEXT("controls", help="Lowest to highest of them."),
    "random_mean": NUMBER(
        "Δ random", format="%+.2f", help="Mean over any features of the layer: the paper's control."
    ),
    "direction_mean": NUMBER(
        "Δ direction", format="%+.2f", help="Mean over random directions, as much taken away."
    ),
    "specific": NUMBER(
        "Δ less others",
        format="%+.2f",
        help="Less the change on statements of other relations; below 0: specific.",
    ),
    "interval_specific": TEXT("95 %"),
    "delta_vqa": NUMBER("Δ VQA", format="%+.2f", help="Accuracy on VQA yes / no questions."),
    "interval_vqa": TEXT("95 %", help="Bootstrap over images."),
    "odds_ratio": NUMBER("VSR OR", format="%.2f", help="Firing, statements over VQA."),
    "n_samples": NUMBER("n", format="localized", help="Statements of its relation."),
    "description": TEXT("description", width="medium"),
    "f1": NUMBER("F1", format="%.2f"),
}

PAPER_COLUMNS = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "relations": TEXT("VSR relations"),
    "delta_vsr": NUMBER("Δ VSR", format="%+.2f"),
    "delta_vsr_probability": NUMBER("Δ VSR prob", format="%+.2f", help="Fraction, as printed."),
    "delta_vqa": NUMBER("Δ VQA", format="%+.2f"),
    "delta_control": NUMBER("Δ control", format="%+.2f"),
    "vsr_odds_ratio": NUMBER("VSR OR", format="%.2f"),
    "n_samples": NUMBER("n", format="localized"),
}


def show_single_removals(run_id: int) -> None:
    """Effects, table, and both beside the paper."""
    summaries, published = queries.ablation_summaries(run_id), queries.published_results()
    if summaries.empty:
        st.info(
            "No feature of this run was removed. The stage `ablation` of `feature-atlas build` "
            "takes spatial survivors: none survived, or the run was built without it."
        )
    else:
        points = in_percentage_points(summaries)
        _show_run(run_id, points)
        show_benches(run_id)
        st.subheader(
            "This run beside the paper",
            help="Every dot is a feature. The paper removed features of LLaVA-MORE (Table 2).",
        )
        draw(beside_paper(points, published[published.table_no == 2]), "beside_paper")
    _show_paper(published)


def _show_run(run_id: int, points: pd.DataFrame) -> None:
    is_clear = points.delta_vsr_high < 0
    show_facts(
        {
            "Removed": f"{len(points):,} features",
            "Hurt their relation": f"{is_clear.sum():,} (interval below 0), of them "
            f"{(is_clear & points.survives_spatial).sum():,} survive neutral prompts",
            "Strongest": number(points.delta_vsr.min(), "+.1f", " pp"),
            "Mean control": number(points.control_mean.mean(), "+.2f", " pp"),
            "Mean Δ VQA": number(points.delta_vqa.mean(), "+.2f", " pp"),
        }
    )
    st.subheader(
        "Effects with their intervals",
        help="Red: statements of the feature's own relation. Blue: VQA yes / no. Grey ticks: "
        "random controls of the same layer. 95 % intervals, bootstrap over images.",
    )
    show_forest(points, queries.control_effects(run_id))
    if len(points) > N_IN_FOREST:
        st.caption(f"The {N_IN_FOREST} most harmful removals; all of them are in the table.")
    st.subheader("This run", help="As the paper's Table 2, with intervals. Click a head to sort.")
    feature_table(points, run_id, COLUMNS, key="this_run")


def _show_paper(published: pd.DataFrame) -> None:
    st.subheader(
        "The paper",
        help="LLaVA-MORE with Llama Scope, as printed. The two tables disagree in places.",
    )
    for tab, table_no in zip(st.tabs(["Table 2 (full)", "Table 1"]), (2, 1), strict=True):
        with tab:
            st.dataframe(
                published[published.table_no == table_no],
                hide_index=True,
                column_order=list(PAPER_COLUMNS),
                column_config=PAPER_COLUMNS,
                placeholder="",
                height="content",
                key=f"paper_{table_no}",
            )


def in_percentage_points(summaries: pd.DataFrame) -> pd.DataFrame:
    """Every delta times 100, intervals as text."""
    points = summaries.assign(**{name: 100 * summaries[name] for name in ACCURACY_DELTAS})
    return points.assign(
        interval_vsr=intervals(points.delta_vsr_low, points.delta_vsr_high, "+.2f"),
        interval_vqa=intervals(points.delta_vqa_low, points.delta_vqa_high, "+.2f"),
        controls=intervals(points.control_min, points.control_max, "+.2f"),
        random_mean=100 * points.random_control_mean,
        direction_mean=100 * points.direction_control_mean,
        specific=100 * points.interaction,
        interval_specific=intervals(
            points.interaction_low, points.interaction_high, "+.2f", times=100
        ),
        name=[f"L{x.layer} F{x.feature}{_of_relation(x.relation)}" for x in points.itertuples()],
    )


def show_forest(points: pd.DataFrame, controls: pd.DataFrame) -> None:
    """The most harmful removals with their intervals and controls."""
    shown = points.head(N_IN_FOREST)
    names = {(x.layer, x.feature): x.name for x in shown.itertuples(index=False)}
    effects = pd.concat(
        shown[["name"]].assign(
            evaluation=evaluation,
            delta=shown[f"delta_{column}"],
            low=shown[f"delta_{column}_low"],
            high=shown[f"delta_{column}_high"],
            n_samples=shown[n_samples],
        )
        for evaluation, column, n_samples in (
            ("vsr_relation", "vsr", "n_samples"),
            ("vqa_yes_no", "vqa", "n_vqa"),
        )
    )
    ticks = controls.assign(
        name=[names.get(key) for key in zip(controls.layer, controls.feature, strict=True)],
        delta=100 * controls.delta_accuracy,
    )
    draw(forest(effects.dropna(subset="delta"), ticks.dropna(subset="name")), "forest")


def _of_relation(relation: object) -> str:
    return "" if pd.isna(relation) else f"  {plain(relation)}"
