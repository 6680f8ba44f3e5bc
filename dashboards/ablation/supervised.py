"""Features beside directions that labels find, of one relation. (beside 5.3) `?about=`"""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.forest import forest
from feature_atlas.dashboards.facts import intervals
from feature_atlas.dashboards.palette import CAUSAL, FAINT, NEUTRAL, OCR, SPATIAL, draw
from feature_atlas.dashboards.table_under import table_under

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
METHODS = {"diff_mean": "difference of means", "probe": "logistic probe"}
CONTRASTS = {"relation": "relation or others", "truth": "true or false"}
COLOURS = {"feature": CAUSAL, "diff_mean": SPATIAL, "probe": OCR}

COLUMNS = {
    "name": TEXT("removed", width=260),
    "layer": NUMBER("layer", width=56),
    "delta": NUMBER("Δ, pp", format="%+.1f", help="Held-out statements of the relation."),
    "interval": TEXT("95 %", help="Bootstrap over images."),
    "less": NUMBER(
        "Δ less feature", format="%+.1f",
        help="Less that of the relation's feature that costs most on training statements, question "
        "by question; below 0: what labels found breaks more.",
    ),
    "interval_less": TEXT("95 %"),
    "control": NUMBER(
        "Δ control", format="%+.1f", help="Matched features, or directions of shuffled labels."
    ),
    "direction": NUMBER("Δ direction", format="%+.1f", help="Random, as much variance removed."),
    "specific": NUMBER("Δ less others", format="%+.1f", help="Less that on other relations."),
    "vqa": NUMBER("Δ VQA", format="%+.1f"),
    "auc_held_out": NUMBER("AUC", format="%.2f", help="How well it reads held-out statements."),
    "nearest": TEXT("nearest feature", help="Of its layer, with the cosine."),
    "removed_norm": NUMBER("|Δx|/|x|", format="%.3f", help="Length removed over the residual's."),
    "n_samples": NUMBER("n", format="localized"),
}  # fmt: skip


def show_supervised(run_id: int) -> None:
    """One relation: what its features and what labels find, removed and added."""
    report = queries.supervised_report(run_id)
    if report.empty:
        st.info(
            "This run has no directions from labels: the stage `supervised_direction` finds them "
            "for as many relations as `supervised.max_relations` of the configuration says."
        )
        return
    relation = st.selectbox(
        "Relation", report.relation.unique().tolist(), key="about", bind="query-params", width=300
    )
    rows = _named(report[report.relation == relation])
    st.subheader(
        "Removed on the same held-out statements",
        help="A feature was found without labels. A difference of means and a logistic probe were "
        "fitted on labels of training statements: about the relation or others, true or false. "
        "Grey ticks: directions of shuffled labels and random ones, as much variance removed. 95 % "
        "intervals, bootstrap over images.",
    )
    draw(forest(_effects(rows), _ticks(run_id, relation)), "supervised")
    st.dataframe(
        rows, hide_index=True, column_order=list(COLUMNS), column_config=COLUMNS, placeholder=""
    )
    added = queries.additions_for(run_id, relation)
    if added.empty:
        return
    st.subheader(
        "Added to them",
        help="Strengths have units of their own (a feature's mean activation, a standard deviation "
        "along a direction), so the length added, over the residual's, is across.",
    )
    draw(addition_curves(added.assign(name=_names(added))), "supervised_additions")
    table_under(added, "supervised_additions")


def addition_curves(added: pd.DataFrame) -> go.Figure:
    """Margin of yes by how much was added, a line per direction; subtracted to the left."""
    figure = go.Figure()
    for symbol, (name, rows) in enumerate(added.groupby("name", sort=False)):
        sign = (rows.alpha > 0).astype(int) - (rows.alpha < 0).astype(int)
        first = rows.iloc[0]
        figure.add_scatter(
            x=sign * rows.removed_norm,
            y=rows.yes_margin_delta,
            mode="lines+markers",
            line={
                "color": COLOURS[first.found_by],
                "width": 2,
                "dash": "dot" if first.contrast == "relation" else "solid",
            },
            marker={"size": 8, "symbol": symbol},
            name=str(name),
            customdata=rows[["alpha", "n_samples"]],
            hovertemplate="strength %{customdata[0]:g}: %{y:+.2f}<br>|Δx|/|x| %{x:.2f}, "
            f"%{{customdata[1]:,}} questions<extra>{name}</extra>",
        )
    figure.add_hline(0, line={"width": 1, "color": NEUTRAL})
    figure.add_vline(0, line={"width": 1, "color": FAINT})
    figure.update_xaxes(title_text="length added over the residual's (below 0: subtracted)")
    figure.update_yaxes(title_text="Δ logit of yes over no")
    return figure.update_layout(height=400)


def _named(report: pd.DataFrame) -> pd.DataFrame:
    return report.assign(
        name=_names(report),
        delta=100 * report.delta_accuracy,
        interval=intervals(report.delta_low, report.delta_high, "+.1f", times=100),
        less=100 * report.delta_less_feature,
        interval_less=intervals(
            report.delta_less_feature_low, report.delta_less_feature_high, "+.1f", times=100
        ),
        control=100 * report.control_mean,
        direction=100 * report.direction_control_mean,
        specific=100 * report.interaction,
        vqa=100 * report.delta_vqa,
        nearest=[
            "" if pd.isna(row.nearest_cosine) else f"F{row.feature} ({row.nearest_cosine:.2f})"
            for row in report.itertuples()
        ],
    )


def _names(rows: pd.DataFrame) -> list[str]:
    return [
        f"feature L{row.layer} F{row.feature:.0f}"
        if row.found_by == "feature"
        else f"{METHODS[row.found_by]}: {CONTRASTS[row.contrast]}"
        for row in rows.itertuples()
    ]


def _effects(rows: pd.DataFrame) -> pd.DataFrame:
    """As `forest` takes them."""
    parts = [
        rows[["name"]].assign(
            evaluation=evaluation,
            delta=100 * rows[value],
            low=100 * rows[f"{end}_low"],
            high=100 * rows[f"{end}_high"],
            n_samples=rows[n],
        )
        for evaluation, value, end, n in (
            ("vsr_relation", "delta_accuracy", "delta", "n_samples"),
            ("vqa_yes_no", "delta_vqa", "delta_vqa", "n_vqa"),
        )
    ]
    return pd.concat(parts).dropna(subset="delta")


def _ticks(run_id: int, relation: str) -> pd.DataFrame:
    controls = queries.supervised_controls(run_id, relation)
    return controls.assign(
        name=_names(controls.rename(columns={"method": "found_by"}).assign(layer=0, feature=0)),
        evaluation="vsr_relation",
        delta=100 * controls.delta_accuracy,
    )
