"""Fine-tune base dictionaries on residuals under several regimes at once (paper 4.1, A.2).

    for each forward pass:  for each mask:  fill its shuffle buffer; for each batch that is ready:
        for each regime of the mask, for each layer:  one step of SAELens' trainer

The paper's regimes see the same prompts and differ in the tokens that train, so one pass feeds
them all; each stops at its own number of steps. Training is in the normalised space of the
release, where all layers' residuals have the same average norm: there the layer-scaled learning
rate of the paper (whose rule it does not give) has nothing left to do. The auxiliary loss is off,
so that a feature that never fires is exactly as it was.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from feature_atlas.dictionary.reconstruction import RoleSet, held_out_layers
from feature_atlas.dictionary.regime_trainer import Adaptation, RegimeTrainer, TrainingPlan
from feature_atlas.dictionary.sae import Sae, random_sae
from feature_atlas.dictionary.shuffle_buffer import ShuffleBuffer
from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

REGIME_ROLES: dict[str, RoleSet] = {
    "text": TEXT_ROLES,
    "image": (Role.IMAGE,),
    "full": (Role.IMAGE, *TEXT_ROLES),
    "random": (Role.IMAGE, *TEXT_ROLES),
    "refit": TEXT_ROLES,
    "language": TEXT_ROLES,
    "instruct": TEXT_ROLES,
}
"""Which tokens train in each regime. ``random`` is ``full`` from a random start; the last three
are controls on text without pictures: the base model's, the VLM's and an instruction-tuned one's.
"""


def starting_point(regime: str, base: Sae, seed: int) -> Sae:
    """The base dictionary, or a random one of its shape for the regime of that name."""
    if regime not in REGIME_ROLES:
        raise ValueError(f"regime {regime!r}; expected one of {sorted(REGIME_ROLES)}.")
    return random_sae(base, seed) if regime == "random" else base


def adapt(
    start: Mapping[str, Mapping[int, Sae]],
    passes: Iterator[Tokens],
    *,
    held_out: Tokens,
    plan: TrainingPlan,
) -> dict[str, Adaptation]:
    """Train one dictionary per regime and layer on a shared stream of forward passes.

    ``passes`` must not run dry before every regime has its ``plan.n_tokens``; ``held_out`` never
    trains. Regimes and layers do not influence one another: each ends as if trained alone.
    """
    lockstep = Lockstep(start, held_out, plan)
    train(lockstep, passes)
    return lockstep.results()


def train(
    lockstep: "Lockstep",
    passes: Iterator[Tokens],
    after_pass: Callable[["Lockstep"], None] = lambda _: None,
) -> None:
    """Feed forward passes until every regime is done; ``after_pass`` may keep the state."""
    while not lockstep.is_done:
        tokens = next(passes, None)
        if tokens is None:
            raise RuntimeError(
                f"the activation stream ended after {lockstep.n_passes} forward passes with "
                f"{lockstep.describe()}: repeat the prompts or lower n_tokens."
            )
        lockstep.take(tokens)
        after_pass(lockstep)


class Lockstep:
    """Regimes that train together: their trainers, and the buffers that feed them.

    The whole state is that of `state`: a new object of the same arguments that restores it, and
    goes on with the pass after `n_passes`, computes the same numbers to the last bit.
    """

    def __init__(
        self, start: Mapping[str, Mapping[int, Sae]], held_out: Tokens, plan: TrainingPlan
    ) -> None:
        if plan.n_steps == 0:
            raise ValueError(
                f"n_tokens {plan.n_tokens} is less than one batch of {plan.batch_size} tokens."
            )
        masks: list[RoleSet] = list(dict.fromkeys(REGIME_ROLES[regime] for regime in start))
        held = held_out_layers(held_out, masks, plan.n_held_out)
        self.plan, self.n_passes = plan, 0
        self.regimes = {
            name: RegimeTrainer(name, REGIME_ROLES[name], saes, held, plan)
            for name, saes in start.items()
        }
        self.buffers = {
            mask: ShuffleBuffer(plan.buffer_size, plan.batch_size, plan.seed) for mask in masks
        }

    @property
    def is_done(self) -> bool:
        """Whether every regime has had all its tokens."""
        return all(regime.is_done for regime in self.regimes.values())

    @property
    def n_steps(self) -> int:
        """Steps so far, of all regimes together."""
        return sum(regime.n_steps for regime in self.regimes.values())

    def take(self, tokens: Tokens) -> None:
        """One forward pass: its tokens join the buffers, and every batch that is ready trains."""
        self._require_finite(tokens)
        for mask, buffer in self.buffers.items():
            regimes = [r for r in self.regimes.values() if r.mask == mask and not r.is_done]
            if not regimes:
                buffer.clear()
                continue
            n_left = self.plan.n_steps - regimes[0].n_steps  # regimes of a mask go in step
            for batch in buffer.add(tokens.only(mask).residuals)[:n_left]:
                for regime in regimes:
                    regime.step(batch)
        self.n_passes += 1

    def results(self) -> dict[str, Adaptation]:
        """What each regime's training left."""
        return {name: regime.result() for name, regime in self.regimes.items()}

    def describe(self) -> str:
        """How far each regime is, in words."""
        return ", ".join(
            f"{name} at step {regime.n_steps} of {self.plan.n_steps}"
            for name, regime in self.regimes.items()
        )

    def state(self) -> dict[str, Any]:
        """Everything that changes: weights, moments, schedules, counts, buffers, position."""
        return {
            "n_passes": self.n_passes,
            "regimes": {name: regime.state() for name, regime in self.regimes.items()},
            "buffers": [buffer.state() for buffer in self.buffers.values()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a kept state, made with the same arguments."""
        self.n_passes = state["n_passes"]
        for name, regime in self.regimes.items():
            regime.restore(state["regimes"][name])
        for buffer, kept in zip(self.buffers.values(), state["buffers"], strict=True):
            buffer.restore(kept, self.plan.device)

    def _require_finite(self, tokens: Tokens) -> None:
        for layer, x in tokens.residuals.items():
            is_bad = ~torch.isfinite(x).all(-1)
            if is_bad.any():
                token = int(is_bad.nonzero()[0])
                role = Role(int(tokens.roles[token])).name.lower()
                raise ValueError(
                    f"layer {layer}: the model's activations hold NaN or infinity in forward pass "
                    f"{self.n_passes}, first on a token of role {role} ({self.describe()}). "
                    "Nothing was trained on them; load the model in another dtype (vlm.dtype), or "
                    "leave the layer out."
                )
