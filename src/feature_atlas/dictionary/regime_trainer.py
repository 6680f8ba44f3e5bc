"""One regime's dictionaries, trained step by step by SAELens' own trainer (paper 4.1, A.2)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.gate import Thresholds, TopK
from feature_atlas.dictionary.reconstruction import HeldOut, RoleSet, reconstructions
from feature_atlas.dictionary.sae import Sae
from feature_atlas.dictionary.sae_lens_form import from_training_sae, to_training_sae

if TYPE_CHECKING:  # importing sae-lens takes ten seconds
    from sae_lens.training.sae_trainer import SAETrainer

ALL = "all"
"""The tokens that the regime trains on, together."""


class TrainingPlan(NamedTuple):
    """Hyper-parameters, the same for every regime: else their rotations cannot be compared."""

    n_tokens: int
    """Training tokens of each regime."""
    batch_size: int
    """Tokens per step."""
    learning_rate: float
    """Adam's, in the normalised space."""
    rate_factors: Mapping[int, float] = {}
    """What a layer's learning rate is multiplied by; 1 for a layer that is not there."""
    n_evaluations: int = 8
    """Points of the curve."""
    n_held_out: int = 4096
    """Held-out tokens of each role, and of each regime's roles together, at most."""
    buffer_size: int = 16_384
    """Tokens that wait to be mixed, for each set of roles that trains."""
    seed: int = 0
    """Of the shuffle."""
    device: str = "cpu"
    """Where the dictionaries train."""
    thresholds: Thresholds = "frozen"
    """What becomes of thresholds; a TopK gate has none."""

    @property
    def n_steps(self) -> int:
        """Whole batches in ``n_tokens``."""
        return self.n_tokens // self.batch_size


class CurvePoint(NamedTuple):
    """Held-out quality of one layer's dictionary after some tokens of training."""

    layer: int
    tokens_seen: int
    role: str
    """A role's name in lower case, or "all": the roles that the regime trains on, together."""
    fvu: float
    """Fraction of variance unexplained, global mean; 0 is perfect, 1 is predicting the mean."""
    l0: float
    """Mean number of features that fire on a token; under TopK at most k."""
    n_tokens: int
    """Held-out tokens behind it."""
    learning_rate: float
    """Adam's, at that moment."""


class Adaptation(NamedTuple):
    """What one regime's training leaves."""

    saes: dict[int, Sae]
    """The adapted dictionary of each layer; feature numbers are those of the base."""
    n_firings: dict[int, Int[Tensor, " d_sae"]]
    """Training tokens on which each feature fired; 0 means it was never updated."""
    curve: list[CurvePoint]
    """Held-out quality from the untrained start to the end."""
    losses: dict[int, Float[Tensor, " step"]]
    """Training loss of every step: squared error summed over dimensions, mean over tokens."""


class RegimeTrainer:
    """SAELens' trainer of every layer, a curve, and exact counts of what fired."""

    def __init__(
        self,
        name: str,
        mask: RoleSet,
        start: Mapping[int, Sae],
        held_out: Mapping[int, HeldOut],
        plan: TrainingPlan,
    ) -> None:
        self.name, self.mask, self.plan = name, mask, plan
        self.held_out = held_out
        self.scales = {layer: sae.scale for layer, sae in start.items()}
        self.trainers = {
            layer: sae_trainer(sae, layer, plan, self._fired_before(sae, layer))
            for layer, sae in start.items()
        }
        self.n_firings = {
            layer: torch.zeros(len(sae.w_dec), dtype=torch.int64, device=plan.device)
            for layer, sae in start.items()
        }
        self.losses = {layer: torch.zeros(plan.n_steps, device=plan.device) for layer in start}
        self.curve: list[CurvePoint] = []
        self.n_steps = 0
        self.due = set(schedule(plan.n_steps, plan.n_evaluations))

    @property
    def is_done(self) -> bool:
        """Whether it has had all its tokens."""
        return self.n_steps == self.plan.n_steps

    def _fired_before(self, sae: Sae, layer: int) -> float | None:
        """Mean L0 at the start, on held-out tokens of the regime, where training keeps it."""
        if isinstance(sae.gate, TopK) or self.plan.thresholds == "frozen":
            return None
        return reconstructions(sae, self.held_out[layer])[self.mask].l0

    def step(self, batch: Mapping[int, Float[Tensor, "token d_model"]]) -> None:
        """Train every layer on the same tokens, given as raw residuals."""
        if self.n_steps in self.due:
            self.measure()
        for layer, trainer in self.trainers.items():
            output = trainer.step(self.scales[layer] * batch[layer].float())
            trainer.n_training_steps += 1
            self.losses[layer][self.n_steps] = output.loss.detach()
            # the trainer counts in float32, which stands still at 2^24
            self.n_firings[layer] += trainer.act_freq_scores.round().long()
            trainer.act_freq_scores.zero_()
        self.n_steps += 1
        if self.is_done:
            self.measure()

    def measure(self) -> None:
        """Add a point to the curve, for all of the regime's tokens and for every role."""
        tokens_seen = self.n_steps * self.plan.batch_size
        for layer, trainer in self.trainers.items():
            self._require_finite_losses(layer)
            rate = float(trainer.optimizer.param_groups[0]["lr"])
            found = reconstructions(self._sae(layer), self.held_out[layer])
            judged = {ALL: self.mask} | {
                roles[0].name.lower(): roles for roles in found if len(roles) == 1
            }
            for role, roles in judged.items():
                point = found[roles]
                self.curve.append(
                    CurvePoint(layer, tokens_seen, role, point.fvu, point.l0, point.n_tokens, rate)
                )

    def result(self) -> Adaptation:
        """What training left so far."""
        return Adaptation(
            {layer: self._sae(layer) for layer in self.trainers},
            {layer: counts.cpu() for layer, counts in self.n_firings.items()},
            list(self.curve),
            {layer: losses[: self.n_steps].cpu() for layer, losses in self.losses.items()},
        )

    def state(self) -> dict[str, Any]:
        """Everything that changes, as tensors and plain values."""
        return {
            "n_steps": self.n_steps,
            "curve": [tuple(point) for point in self.curve],
            "n_firings": self.n_firings,
            "losses": self.losses,
            "trainers": {layer: _trainer_state(t) for layer, t in self.trainers.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a kept state."""
        self.n_steps = state["n_steps"]
        self.curve = [CurvePoint(*point) for point in state["curve"]]
        for layer, trainer in self.trainers.items():
            self.n_firings[layer].copy_(state["n_firings"][layer])
            self.losses[layer].copy_(state["losses"][layer])
            _restore_trainer(trainer, state["trainers"][layer])

    def _sae(self, layer: int) -> Sae:
        return from_training_sae(self.trainers[layer].sae, self.scales[layer])

    def _require_finite_losses(self, layer: int) -> None:
        is_bad = ~torch.isfinite(self.losses[layer][: self.n_steps])
        if is_bad.any():
            raise RuntimeError(
                f"regime {self.name}, layer {layer}: the loss is not finite from step "
                f"{int(is_bad.nonzero()[0])} of {self.plan.n_steps}: lower the learning rate "
                f"({self.plan.learning_rate:g})."
            )


def schedule(n_steps: int, n_evaluations: int) -> Sequence[int]:
    """0 and then steps in geometric progression: adaptation is fastest at the start."""
    ratio = n_steps ** (1 / max(n_evaluations - 1, 1))
    return [0, *sorted({int(ratio**i) for i in range(n_evaluations - 1)})]


def sae_trainer(
    sae: Sae, layer: int, plan: TrainingPlan, mean_l0: float | None = None
) -> "SAETrainer":
    """SAELens' trainer of one layer; batches are handed to its ``step``."""
    # ten seconds of imports, only where used
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    rate = plan.learning_rate * plan.rate_factors.get(layer, 1.0)
    config = SAETrainerConfig(
        total_training_samples=plan.n_steps * plan.batch_size,
        train_batch_size_samples=plan.batch_size,
        lr=rate,
        lr_end=rate / 100,
        lr_warm_up_steps=plan.n_steps // 20,
        lr_decay_steps=plan.n_steps // 5,  # the last fifth cools down, as Llama Scope's did
        device=plan.device,
        dead_feature_window=plan.n_steps + 1,
        feature_sampling_window=plan.n_steps + 1,
    )
    trainable = to_training_sae(sae, device=plan.device, mean_l0=mean_l0)
    return SAETrainer(config, trainable, data_provider=iter(()))


_COUNTERS = ("n_training_steps", "n_training_samples", "n_frac_active_samples")


def _trainer_state(trainer: "SAETrainer") -> dict[str, Any]:
    """What SAELens keeps in ``save_trainer_state``, with the weights."""
    return {
        "weights": trainer.sae.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "lr_scheduler": trainer.lr_scheduler.state_dict(),
        "n_forward_passes_since_fired": trainer.n_forward_passes_since_fired,
        **{name: getattr(trainer, name) for name in _COUNTERS},
    }


def _restore_trainer(trainer: "SAETrainer", state: Mapping[str, Any]) -> None:
    trainer.sae.load_state_dict(state["weights"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.lr_scheduler.load_state_dict(state["lr_scheduler"])
    trainer.n_forward_passes_since_fired.copy_(state["n_forward_passes_since_fired"])
    for name in _COUNTERS:
        setattr(trainer, name, state[name])
