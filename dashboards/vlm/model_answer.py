"""What the model's service says of one prompt: asked over HTTP, nothing is computed here.

`feature-atlas serve-model` is the service; `ATLAS_MODEL_URL` says where it is.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
import pandas as pd
import streamlit as st

DEFAULT_URL = "http://127.0.0.1:8502"
PATIENCE = httpx.Timeout(150.0, connect=3.0)
"""Longer than the service itself gives a prompt."""
GLANCE = httpx.Timeout(5.0, connect=1.0)


class ModelAwayError(RuntimeError):
    """No service answers."""


class ModelRefusedError(RuntimeError):
    """The service answers that it will not; the message is its own."""


class Answer(NamedTuple):
    """What fires on one prompt."""

    said: str
    """The model's own words."""
    width: int
    """Of the picture, in pixels."""
    height: int
    tokens: pd.DataFrame
    """text, role, box (left, top, right, bottom; None: no place); by place in the prompt."""
    strongest: pd.DataFrame
    """token, layer, feature, activation, times_usual; token by token, strongest first."""
    features: pd.DataFrame
    """layer, feature, tokens, activations, times_usual (lists); strongest first."""
    json: Mapping[str, Any]
    """All of it as it came."""


def model_url() -> str:
    """Where the service is expected."""
    return os.environ.get("ATLAS_MODEL_URL", DEFAULT_URL).rstrip("/")


def model_health() -> Mapping[str, Any]:
    """run, model, layers, limits and more; a ModelAwayError where there is no service."""
    return _json("GET", "/health", timeout=GLANCE)


@st.cache_data(ttl=600.0, max_entries=20, show_spinner="The model reads the prompt …")
def ask_model(url: str, run: str, picture: bytes | None, asked: Mapping[str, Any]) -> Answer:
    """What the model makes of a prompt; kept for a while, since pages run again at every click.

    ``url`` and ``run`` tell one service from another; ``picture`` None: ``asked`` has its hash.
    """
    found = _json("POST", "/activations", timeout=PATIENCE, params=asked, content=picture or b"")
    if found["run"] != run:
        raise ModelRefusedError(f"the service holds {found['run']} now, not {run}.")
    return Answer(
        found["answer"],
        found["width"],
        found["height"],
        pd.DataFrame(found["tokens"], columns=["text", "role", "box"]),
        pd.DataFrame(
            found["strongest"],
            columns=["token", "layer", "feature", "activation", "times_usual"],
        ),
        pd.DataFrame(
            found["features"],
            columns=["layer", "feature", "tokens", "activations", "times_usual"],
        ),
        found,
    )


def _json(method: str, path: str, **sent: Any) -> dict[str, Any]:
    try:
        # no proxy of the environment stands between this machine and itself
        with httpx.Client(base_url=model_url(), trust_env=False) as client:
            answer = client.request(method, path, **sent)
            content: dict[str, Any] = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ModelAwayError(f"{model_url()}: {error or type(error).__name__}") from error
    if answer.status_code != httpx.codes.OK:
        raise ModelRefusedError(str(content.get("error", answer.status_code)))
    return content
