"""One head over all traced features: whom it drives, where it looks, what its loss breaks."""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import intervals, show_facts
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.heads.feature_heads import EVIDENCE
from feature_atlas.dashboards.heads.feature_overlays import show_maps
from feature_atlas.dashboards.heads.run_charts import COLOURS
from feature_atlas.dashboards.named_rows import ACCURACY, named_rows
from feature_atlas.dashboards.palette import CAUSAL, FAINT, draw

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
N_IN_CHART = 20
N_SAMPLES = 6
PARTS = {"qk": "queries and keys", "z": "whole output"}

DRIVEN = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "label": TEXT("description", width="medium"),
    "method": TEXT("method", width=64),
    "place": NUMBER("#", format="%d", width=44, help="Its place among the feature's heads."),
    "drive": NUMBER("score", format="%.3g", help="q + k, first order, raw residual units."),
    "standard_error": NUMBER("± se", format="%.1g", help="Over samples."),
    "drive_fix": NUMBER("QK fix", format="%.3g", help="With the softmax computed anew."),
    "exact_drive": NUMBER("exact", format="%.3g", help="Effect of the real swap."),
    "interval": TEXT("95 %", help="Of the real swap, Student's t over samples."),
    "exact_q_value": NUMBER("q", format="%.2g", help="Benjamini-Hochberg within the feature."),
    "evidence": TEXT("evidence", help=EVIDENCE),
}

KNOCKED = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "label": TEXT("description", width="medium"),
    "taken": TEXT("taken away"),
    "heads": st.column_config.ListColumn("heads"),
    "relation": TEXT("relation"),
    "n_samples": NUMBER("n", format="localized", help="Statements of the relation."),
    "delta": NUMBER("Δ accuracy, pp", format="%+.1f"),
    "interval": TEXT("95 %", help="Bootstrap over images."),
    "q_value": NUMBER("q", format="%.2g", help="Exact McNemar, Benjamini-Hochberg."),
    "projection_delta": NUMBER(
        "Δ projection", format="%+.2f", help="On the feature's direction, raw residual units."
    ),
    "projection_interval": TEXT("95 %"),
    "image_mass": NUMBER("on the picture", format="%.0%", help="Share of their attention."),
}


def show_head(run_id: int, head_layer: int, head: int, corruption: str) -> None:
    """Everything known of it."""
    features = queries.features_of_head(run_id, head_layer, head, corruption)
    if features.empty:
        st.info("No feature of this run was traced to it: features trace heads of their own layer "
                "and those before.")  # fmt: skip
        return
    by_method = features.groupby("method")
    show_facts(
        {
            "Traced features": f"{len(features.groupby(['layer', 'feature'])):,}",
            **{
                f"In the top five, method {method}": f"{int(_in_top(rows).sum()):,}"
                for method, rows in by_method
            },
            "Causal": f"{_n_features(features[features.evidence == 'causal']):,} features",
            "Not confirmed": f"{_n_features(features[features.evidence == 'not confirmed']):,}",
        }
    )
    _show_driven(run_id, features)
    _show_where_it_looks(run_id, head_layer, head)
    _show_knockouts(run_id, head_layer, head, corruption)


def _show_driven(run_id: int, features: pd.DataFrame) -> None:
    st.subheader(
        "Features that it drives",
        help="Score turned so that above 0 drives the feature, whatever the method (5.2). Dots: "
        "the estimate; diamonds with 95 % intervals: the head's queries and keys swapped for real. "
        f"{EVIDENCE}",
    )
    draw(driven_chart(features), "driven")
    interval = intervals(features.exact_low, features.exact_high, ".3g")
    feature_table(features.assign(interval=interval), run_id, DRIVEN, key="driven_features")


def driven_chart(features: pd.DataFrame) -> go.Figure:
    """The most driven features: the estimate of each method beside the real swap."""
    names = [f"L{x.layer} F{x.feature}" for x in features.itertuples()]
    shown = list(dict.fromkeys(names))[:N_IN_CHART]
    rows = features.assign(name=names)[[name in shown for name in names]]
    place = {name: -i for i, name in enumerate(shown)}
    figure = go.Figure()
    for method, shift in (("A", 0.15), ("B", -0.15)):
        of_method = rows[rows.method == method]
        exact = of_method.dropna(subset="exact_drive")
        for kind, some, value, low, high, symbol in (
            ("estimate", of_method, of_method.drive, None, None, "circle-open"),
            ("real swap", exact, exact.exact_drive, exact.exact_low, exact.exact_high, "diamond"),
        ):
            if some.empty:
                continue
            figure.add_scatter(
                x=value.astype(float),
                y=some.name.map(place) + shift,
                error_x=None if low is None else {
                    "array": (high - value).astype(float), "thickness": 1.6, "width": 3,
                    "arrayminus": (value - low).astype(float),
                },
                mode="markers",
                marker={"size": 8, "symbol": symbol, "color": COLOURS[method]},
                name=f"method {method}, {kind}",
                customdata=some[["name", "evidence"]],
                hovertemplate="<b>%{customdata[0]}</b><br>%{x:.3g}, %{customdata[1]}"
                f"<extra>method {method}, {kind}</extra>",
            )  # fmt: skip
    title = "raw residual units (above 0: drives)"
    return named_rows(figure, shown, title, 120 + 30 * len(shown))


def _show_where_it_looks(run_id: int, head_layer: int, head: int) -> None:
    st.subheader(
        "Where it looks",
        help="Top samples of features that have it among their strongest heads, beside matched "
        "heads (near it in layer and in how much they look at pictures: the fair control) and the "
        "weakest. Lift: how much more of its attention to the picture is on the objects that the "
        "question names than if it looked anywhere alike (5.2, C).",
    )
    maps = queries.head_overlays(run_id, head_layer, head, N_SAMPLES)
    if maps.empty:
        st.info("Not drawn: the stage `overlay` draws the strongest heads of traced features.")
        return
    lifts = queries.head_lifts(run_id, head_layer, head)
    show_facts(
        {
            f"Lift of {row.who}": f"{row.lift:.2f} {interval}, {row.n_maps:,} maps"
            for row, interval in zip(
                lifts.itertuples(), intervals(lifts.low, lifts.high, "+.2f"), strict=True
            )
        }
    )
    for (layer, feature, _), of_sample in maps.groupby(["layer", "feature", "sample_id"]):
        with st.container(border=True):
            first = of_sample.iloc[0]
            st.text(f"L{layer} F{feature}: {first.question}  ({first.answer})")
            show_maps(of_sample)


def _show_knockouts(run_id: int, head_layer: int, head: int, corruption: str) -> None:
    st.subheader(
        "What breaks without it",
        help="A feature's strongest heads, this one among them, take what they have in the "
        "corrupt run, while statements of its relation are judged (5.2, 5.3). Controls: as "
        "many random heads that look at the picture as much. 95 % intervals over images.",
    )
    knocked = queries.knockouts_of_head(run_id, head_layer, head, corruption)
    if knocked.empty:
        st.info(
            "Not knocked out: the stage `head_knockout` takes the strongest heads of removed "
            "features, together."
        )
        return
    rows = knocked.assign(
        taken=[
            f"{PARTS[x.part]}{f', control {x.control_no}' if x.control_no else ''}"
            for x in knocked.itertuples()
        ],
        delta=100 * knocked.delta_accuracy,
        interval=intervals(knocked.delta_low, knocked.delta_high, "+.2f", times=100),
        projection_interval=intervals(
            knocked.projection_delta_low, knocked.projection_delta_high, "+.2f"
        ),
    )
    draw(knockout_chart(rows), "knockouts")
    feature_table(rows, run_id, KNOCKED, key="knocked_out")


def knockout_chart(rows: pd.DataFrame) -> go.Figure:
    """Loss of accuracy with the head among those knocked out, and with controls instead."""
    names = [f"L{x.layer} F{x.feature}, {PARTS[x.part]}" for x in rows.itertuples()]
    shown = list(dict.fromkeys(names))[:N_IN_CHART]
    place = {name: -i for i, name in enumerate(shown)}
    rows = rows.assign(name=names)[[name in shown for name in names]]
    figure = go.Figure()
    for kind, is_control, colour, size in (
        ("controls: other heads", True, FAINT, 7),
        ("its heads", False, CAUSAL, 9),
    ):
        some = rows[(rows.control_no > 0) == is_control]
        figure.add_scatter(
            x=some.delta,
            y=some.name.map(place) - (0.2 if is_control else 0),
            error_x={
                "array": 100 * some.delta_high - some.delta,
                "arrayminus": some.delta - 100 * some.delta_low,
                "thickness": 1 if is_control else 2,
                "width": 3,
            },
            mode="markers",
            marker={"size": size, "color": colour},
            name=kind,
            customdata=list(
                zip(some.name, map(", ".join, some.heads), some.n_samples, strict=True)
            ),
            hovertemplate="<b>%{customdata[0]}</b><br>%{x:+.1f} pp without %{customdata[1]}"
            f"<br>%{{customdata[2]:,}} statements<extra>{kind}</extra>",
        )
    return named_rows(figure, shown, ACCURACY, 120 + 34 * len(shown))


def _in_top(rows: pd.DataFrame) -> pd.Series:
    return (rows.place <= 5) & (rows.drive > 0)


def _n_features(rows: pd.DataFrame) -> int:
    return len(rows[["layer", "feature"]].drop_duplicates())
