"""What the harvest gathers about each layer, and its files: `<kind>.<layer>.npz` in its folder."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from feature_atlas.etl.run_folder.artifacts import StageOutput, read_arrays
from feature_atlas.etl.stages.features.shift_counts import ShiftCounts, empty_counts
from feature_atlas.etl.stages.features.skills import SPLITS as SOURCES
from feature_atlas.etl.study import Study
from feature_atlas.features.example import TopExamples
from feature_atlas.features.example_spread import SpreadExamples
from feature_atlas.features.role_energy import NormSums
from feature_atlas.features.visual_energy import EnergyReplicates, EnergySums


class LayerSums(NamedTuple):
    """Sums of one layer, by what they are of."""

    energy: dict[str, EnergySums]
    """By condition: real; control (the control questions, real); mean (image), none."""
    examples: dict[str, TopExamples]
    """By source: vqav2, vsr."""
    norms: dict[str, NormSums]
    """By condition: real, mean (image), none."""


class LayerDraws(NamedTuple):
    """What one pass draws of one layer; large, and read by one stage each."""

    replicates: dict[str, EnergyReplicates]
    """Of the control questions, by condition: control (real), mean (image), none."""
    spread: dict[str, SpreadExamples]
    """By source: vqav2, vsr."""


class LayerHarvest(NamedTuple):
    """Everything that one pass gathers about one layer."""

    sums: LayerSums
    draws: LayerDraws
    shift: ShiftCounts
    """How often features fire on a skill's questions and on others."""


def empty_sums(study: Study, d_sae: int) -> LayerHarvest:
    """Of one layer, before the first batch."""
    config, device = study.config, study.config.device
    m, n_drawn = config.example.n_per_source, config.example.n_reservoir
    return LayerHarvest(
        LayerSums(
            {name: EnergySums.empty(d_sae, device) for name in ("real", "control", "mean", "none")},
            {name: TopExamples.empty(d_sae, m, device) for name in SOURCES},
            {name: NormSums.empty(device) for name in ("real", "mean", "none")},
        ),
        LayerDraws(
            {
                name: EnergyReplicates.empty(config.harvest.n_bootstrap, d_sae, device)
                for name in ("control", "mean", "none")
            },
            {name: SpreadExamples.empty(d_sae, n_drawn, device) for name in SOURCES},
        ),
        empty_counts(study, d_sae),
    )


def write_sums(output: StageOutput, gathered: dict[int, LayerHarvest]) -> None:
    """One file of each kind per layer."""
    for layer, of_layer in gathered.items():
        for file, kinds in of_layer._asdict().items():
            arrays: dict[str, np.ndarray] = {}
            for kind, group in kinds._asdict().items():
                for name, held in group.items():
                    for field, tensor in held._asdict().items():
                        arrays[f"{kind}/{name}/{field}"] = tensor.cpu().numpy()
            output.arrays(f"{file}.{layer}", **arrays)


@lru_cache(maxsize=2)
def read_sums(study: Study, layer: int) -> LayerSums:
    """The sums of a finished pass; asked for feature by feature, so a layer's file is read once."""
    stored = read_arrays(study.run, "harvest", f"sums.{layer}")
    return LayerSums(
        {n: EnergySums(*parts) for n, parts in _stored(stored, "energy", EnergySums._fields)},
        {n: TopExamples(*parts) for n, parts in _stored(stored, "examples", TopExamples._fields)},
        {n: NormSums(*parts) for n, parts in _stored(stored, "norms", NormSums._fields)},
    )


def read_draws(study: Study, layer: int) -> LayerDraws:
    """The draws of a finished pass."""
    stored = read_arrays(study.run, "harvest", f"draws.{layer}")
    replicates = _stored(stored, "replicates", EnergyReplicates._fields)
    spread = _stored(stored, "spread", SpreadExamples._fields)
    return LayerDraws(
        {name: EnergyReplicates(*parts) for name, parts in replicates},
        {name: SpreadExamples(*parts) for name, parts in spread},
    )


def _stored(
    stored: dict[str, np.ndarray], kind: str, fields: tuple[str, ...]
) -> Iterator[tuple[str, list[Tensor]]]:
    """Name and tensors of everything of one kind, as `write_sums` keeps them."""
    for name in sorted({key.split("/")[1] for key in stored if key.startswith(f"{kind}/")}):
        yield name, [torch.from_numpy(stored[f"{kind}/{name}/{field}"]) for field in fields]
