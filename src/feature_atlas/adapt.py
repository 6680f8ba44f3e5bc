"""Fine-tune base dictionaries on VLM residuals under four regimes (paper 4.1, A.2).

Every regime sees the same prompts; the mask decides which tokens train. Training is SAELens' own
TopK trainer, many layers from one stream, in the normalised space of the release: there all
residuals have the same average norm, which is what the paper's layer-scaled learning rate is for.
The auxiliary loss is off, so that a feature that never fires is exactly as it was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.sae import (
    TopKSae,
    decode,
    encode,
    from_training_sae,
    random_sae,
    to_training_sae,
)
from feature_atlas.vlm import TEXT_ROLES, Role

if TYPE_CHECKING:  # importing sae-lens takes ten seconds
    from sae_lens.config import SAETrainerConfig

REGIME_ROLES: dict[str, tuple[Role, ...]] = {
    "text": TEXT_ROLES,
    "image": (Role.IMAGE,),
    "full": (Role.IMAGE, *TEXT_ROLES),
    "random": (Role.IMAGE, *TEXT_ROLES),
}
"""Which tokens train in each regime; ``random`` is ``full`` from a random start."""


class CurvePoint(NamedTuple):
    """Held-out quality of one layer's dictionary after some tokens of training."""

    layer: int
    tokens_seen: int
    fvu: float
    """Fraction of variance unexplained, global mean; 0 is perfect, 1 is predicting the mean."""
    l0: float
    """Mean number of features that fire on a token; at most k."""


class Adaptation(NamedTuple):
    """What one regime's training leaves."""

    saes: dict[int, TopKSae]
    """The adapted dictionary of each layer; feature numbers are those of the base."""
    n_firings: dict[int, Int[Tensor, " d_sae"]]
    """Training tokens on which each feature fired; 0 means it was never updated."""
    curve: list[CurvePoint]
    """Held-out quality from the untrained start to the end."""


def starting_point(regime: str, base: TopKSae, seed: int) -> TopKSae:
    """The base dictionary, or a random one of its shape for the control regime."""
    if regime not in REGIME_ROLES:
        raise ValueError(f"regime {regime!r}; expected one of {sorted(REGIME_ROLES)}.")
    return random_sae(base, seed) if regime == "random" else base


def adapt(
    start: Mapping[int, TopKSae],
    stream: Iterator[dict[str, Float[Tensor, "token d_model"]]],
    *,
    held_out: Mapping[int, Float[Tensor, "token d_model"]],
    n_tokens: int,
    batch_size: int,
    learning_rate: float,
    n_evaluations: int = 8,
    buffer_size: int = 16_384,
    seed: int = 0,
    device: str = "cpu",
) -> Adaptation:
    """Train one dictionary per layer on ``n_tokens`` tokens of a shared, shuffled stream.

    ``stream`` yields normalised residuals keyed by ``str(layer)`` and must not run dry before
    ``n_tokens``; ``held_out`` holds raw residuals that never train.
    """
    # ten seconds of imports, only where used
    from sae_lens.training.mixing_buffer import multi_hook_concat_split_iter
    from sae_lens.training.multi_sae_trainer import MultiSAETrainer

    n_steps = n_tokens // batch_size
    if n_steps == 0:
        raise ValueError(f"n_tokens {n_tokens} is less than one batch of {batch_size} tokens.")
    names = [str(layer) for layer in start]
    trainable = {str(i): to_training_sae(s, device=device) for i, s in start.items()}
    curve: list[CurvePoint] = []

    def measure(step: int) -> None:
        for layer, sae in start.items():
            now = from_training_sae(trainable[str(layer)], sae.scale)
            curve.append(_curve_point(now, layer, step * batch_size, held_out[layer]))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the mixing buffer shuffles with the global generator
        batches = multi_hook_concat_split_iter(buffer_size, batch_size, stream, names)
        trainer = MultiSAETrainer(
            cfg=_trainer_config(n_steps, batch_size, learning_rate, device),
            saes=trainable,
            hook_names={name: name for name in names},
            data_provider=_measured(batches, n_steps, n_evaluations, measure),
        )
        trainer.fit()
    measure(n_steps)
    return Adaptation(
        {layer: from_training_sae(trainable[str(layer)], s.scale) for layer, s in start.items()},
        {int(n): t.act_freq_scores.round().long().cpu() for n, t in trainer.trainers.items()},
        curve,
    )


def _trainer_config(
    n_steps: int, batch_size: int, learning_rate: float, device: str
) -> "SAETrainerConfig":
    from sae_lens.config import SAETrainerConfig

    return SAETrainerConfig(
        total_training_samples=n_steps * batch_size,
        train_batch_size_samples=batch_size,
        lr=learning_rate,
        lr_end=learning_rate / 100,
        lr_warm_up_steps=n_steps // 20,
        lr_decay_steps=n_steps // 5,  # the last fifth cools down, as Llama Scope's training did
        device=device,
        dead_feature_window=n_steps + 1,
        feature_sampling_window=n_steps + 1,  # never reset: the window then counts all firings
    )


def _measured(
    batches: Iterator[dict[str, Tensor]],
    n_steps: int,
    n_evaluations: int,
    measure: Callable[[int], None],
) -> Iterator[dict[str, Tensor]]:
    """Pass training batches through, measuring at steps that double towards the end."""
    due = set(_schedule(n_steps, n_evaluations))
    for step in range(n_steps):
        if step in due:
            measure(step)
        try:
            yield next(batches)
        except StopIteration:
            raise RuntimeError(
                f"the activation stream ended at step {step} of {n_steps}: "
                "repeat the prompts or lower n_tokens."
            ) from None


def _schedule(n_steps: int, n_evaluations: int) -> Sequence[int]:
    """0 and then steps in geometric progression: adaptation is fastest at the start."""
    ratio = n_steps ** (1 / max(n_evaluations - 1, 1))
    return [0, *sorted({int(ratio**i) for i in range(n_evaluations - 1)})]


@torch.no_grad()
def _curve_point(sae: TopKSae, layer: int, tokens_seen: int, held_out: Tensor) -> CurvePoint:
    quality = reconstruction(sae, held_out)
    return CurvePoint(layer, tokens_seen, quality.fvu, quality.l0)


class Reconstruction(NamedTuple):
    """How well a dictionary explains some tokens."""

    fvu: float
    """Sum of squared errors over sum of squared distances to the tokens' mean."""
    l0: float
    """Mean number of features that fire."""


@torch.no_grad()
def reconstruction(
    sae: TopKSae, residual: Float[Tensor, "token d_model"], chunk: int = 4096
) -> Reconstruction:
    """FVU with a global mean (per-batch means are not comparable) and L0, in float64 sums."""
    mean = residual.double().mean(0)
    error = variance = 0.0
    fired = 0
    for part in residual.split(chunk):
        codes = encode(sae, part)
        error += (part - decode(sae, codes)).double().square().sum().item()
        variance += (part.double() - mean).square().sum().item()
        fired += int((codes.values > 0).sum())
    if variance == 0:
        raise ValueError(f"{len(residual)} tokens without variance: FVU needs different tokens.")
    return Reconstruction(error / variance, fired / len(residual))
