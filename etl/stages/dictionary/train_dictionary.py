"""One dictionary of one regime, trained from cached residuals, without the model (paper 4.1, A.2).

Nothing else need be on the device: weights, gradients and moments of one dictionary, and some gates
of a batch. More at once would share nothing: the products of one fill any device.
"""

import time
from collections.abc import Iterator
from itertools import islice
from math import exp, log
from typing import NamedTuple

from rich.progress import Progress
from torch import Tensor

from feature_atlas.dictionary.adapt import REGIME_ROLES, starting_point
from feature_atlas.dictionary.reconstruction import held_out
from feature_atlas.dictionary.shuffle_buffer import mixed_batches
from feature_atlas.dictionary.training import Adaptation, Training, TrainingPlan
from feature_atlas.etl.config.run_config import stable_hash
from feature_atlas.etl.stages.dictionary.adapt_stream import ActivationStream
from feature_atlas.etl.stages.dictionary.adaptation_files import is_kept, write_adaptation
from feature_atlas.etl.stages.dictionary.read_ahead import one_ahead
from feature_atlas.etl.stages.dictionary.residual_store import StoredLayer
from feature_atlas.etl.stages.dictionary.unfinished import Unfinished
from feature_atlas.etl.study import Study


class Trained(NamedTuple):
    """Which training of a layer."""

    regime: str
    seed_no: int = 0
    """Place of its order of the data in `adapt.seeds`."""

    def name(self, layer: int) -> str:
        """What its files are called."""
        return f"{self.regime}{f'.seed_{self.seed_no}' if self.seed_no else ''}.{layer}"


def train_dictionary(
    source: ActivationStream, stored: StoredLayer, trained: Trained, unfinished: Unfinished
) -> None:
    """From its kept state, if there is one, to the files that it leaves."""
    layer, study, keep = stored.layer, source.study, is_kept(source.study, *trained)
    result = _result(source, stored, trained, unfinished)
    unfinished.finish(
        trained.name(layer),
        lambda folder: write_adaptation(folder, study, trained.regime, layer, result, keep=keep),
    )


def _result(
    source: ActivationStream, stored: StoredLayer, trained: Trained, unfinished: Unfinished
) -> Adaptation:
    study, name = source.study, trained.name(stored.layer)
    training = _untrained(study, stored, trained)
    kept = unfinished.load_state(name)
    if kept is not None:
        training.restore(kept)
    seconds = 60 * study.config.adapt.checkpoint_minutes
    kept_at = time.monotonic()
    with Progress() as display:
        bar = display.add_task(f"adapt: {training.name}", total=training.plan.n_steps)

        def after_step(now: Training) -> None:
            nonlocal kept_at
            display.update(bar, completed=now.n_steps)
            if time.monotonic() - kept_at >= seconds and not now.is_done:
                unfinished.save_state(name, now.state())
                kept_at = time.monotonic()

        batches = _batches(source, stored, training, trained.seed_no)
        return training.run(batches, after_step)


def _untrained(study: Study, stored: StoredLayer, trained: Trained) -> Training:
    regime, layer = trained.regime, stored.layer
    plan, roles = _plan(study, layer, trained.seed_no), REGIME_ROLES[regime]
    of = study.inputs["sae_set"]
    study.make_room(training_bytes(plan.batch_size, of["d_model"], of["d_sae"]))
    residual, of_role = stored.held_out()
    judged = held_out(residual.to(plan.device), of_role, [roles], plan.n_held_out)
    start = starting_point(regime, study.base[layer], start_seed(study, layer, "random regime"))
    study.forget_dictionaries()  # it is copied; who compares with it reads it again
    again = f", seed {study.config.adapt.seeds[trained.seed_no]}" if trained.seed_no else ""
    return Training(f"regime {regime}, layer {layer}{again}", roles, start, judged, plan)


def _batches(
    source: ActivationStream, stored: StoredLayer, training: Training, seed_no: int
) -> Iterator[Tensor]:
    """Those that are still to come; their order is known from the start."""
    order = source.order(seed_no, kept=stored.index.numbers.tolist())
    plan, passes = training.plan, stored.passes(order, training.roles)
    numbers = mixed_batches(passes, plan.buffer_size, plan.batch_size, plan.seed)
    return one_ahead(stored.rows(chosen) for chosen in islice(numbers, training.n_steps, None))


def training_bytes(batch_size: int, d_model: int, d_sae: int) -> int:
    """On the device: where it starts, weights, gradients and two moments, all in float32; and ten
    bytes for each gate of a batch, as measured."""
    return 5 * 4 * 2 * d_model * d_sae + 10 * batch_size * d_sae


def start_seed(study: Study, layer: int, purpose: str) -> int:
    """A seed that no other draw shares: small seeds are what base SAEs were started from."""
    return int(stable_hash([purpose, study.config.seed, layer])[:8], 16)


def _plan(study: Study, layer: int, seed_no: int = 0) -> TrainingPlan:
    config = study.config.adapt
    return TrainingPlan(
        n_tokens=config.n_tokens,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate * _rate_factor(study, layer),
        n_evaluations=config.n_evaluations,
        n_held_out=config.n_held_out,
        buffer_size=config.buffer_size,
        seed=study.config.order_seeds[seed_no],
        device=study.config.device,
        products=config.products,
        thresholds=config.thresholds,
    )


def _rate_factor(study: Study, layer: int) -> float:
    """s over its geometric mean over all layers of the run, or 1."""
    if study.config.adapt.learning_rate_scaling == "none":
        return 1.0
    scales = dict(zip(study.layers, study.inputs["sae_set"]["activation_scale"], strict=True))
    mean = exp(sum(log(scale) for scale in scales.values()) / len(scales))
    return scales[layer] / mean
