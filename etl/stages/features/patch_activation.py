"""Stage `patch_activation`: where in the pictures of its examples a feature fires (paper 5.1).

A second pass over the samples that adapted features show. Their image tokens are encoded, in the
layers whose features want them, and activations are laid on the grid of patches on the picture, as
the attention of heads is (`token_grid`).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from rich.progress import track
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.dictionary.encoders import AnyEncoder, text_encoders
from feature_atlas.etl.stages.features.example import kept_samples
from feature_atlas.etl.stages.features.feature_choice import adapted_features
from feature_atlas.etl.stages.features.harvest_sums import SOURCES
from feature_atlas.etl.stages.features.layer_groups import layer_groups
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.stages.vlm.token_places import tokens_of
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.example import token_activations
from feature_atlas.vlm.harvest import Tokens, harvest
from feature_atlas.vlm.measured_geometry import UnknownGeometryError
from feature_atlas.vlm.processor_geometry import Box, seen_box
from feature_atlas.vlm.token_grid import TokenGrid
from feature_atlas.vlm.token_roles import Role

SAMPLES_PER_PART = 256
"""Whose maps are in memory together."""

Wanted = dict[int, dict[int, list[int]]]
"""Features by sample and layer."""


class Part(NamedTuple):
    """A shard: some samples and the features that show them."""

    wanted: list[tuple[int, int, int]]
    """Sample, layer and feature; samples rise."""


class Laid(NamedTuple):
    """One layer's features on the picture of one sample."""

    sample: int
    """Its number in the run."""
    layer: int
    features: list[int]
    peaks: np.ndarray
    """Activation of each feature on its strongest patch, float32."""
    patches: np.ndarray
    """[feature, patch] as shares of these, 255 the whole; uint8."""
    grid: tuple[int, int]
    """Rows and columns."""
    box: Box
    """What the grid covers of the picture."""


class Maps(NamedTuple):
    """What a shard found."""

    laid: list[Laid]
    """By sample and layer."""
    unknown: dict[int, str]
    """By sample: why its tokens have no known place."""


def run_patch_activation(run: Path) -> Stage:
    """One row per adapted feature and sample that it shows."""
    study = open_study(run)
    return run_stage(
        run,
        "patch_activation",
        params=study.config.example.model_dump(include={"max_pictured"}),
        reads=["example", "selection", "firing_shift"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    wanted = _wanted(study)
    starts = np.flatnonzero(np.diff([sample for sample, *_ in wanted], prepend=-1))
    firsts = [*starts[::SAMPLES_PER_PART], len(wanted)]
    parts = [Part(wanted[a:b]) for a, b in pairwise(firsts)]
    unknown: dict[int, str] = {}
    for maps in output.in_shards(lay, parts):
        unknown |= maps.unknown
        if maps.laid:
            output.table("patch_activation", _columns(maps.laid))
    if unknown:
        output.warn(
            f"where features fire in the picture is left out for {len(unknown)} samples, whose "
            f"image tokens have no known place in it: {next(iter(unknown.values()))}"
        )


def _wanted(study: Study) -> list[tuple[int, int, int]]:
    """Every sample that a chosen feature shows: sample, layer, feature."""
    found: list[tuple[int, int, int]] = []
    for layer, features in adapted_features(study, study.config.example.max_pictured).items():
        for source in SOURCES:
            kept = kept_samples(study, layer, source)
            shown = kept.at(np.flatnonzero(np.isin(kept.feature, features)))
            pairs = zip(shown.sample.tolist(), shown.feature.tolist(), strict=True)
            found += [(sample, layer, feature) for sample, feature in pairs]
    return sorted(found)


def lay(run: Path, part: Part) -> Maps:
    """Activations of a part's features on their pictures."""
    study, maps, by_sample = open_study(run), Maps([], {}), Wanted()
    for sample, layer, feature in Part(*part).wanted:
        by_sample.setdefault(sample, {}).setdefault(layer, []).append(feature)
    for layers in layer_groups(study):
        _lay_group(study, by_sample, layers, maps)
    return maps._replace(laid=sorted(maps.laid, key=lambda one: one[:2]))


@torch.no_grad()
def _lay_group(study: Study, wanted: Wanted, layers: Sequence[int], maps: Maps) -> None:
    """In the layers that are on the device together."""
    encoders = text_encoders(study, layers)
    numbers = [sample for sample, of in wanted.items() if not of.keys().isdisjoint(layers)]
    samples = [sample_of(study, number) for number in numbers]
    n_batches = -(-len(samples) // study.batch_size)
    for batch, places in track(study.prompts(samples), "pictures", total=n_batches):
        tokens = harvest(study.vlm.model, batch, layers, roles=(Role.IMAGE,))
        for layer, encoder in encoders.items():
            of_layer = {
                row: wanted[numbers[place]][layer]
                for row, place in enumerate(places)
                if layer in wanted[numbers[place]]
            }
            for row, activations in _activations(tokens, layer, encoder, of_layer):
                sample, size = numbers[places[row]], _size(study, samples[places[row]])
                try:
                    grid = tokens_of(study, size)
                    on_patches = grid.averaged(activations)
                except UnknownGeometryError as error:
                    maps.unknown[sample] = str(error)
                    continue
                maps.laid.append(_laid(sample, layer, of_layer[row], on_patches, grid))


def _size(study: Study, sample: Sample) -> tuple[int, int]:
    return study.data_sets.sizes[sample.image]


def _activations(
    tokens: Tokens, layer: int, encoder: AnyEncoder, features: dict[int, list[int]]
) -> Iterator[tuple[int, np.ndarray]]:
    """[feature, token] of the prompts of a batch that some features want, by prompt."""
    if not features:
        return
    device = tokens.prompt.device
    keep = torch.isin(tokens.prompt, torch.tensor(list(features), device=device))
    codes, prompt = encoder.encode(tokens.residuals[layer][keep]), tokens.prompt[keep]
    for row, of_row in features.items():
        found = _of_prompt(codes, prompt == row, torch.tensor(of_row, device=device))
        yield row, found.T.float().cpu().numpy()


def _of_prompt(codes: SparseCodes, is_here: Tensor, features: Tensor) -> Tensor:
    return token_activations(codes, is_here.nonzero()[:, 0], features)


def _laid(
    sample: int, layer: int, features: list[int], activations: np.ndarray, grid: TokenGrid
) -> Laid:
    peaks = activations.max(1)
    shares = activations / np.where(peaks > 0, peaks, 1)[:, None]
    patches = np.rint(255 * shares).astype(np.uint8)
    return Laid(sample, layer, features, peaks, patches, grid.shape, seen_box(grid.seen))


def _columns(maps: Sequence[Laid]) -> dict[str, object]:
    n_each = [len(one.features) for one in maps]
    boxes = np.repeat(np.array([one.box for one in maps], np.float32), n_each, axis=0)
    peaks = np.concatenate([one.peaks for one in maps])
    patches = [row.tobytes() for one in maps for row in one.patches]
    return {
        "layer": np.repeat(np.array([one.layer for one in maps], np.int16), n_each),
        "feature": np.array([f for one in maps for f in one.features], np.int32),
        "sample": np.repeat(np.array([one.sample for one in maps], np.int64), n_each),
        "grid_rows": np.repeat(np.array([one.grid[0] for one in maps], np.int16), n_each),
        "grid_columns": np.repeat(np.array([one.grid[1] for one in maps], np.int16), n_each),
        **{f"seen_{edge}": boxes[:, number] for number, edge in enumerate(Box._fields)},
        "max_activation": peaks,
        "patches": pa.array(patches, pa.binary(), mask=peaks == 0),
    }
