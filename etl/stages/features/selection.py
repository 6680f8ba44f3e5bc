"""Stage `selection`: the adapted set (paper 4.2, A.3), and what of it vision turned."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from feature_atlas.etl.config.features import SelectionConfig
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, read_table, run_stage
from feature_atlas.etl.stages.dictionary.adapt import trained_regimes
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.excess_rotation import Rotation, turned_further
from feature_atlas.features.selection import adapted_set, beyond_null, cosine_rank, turned_by_vision


def run_selection(run: Path) -> Stage:
    """Features that see and that turned, by the configured thresholds and beside the controls."""
    study = open_study(run)
    config = study.config.selection
    return run_stage(
        run,
        "selection",
        params=config.model_dump(
            include={
                *("epsilon", "cosine_quantile", "max_rotation_q"),
                *("min_excess_rotation", "language_confidence"),
            }
        ),
        reads=["decoder_cosine", "visual_energy"],
        body=lambda output: _write(output, study),
    )


def by_layer(study: Study, stage: str, table: str, column: str, **only: str) -> np.ndarray:
    """One column of a dense table as [layer, d_sae]; rows were written in that order."""
    rows = read_table(study.run, stage, table, [column, *only])
    for name, value in only.items():
        rows = rows.filter(pc.equal(rows[name], value))
    return rows[column].to_numpy().reshape(len(study.layers), -1)


def is_adapted(study: Study) -> np.ndarray:
    """The adapted set as [layer, d_sae], from the finished stage."""
    return by_layer(study, "selection", "selection", "is_adapted")


def adapted_by(config: SelectionConfig, cosine: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """The adapted set by the run's thresholds."""
    return adapted_set(
        cosine, energy, epsilon=config.epsilon, cosine_quantile=config.cosine_quantile
    )


def beyond_null_by(config: SelectionConfig, excess: np.ndarray, q_value: np.ndarray) -> np.ndarray:
    """What refitting does not explain, by the run's thresholds."""
    return beyond_null(
        excess, q_value, max_q=config.max_rotation_q, min_excess=config.min_excess_rotation
    )


def beyond_language_by(
    config: SelectionConfig, text: Rotation, language: Rotation, refit: Rotation
) -> np.ndarray:
    """What the questions alone do not explain, with the run's confidence."""
    return turned_further(text, language, refit, confidence=config.language_confidence)


def _write(output: StageOutput, study: Study) -> None:
    cosine = by_layer(study, "decoder_cosine", "decoder_cosine", "cosine", regime="text")
    energy = by_layer(study, "visual_energy", "visual_energy", "energy_question")
    adapted = adapted_by(study.config.selection, cosine, energy)
    n_layers, d_sae = cosine.shape
    columns = {
        "layer": np.repeat(np.array(study.layers, np.int16), d_sae),
        "feature": np.tile(np.arange(d_sae, dtype=np.int32), n_layers),
        "is_adapted": adapted.ravel(),
        "cosine_rank": cosine_rank(cosine).ravel(),
    }
    for name, values in _beside_controls(study, adapted).items():
        columns[name] = values.ravel()
    output.table("selection", columns)


def _beside_controls(study: Study, adapted: np.ndarray) -> dict[str, np.ndarray]:
    """What the controls leave of each feature's turn, [layer, d_sae]; nothing without a control."""
    config, regimes = study.config.selection, trained_regimes(study)
    if "refit" not in regimes:
        return {}
    is_beyond_null = beyond_null_by(
        config,
        *(
            by_layer(study, "decoder_cosine", "decoder_cosine", column, regime="text")
            for column in ("excess_rotation", "rotation_q_value")
        ),
    )
    if "language" not in regimes:
        return {"is_beyond_null": is_beyond_null}
    beyond_language = beyond_language_by(
        config, *(_rotation(study, regime) for regime in ("text", "language", "refit"))
    )
    return {
        "is_beyond_null": is_beyond_null,
        "is_beyond_language": beyond_language,
        "is_turned_by_vision": turned_by_vision(adapted, is_beyond_null, beyond_language),
    }


def _rotation(study: Study, regime: str) -> Rotation:
    return Rotation(
        *(
            by_layer(study, "decoder_cosine", "decoder_cosine", column, regime=regime)
            for column in Rotation._fields
        )
    )
