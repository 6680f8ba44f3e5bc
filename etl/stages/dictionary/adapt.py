"""Stage `adapt-<stream>-<group>`: dictionary adaptation for a group of layers (paper 4.1, A.2).

    <stage>/sae/<regime>/layer_<L>/         SAELens folders
    <stage>/training.<regime>.<L>.npz       n_firings, decoder_norm, losses
    <stage>/training_curve.<n>.parquet      one file a regime

All regimes of a stream train from the same forward passes. A killed stage goes on from the last
state it kept, to the same bytes.
"""

from collections.abc import Iterator, Sequence
from math import exp, log
from pathlib import Path

import numpy as np
from rich.progress import Progress

from feature_atlas.dictionary.adapt import REGIME_ROLES, Lockstep, starting_point, train
from feature_atlas.dictionary.regime_trainer import Adaptation, TrainingPlan
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.config.run_config import stable_hash
from feature_atlas.etl.run_folder.artifacts import (
    Stage,
    StageOutput,
    read_arrays,
    require_stage,
    run_stage,
    stage_key,
)
from feature_atlas.etl.stages.dictionary.adapt_stream import STREAMS, ActivationStream
from feature_atlas.etl.stages.dictionary.adaptation_files import read_adapted, write_adaptation
from feature_atlas.etl.stages.dictionary.training_state import TrainingState
from feature_atlas.etl.study import Study, open_study
from feature_atlas.vlm.harvest import Tokens

NO_NULL = (
    "No null for rotation: the regime refit was not trained, because the configuration has no "
    "base_model. How far features turn from refitting alone is not known."
)


def trained_regimes(study: Study) -> list[str]:
    """The regimes of the run: the configured ones, without refit where no base model is given."""
    regimes = study.config.adapt.regimes
    has_null = study.config.base_model is not None
    return [regime for regime in regimes if has_null or regime != "refit"]


def adapt_parts(study: Study) -> list[tuple[str, int]]:
    """Stream and layer group of every stage of adaptation, in order."""
    trained = set(trained_regimes(study))
    streams = [stream for stream, regimes in STREAMS.items() if trained & set(regimes)]
    return [(stream, group) for stream in streams for group in range(len(_groups(study)))]


def adapt_stages(study: Study, *regimes: str) -> list[str]:
    """Stages that trained these regimes: what a stage that uses their dictionaries reads."""
    streams = dict.fromkeys(_stream_of(study, regime) for regime in regimes)
    return [_stage(stream, group) for stream in streams for group in range(len(_groups(study)))]


def adapted_sae(study: Study, regime: str, layer: int) -> Sae:
    """The dictionary that a finished adaptation left for one layer."""
    stage = _stage_of(study, regime, layer)
    key = require_stage(study.run, stage)["key"]
    folder = study.run / stage / "sae" / regime / f"layer_{layer}"
    return read_adapted(folder, key, study.config.device)


def training_facts(study: Study, regime: str, layer: int) -> dict[str, np.ndarray]:
    """Per feature: ``n_firings`` in training and ``decoder_norm`` after it (files have norm 1)."""
    stage = _stage_of(study, regime, layer)
    require_stage(study.run, stage)
    return read_arrays(study.run, stage, f"training.{regime}.{layer}")


def run_adapt(run: Path, stream: str, group: int) -> Stage:
    """Train a stream's regimes on one group of layers."""
    study = open_study(run)
    layers, regimes = _groups(study)[group], _regimes_of(study, stream)
    name, params = _stage(stream, group), _params(study, stream, layers, regimes)
    reads = [] if stream == "base-text" else ["samples"]
    state = TrainingState(run, name, stage_key(run, name, params, reads))
    done = run_stage(
        run,
        name,
        params=params,
        reads=reads,
        body=lambda output: _adapt(output, study, stream, layers, regimes, state),
    )
    state.remove()
    return done


def _adapt(
    output: StageOutput,
    study: Study,
    stream: str,
    layers: Sequence[int],
    regimes: Sequence[str],
    state: TrainingState,
) -> None:
    has_no_null = "refit" in study.config.adapt.regimes and study.config.base_model is None
    if has_no_null and stream == "prompts" and layers[0] == study.layers[0]:  # said once
        output.warn(NO_NULL)
    config, source = study.config.adapt, ActivationStream(study, stream, layers)
    held_out = source.judge([REGIME_ROLES[regime] for regime in regimes], config.n_held_out)
    at_once = config.regimes_at_once or len(regimes)
    for part, first in enumerate(range(0, len(regimes), at_once)):
        together = regimes[first : first + at_once]
        for regime, result in _train_together(source, together, held_out, state, part):
            write_adaptation(output, study, regime, result)


def _train_together(
    source: ActivationStream,
    regimes: Sequence[str],
    held_out: Tokens,
    state: TrainingState,
    part: int,
) -> Iterator[tuple[str, Adaptation]]:
    """Results of regimes that share their passes, one after another: each is a copy."""
    study, config = source.study, source.study.config.adapt
    starts = {regime: _starts(study, regime, source.layers) for regime in regimes}
    lockstep = Lockstep(starts, held_out, _plan(study, source.layers))
    _train(lockstep, source, state, part, config.checkpoint_every)
    if config.regimes_at_once is not None:  # done, while others may still be to come
        state.save(part, lockstep.state())
    for regime, trainer in lockstep.regimes.items():
        yield regime, trainer.result()


def _train(
    lockstep: Lockstep, source: ActivationStream, state: TrainingState, part: int, every: int
) -> None:
    """From the kept state, if there is one, to the end."""
    kept = state.load(part)
    if kept is not None:
        lockstep.restore(kept)
    n_total = len(lockstep.regimes) * lockstep.plan.n_steps
    with Progress() as display:
        bar = display.add_task(f"adapt: {', '.join(lockstep.regimes)}", total=n_total)
        n_kept = lockstep.n_steps

        def after_pass(now: Lockstep) -> None:
            nonlocal n_kept
            display.update(bar, completed=now.n_steps)
            if now.n_steps - n_kept >= every and not now.is_done:
                state.save(part, now.state())
                n_kept = now.n_steps

        train(lockstep, source.passes(lockstep.n_passes), after_pass)


def _starts(study: Study, regime: str, layers: Sequence[int]) -> dict[int, Sae]:
    return {
        layer: starting_point(regime, study.base[layer], _start_seed(study, layer))
        for layer in layers
    }


def _start_seed(study: Study, layer: int) -> int:
    """A seed that no other draw shares: small seeds are what base SAEs were started from."""
    return int(stable_hash(["random regime", study.config.seed, layer])[:8], 16)


def _plan(study: Study, layers: Sequence[int]) -> TrainingPlan:
    config = study.config.adapt
    return TrainingPlan(
        n_tokens=config.n_tokens,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        rate_factors=_rate_factors(study, layers),
        n_evaluations=config.n_evaluations,
        n_held_out=config.n_held_out,
        buffer_size=config.buffer_size,
        seed=study.config.seed,
        device=study.config.device,
        thresholds=config.thresholds,
    )


def _rate_factors(study: Study, layers: Sequence[int]) -> dict[int, float]:
    """s over its geometric mean over all layers of the run, or nothing."""
    if study.config.adapt.learning_rate_scaling == "none":
        return {}
    scales = {layer: study.base.kept[layer].scale for layer in study.layers}
    mean = exp(sum(log(scale) for scale in scales.values()) / len(scales))
    return {layer: scales[layer] / mean for layer in layers}


def _params(
    study: Study, stream: str, layers: Sequence[int], regimes: Sequence[str]
) -> dict[str, object]:
    """What decides the numbers, and so the stage's key."""
    memory_only = {"regimes", "checkpoint_every", "regimes_at_once"}
    return {
        **study.config.adapt.model_dump(exclude=memory_only),
        "stream": stream,
        "regimes": list(regimes),
        "layers": list(layers),
        "seed": study.config.seed,
    }


def _groups(study: Study) -> list[list[int]]:
    """Layers that train together from one forward pass."""
    size = study.config.adapt.layers_per_group
    return [study.layers[i : i + size] for i in range(0, len(study.layers), size)]


def _stage(stream: str, group: int) -> str:
    return f"adapt-{stream}-{group}"


def _regimes_of(study: Study, stream: str) -> list[str]:
    return [regime for regime in trained_regimes(study) if regime in STREAMS[stream]]


def _stream_of(study: Study, regime: str) -> str:
    if regime not in trained_regimes(study):
        raise ValueError(
            f"regime {regime!r} is not trained in {study.run.name}; expected one of "
            f"{', '.join(trained_regimes(study))} (adapt.regimes; refit needs base_model)."
        )
    return next(stream for stream, regimes in STREAMS.items() if regime in regimes)


def _stage_of(study: Study, regime: str, layer: int) -> str:
    for group, layers in enumerate(_groups(study)):
        if layer in layers:
            return _stage(_stream_of(study, regime), group)
    raise ValueError(f"layer {layer} is not studied; expected one of {study.layers}.")
