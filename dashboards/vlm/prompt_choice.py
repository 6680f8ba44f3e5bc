"""Which picture and question a prompt is made of: one of the run's, or one's own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.addressed import addressed
from feature_atlas.dashboards.run_choice import quoted

N_SAMPLES = 100
"""Questions of the run to choose from; the address may name any other."""
KINDS = ["png", "jpg", "jpeg", "webp", "gif", "bmp"]


class Prompt(NamedTuple):
    """What is asked."""

    content: bytes
    """A picture that was uploaded, or the thumbnail of one of the run's."""
    sha256: str | None
    """Of the run's own picture, which the service reads itself; None: uploaded."""
    question: str


def choose_prompt(run: pd.Series, limits: Mapping[str, Any], where: DeltaGenerator) -> Prompt:
    """The prompt of the address, or an upload; stops the page where there is neither."""
    with where:
        uploaded = st.file_uploader(
            "Your picture",
            type=KINDS,
            max_upload_size=max(1, limits["bytes"] // 10**6),
            key="picture",
            width=190,
            help="It goes to the model on this machine and nowhere else; it is not in the address.",
        )
        sample = None if uploaded else _choose_sample(run)
        typed = _ask_question(sample, limits["question"])
    if uploaded:
        if not typed:
            st.info("Type a question about your picture.", icon=":material/edit:")
            st.stop()
        return Prompt(uploaded.getvalue(), None, typed)
    if sample is None:
        st.info("Upload a picture and type a question about it.", icon=":material/upload:")
        st.stop()
    assert sample is not None
    return Prompt(bytes(sample.thumbnail), str(sample.sha256), typed or str(sample.question))


def _choose_sample(run: pd.Series) -> pd.Series | None:
    """The row of `queries.sample` that is chosen; None: the run has no examples."""
    known = queries.example_samples(run.run_id, run.layers[0], N_SAMPLES)
    questions = dict(zip(known.sample_id.astype(str), known.question, strict=True))
    asked = st.query_params.get("sample", "")
    if asked not in questions and asked.isdecimal() and len(asked) < 18:
        for question in queries.sample(int(asked)).question:
            questions[asked] = question
    if asked and asked not in questions:
        st.error(f"The address asks for sample {quoted(asked)}, which this atlas does not have.")
    if not questions:
        return None
    number = addressed(
        "or a picture of the run",
        list(questions),
        "sample",
        lambda one: f"{one} · {questions[one]}",
        width=250,
        help="Questions of the run's data, each about another picture.",
    )
    return queries.sample(int(number)).iloc[0]


def _ask_question(sample: pd.Series | None, longest: int) -> str:
    return st.text_input(
        "Question",
        key="question",
        bind="query-params",
        max_chars=longest,
        placeholder="" if sample is None else str(sample.question),
        width=290,
        help="Empty: the one that the run's data asks about this picture.",
    ).strip()
