"""Stage `visual_energy`: which features are active, and because of the image (4.2, A.4).

Energies with the image are those of all base questions. What an image adds is asked of the control
questions alone, which ran with their own image, the mean image and none.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from torch import Tensor

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.features.harvest_sums import (
    LayerDraws,
    LayerSums,
    read_draws,
    read_sums,
)
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.role_energy import SINK_FACTOR, RoleEnergy, median_norm, role_energy
from feature_atlas.features.visual_energy import (
    ALL_TOKENS,
    EnergySums,
    firing_rate,
    mean_energy,
    mean_when_firing,
    modality_preference,
    preference_interval,
)
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

PARTS = {
    "image": Role.IMAGE,
    "question_only": Role.QUESTION,
    "suffix": Role.SUFFIX,
    "header": Role.HEADER,
}
"""Roles with columns of their own under every condition, by their name there."""
CONDITIONS = {"real": "", "mean": "_mean_image", "none": "_no_image"}
"""End of a column's name, by condition."""
WARN_SHARE = 0.1
"""Sinks that carry more than this of a role's energy are reported with the run."""


def run_visual_energy(run: Path) -> Stage:
    """One row per layer and feature, and one per layer, condition and role."""
    study = open_study(run)
    return run_stage(
        run,
        "visual_energy",
        params={"sink_factor": SINK_FACTOR, "warn_share": WARN_SHARE},
        reads=["harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    for layer in study.layers:
        sums = read_sums(study, layer)
        output.table("visual_energy", _columns(layer, sums, read_draws(study, layer)))
        sink_norm = SINK_FACTOR * median_norm(sums.norms["real"])
        for condition, norms in sums.norms.items():
            energies = role_energy(norms, sink_norm)
            seen = [role for role in Role if role >= 0 and energies.n_tokens[role] > 0]
            output.table("role_energy", _role_rows(layer, condition, sink_norm, energies, seen))
            _warn_of_sinks(output, layer, condition, energies)


def _columns(layer: int, sums: LayerSums, draws: LayerDraws) -> dict[str, object]:
    columns = {**_text(sums), **_parts(sums), **_preferences(sums, draws)}
    n = len(columns["energy_question"])
    return {
        "layer": np.full(n, layer, np.int16),
        "feature": np.arange(n, dtype=np.int32),
        **{name: tensor.numpy() for name, tensor in columns.items()},
        "mean_activation": _missing_if_nan(mean_when_firing(sums.energy["real"], TEXT_ROLES)),
    }


def _missing_if_nan(values: Tensor) -> pa.Array:
    """A mean over nothing is not a number, and not measured."""
    return pa.array(values.numpy(), from_pandas=True)


def _text(sums: LayerSums) -> dict[str, Tensor]:
    """The sample-dependent text under every condition, and what surrounds it."""
    real, text = sums.energy["real"], list(TEXT_ROLES)
    columns = {
        "energy_all_tokens": mean_energy(real, ALL_TOKENS),
        "firing_rate": firing_rate(real, TEXT_ROLES),
        "max_activation": real.largest[text].amax(0),
    }
    for condition, end in {**CONDITIONS, "control": "_control"}.items():
        energy = sums.energy[condition]
        columns[f"energy_question{end}"] = mean_energy(energy, TEXT_ROLES)
        columns[f"fired_question{end}"] = energy.fired[text].sum(0)
    return columns


def _parts(sums: LayerSums) -> dict[str, Tensor]:
    """Each role that was there, under each condition; a prompt may have no suffix or no image.

    The prefix is the same with every image; some templates write none.
    """
    columns, real = {}, sums.energy["real"]
    if real.tokens[Role.PREFIX] > 0:
        columns["energy_prefix"] = mean_energy(real, (Role.PREFIX,))
        columns["fired_prefix"] = real.fired[Role.PREFIX]
    for condition, end in CONDITIONS.items():
        energy: EnergySums = sums.energy[condition]
        for part, role in PARTS.items():
            if energy.tokens[role] > 0:
                columns[f"energy_{part}{end}"] = mean_energy(energy, (role,))
                columns[f"fired_{part}{end}"] = energy.fired[role]
    return columns


def _preferences(sums: LayerSums, draws: LayerDraws) -> dict[str, Tensor]:
    """What the image adds to the energy of the same questions, with 95 % intervals."""
    columns = {}
    with_image = mean_energy(sums.energy["control"], TEXT_ROLES)
    for name, condition in (("modality_preference", "none"), ("mean_image_preference", "mean")):
        without = mean_energy(sums.energy[condition], TEXT_ROLES)
        columns[name] = modality_preference(with_image, without)
        interval = preference_interval(draws.replicates["control"], draws.replicates[condition])
        columns[f"{name}_low"], columns[f"{name}_high"] = interval
    return columns


def _role_rows(
    layer: int, condition: str, sink_norm: float, energies: RoleEnergy, seen: Sequence[Role]
) -> dict[str, object]:
    """Rows of the roles that were seen."""
    n, columns = len(seen), {k: c[list(seen)] for k, c in energies._asdict().items()}
    return {
        "layer": np.full(n, layer, np.int16),
        "condition": [condition] * n,
        "role": [role.name.lower() for role in seen],
        "sink_norm": np.full(n, sink_norm),
        **{name: column.numpy() for name, column in columns.items()},
        "energy_without_sinks": _missing_if_nan(columns["energy_without_sinks"]),
    }


def _warn_of_sinks(output: StageOutput, layer: int, condition: str, energies: RoleEnergy) -> None:
    for role in (Role.IMAGE, Role.QUESTION):
        share = float(energies.sink_share[role])
        if share > WARN_SHARE:
            output.warn(
                f"layer {layer}, {condition} image: {int(energies.n_sinks[role])} of "
                f"{int(energies.n_tokens[role])} {role.name.lower()} tokens are sinks (residual "
                f"above {SINK_FACTOR:g} medians) and carry {share:.0%} of the energy: see "
                "role_energy for the energy without them."
            )
