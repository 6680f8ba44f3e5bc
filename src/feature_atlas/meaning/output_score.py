"""Does adding what a feature writes make the model say it? (beside 5.1 and 5.3)

The output score of arXiv 2505.20063. After a neutral prompt, with the feature's direction added,

    S(T) = (1 - r / |V|) * p,     p = max of P(t) over t in T,     r = how many tokens are likelier

for a set T of tokens: those that the direction makes likeliest by itself (`logit_effect`, the
paper's), or the words of a description: whether the feature raises what its label says. 1: the
model says one of T whatever it is asked; 0: it never would. The score has no zero of its own, since
some tokens are likely anyhow. So it stands beside the score without the addition, and beside that
of the same T with directions of other features added in the same length: chance. Likewise

    R(T) = log P'(T) - log P(T),  P(T) = sum of P(t) over t in T;  P' with the addition, P without

The paper adds ten times the layer's largest activation there, at the last token; here it is a
multiple of the feature's own mean activation, at all text tokens, as in steering.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from feature_atlas.statistics.uncertainty import clustered_bootstrap

STOP = frozenset(
    re.findall(
        r"\w+",
        """
        a about an and any are as at be by do does for from has have how if in into is it its of on
        one or other than that the their them then there they this to was were what when where
        whether which who with activates answer answered answers asking fires firing image images
        model neuron picture pictures question questions sample samples text word words
        """,
    )
)
"""Words of descriptions that are about no content."""


class Said(NamedTuple):
    """How much a model says some tokens after each of some prompts."""

    score: Float64[np.ndarray, " prompt"]
    """S: 0 to 1."""
    log_probability: Float64[np.ndarray, " prompt"]
    """log P(T)."""


class OutputScore(NamedTuple):
    """Of one set of tokens: columns of table output_score. Means over prompts."""

    output_score: float
    """S with the direction added."""
    output_score_before: float
    """S without."""
    log_probability_before: float
    """log P(T) without."""
    log_probability_delta: float
    """R: log P(T) with the direction added, less without."""
    output_score_control: float | None = None
    """Mean S with the directions of other features added; None: there are no such."""
    output_score_gain_low: float | None = None
    """Lower end of the 95 % interval of output_score - output_score_control."""
    output_score_gain_high: float | None = None
    """Upper end."""
    log_probability_control: float | None = None
    """Mean R of the other directions."""
    log_probability_gain_low: float | None = None
    """Lower end of the 95 % interval of R less that of the other directions."""
    log_probability_gain_high: float | None = None
    """Upper end."""


@torch.no_grad()
def said(logits: Float[Tensor, "prompt vocabulary"], tokens: Sequence[int]) -> Said:
    """S and log P(T) of the next token. Pass no logits of padding."""
    if not tokens:
        raise ValueError("no tokens: expected at least one that a feature could make likelier.")
    chances = logits.double().log_softmax(-1)
    of_tokens = chances[:, list(tokens)]
    best = of_tokens.max(-1).values
    n_likelier = (chances > best[:, None]).sum(-1)
    score = (1 - n_likelier / chances.shape[1]) * best.exp()
    return Said(score.cpu().numpy(), of_tokens.logsumexp(-1).cpu().numpy())


def joined(parts: Sequence[Said]) -> Said:
    """Several batches of prompts as one."""
    return Said(*map(np.concatenate, zip(*parts, strict=True)))


def output_score(
    before: Said,
    after: Said,
    controls: Sequence[Said],
    pictures: Int64[np.ndarray, " prompt"],
    *,
    n_draws: int = 2000,
    seed: int = 0,
) -> OutputScore:
    """Means, and intervals over ``pictures`` drawn anew: prompts about one are drawn together."""
    raised = after.log_probability - before.log_probability
    found = OutputScore(
        output_score=float(after.score.mean()),
        output_score_before=float(before.score.mean()),
        log_probability_before=float(before.log_probability.mean()),
        log_probability_delta=float(raised.mean()),
    )
    if not controls:
        return found
    scores = np.mean([control.score for control in controls], axis=0)
    ratios = np.mean([c.log_probability for c in controls], axis=0) - before.log_probability
    gains = np.stack([after.score - scores, raised - ratios], axis=1)
    low, high = clustered_bootstrap(gains, pictures, n_draws=n_draws, seed=seed)
    return found._replace(
        output_score_control=float(scores.mean()),
        output_score_gain_low=float(low[0]),
        output_score_gain_high=float(high[0]),
        log_probability_control=float(ratios.mean()),
        log_probability_gain_low=float(low[1]),
        log_probability_gain_high=float(high[1]),
    )


def words_of_description(description: str) -> list[str]:
    """The words that a description is about: those that it quotes, or all but common ones."""
    quoted = re.findall(r'"([^"]+)"', description)
    words = re.findall(r"\w+", " ".join(quoted or [description]).lower())
    return [word for word in dict.fromkeys(words) if word not in STOP]
