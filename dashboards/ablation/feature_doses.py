"""Other ways to take a feature away, the groups it was removed with, and more of it (5.3)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.groups import dose_curves
from feature_atlas.dashboards.ablation.steering import steering_curves
from feature_atlas.dashboards.facts import intervals
from feature_atlas.dashboards.palette import NEUTRAL, draw
from feature_atlas.dashboards.table_under import table_under

NUMBER = st.column_config.NumberColumn
SHOWN_OF_KIND = {"layer": "vsr_all", "relation": "vsr_relation"}
"""The questions that a group's curve is of: statements of its relation, or of every one."""


def show_interventions(run_id: int, layer: int, feature: int) -> None:
    """Every way in which the feature alone was removed, and every set of questions."""
    found = queries.interventions(run_id, layer, feature)
    if found.empty:
        return
    st.markdown("**Every intervention and set of questions**")
    st.dataframe(
        found.assign(
            delta=100 * found.delta_accuracy,
            interval=intervals(found.delta_low, found.delta_high, "+.1f", times=100),
            margin=[
                f"{row.margin_delta:+.3g}"
                + ("" if pd.isna(row.margin_low) else f" [{row.margin_low:+.2g}, "
                   f"{row.margin_high:+.2g}]")
                for row in found.itertuples()
            ],
        ),
        hide_index=True,
        column_order=[
            *("intervention", "evaluation", "relation", "n_samples", "delta", "interval"),
            *("q_value", "margin", "removed_norm"),
        ],
        column_config={
            "n_samples": NUMBER("questions", format="localized"),
            "delta": NUMBER("Δ, pp", format="%+.2f"),
            "interval": st.column_config.TextColumn("95 %"),
            "q_value": NUMBER("q", format="%.2g"),
            "margin": st.column_config.TextColumn(
                "Δ margin", help="Logit of the right answer over the wrong, mean, 95 %."
            ),
            "removed_norm": NUMBER("|Δx|/|x|", format="%.3f"),
        },
        placeholder="",
    )  # fmt: skip


def show_groups(run_id: int, layer: int, feature: int) -> None:
    """The more features of its groups are removed together, the more is lost?"""
    st.subheader(
        "Removed together with others",
        help="Spatial survivors of a layer, or of a relation, removed together, the strongest "
        "first. Grey: as many matched features. The dotted line: where this feature joins.",
    )
    groups = queries.groups_of(run_id, layer, feature)
    if groups.empty:
        st.info(
            "In no group: the stage `group_ablation` takes spatial survivors of layers and "
            "relations with other survivors (`group_ablation` in the configuration)."
        )
        return
    named = list(groups.groupby(["kind", "name"], sort=False))
    for column, ((kind, name), rows) in zip(st.columns(max(2, len(named))), named, strict=False):
        with column:
            st.text(f"{kind} {name}: removed {int(rows.place.iloc[0])}. of its group")
            removals = queries.group_removals(run_id, str(kind), str(name))
            wanted = removals[removals.evaluation == SHOWN_OF_KIND[str(kind)]]
            figure = dose_curves(removals if wanted.empty else wanted)
            figure.add_vline(
                int(rows.place.iloc[0]), line={"dash": "dot", "width": 1, "color": NEUTRAL}
            )
            draw(figure, f"doses_{kind}")
    table_under(groups, "doses")


def show_steering(run_id: int, layer: int, feature: int) -> None:
    """What adding its direction does, beside what removing it did."""
    st.subheader(
        "More of it",
        help="Its direction is added at each text token, in units of its mean activation where it "
        "fires. Dotted: the change by removing it. A mirror image has the other sign.",
    )
    steered = queries.steerings(run_id, layer, feature)
    if steered.empty:
        st.info(
            "Not steered: the stage `steering` takes the features whose removal hurts most "
            "(`steering.max_features` in the configuration)."
        )
        return
    draw(steering_curves(steered), "steering")
    table_under(steered, "steering")
