"""Stage `adapt-<stream>`: dictionary adaptation in the regimes of one stream (paper 4.1, A.2).

    <stage>/sae/<regime>/layer_<L>/         SAELens folders, of the regimes that are read later
    <stage>/training.<regime>.<L>.npz       n_firings, losses, norms, how far each feature turned
    <stage>/training.<regime>.seed_<n>.<L>.npz      the same, trained in another order of the data
    <stage>/training_curve.<n>.parquet      one file a regime

Each dictionary trains by itself, from residuals that a pass has left on disk (`residual_pass`): one
layer and one regime at a time, without the model. It is a shard. A killed stage goes on with the
dictionary that it was at, to the same bytes.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.run_folder.artifacts import (
    Stage,
    StageOutput,
    read_arrays,
    require_stage,
    run_stage,
    stage_key,
)
from feature_atlas.etl.stages.dictionary.adapt_stream import (
    REPEATED,
    STREAMS,
    ActivationStream,
)
from feature_atlas.etl.stages.dictionary.adaptation_files import (
    gather_adaptation,
    is_kept,
    keep_facts,
    read_adapted,
)
from feature_atlas.etl.stages.dictionary.residual_pass import CachedResiduals
from feature_atlas.etl.stages.dictionary.train_dictionary import Trained, train_dictionary
from feature_atlas.etl.stages.dictionary.unfinished import Unfinished
from feature_atlas.etl.study import Study, open_study

NO_NULL = (
    "No null for rotation: the regime refit was not trained, because the configuration has no "
    "base_model. How far features turn from refitting alone is not known."
)
MEMORY_ONLY = {"regimes", "seeds", "keep", "scratch_gb", "checkpoint_minutes"}
"""Settings that do not change a dictionary; which regimes a stage trains is beside them, in which
orders too."""


def trained_regimes(study: Study) -> list[str]:
    """The regimes of the run: the configured ones, without refit where no base model is given, and
    without frozen_random, of which nothing trains."""
    lacking = {"frozen_random"} if study.config.base_model else {"frozen_random", "refit"}
    return [regime for regime in study.config.adapt.regimes if regime not in lacking]


def adapt_streams(study: Study) -> list[str]:
    """The streams that some regime needs: a stage each, in this order."""
    trained = set(trained_regimes(study))
    return [stream for stream, regimes in STREAMS.items() if trained & set(regimes)]


def adapt_stages(study: Study, *regimes: str) -> list[str]:
    """Stages that trained these regimes: what a stage that uses their dictionaries reads."""
    return list(dict.fromkeys(_stage_of(study, regime) for regime in regimes))


def adapted_sae(study: Study, regime: str, layer: int) -> Sae:
    """The dictionary that a finished adaptation left for one layer."""
    stage = _stage_of(study, regime)
    _require_studied(study, layer)
    key = require_stage(study.run, stage)["key"]
    folder = study.run / stage / "sae" / regime / f"layer_{layer}"
    if not folder.is_dir() and not is_kept(study, regime):
        raise FileNotFoundError(
            f"the dictionaries of the regime {regime} were not kept in {study.run.name}: set "
            "adapt.keep to all, and build again in another folder."
        )
    return read_adapted(study, folder, key)


def training_facts(
    study: Study, regime: str, layer: int, seed_no: int = 0
) -> dict[str, np.ndarray]:
    """Per feature: ``n_firings`` in training, ``decoder_norm`` after it (files have norm 1), and
    how far its directions turned (`adaptation_files.turned`). Of an order of `adapt.seeds`."""
    stage = _stage_of(study, regime)
    _require_studied(study, layer)
    require_stage(study.run, stage)
    return read_arrays(study.run, stage, f"training.{Trained(regime, seed_no).name(layer)}")


class Part(NamedTuple):
    """A shard: one dictionary."""

    stream: str
    layer: int
    trained: Trained


def run_adapt(run: Path, stream: str) -> Stage:
    """Train a stream's regimes, layer by layer."""
    study = open_study(run)
    unfinished = _unfinished(study, stream)
    done = run_stage(
        run,
        _stage(stream),
        params=_params(study, stream),
        reads=_reads(stream),
        body=lambda output: _adapt(output, study, stream, unfinished),
    )
    unfinished.remove()
    return done


def _adapt(output: StageOutput, study: Study, stream: str, unfinished: Unfinished) -> None:
    has_no_null = "refit" in study.config.adapt.regimes and study.config.base_model is None
    if has_no_null and stream == "prompts":
        output.warn(NO_NULL)
    unfinished.open()
    trainings = _trainings(study, stream)

    def is_finished(layer: int) -> bool:
        return all(unfinished.finished(trained.name(layer)) for trained in trainings)

    left = [layer for layer in study.layers if not is_finished(layer)]
    residuals = CachedResiduals(ActivationStream(study, stream), unfinished.residuals, left)
    while left:
        layers = residuals.together(left[0])
        parts = [Part(stream, layer, trained) for layer in layers for trained in trainings]
        for part, _ in zip(parts, output.in_shards(train, parts, f"-{layers[0]}"), strict=True):
            if part.trained == trainings[-1]:
                residuals.drop(part.layer)
        left = [layer for layer in left if layer not in layers]
    study.forget_dictionaries()
    for trained in trainings:
        found = {layer: unfinished.finished(trained.name(layer)) for layer in study.layers}
        folders = {layer: folder for layer, folder in found.items() if folder is not None}
        if trained.seed_no == 0:
            gather_adaptation(output, trained.regime, folders)
        else:
            for layer, folder in folders.items():
                keep_facts(output, trained.name(layer), folder)


def train(run: Path, part: Part) -> None:
    """Train a dictionary from residuals that are there, unless it is finished."""
    study, (stream, layer, trained) = open_study(run), part
    trained = Trained(*trained)
    unfinished, source = _unfinished(study, stream), ActivationStream(study, stream)
    if unfinished.finished(trained.name(layer)) is None:
        stored = CachedResiduals(source, unfinished.residuals, [layer]).find(layer)
        if stored is None:
            raise FileNotFoundError(f"no residuals of layer {layer} in {unfinished.residuals}.")
        train_dictionary(source, stored, trained, unfinished)


def _unfinished(study: Study, stream: str) -> Unfinished:
    name = _stage(stream)
    key = stage_key(study.run, name, _params(study, stream), _reads(stream))
    return Unfinished(study.run, name, key)


def _reads(stream: str) -> list[str]:
    return [] if stream == "base-text" else ["samples"]


def _params(study: Study, stream: str) -> dict[str, object]:
    """What decides the numbers, and so the stage's key."""
    trainings = _trainings(study, stream)
    n_orders = 1 + max(trained.seed_no for trained in trainings)
    return {
        **study.config.adapt.model_dump(exclude=MEMORY_ONLY),
        "stream": stream,
        "trainings": [list(trained) for trained in trainings],
        "order_seeds": list(study.config.order_seeds[:n_orders]),
        "layers": study.layers,
        "seed": study.config.seed,
    }


def _stage(stream: str) -> str:
    return f"adapt-{stream}"


def _trainings(study: Study, stream: str) -> list[Trained]:
    """Of a stream, for each layer: every regime, and again in other orders what is repeated."""
    regimes = [regime for regime in trained_regimes(study) if regime in STREAMS[stream]]
    again = range(1, len(study.config.adapt.seeds))
    return [Trained(regime) for regime in regimes] + [
        Trained(regime, seed_no) for seed_no in again for regime in regimes if regime in REPEATED
    ]


def _stage_of(study: Study, regime: str) -> str:
    if regime not in trained_regimes(study):
        raise ValueError(
            f"regime {regime!r} is not trained in {study.run.name}; expected one of "
            f"{', '.join(trained_regimes(study))} (adapt.regimes; refit needs base_model)."
        )
    return _stage(next(stream for stream, regimes in STREAMS.items() if regime in regimes))


def _require_studied(study: Study, layer: int) -> None:
    if layer not in study.layers:
        raise ValueError(f"layer {layer} is not studied; expected one of {study.layers}.")
