"""What an address asks of the model: read, and held against limits, before anything is done."""

import re
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image
from starlette.datastructures import QueryParams

from feature_atlas.etl.own_prompt.prompt_activations import Asked, Order
from feature_atlas.etl.own_prompt.refused import RefusedError
from feature_atlas.etl.own_prompt.run_model import RunModel
from feature_atlas.etl.own_prompt.uploaded_picture import uploaded_picture
from feature_atlas.etl.stages.features.feature_choice import Feature

MAX_QUESTION = 1000
"""Characters."""
MAX_FEATURES, MAX_PER_TOKEN, MAX_NAMED = 200, 50, 20
NAMES = ("question", "sha256", "layer", "top", "per_token", "by", "feature")


class ModelRequest(NamedTuple):
    """A prompt whose picture is still bytes, or the hash of one of the run's."""

    asked: Callable[[Image.Image], Asked]
    """About a picture."""
    sha256: str | None
    """Of a picture of the run; None: bytes are sent."""

    def picture(self, model: RunModel, content: bytes) -> Image.Image:
        """Of the run by its hash, never by a name; else what was sent."""
        if self.sha256 is None:
            return uploaded_picture(content)
        try:
            return model.picture(self.sha256)
        except (FileNotFoundError, ValueError) as error:
            raise RefusedError(404, str(error)) from error


def read_request(named: QueryParams, layers: list[int], d_sae: int) -> ModelRequest:
    """The parameters of an address, for a run with these layers."""
    for name in named:
        if name not in NAMES:
            raise _wrong(name, named[name], f"one of the parameters {', '.join(NAMES)}")
    question = named.get("question", "").strip()
    if not question:
        raise RefusedError(400, "no question came: pass it as ?question=.")
    if len(question) > MAX_QUESTION:
        raise RefusedError(
            413,
            f"the question has {len(question):,} characters, expected at most {MAX_QUESTION:,}.",
        )
    order = named.get("by", Order.ACTIVATION)
    if order not in list(Order):
        raise _wrong("by", order, " or ".join(Order))
    chosen = _layers(named.getlist("layer"), layers)
    also = tuple(_feature(name, chosen, d_sae) for name in named.getlist("feature")[:MAX_NAMED])
    n_features = _number(named, "top", 25, MAX_FEATURES)
    n_per_token = _number(named, "per_token", 5, MAX_PER_TOKEN)

    def asked(picture: Image.Image) -> Asked:
        return Asked(picture, question, chosen, n_features, n_per_token, Order(order), also)

    return ModelRequest(asked, named.get("sha256"))


def _layers(asked: list[str], studied: list[int]) -> tuple[int, ...]:
    for layer in asked:
        if layer not in map(str, studied):
            raise _wrong("layer", layer, f"one of {studied}")
    return tuple(sorted({int(layer) for layer in asked})) or tuple(studied)


def _feature(named: str, layers: tuple[int, ...], d_sae: int) -> Feature:
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,9})", named)
    if found is None or int(found[1]) not in layers or int(found[2]) >= d_sae:
        raise _wrong(
            "feature", named, f"LAYER/FEATURE with a layer of {list(layers)} and less than {d_sae}"
        )
    return Feature(int(found[1]), int(found[2]))


def _number(named: QueryParams, name: str, default: int, most: int) -> int:
    said = named.get(name, str(default))
    if not re.fullmatch("[0-9]{1,4}", said) or not 1 <= int(said) <= most:
        raise _wrong(name, said, f"a number from 1 to {most}")
    return int(said)


def _wrong(name: str, came: str, expected: str) -> RefusedError:
    return RefusedError(400, f"{name}={came[:40]!r} came, expected {expected}.")
