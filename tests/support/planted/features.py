"""A dictionary whose every feature's fate is known: which turn, which see, which only read words.

The planted decoder rows are the base dictionary, and are right for plain text. A vision-language
model then writes some of them in another direction: `turned_by_image` where a picture is in the
prompt, `turned_by_language` in every prompt. How often a feature fires depends on its kind alone;
the ordinary mass has a heavy tail of rare ones, which training noise turns furthest.
"""

from enum import IntEnum
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae

D_MODEL, D_SAE, K, SCALE = 160, 384, 8, 2.5
"""The narrower the model, the more features share each of its dimensions."""
N_PICTURES = 400
LOUDNESS = 3.0
"""Activations lie between this and twice this."""
THRESHOLD = 2.0
"""What other features add to a gate seldom reaches this, so the base dictionary cuts it off."""


class Kind(IntEnum):
    """What was planted; the number of features of each kind is in `N_PLANTED`."""

    ORDINARY = 0
    TURNED = 1
    """A word that is written in another direction where there is a picture."""
    GROUNDED = 2
    """Spatial, image-grounded and turned: fires on spatial text that has something to look at."""
    IMAGE_ONLY = 3
    """Fires where the picture shows its thing, whatever the text; was silent before."""
    LEXICAL = 4
    """Fires on spatial words, picture or not."""
    LEXICAL_TURNED = 5
    """The same, and turned by the language of questions, which has other uses for these words."""
    LANGUAGE = 6
    """Turned by the language of questions, picture or not."""
    NOISY = 7
    """Each firing points a little elsewhere, on base text too: training alone turns it."""
    DEAD = 8
    """Never fires."""


N_PLANTED = {
    Kind.TURNED: 24,
    Kind.GROUNDED: 16,
    Kind.IMAGE_ONLY: 12,
    Kind.LEXICAL: 8,
    Kind.LEXICAL_TURNED: 8,
    Kind.LANGUAGE: 16,
    Kind.NOISY: 16,
    Kind.DEAD: 12,
}
TURNED_BY_VISION = (Kind.TURNED, Kind.GROUNDED)
TURNED_BY_LANGUAGE = (Kind.LANGUAGE, Kind.LEXICAL_TURNED)
SPATIAL_WORDS = (Kind.LEXICAL, Kind.LEXICAL_TURNED)


class Planted(NamedTuple):
    """The truth about every feature."""

    kind: Int[Tensor, " d_sae"]
    """A Kind per feature, in random order."""
    direction: Float[Tensor, "d_sae d_model"]
    """Unit direction on plain text."""
    turned_by_language: Float[Tensor, "d_sae d_model"]
    """Unit direction in questions without a picture."""
    turned_by_image: Float[Tensor, "d_sae d_model"]
    """Unit direction in questions with a picture."""
    word_rate: Float[Tensor, "2 d_sae"]
    """Chance that a text token says the feature; row 1 for tokens about where things are."""
    sight_rate: Float[Tensor, "2 d_sae"]
    """Chance that it fires on a token because the picture shows its thing; rows likewise."""
    shows: Bool[Tensor, "picture d_sae"]
    """Whether each picture has what each feature looks for; half of them do."""
    base: Sae
    """The base dictionary: planted directions, decoder rows of unequal length."""
    strength: Float[Tensor, " d_sae"] = torch.ones(D_SAE)
    """How strongly questions fire each feature; plain text, and the base model, with 1."""

    def is_any(self, *kinds: Kind) -> Tensor:
        """Whether each feature is of one of the kinds, [d_sae]."""
        return torch.isin(self.kind, torch.tensor(kinds))


def plant(
    seed: int, degrees: tuple[float, float] = (40.0, 70.0), d_model: int = D_MODEL
) -> Planted:
    """Draw a dictionary; turned features turn by an angle drawn uniformly from `degrees`."""
    random = torch.Generator().manual_seed(seed)
    kind = _kinds(random)
    is_turned = torch.isin(kind, torch.tensor((*TURNED_BY_VISION, *TURNED_BY_LANGUAGE)))
    direction, new = _spread(D_SAE + int(is_turned.sum()), d_model, random).tensor_split([D_SAE])
    aside = torch.zeros_like(direction)
    aside[is_turned] = _unit(_without(new, direction[is_turned]))
    angle = torch.empty(D_SAE, 1).uniform_(*degrees, generator=random).deg2rad()
    turned = angle.cos() * direction + angle.sin() * aside
    by_language = torch.isin(kind, torch.tensor(TURNED_BY_LANGUAGE))[:, None]
    by_vision = torch.isin(kind, torch.tensor(TURNED_BY_VISION))[:, None]
    return Planted(
        kind,
        direction,
        torch.where(by_language, turned, direction),
        torch.where(by_language | by_vision, turned, direction),
        _word_rate(kind, random),
        _sight_rate(kind, random),
        torch.rand(N_PICTURES, D_SAE, generator=random) < 0.5,
        _base(kind, direction, random),
    )


def _spread(n: int, d_model: int, random: torch.Generator) -> Float[Tensor, "{n} {d_model}"]:
    """Unit directions that keep apart: no cosine beyond 0.1, where chance has 0.35.

    As in a trained dictionary. Else a row that happened to lie towards a new direction would be
    turned into it by vision, and the truth would not be what was planted.
    """
    rows = _unit(torch.randn(n, d_model, generator=random))
    for step in range(50):
        cosine = (rows @ rows.T).fill_diagonal_(0)
        push = _unit(cosine.pow(7) @ rows)
        rows = _unit(rows - 0.1 * (1 - step / 50) * push)
    return rows


def _kinds(random: torch.Generator) -> Int[Tensor, " d_sae"]:
    planted = torch.cat([torch.full((n,), kind) for kind, n in N_PLANTED.items()])
    kind = torch.cat([planted, torch.full((D_SAE - len(planted),), Kind.ORDINARY)])
    return kind[torch.randperm(D_SAE, generator=random)]


def _word_rate(kind: Int[Tensor, " d_sae"], random: torch.Generator) -> Float[Tensor, "2 d_sae"]:
    """Ordinary features: log-normal, median 0.3 %, hundreds of times more often than the rarest."""
    ordinary = (0.003 * (1.4 * torch.randn(D_SAE, generator=random)).exp()).clamp_max(0.3)
    planted = _log_uniform(0.01, 0.05, random)
    planted[kind == Kind.NOISY] = _log_uniform(0.001, 0.004, random)[kind == Kind.NOISY]
    rate = torch.where(kind == Kind.ORDINARY, ordinary, planted).repeat(2, 1)
    rate[:, (kind == Kind.DEAD) | (kind == Kind.IMAGE_ONLY)] = 0
    spatial = torch.isin(kind, torch.tensor(SPATIAL_WORDS))
    rate[0, spatial], rate[1, spatial] = 0.002, 0.1
    rate[0, kind == Kind.GROUNDED], rate[1, kind == Kind.GROUNDED] = 0.005, 0.02
    return rate


def _sight_rate(kind: Int[Tensor, " d_sae"], random: torch.Generator) -> Float[Tensor, "2 d_sae"]:
    rate = torch.zeros(2, D_SAE)
    rate[:, kind == Kind.IMAGE_ONLY] = _log_uniform(0.02, 0.06, random)[kind == Kind.IMAGE_ONLY]
    rate[0, kind == Kind.GROUNDED], rate[1, kind == Kind.GROUNDED] = 0.01, 0.14
    return rate


def _base(
    kind: Int[Tensor, " d_sae"], direction: Float[Tensor, "d_sae d_model"], random: torch.Generator
) -> Sae:
    """Rows of unequal length, so that a gate without decoder norms would fire other features."""
    length = torch.empty(D_SAE, 1).uniform_(0.8, 1.25, generator=random)
    typical = 1.5 * LOUDNESS
    gain = typical / (typical - THRESHOLD)
    return Sae(
        w_enc=(gain * direction / length).T.contiguous(),
        b_enc=torch.where(kind == Kind.DEAD, -1e3, -gain * THRESHOLD / length.squeeze(1)),
        w_dec=direction * length,
        b_dec=torch.zeros(direction.shape[1]),
        gate=TopK(K),
        scale=SCALE,
    )


def _log_uniform(low: float, high: float, random: torch.Generator) -> Float[Tensor, " d_sae"]:
    return low * (high / low) ** torch.rand(D_SAE, generator=random)


def _unit(rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
    return rows / rows.norm(dim=-1, keepdim=True)


def _without(
    rows: Float[Tensor, "row d_model"], direction: Float[Tensor, "row d_model"]
) -> Float[Tensor, "row d_model"]:
    """Rows with their share along unit directions removed."""
    return rows - (rows * direction).sum(-1, keepdim=True) * direction
