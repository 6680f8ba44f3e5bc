"""Stage `example`: samples of every feature with their tokens (paper 5.1, Fig. 3).

The harvest kept which samples: the strongest, some spread over all activations, some at random. A
second pass over just those gives each feature's activation on every text token, so many samples at
a time. Rows are assembled with array operations, never one by one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from rich.progress import track

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.run_folder.shards import batched
from feature_atlas.etl.stages.dictionary.encoders import text_encoders
from feature_atlas.etl.stages.features.harvest_sums import SOURCES, read_draws, read_sums
from feature_atlas.etl.stages.features.layer_groups import layer_groups
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.example import TopExamples, place_in_feature
from feature_atlas.features.example_spread import Spread, draws, spread
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.token_roles import TEXT_ROLES

PAIRS_AT_ONCE = 20_000
SAMPLES_PER_PART = 4096
"""Whose codes of all layers are in memory together: a gigabyte for 32 layers."""


class Kept(NamedTuple):
    """The samples that one layer's features show, one entry per row of the table."""

    feature: np.ndarray
    """Whose sample it is."""
    rank: np.ndarray
    """Its place among the feature's; 0 is the strongest."""
    sample: np.ndarray
    """Its number in the run."""
    activation: np.ndarray
    """Largest activation in it."""
    quantile: np.ndarray
    """Tenth of the feature's activations that it stands for; -1: it is among the strongest."""
    draw: np.ndarray
    """Place among the samples drawn at random; -1: it is none of them."""

    def at(self, rows: np.ndarray) -> "Kept":
        """Some of them."""
        return Kept(*(column[rows] for column in self))


class Part(NamedTuple):
    """A shard: some samples that are shown."""

    source: str
    samples: list[int]
    """Their numbers in the run, rising."""


class Shown(NamedTuple):
    """The text tokens of some samples, one sample after another."""

    samples: np.ndarray
    """Their numbers in the run, rising."""
    codes: dict[int, SparseCodes]
    """Codes per layer of every token."""
    token_ids: np.ndarray
    """Vocabulary id of every token."""
    length: np.ndarray
    """Text tokens of each sample."""


def run_example(run: Path) -> Stage:
    """One row per feature, source and rank."""
    study = open_study(run)
    return run_stage(
        run,
        "example",
        params=study.config.example.model_dump(exclude={"max_pictured"}),
        reads=["harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    kept = {source: _kept_by_layer(study, source) for source in SOURCES}
    parts = [
        Part(source, part)
        for source, of_layers in kept.items()
        for part in batched(
            np.unique(np.concatenate([k.sample for k in of_layers.values()])).tolist(),
            SAMPLES_PER_PART,
        )
    ]
    for (source, numbers), shown in zip(parts, output.in_shards(show, parts), strict=True):
        for layer, of_layer in kept[source].items():
            here = of_layer.at(np.flatnonzero(np.isin(of_layer.sample, numbers)))
            for start in range(0, len(here.feature), PAIRS_AT_ONCE):
                part = here.at(np.arange(start, min(start + PAIRS_AT_ONCE, len(here.feature))))
                output.table("example", _columns(study, source, layer, part, shown))


def _kept_by_layer(study: Study, source: str) -> dict[int, Kept]:
    return {layer: kept_samples(study, layer, source) for layer in study.layers}


def kept_samples(study: Study, layer: int, source: str) -> Kept:
    """The strongest samples of a layer's features, then those spread over its activations."""
    top = read_sums(study, layer).examples[source]
    reservoir = read_draws(study, layer).spread[source]
    config = study.config.example
    drawn = draws(reservoir, top, config.n_random).numpy()
    others = spread(reservoir, top, config.n_spread, config.n_random)
    parts = (_strongest(top, drawn), _others(others, top))
    return Kept(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _strongest(top: TopExamples, drawn: np.ndarray) -> Kept:
    samples, activations = top.samples.numpy(), top.activations.numpy()
    feature, rank = np.nonzero(samples >= 0)
    quantile, draw = np.full(len(feature), -1), drawn[feature, rank]
    return Kept(feature, rank, samples[feature, rank], activations[feature, rank], quantile, draw)


def _others(chosen: Spread, top: TopExamples) -> Kept:
    """Ranks go on from the strongest."""
    feature = chosen.feature.numpy()
    n_top = (top.samples >= 0).sum(1).numpy()
    rank = n_top[feature] + place_in_feature(chosen.feature).numpy()
    return Kept(feature, rank, *(column.numpy() for column in chosen[1:]))


def show(run: Path, part: Part) -> Shown:
    """Encode the text tokens of some samples, by as many layers at once as fit."""
    study, part = open_study(run), Part(*part)
    first, *others = (_show_group(study, part, layers) for layers in layer_groups(study))
    for other in others:
        first.codes.update(other.codes)
    return first


@torch.no_grad()
def _show_group(study: Study, part: Part, layers: Sequence[int]) -> Shown:
    split, encoders = SOURCES[part.source], text_encoders(study, layers)
    wanted = np.array(part.samples) - study.first_number[split]
    samples = [study.samples[split][row] for row in wanted]
    codes: dict[int, list[SparseCodes]] = {layer: [] for layer in layers}
    ids, lengths = [], []
    n_batches = -(-len(samples) // study.batch_size)
    for batch, _ in track(study.prompts(samples), f"samples of {split}", total=n_batches):
        tokens = harvest(study.vlm.model, batch, layers).only(TEXT_ROLES)
        for layer, encoder in encoders.items():
            codes[layer].append(_on_cpu(encoder.encode(tokens.residuals[layer])))
        is_text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES, device=batch.roles.device))
        ids.append(batch.input_ids[is_text].cpu())
        lengths.append(is_text.sum(1).cpu())
    joined = {layer: SparseCodes.joined(parts) for layer, parts in codes.items()}
    return Shown(np.array(part.samples), joined, torch.cat(ids).numpy(), torch.cat(lengths).numpy())


def _on_cpu(codes: SparseCodes) -> SparseCodes:
    return SparseCodes(codes.values.cpu(), codes.indices.cpu().int())


def _columns(study: Study, source: str, layer: int, kept: Kept, shown: Shown) -> dict[str, object]:
    tokens, offsets = _token_rows(shown, np.searchsorted(shown.samples, kept.sample))
    feature_of_token = np.repeat(kept.feature, np.diff(offsets))
    activations = _activations(shown.codes[layer], tokens, feature_of_token)
    n = len(kept.feature)
    return {
        "layer": np.full(n, layer, np.int16),
        "feature": kept.feature.astype(np.int32),
        "source": [source] * n,
        "rank": kept.rank.astype(np.int16),
        "sample": kept.sample,
        "max_activation": kept.activation,
        "max_token": _peak(activations, offsets),
        "tokens": _strings(study, shown.token_ids[tokens], offsets),
        "activations": pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array(activations, pa.float32())
        ),
        "quantile": pa.array(kept.quantile, pa.int16(), mask=kept.quantile < 0),
        "draw": pa.array(kept.draw, pa.int16(), mask=kept.draw < 0),
    }


def _token_rows(shown: Shown, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Token numbers of the samples at these places end to end, and where each sample begins."""
    length, start = shown.length[places], np.cumsum(shown.length) - shown.length
    offsets = np.concatenate([[0], np.cumsum(length)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], length)
    return np.repeat(start[places], length) + within, offsets


def _activations(codes: SparseCodes, tokens: np.ndarray, feature: np.ndarray) -> np.ndarray:
    """Activation of one feature on each token; 0 where it is silent."""
    rows = torch.from_numpy(tokens)
    is_feature = codes.indices[rows] == torch.from_numpy(feature)[:, None]
    return (codes.values[rows] * is_feature).sum(1).numpy()


def _peak(activations: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Position of the strongest token within each sample; the first of equals."""
    strongest = np.maximum.reduceat(activations, offsets[:-1])
    is_peak = activations == np.repeat(strongest, np.diff(offsets))
    positions = np.flatnonzero(is_peak)
    owner = np.searchsorted(offsets, positions, side="right") - 1
    _, first = np.unique(owner, return_index=True)
    return (positions[first] - offsets[:-1]).astype(np.int16)


def _strings(study: Study, token_ids: np.ndarray, offsets: np.ndarray) -> pa.ListArray:
    """Each sample's tokens as text."""
    vocabulary, which = np.unique(token_ids, return_inverse=True)
    words = study.vlm.processor.tokenizer.batch_decode([[int(i)] for i in vocabulary])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(words, pa.string()).take(pa.array(which))
    )
