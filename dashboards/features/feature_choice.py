"""Which feature a page shows: `?layer=&feature=` of the address, and the way to its neighbours."""

import random

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.run_choice import quoted

PAGE = "features/feature.py"


def choose_feature(run: pd.Series, marked: pd.DataFrame) -> tuple[int, int]:
    """Layer and feature of the address, else the first of `marked`; stops on what is not there."""
    start = marked.iloc[0] if len(marked) else {"layer": run.layers[0], "feature": 0}
    asked_layer = st.query_params.get("layer", str(start["layer"]))
    asked_feature = st.query_params.get("feature", str(start["feature"]))
    problems = []
    if not asked_layer.isdecimal() or int(asked_layer) not in run.layers:
        problems.append(f"layer {quoted(asked_layer)}; the run has layers {_listed(run.layers)}")
    if not asked_feature.isdecimal() or int(asked_feature) >= run.d_sae:
        last = run.d_sae - 1
        problems.append(f"feature {quoted(asked_feature)}; a layer has features 0 to {last}")
    if problems:
        _show_widgets(run, int(start["layer"]), int(start["feature"]))
        st.error(f"The address asks for {', and '.join(problems)}. Choose one above.")
        st.stop()
    _show_widgets(run, int(asked_layer), int(asked_feature))
    return int(asked_layer), int(asked_feature)


def survivors_of(marked: pd.DataFrame) -> pd.DataFrame:
    """The features of `queries.marked_features` that survive the neutral prompts of a skill."""
    # a frame without rows has no types: without the cast it would lose its columns too
    return marked[(marked.survives_spatial | marked.survives_ocr).astype(bool)]


def show_neighbours(run: pd.Series, layer: int, feature: int, survivors: pd.DataFrame) -> None:
    """Links to the survivors before and after this feature, and to any that fires."""
    keys = list(zip(survivors.layer.tolist(), survivors.feature.tolist(), strict=True))
    before = [key for key in keys if key < (layer, feature)]
    after = [key for key in keys if key > (layer, feature)]
    with st.container(horizontal=True, vertical_alignment="center", height="content"):
        for found, icon, side in ((before[-1:], "back", "left"), (after[:1], "forward", "right")):
            label = "L{} F{}".format(*found[0]) if found else "none"
            st.page_link(
                PAGE,
                label=label,
                icon=f":material/arrow_{icon}:",
                icon_position=side,
                disabled=not found,
                query_params=_address(run.run_id, *found[0]) if found else None,
                help="The survivor before" if icon == "back" else "The survivor after",
            )
        if st.button(
            "Random",
            icon=":material/shuffle:",
            type="tertiary",
            help="Any feature of the run that fires on questions.",
        ):
            _go_anywhere(run)


def _go_anywhere(run: pd.Series) -> None:
    layer = random.choice(list(run.layers))
    found = queries.firing_feature_from(run.run_id, layer, random.randrange(run.d_sae))
    if not found.empty:
        st.query_params["layer"] = str(layer)
        st.query_params["feature"] = str(found.feature.iloc[0])
        st.rerun()


def _address(run_id: int, layer: int, feature: int) -> dict[str, str]:
    """Query parameters of another feature's page, with the same sections open."""
    key = {"run": str(run_id), "layer": str(layer), "feature": str(feature)}
    return st.query_params.to_dict() | key


def _show_widgets(run: pd.Series, layer: int, feature: int) -> None:
    # the address is the only memory: the widgets are set from it and write to it
    st.session_state["layer_widget"], st.session_state["feature_widget"] = layer, feature
    st.selectbox(
        "Layer",
        list(run.layers),
        key="layer_widget",
        on_change=_follow_widgets,
        width=110,
        help="Decoder layer whose output the SAE reads, 0-based.",
    )
    st.number_input(
        "Feature",
        min_value=0,
        max_value=int(run.d_sae) - 1,
        step=1,
        key="feature_widget",
        on_change=_follow_widgets,
        width=160,
        help=f"Index in the base dictionary, 0 to {run.d_sae - 1}; adapted SAEs keep it.",
    )


def _follow_widgets() -> None:
    st.query_params["layer"] = str(st.session_state["layer_widget"])
    st.query_params["feature"] = str(st.session_state["feature_widget"])


def _listed(layers: list[int]) -> str:
    gapless = list(range(layers[0], layers[-1] + 1)) == list(layers)
    return f"{layers[0]} to {layers[-1]}" if gapless else ", ".join(map(str, layers))
