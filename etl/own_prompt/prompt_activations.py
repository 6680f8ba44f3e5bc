"""Which features fire on which token and patch of one prompt, strongest first (paper 3.1, 3.2).

The prompt goes the way of the harvest: the model's own template and processor, one forward, the
text-adapted dictionaries. What the template writes before the picture is left out: being causal, it
is the same in every prompt.
"""

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.etl.own_prompt.run_model import RunModel
from feature_atlas.etl.stages.features.feature_choice import Feature, by_layer_of
from feature_atlas.features.prompt_activations import (
    on_every_token,
    peaks,
    strongest_of_tokens,
    times_usual,
)
from feature_atlas.vlm.harvest import Tokens, harvest
from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.processor_geometry import Box
from feature_atlas.vlm.reply import with_reply
from feature_atlas.vlm.token_roles import PromptBatch, Role, encode_prompts

SHOWN = (Role.IMAGE, Role.MARKER, Role.QUESTION, Role.SUFFIX, Role.HEADER)
"""Tokens that the sample decides."""
N_REPLY = 32
"""Tokens of the answer at the most."""


class Order(StrEnum):
    """What is called strong."""

    ACTIVATION = "activation"
    TIMES_USUAL = "times_usual"


class Asked(NamedTuple):
    """One prompt, and how much is to be said of it."""

    picture: Image.Image
    """Upright, in RGB."""
    question: str
    layers: tuple[int, ...]
    """Of the studied ones."""
    n_features: int = 25
    """The strongest on the picture, and as many on the text."""
    n_per_token: int = 5
    """The strongest on each token."""
    order: Order = Order.ACTIVATION
    also: tuple[Feature, ...] = ()
    """Features that are shown however weak they are."""


class PromptToken(NamedTuple):
    """One token behind the constant prefix."""

    text: str
    """Empty for an image token."""
    role: str
    """image, marker, question, suffix or header."""
    box: Box | None
    """Of an image token, in pixels of the upright picture; None: not known, or none."""


class Firing(NamedTuple):
    """A feature on a token."""

    token: int
    """Its place among the tokens."""
    layer: int
    feature: int
    activation: float
    """In normalised units."""
    times_usual: float | None
    """Over what is usual for the feature where it fires on such tokens; None: it never did."""


class OneFeature(NamedTuple):
    """A feature on every token on which it fires; on none if it is silent."""

    layer: int
    feature: int
    tokens: list[int]
    """Their places among the tokens, rising."""
    activations: list[float]
    """On each, in normalised units."""
    times_usual: list[float | None]
    """Likewise."""

    def strengths(self, order: Order) -> list[float]:
        """On each token; 0: nothing to say."""
        values = self.activations if order == Order.ACTIVATION else self.times_usual
        return [value or 0.0 for value in values]


class PromptActivations(NamedTuple):
    """What fires on one prompt."""

    run: str
    """Slug of the run whose dictionaries these are."""
    question: str
    width: int
    """Of the picture, in pixels."""
    height: int
    answer: str
    """What the model says."""
    layers: list[int]
    """Those looked at."""
    tokens: list[PromptToken]
    strongest: list[Firing]
    """Of each token, token by token, strongest first."""
    features: list[OneFeature]
    """The strongest, and those that were asked for; strongest first."""

    def as_json(self) -> dict[str, Any]:
        """Plain values by name."""
        tokens = [
            {"text": one.text, "role": one.role, "box": one.box and list(one.box)}
            for one in self.tokens
        ]
        return {
            **self._asdict(),
            "tokens": tokens,
            "strongest": [one._asdict() for one in self.strongest],
            "features": [one._asdict() for one in self.features],
        }


class LayerCodes(NamedTuple):
    """What fires in one layer."""

    layer: int
    codes: SparseCodes
    ratios: SparseCodes
    """The same features, in times what is usual."""
    d_sae: int

    def strength(self, order: Order) -> SparseCodes:
        """By what features are ranked."""
        return self.codes if order == Order.ACTIVATION else self.ratios


@torch.no_grad()
def prompt_activations(model: RunModel, asked: Asked) -> PromptActivations:
    """Run the model on one prompt and encode what it makes of it."""
    study = model.study
    vlm, suffix = study.vlm, study.config.vlm.suffix
    batch = encode_prompts(vlm.processor, [asked.question], [asked.picture], suffix=suffix)
    batch = batch.to(model.device)
    batch = batch._replace(features=image_features(vlm.model, batch))
    harvested = harvest(vlm.model, batch, asked.layers, roles=SHOWN)
    found = [_encoded(model, layer, harvested) for layer in asked.layers]
    is_image = harvested.roles == Role.IMAGE
    return PromptActivations(
        study.run.name,
        asked.question,
        *asked.picture.size,
        _answer(model, batch),
        list(asked.layers),
        _tokens(model, batch, harvested.roles, asked.picture),
        _of_tokens(found, asked),
        _of_features(found, asked, is_image),
    )


def _encoded(model: RunModel, layer: int, harvested: Tokens) -> LayerCodes:
    encoder = model.encoder(layer)
    codes = encoder.encode(harvested.residuals[layer])
    ratios = times_usual(codes, harvested.roles == Role.IMAGE, model.usual(layer))
    return LayerCodes(layer, codes, ratios, encoder.d_sae)


def _answer(model: RunModel, batch: PromptBatch) -> str:
    vlm = model.study.vlm
    said = with_reply(vlm.model, batch, N_REPLY)
    ids = said.input_ids[said.roles == Role.ANSWER]
    return str(vlm.processor.tokenizer.decode(ids, skip_special_tokens=True)).strip()


def _tokens(
    model: RunModel, batch: PromptBatch, roles: Tensor, picture: Image.Image
) -> list[PromptToken]:
    shown = torch.isin(batch.roles, torch.tensor(SHOWN, device=batch.roles.device))
    texts = model.study.vlm.processor.tokenizer.batch_decode(batch.input_ids[shown][:, None])
    measured = model.boxes(*picture.size)
    boxes = iter([] if measured is None else measured.tolist())
    return [
        PromptToken("", "image", _box(next(boxes, None)))
        if role == Role.IMAGE
        else PromptToken(text, Role(role).name.lower(), None)
        for text, role in zip(texts, roles.tolist(), strict=True)
    ]


def _box(edges: list[float] | None) -> Box | None:
    """None where a token has no place in the picture, such as a newline between rows."""
    if edges is None or math.isnan(edges[0]):
        return None
    return Box(*(round(edge, 2) for edge in edges))


def _of_tokens(found: Sequence[LayerCodes], asked: Asked) -> list[Firing]:
    """The strongest of each token over all layers."""
    by_token: dict[int, list[tuple[float, Firing]]] = {}
    for one in found:
        places = strongest_of_tokens(one.strength(asked.order), asked.n_per_token)
        strengths = one.strength(asked.order).values.gather(1, places)
        for ranked in _firings(one, places, strengths):
            by_token.setdefault(ranked[1].token, []).append(ranked)
    kept = (sorted(by_token[t], key=_rank)[: asked.n_per_token] for t in sorted(by_token))
    return [firing for of_token in kept for _, firing in of_token]


def _firings(one: LayerCodes, places: Tensor, strengths: Tensor) -> list[tuple[float, Firing]]:
    """What fires at some places of a layer's codes, with its strength."""
    columns = [
        torch.arange(len(places), device=places.device)[:, None].expand_as(places),
        one.codes.indices.gather(1, places),
        one.codes.values.gather(1, places),
        one.ratios.values.gather(1, places),
        strengths,
    ]
    rows = zip(*(column.flatten().tolist() for column in columns), strict=True)
    return [
        (strength, Firing(token, one.layer, feature, _digits(activation), _known(ratio)))
        for token, feature, activation, ratio, strength in rows
        if strength > 0
    ]


def _digits(value: float) -> float:
    """As many as are worth sending."""
    return float(f"{value:.6g}")


def _known(value: float) -> float | None:
    """None for what is not known."""
    return _digits(value) if math.isfinite(value) else None


def _rank(ranked: tuple[float, Firing]) -> tuple[float, int, int]:
    strength, firing = ranked
    return -strength, firing.layer, firing.feature


def _of_features(found: Sequence[LayerCodes], asked: Asked, is_image: Tensor) -> list[OneFeature]:
    """The strongest features of the picture and of the text, on every token."""
    chosen = {
        *asked.also,
        *_strongest(found, asked, is_image),
        *_strongest(found, asked, ~is_image),
    }
    by_layer = by_layer_of(list(chosen))
    shown = [of_feature for one in found for of_feature in _shown(one, by_layer)]
    return sorted(
        shown,
        key=lambda one: (-max(one.strengths(asked.order), default=0.0), one.layer, one.feature),
    )


def _strongest(found: Sequence[LayerCodes], asked: Asked, of_part: Tensor) -> list[Feature]:
    """The strongest features on some of the tokens, over all layers."""
    ranked: list[tuple[float, Feature]] = []
    for one in found:
        top = peaks(one.strength(asked.order), of_part, one.d_sae)
        values, features = top.topk(min(asked.n_features, one.d_sae))
        pairs = zip(values.tolist(), features.tolist(), strict=True)
        ranked += [(-value, Feature(one.layer, feature)) for value, feature in pairs if value > 0]
    return [feature for _, feature in sorted(ranked)[: asked.n_features]]


def _shown(one: LayerCodes, by_layer: dict[int, list[int]]) -> Iterator[OneFeature]:
    """A layer's features of interest on every token on which they fire."""
    features = by_layer.get(one.layer, [])
    wanted = torch.tensor(features, dtype=torch.int64, device=one.codes.indices.device)
    activations = on_every_token(one.codes, wanted).cpu()
    ratios = on_every_token(one.ratios, wanted).cpu()
    for feature, activation, ratio in zip(features, activations, ratios, strict=True):
        fires = activation > 0
        yield OneFeature(
            one.layer,
            feature,
            fires.nonzero().flatten().tolist(),
            [_digits(value) for value in activation[fires].tolist()],
            [_known(value) for value in ratio[fires].tolist()],
        )
