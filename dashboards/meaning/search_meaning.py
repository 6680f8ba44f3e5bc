"""What was typed into the search, as a vector of the embedding model that the atlas uses."""

from typing import NamedTuple

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.meaning.embedding_openai import OpenAIEmbedder
from feature_atlas.models.meaning.embedding_choice import embedding_choice

PATIENCE = 20.0
"""Seconds an endpoint has for an answer while somebody waits for a page."""


class Meaning(NamedTuple):
    """Words as a vector."""

    vector: list[float] | None
    """None: search has full text alone."""
    model: str
    """The embedding model."""
    advice: str | None
    """Why there is no vector, and what to do."""


def meaning_of(words: str) -> Meaning:
    """The vector of some words; whatever fails costs only the meaning, and says so."""
    try:
        choice = embedding_choice()
    except ValueError as error:
        return Meaning(None, "", str(error))
    if choice is None:
        return Meaning(
            None,
            "",
            "no embedding model is chosen: set ATLAS_EMBEDDING_MODEL and ATLAS_EMBEDDING_URL, run "
            "`feature-atlas embed`, and start the dashboard again",
        )
    if choice.url is None:
        return Meaning(
            None,
            "",
            "pages ask an endpoint (ATLAS_EMBEDDING_URL); the local model that is chosen serves "
            "`feature-atlas search`",
        )
    try:
        vector = _vector(words, choice.url, choice.model, choice.api_key)
    except (ValueError, RuntimeError, ConnectionError) as error:
        return Meaning(None, choice.model, str(error))
    return Meaning(vector, choice.model, None)


@st.cache_data(ttl=queries.TTL, show_spinner=False)
def _vector(words: str, url: str, model: str, _api_key: str) -> list[float]:
    embedder = OpenAIEmbedder(url, model, _api_key, timeout_s=PATIENCE, max_retries=1)
    numbers: list[float] = embedder.embed([words])[0].tolist()
    return numbers
