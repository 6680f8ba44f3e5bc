"""Stage `decoder_cosine`: how far each feature turned, in every regime (paper 4.2, A.1).

Where the run has the `refit` regime, each turn is also set against what refitting alone explains.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.dictionary.adapt import (
    adapt_stages,
    trained_regimes,
    training_facts,
)
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.excess_rotation import Rotation, excess_rotation

Columns = dict[str, Any]

NULL = "refit"
"""The regime that says how far features turn for no reason but training."""
TURNED = ("cosine", "encoder_cosine", "base_norm", "best_base_feature", "best_base_cosine")
"""What the adaptation found when it ended: not every regime's dictionaries are kept."""
ANEW = "random"
"""The regime that did not start from the base: nothing of it turned, so nothing is tested."""


def run_decoder_cosine(run: Path) -> Stage:
    """One row per regime, layer and feature."""
    study = open_study(run)
    regimes = trained_regimes(study)
    return run_stage(
        run,
        "decoder_cosine",
        params={"regimes": list(regimes)},
        reads=adapt_stages(study, *regimes),
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    """The null first, then every other regime beside it; one regime in memory at a time."""
    null = None
    for regime in sorted(trained_regimes(study), key=lambda regime: regime != NULL):
        layers = [_columns(study, regime, layer) for layer in study.layers]
        if regime == NULL:
            null = _rotation(layers)
        if null is None or regime in (NULL, ANEW):
            tests = [_untested(len(columns["cosine"])) for columns in layers]
        else:
            tests = _tests(_rotation(layers), null)
        for columns, test in zip(layers, tests, strict=True):
            output.table("decoder_cosine", columns | test)


def _rotation(layers: list[Columns]) -> Rotation:
    """Cosines and firings as [layer, d_sae]."""
    return Rotation(*(np.stack([columns[name] for columns in layers]) for name in Rotation._fields))


def _tests(turned: Rotation, null: Rotation) -> list[Columns]:
    """The columns of each layer that compare it with the null."""
    return [
        {
            "null_cosine": null_cosine,
            "excess_rotation": excess,
            "rotation_p_value": p_value,
            "rotation_q_value": q_value,
        }
        for null_cosine, excess, p_value, q_value in zip(
            *excess_rotation(turned, null), strict=True
        )
    ]


def _untested(n: int) -> Columns:
    """The same columns without values, so that all files of the table have all of them."""
    single, double = pa.nulls(n, pa.float32()), pa.nulls(n, pa.float64())
    return {
        "null_cosine": single,
        "excess_rotation": single,
        "rotation_p_value": double,
        "rotation_q_value": double,
    }


def _columns(study: Study, regime: str, layer: int) -> Columns:
    trained = training_facts(study, regime, layer)
    n = len(trained["n_firings"])
    return {
        "regime": [regime] * n,
        "layer": np.full(n, layer, np.int16),
        "feature": np.arange(n, dtype=np.int32),
        **{name: trained[name] for name in TURNED},
        "adapted_norm": trained["decoder_norm"],
        "n_firings": trained["n_firings"].astype(np.int64),
    }
