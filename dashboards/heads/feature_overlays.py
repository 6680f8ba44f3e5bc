"""Where the heads of one feature look: on its top samples, and on questions of one's own."""

from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.marked_text import marked_text
from feature_atlas.dashboards.heads.attention_overlay import Seen, crisp, overlay

KINDS = {"top": "Strongest heads", "random": "Matched heads", "bottom": "Weakest heads"}
DIFFERENCES = {"top - bottom": "weakest", "top - random": "matched"}


def show_overlays(run_id: int, layer: int, feature: int) -> None:
    """Its heads' attention on its top samples, one row of pictures per sample."""
    st.subheader(
        "Where they look",
        help="Attention from the question's tokens to the picture (5.2, C.2, C.3), each head on "
        "its own scale. Matched heads are drawn near a strong one in layer and in how much they "
        "look at pictures at all: the fair control. Clear: where the head looks most; dark: where "
        "it does not, or what its model did not see. The percentage: how much of its attention "
        "falls on the picture. The lift: how much more of that is on the objects that the question "
        "names than if it looked anywhere alike.",
    )
    maps = queries.overlays(run_id, layer, feature)
    if maps.empty:
        st.info("No overlays: the stage `overlay` of `feature-atlas build` draws traced features.")
        return
    _say_localisation(run_id)
    for _, of_sample in maps.groupby("sample_id", sort=False):
        first = of_sample.iloc[0]
        with st.container(border=True):
            st.text(f"{first.question}  ({first.answer})")
            show_maps(of_sample)


def show_custom_prompts(run_id: int, layer: int, feature: int) -> None:
    """Its heads on questions of one's own (Fig. 16), the newest first; nothing if there is none."""
    maps = queries.custom_prompts(run_id, layer, feature)
    if maps.empty:
        return
    st.subheader(
        "On prompts of your own",
        help="Added by `feature-atlas overlay`: the same heads on any picture and question (Fig. "
        "16). The shade: how strongly the feature fires on each token.",
    )
    for _, of_prompt in maps.groupby("prompt", sort=False):
        first = of_prompt.iloc[0]
        with st.container(border=True):
            st.html(marked_text(first.tokens, first.activations))
            added = "" if pd.isna(first.added_at) else f" · added {first.added_at:%Y-%m-%d %H:%M}"
            st.caption(f"strongest activation {first.max_activation:.3g}{added}")
            show_maps(of_prompt)


def _say_localisation(run_id: int) -> None:
    """Of the whole run: by how much the strongest heads look more at what is asked about."""
    found = queries.localisation(run_id).set_index("comparison")
    for comparison, other in DIFFERENCES.items():
        if comparison in found.index:
            row = found.loc[comparison]
            st.caption(
                f"In this run the strongest heads' lift less the {other} heads' is {row.lift:+.2f} "
                f"[95 % {row.lift_low:+.2f} to {row.lift_high:+.2f}], over "
                f"{int(row.n_features)} features and {int(row.n_images)} pictures."
            )


def show_maps(maps: pd.DataFrame) -> None:
    """The picture, and how each head sees it."""
    first = maps.iloc[0]
    shown = {kind: maps[maps.kind == kind] for kind in KINDS if (maps.kind == kind).any()}
    # room for seven pictures a row; fewer stay as small
    rest = max(6 - len(maps), 0.01)
    picture, *groups, _ = st.columns([1, *map(len, shown.values()), rest], gap="medium")
    picture.markdown("**Picture**")
    picture.image(crisp(first.thumbnail), width="stretch")
    for group, (kind, heads) in zip(groups, shown.items(), strict=True):
        group.markdown(f"**{KINDS[kind]}**")
        for column, head in zip(group.columns(len(heads)), heads.itertuples(), strict=True):
            lift = getattr(head, "lift", None)
            column.image(
                overlay(
                    head.thumbnail, head.weights, head.grid_rows, head.grid_columns, _seen(head)
                ),
                caption=f"L{head.head_layer}H{head.head} · {head.image_mass:.0%} on it"
                + ("" if lift is None or pd.isna(lift) else f" · lift {lift:.1f}"),
                width="stretch",
            )


def _seen(head: Any) -> Seen | None:
    """Where the patches lie, in shares of the picture; None where the run did not store it."""
    if pd.isna(head.seen_left):
        return None
    return Seen(
        head.seen_left / head.width,
        head.seen_top / head.height,
        head.seen_right / head.width,
        head.seen_bottom / head.height,
    )
