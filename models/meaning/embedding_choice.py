"""Which embedding model search by meaning uses, and where it answers. None is needed.

ATLAS_EMBEDDING_MODEL   its name at an endpoint, or the folder of a local model
ATLAS_EMBEDDING_URL     the endpoint, OpenAI-compatible, usually ending in /v1; unset: a folder
OPENAI_API_KEY          the endpoint's key, if it wants one
"""

import os
from pathlib import Path
from typing import NamedTuple

from feature_atlas.models.secret import secret


class EmbeddingChoice(NamedTuple):
    """An embedding model and how to reach it."""

    model: str
    """Name at the endpoint, or path of a folder."""
    url: str | None
    """Address of the endpoint; None: the model is a local folder."""
    api_key: str
    """Key of the endpoint; any word where none is wanted."""


def embedding_choice() -> EmbeddingChoice | None:
    """What the environment says; None: nothing, so that search has full text alone."""
    model = os.environ.get("ATLAS_EMBEDDING_MODEL", "").strip()
    url = os.environ.get("ATLAS_EMBEDDING_URL", "").strip() or None
    if not model and url is None:
        return None
    if not model:
        raise ValueError(
            f"ATLAS_EMBEDDING_URL is {url!r} but ATLAS_EMBEDDING_MODEL is not set: set it to the "
            "name of the endpoint's embedding model, or unset both to search by words alone."
        )
    if url is None and not Path(model).is_dir():
        raise ValueError(
            f"ATLAS_EMBEDDING_MODEL is {model!r}, which is no folder here, and ATLAS_EMBEDDING_URL "
            "is not set. Set the address of the endpoint that has this model, or the path of a "
            "local model's folder; unset both to search by words alone."
        )
    return EmbeddingChoice(model, url, secret("OPENAI_API_KEY") or "none")
