"""Stage `adapt-<stream>`: dictionary adaptation in the regimes of one stream (paper 4.1, A.2).

    <stage>/sae/<regime>/layer_<L>/         SAELens folders, of the regimes that are read later
    <stage>/training.<regime>.<L>.npz       n_firings, losses, norms, how far each feature turned
    <stage>/training_curve.<n>.parquet      one file a regime

Each dictionary trains by itself, from residuals that a pass has left on disk (`residual_pass`): one
layer and one regime at a time, without the model. A killed stage goes on with the dictionary that
it was at, to the same bytes.
"""

from pathlib import Path

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
from feature_atlas.etl.stages.dictionary.adapt_stream import STREAMS, ActivationStream
from feature_atlas.etl.stages.dictionary.adaptation_files import (
    gather_adaptation,
    is_kept,
    read_adapted,
)
from feature_atlas.etl.stages.dictionary.residual_pass import CachedResiduals
from feature_atlas.etl.stages.dictionary.train_dictionary import dictionary_name, train_dictionary
from feature_atlas.etl.stages.dictionary.unfinished import Unfinished
from feature_atlas.etl.study import Study, open_study

NO_NULL = (
    "No null for rotation: the regime refit was not trained, because the configuration has no "
    "base_model. How far features turn from refitting alone is not known."
)
MEMORY_ONLY = {"regimes", "keep", "scratch_gb", "checkpoint_minutes"}
"""Settings that do not change a dictionary; which regimes a stage trains is beside them."""


def trained_regimes(study: Study) -> list[str]:
    """The regimes of the run: the configured ones, without refit where no base model is given."""
    regimes = study.config.adapt.regimes
    has_null = study.config.base_model is not None
    return [regime for regime in regimes if has_null or regime != "refit"]


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
    return read_adapted(folder, key, study.config.device)


def training_facts(study: Study, regime: str, layer: int) -> dict[str, np.ndarray]:
    """Per feature: ``n_firings`` in training, ``decoder_norm`` after it (files have norm 1), and
    how far its directions turned (`adaptation_files.turned`)."""
    stage = _stage_of(study, regime)
    _require_studied(study, layer)
    require_stage(study.run, stage)
    return read_arrays(study.run, stage, f"training.{regime}.{layer}")


def run_adapt(run: Path, stream: str) -> Stage:
    """Train a stream's regimes, layer by layer."""
    study = open_study(run)
    name, params = _stage(stream), _params(study, stream)
    reads = [] if stream == "base-text" else ["samples"]
    unfinished = Unfinished(run, name, stage_key(run, name, params, reads))
    done = run_stage(
        run,
        name,
        params=params,
        reads=reads,
        body=lambda output: _adapt(output, study, stream, unfinished),
    )
    unfinished.remove()
    return done


def _adapt(output: StageOutput, study: Study, stream: str, unfinished: Unfinished) -> None:
    has_no_null = "refit" in study.config.adapt.regimes and study.config.base_model is None
    if has_no_null and stream == "prompts":
        output.warn(NO_NULL)
    unfinished.open()
    source, regimes = ActivationStream(study, stream), _regimes_of(study, stream)
    left = [
        (layer, regime)
        for layer in study.layers
        for regime in regimes
        if unfinished.finished(dictionary_name(regime, layer)) is None
    ]
    layers = list(dict.fromkeys(layer for layer, _ in left))
    residuals = CachedResiduals(source, unfinished.residuals, layers)
    for layer in layers:
        stored = residuals.of(layer)
        for regime in (regime for i, regime in left if i == layer):
            train_dictionary(source, stored, regime, unfinished)
        residuals.drop(layer)
    for regime in regimes:
        folders = {i: unfinished.finished(dictionary_name(regime, i)) for i in study.layers}
        gather_adaptation(output, regime, {i: f for i, f in folders.items() if f is not None})


def _params(study: Study, stream: str) -> dict[str, object]:
    """What decides the numbers, and so the stage's key."""
    return {
        **study.config.adapt.model_dump(exclude=MEMORY_ONLY),
        "stream": stream,
        "regimes": _regimes_of(study, stream),
        "layers": study.layers,
        "seed": study.config.seed,
    }


def _stage(stream: str) -> str:
    return f"adapt-{stream}"


def _regimes_of(study: Study, stream: str) -> list[str]:
    return [regime for regime in trained_regimes(study) if regime in STREAMS[stream]]


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
