"""Residuals of a planted world: prompts are drawn, then run with or without their picture.

    z = sum of a_f d_f over the features said or seen on the token + noise,     x = z / scale

Text and noise are drawn with the prompt and are the same whatever picture it gets, as in a
transformer; only what it sees, and which way a turned feature points, depends on the picture.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.token_roles import Role
from planted.features import D_SAE, LOUDNESS, N_PICTURES, Kind, Planted

Picture = Literal["real", "mean", "none", "plain"]
"""The prompt's own picture, the mean image, no picture, and plain text of the base model."""

NOISE = 0.1
"""Standard deviation per coordinate of the normalised residual."""
JITTER = 1.5
"""How far, relative to its activation, one firing of a NOISY feature points elsewhere."""
QUESTION_ROLES = (*[Role.QUESTION] * 8, Role.HEADER, Role.HEADER)


class Prompts(NamedTuple):
    """Some prompts of equal length, one after another, before they meet a picture."""

    roles: Int[Tensor, " token"]
    """A Role per token."""
    prompt: Int[Tensor, " token"]
    """Number of the prompt in the batch."""
    picture: Int[Tensor, " prompt"]
    """Number of each prompt's own picture."""
    is_spatial: Bool[Tensor, " token"]
    """Whether the token is about where things are."""
    said: Float[Tensor, "token d_sae"]
    """Activation of the features that the words fire."""
    looked: Float[Tensor, "token d_sae"]
    """Activation that each feature has if the picture shows its thing."""
    noise: Float[Tensor, "token d_model"]
    """What no feature stands for."""


class PlantedStream:
    """Draws prompts of one planted world; the same seed gives the same prompts."""

    def __init__(self, planted: Planted, seed: int) -> None:
        self.planted = planted
        self.random = torch.Generator().manual_seed(seed)

    def questions(self, n: int, spatial_share: float = 0.3) -> Prompts:
        """Questions about random pictures, some of them about where things are."""
        asks = torch.rand(n, generator=self.random) < spatial_share
        picture = torch.randint(N_PICTURES, (n,), generator=self.random)
        return self._drawn(picture, asks[:, None].expand(n, len(QUESTION_ROLES)), QUESTION_ROLES)

    def neutral(self, picture: Int[Tensor, " prompt"], *, spatial_words: bool) -> Prompts:
        """One neutral prompt about each picture, its question alike for all, and a reply."""
        question = self._drawn(picture[:1], torch.full((1, 4), spatial_words), [Role.QUESTION] * 4)
        reply = self._drawn(
            picture, torch.ones(len(picture), 12, dtype=torch.bool), [Role.ANSWER] * 12
        )
        return _joined([_repeated(question, picture), reply])

    def tokens(self, prompts: Prompts, picture: Picture) -> Tokens:
        """Raw residuals of layer 0 under one condition."""
        planted, codes = self.planted, prompts.said
        if picture == "real":
            seen = planted.shows[prompts.picture][prompts.prompt]
            codes = torch.maximum(codes, prompts.looked * seen)
        if picture != "plain":
            codes = codes * planted.strength
        directions = {
            "plain": planted.direction,
            "none": planted.turned_by_language,
        }.get(picture, planted.turned_by_image)
        z = codes @ directions + prompts.noise
        return Tokens({0: z / planted.base.scale}, prompts.roles, prompts.prompt)

    def training(self, picture: Picture, n_at_once: int = 200) -> Iterator[Tokens]:
        """Batches of prompts without end."""
        while True:
            yield self.tokens(self.questions(n_at_once), picture)

    def _drawn(
        self,
        picture: Int[Tensor, " prompt"],
        is_spatial: Bool[Tensor, "prompt position"],
        roles: tuple[Role, ...] | list[Role],
    ) -> Prompts:
        n, length = is_spatial.shape
        about = is_spatial.flatten()
        rows = about.long()
        said = self._activations(self.planted.word_rate, rows)
        return Prompts(
            torch.tensor(roles).repeat(n),
            torch.arange(n).repeat_interleave(length),
            picture,
            about,
            said,
            self._activations(self.planted.sight_rate, rows),
            self._noise(said),
        )

    def _activations(
        self, rate: Float[Tensor, "2 d_sae"], rows: Int[Tensor, " token"]
    ) -> Float[Tensor, "token d_sae"]:
        """0, or at the given rate something between LOUDNESS and twice that."""
        draw = torch.rand(len(rows), D_SAE, generator=self.random)
        chance = rate[rows]
        return torch.where(draw < chance, LOUDNESS * (1 + draw / chance), 0.0)

    def _noise(self, said: Float[Tensor, "token d_sae"]) -> Float[Tensor, "token d_model"]:
        d_model = self.planted.direction.shape[1]
        noise = NOISE * torch.randn(len(said), d_model, generator=self.random)
        strength = said[:, self.planted.kind == Kind.NOISY].norm(dim=1, keepdim=True)
        jitter = torch.randn(len(said), d_model, generator=self.random) / d_model**0.5
        return noise + JITTER * strength * jitter


def _repeated(one: Prompts, picture: Int[Tensor, " prompt"]) -> Prompts:
    """The same prompt about every picture."""
    n, length = len(picture), len(one.roles)
    return Prompts(
        one.roles.repeat(n),
        torch.arange(n).repeat_interleave(length),
        picture,
        one.is_spatial.repeat(n),
        one.said.repeat(n, 1),
        one.looked.repeat(n, 1),
        one.noise.repeat(n, 1),
    )


def _joined(parts: list[Prompts]) -> Prompts:
    """Parts of the same prompts, prompt by prompt."""
    order = torch.cat([part.prompt for part in parts]).argsort(stable=True)
    joined = {
        field: torch.cat([getattr(part, field) for part in parts])[order]
        for field in ("roles", "prompt", "is_spatial", "said", "looked", "noise")
    }
    return Prompts(picture=parts[0].picture, **joined)
