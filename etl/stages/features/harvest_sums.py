"""What the harvest gathers about each layer, and its files: `<kind>.<layer>.npz` in its folder.

A pass gathers only what its questions and their condition can tell; what several gathered is put
together, and added up where they gathered the same.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from feature_atlas.etl.run_folder.artifacts import StageOutput, read_arrays
from feature_atlas.etl.stages.dictionary.encoders import Encoded
from feature_atlas.etl.stages.features.shift_counts import ShiftCounts, empty_counts
from feature_atlas.etl.stages.features.skills import BASE, STATEMENTS
from feature_atlas.etl.study import Study
from feature_atlas.features.activation_histogram import ActivationCounts
from feature_atlas.features.example import TopExamples
from feature_atlas.features.example_spread import SpreadExamples
from feature_atlas.features.role_energy import NormSums
from feature_atlas.features.visual_energy import EnergyReplicates, EnergySums

SOURCES = {"vqav2": BASE, "vsr": STATEMENTS}
"""Splits that examples come from, by their kind."""


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


class LayerCounts(NamedTuple):
    """Whole numbers of one layer; large, and read by one stage."""

    strength: dict[str, ActivationCounts]
    """Under condition real."""


class LayerHarvest(NamedTuple):
    """Everything that one pass gathers about one layer."""

    sums: LayerSums
    draws: LayerDraws
    counts: LayerCounts
    shift: ShiftCounts
    """How often features fire on a skill's questions and on others."""


class Gathered(NamedTuple):
    """What was gathered of some layers, in main memory."""

    layers: dict[int, LayerHarvest]
    """By layer."""
    encoded: dict[int, Encoded]
    """How the layer's tokens were encoded."""


def empty_sums(study: Study, d_sae: int, split: str, condition: str) -> LayerHarvest:
    """Of one layer, before the first batch of a split's questions under a condition."""
    config, device = study.config, study.config.device
    energies, conditions, draws = _named(split, condition)
    sources = [name for name, of in SOURCES.items() if of == split and condition == "real"]
    m, n_drawn, n_replicates = (
        *(config.example.n_per_source, config.example.n_reservoir),
        config.harvest.n_bootstrap,
    )
    return LayerHarvest(
        LayerSums(
            {name: EnergySums.empty(d_sae, device) for name in energies},
            {name: TopExamples.empty(d_sae, m, device) for name in sources},
            {name: NormSums.empty(device) for name in conditions},
        ),
        LayerDraws(
            {name: EnergyReplicates.empty(n_replicates, d_sae, device) for name in draws},
            {name: SpreadExamples.empty(d_sae, n_drawn, device) for name in sources},
        ),
        LayerCounts(
            {name: ActivationCounts.empty(d_sae, device) for name in energies if name == "real"}
        ),
        empty_counts(study, d_sae, split) if condition == "real" else ShiftCounts({}, {}),
    )


def _named(split: str, condition: str) -> tuple[list[str], list[str], list[str]]:
    """Names of the energies, norms and replicates that a pass gathers."""
    if split != BASE:
        return [], [], []
    if condition == "real":  # the control questions are among them
        return ["real", "control"], ["real"], ["control"]
    return [condition], [condition], [condition]


def merged(one: Gathered, other: Gathered) -> Gathered:
    """Both together; the first is changed."""
    for layer, theirs in other.layers.items():
        for kinds, their_kinds in zip(one.layers[layer], theirs, strict=True):
            for mine, sums in zip(kinds, their_kinds, strict=True):
                _add(mine, sums)
        one.encoded[layer] = one.encoded[layer].plus(other.encoded[layer])
    return one


def _add(mine: Any, theirs: Any) -> None:
    """Sums by name."""
    for name, sums in theirs.items():
        if name in mine:
            mine[name].merge(sums)
        else:
            mine[name] = sums


def in_main_memory(of_layer: LayerHarvest) -> LayerHarvest:
    """The same, on the CPU."""
    return pytree.tree_map(Tensor.cpu, of_layer)


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


def read_strengths(study: Study, layer: int) -> ActivationCounts:
    """How strongly the features of a finished pass fired."""
    stored = read_arrays(study.run, "harvest", f"counts.{layer}")
    ((_, parts),) = _stored(stored, "strength", ActivationCounts._fields)
    return ActivationCounts(*parts)


def _stored(
    stored: dict[str, np.ndarray], kind: str, fields: tuple[str, ...]
) -> Iterator[tuple[str, list[Tensor]]]:
    """Name and tensors of everything of one kind, as `write_sums` keeps them."""
    for name in sorted({key.split("/")[1] for key in stored if key.startswith(f"{kind}/")}):
        yield name, [torch.from_numpy(stored[f"{kind}/{name}/{field}"]) for field in fields]
