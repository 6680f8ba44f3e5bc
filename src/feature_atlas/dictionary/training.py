"""One dictionary, trained step by step by SAELens' own trainer (paper 4.1, A.2).

Training is in the normalised space of the release, where all layers' residuals have the same
average norm: there the layer-scaled learning rate of the paper (whose rule it does not give) has
nothing left to do. The auxiliary loss is off, so that a feature that never fires is exactly as it
was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.gate import Thresholds, TopK
from feature_atlas.dictionary.products import Products, products
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
    n_evaluations: int = 8
    """Points of the curve."""
    n_held_out: int = 4096
    """Held-out tokens of each role, and of each regime's roles together, at most."""
    buffer_size: int = 16_384
    """Tokens that wait to be mixed."""
    seed: int = 0
    """Of the shuffle."""
    device: str = "cpu"
    """Where the dictionary trains."""
    products: Products = "tf32"
    """How the steps multiply, where the device knows TF32; all else is in float32."""
    thresholds: Thresholds = "frozen"
    """What becomes of thresholds; a TopK gate has none."""

    @property
    def n_steps(self) -> int:
        """Whole batches in ``n_tokens``."""
        return self.n_tokens // self.batch_size


class CurvePoint(NamedTuple):
    """Held-out quality of a dictionary after some tokens of training."""

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
    """What a training leaves."""

    sae: Sae
    """The adapted dictionary; feature numbers are those of the base."""
    n_firings: Int[Tensor, " d_sae"]
    """Training tokens on which each feature fired; 0 means it was never updated."""
    curve: list[CurvePoint]
    """Held-out quality from the untrained start to the end."""
    losses: Float[Tensor, " step"]
    """Training loss of every step: squared error summed over dimensions, mean over tokens."""


class Training:
    """SAELens' trainer of one dictionary, a curve, and exact counts of what fired.

    The whole state is that of `state`: a new object of the same arguments that restores it, and
    goes on with the batch after `n_steps`, computes the same numbers to the last bit.
    """

    def __init__(
        self, name: str, roles: RoleSet, start: Sae, held_out: HeldOut, plan: TrainingPlan
    ) -> None:
        if plan.n_steps == 0:
            raise ValueError(
                f"n_tokens {plan.n_tokens} is less than one batch of {plan.batch_size} tokens."
            )
        self.name, self.roles, self.plan = name, roles, plan
        self.held_out, self.scale = held_out, start.scale
        self.trainer = sae_trainer(start, plan, self._fired_before(start))
        d_sae = len(start.w_dec)
        self.n_firings = torch.zeros(d_sae, dtype=torch.int64, device=plan.device)
        self.losses = torch.zeros(plan.n_steps, device=plan.device)
        self.curve: list[CurvePoint] = []
        self.n_steps = 0
        self.due = set(schedule(plan.n_steps, plan.n_evaluations))

    @property
    def is_done(self) -> bool:
        """Whether it has had all its tokens."""
        return self.n_steps == self.plan.n_steps

    def run(
        self,
        batches: Iterator[Float[Tensor, "token d_model"]],
        after_step: Callable[["Training"], None] = lambda _: None,
    ) -> Adaptation:
        """Train until done; ``after_step`` may keep the state."""
        while not self.is_done:
            batch = next(batches, None)
            if batch is None:
                raise RuntimeError(
                    f"{self.name}: the tokens ended at step {self.n_steps} of "
                    f"{self.plan.n_steps}: repeat the prompts or lower n_tokens."
                )
            self.step(batch)
            after_step(self)
        return self.result()

    def _fired_before(self, start: Sae) -> float | None:
        """Mean L0 at the start, on held-out tokens of the regime, where training keeps it."""
        if isinstance(start.gate, TopK) or self.plan.thresholds == "frozen":
            return None
        return reconstructions(start, self.held_out)[self.roles].l0

    def step(self, batch: Float[Tensor, "token d_model"]) -> None:
        """Train on some tokens, given as raw residuals."""
        if self.n_steps in self.due:
            self.measure()
        with products(self.plan.products, self.plan.device):
            output = self.trainer.step(self.scale * batch.to(self.plan.device).float())
        self.trainer.n_training_steps += 1
        self.losses[self.n_steps] = output.loss.detach()
        # the trainer counts in float32, which stands still at 2^24
        self.n_firings += self.trainer.act_freq_scores.round().long()
        self.trainer.act_freq_scores.zero_()
        self.n_steps += 1
        if self.is_done:
            self.measure()

    def measure(self) -> None:
        """Add a point to the curve, for all of the regime's tokens and for every role."""
        self._require_finite_losses()
        tokens_seen = self.n_steps * self.plan.batch_size
        rate = float(self.trainer.optimizer.param_groups[0]["lr"])
        found = reconstructions(self._sae(), self.held_out)
        judged = {ALL: self.roles} | {
            roles[0].name.lower(): roles for roles in found if len(roles) == 1
        }
        for role, roles in judged.items():
            point = found[roles]
            self.curve.append(
                CurvePoint(tokens_seen, role, point.fvu, point.l0, point.n_tokens, rate)
            )

    def result(self) -> Adaptation:
        """What training left; its weights are those that a further step would change."""
        losses = self.losses[: self.n_steps].cpu()
        return Adaptation(self._sae(), self.n_firings.cpu(), list(self.curve), losses)

    def state(self) -> dict[str, Any]:
        """Everything that changes, as tensors and plain values."""
        return {
            "n_steps": self.n_steps,
            "curve": [tuple(point) for point in self.curve],
            "n_firings": self.n_firings,
            "losses": self.losses,
            "trainer": _trainer_state(self.trainer),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a kept state."""
        self.n_steps = state["n_steps"]
        self.curve = [CurvePoint(*point) for point in state["curve"]]
        self.n_firings.copy_(state["n_firings"])
        self.losses.copy_(state["losses"])
        _restore_trainer(self.trainer, state["trainer"])

    def _sae(self) -> Sae:
        return from_training_sae(self.trainer.sae, self.scale)

    def _require_finite_losses(self) -> None:
        is_bad = ~torch.isfinite(self.losses[: self.n_steps])
        if is_bad.any():
            raise RuntimeError(
                f"{self.name}: the loss is not finite from step {int(is_bad.nonzero()[0])} of "
                f"{self.plan.n_steps}: lower the learning rate ({self.plan.learning_rate:g})."
            )


def schedule(n_steps: int, n_evaluations: int) -> Sequence[int]:
    """0 and then steps in geometric progression: adaptation is fastest at the start."""
    ratio = n_steps ** (1 / max(n_evaluations - 1, 1))
    return [0, *sorted({int(ratio**i) for i in range(n_evaluations - 1)})]


def sae_trainer(sae: Sae, plan: TrainingPlan, mean_l0: float | None = None) -> "SAETrainer":
    """SAELens' trainer; batches are handed to its ``step``."""
    # ten seconds of imports, only where used
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    config = SAETrainerConfig(
        total_training_samples=plan.n_steps * plan.batch_size,
        train_batch_size_samples=plan.batch_size,
        lr=plan.learning_rate,
        lr_end=plan.learning_rate / 100,
        lr_warm_up_steps=plan.n_steps // 20,
        lr_decay_steps=plan.n_steps // 5,  # the last fifth cools down, as Llama Scope's did
        device=plan.device,
        dead_feature_window=plan.n_steps + 1,
        feature_sampling_window=plan.n_steps + 1,
    )
    trainable = to_training_sae(sae, device=plan.device, mean_l0=mean_l0)
    trainer = SAETrainer(config, trainable, data_provider=iter(()))
    if torch.device(plan.device).type == "cuda":  # one pass over the weights: a tenth of a step
        trainer.optimizer.param_groups[0].update(fused=True, foreach=False)
    return trainer


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
