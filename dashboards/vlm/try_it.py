"""Which features fire on a picture and question of one's own, and where (paper 3.1, 3.2).

`?run=&sample=&question=&layer=&by=&feature=&token=`; the model is in `feature-atlas serve-model`.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from feature_atlas.dashboards.addressed import addressed, remember
from feature_atlas.dashboards.features.marked_text import marked_text
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.run_choice import choose_run
from feature_atlas.dashboards.vlm.model_answer import (
    Answer,
    ModelAwayError,
    ModelRefusedError,
    ask_model,
    model_health,
    model_url,
)
from feature_atlas.dashboards.vlm.patch_heat import patch_heat, shown_picture
from feature_atlas.dashboards.vlm.prompt_choice import Prompt, choose_prompt
from feature_atlas.dashboards.vlm.strongest import (
    name_of,
    show_strongest,
    show_token,
    strongest_features,
    token_in_words,
)
from feature_atlas.models.notation.json_text import json_text

ALL_LAYERS = "all layers"
ORDERS = {"activation": "activation", "how unusual": "times_usual"}


def require_model(run: pd.Series) -> Mapping[str, Any]:
    """The service's own words of itself; stops the page where it is not there for this run."""
    command = f"feature-atlas serve-model --run {run.slug}"
    try:
        found = model_health()
    except (ModelAwayError, ModelRefusedError) as error:
        st.info(
            "No model is here to try. In a terminal, where the run was built, start it, and then "
            "reload this page:",
            icon=":material/power_off:",
        )
        st.code(command, language=None)
        st.text(f"Asked was {error}")
        st.stop()
    if found["run"] != run.slug:
        st.warning("The model that is served belongs to another run than the one chosen above.")
        st.text(f"Served: {found['run']}. Chosen: {run.slug}. Choose that run, or start instead:")
        st.code(command, language=None)
        st.stop()
    return found


def choose_view(run: pd.Series, where: DeltaGenerator) -> tuple[str, str]:
    """Which layers to look at, and what is called strong."""
    with where:
        layer = st.selectbox(
            "Layer",
            [ALL_LAYERS, *map(str, run.layers)],
            key="layer",
            bind="query-params",
            width=150,
            help="Decoder layer whose output the dictionary reads, 0-based.",
        )
        order = st.segmented_control(
            "Strongest by",
            list(ORDERS),
            default="activation",
            required=True,
            key="by",
            bind="query-params",
            help="Activation: how much a feature writes. How unusual: that, over what is usual for "
            "the feature where it fires; features that are always loud come further down.",
        )
    return str(layer), ORDERS[order]


def ask(run: pd.Series, prompt: Prompt, layer: str, order: str) -> Answer:
    """The model's answer; the feature of the address is in it, however weak. Stops on a refusal."""
    asked: dict[str, Any] = {"question": prompt.question, "by": order}
    if layer != ALL_LAYERS:
        asked["layer"] = layer
    if prompt.sha256 is not None:
        asked["sha256"] = prompt.sha256
    content = prompt.content if prompt.sha256 is None else None
    try:
        answer = ask_model(model_url(), run.slug, content, asked)
        named = st.query_params.get("feature", "")
        if is_feature(named, run, layer) and named not in names_of(answer.features):
            answer = ask_model(model_url(), run.slug, content, asked | {"feature": named})
    except (ModelAwayError, ModelRefusedError) as error:
        st.error("The model did not answer:")
        st.text(str(error))
        st.stop()
    return answer


def is_feature(named: str, run: pd.Series, layer: str) -> bool:
    """Whether the address names a feature that can be looked at."""
    of_layer, _, feature = named.partition("/")
    known = map(str, run.layers) if layer == ALL_LAYERS else [layer]
    return of_layer in known and feature.isdecimal() and int(feature[:9]) < run.d_sae


def names_of(features: pd.DataFrame) -> list[str]:
    """Features as the address says them."""
    pairs = zip(features.layer, features.feature, strict=True)
    return [name_of(*pair) for pair in pairs]


def choose_feature(features: pd.DataFrame) -> int:
    """The row of the feature that is shown on the prompt."""
    names = names_of(features)
    labels = dict(zip(names, features.label, strict=True))

    def shows(name: str) -> str:
        said = "" if pd.isna(labels[name]) else f" · {labels[name]}"
        return f"layer {name.replace('/', ', feature ')}{said}"

    more = "Also a click on a row of the table."
    return names.index(addressed("Shown on the prompt", names, "feature", shows, help=more))


def choose_token(answer: Answer) -> int:
    """The token whose features are listed; at first the first word."""
    return int(
        addressed(
            "Token",
            list(map(str, range(len(answer.tokens)))),
            "token",
            lambda token: token_in_words(answer, int(token)),
            default=int(answer.tokens.role.ne("image").argmax()),
            width=300,
            help="Also a click on a patch of the picture.",
        )
    )


def on_tokens(answer: Answer, feature: pd.Series) -> pd.DataFrame:
    """text, role, box, token, activation (0: silent) and times_usual of one feature."""
    fired = pd.DataFrame(
        {"activation": feature.activations, "times_usual": feature.times_usual},
        index=feature.tokens,
        dtype=float,
    )
    tokens = answer.tokens.join(fired).assign(token=answer.tokens.index)
    return tokens.fillna({"activation": 0.0})


def show_prompt(answer: Answer, prompt: Prompt, tokens: pd.DataFrame) -> None:
    """The picture and the words, shaded by one feature."""
    patches = tokens[(tokens.role == "image") & tokens.box.notna()]

    def show_patch() -> None:
        points = st.session_state["patches"].selection.points
        if points:
            remember("token", str(points[0]["customdata"][0]))

    if patches.empty:
        st.image(shown_picture(prompt.content), width=256)
        st.caption("Where the image tokens of this model lie in the picture is not known.")
    else:
        size = (answer.width, answer.height)
        token = st.query_params.get("token", "")
        figure = patch_heat(shown_picture(prompt.content), size, patches, token)
        draw(
            figure,
            "patches",
            on_select=show_patch,
            selection_mode="points",
            alt="The picture, dark where the chosen feature is silent",
        )
        if not (patches.activation > 0).any():
            st.caption("The feature is silent on the picture.")
    words = tokens[tokens.role != "image"]
    st.html(marked_text(words.text.tolist(), words.activation.tolist()))


title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title("Try it", help="Which features fire on a picture and question of your own.")
run = choose_run(choice)
health = require_model(run)
controls = st.container(horizontal=True, vertical_alignment="bottom")
prompt = choose_prompt(run, health["limits"], controls)
layer, order = choose_view(run, controls)
answer = ask(run, prompt, layer, order)
features = strongest_features(answer, run.run_id, order)
left, right = st.columns([2, 3], gap="large")
with right:
    st.text(f"{prompt.question}  →  {answer.said or 'the model says nothing'}")
    show_strongest(features, run.run_id)
with left:
    chosen = answer.features.iloc[choose_feature(features)]
    show_prompt(answer, prompt, on_tokens(answer, chosen))
st.subheader("On one token", help="The strongest features of a word or a patch.")
show_token(answer, run.run_id, choose_token(answer))
st.download_button(
    "All of it as JSON",
    json_text(answer.json),
    "activations.json",
    "application/json",
    icon=":material/download:",
)
