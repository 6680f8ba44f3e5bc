"""Stage `visual_energy`: which features are active, and because of the image (4.2, A.4)."""

from pathlib import Path

import numpy as np

from feature_atlas.etl.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.harvest import LayerSums, read_sums
from feature_atlas.etl.study import Study, open_study
from feature_atlas.visual_energy import firing_rate, mean_energy, modality_preference
from feature_atlas.vlm import TEXT_ROLES, Role


def run_visual_energy(run: Path) -> Stage:
    """One row per layer and feature."""
    study = open_study(run)
    return run_stage(
        run, "visual_energy", params={}, reads=["harvest"], body=lambda out: _write(out, study)
    )


def _write(output: StageOutput, study: Study) -> None:
    for layer in study.layers:
        output.table("visual_energy", _columns(layer, read_sums(study, layer)))


def _columns(layer: int, sums: LayerSums) -> dict[str, np.ndarray]:
    real, mean, none = (sums.energy[condition] for condition in ("real", "mean", "none"))
    with_image, without = mean_energy(real, TEXT_ROLES), mean_energy(none, TEXT_ROLES)
    text = list(TEXT_ROLES)
    columns = {
        "energy_image": mean_energy(real, (Role.IMAGE,)),
        "energy_question": with_image,
        "energy_question_mean_image": mean_energy(mean, TEXT_ROLES),
        "energy_question_no_image": without,
        "energy_prefix": mean_energy(real, (Role.PREFIX,)),
        "fired_image": real.fired[Role.IMAGE],
        "fired_question": real.fired[text].sum(0),
        "fired_question_mean_image": mean.fired[text].sum(0),
        "fired_question_no_image": none.fired[text].sum(0),
        "modality_preference": modality_preference(with_image, without),
        "firing_rate": firing_rate(real, TEXT_ROLES),
    }
    n = len(with_image)
    return {
        "layer": np.full(n, layer, np.int16),
        "feature": np.arange(n, dtype=np.int32),
        **{name: tensor.numpy() for name, tensor in columns.items()},
    }
