"""Stage `example`: the top samples of every feature with their tokens (paper 5.1, Fig. 3).

The harvest kept which samples; a second pass over just those gives each feature's activation on
every text token. Rows are assembled with array operations, never one by one.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from rich.progress import track

from feature_atlas.etl.adapt import adapted_sae
from feature_atlas.etl.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.harvest import SOURCES, read_sums
from feature_atlas.etl.study import Study, open_study
from feature_atlas.example import TopExamples
from feature_atlas.harvest import harvest
from feature_atlas.sae import SparseCodes, encode
from feature_atlas.vlm import TEXT_ROLES

PAIRS_AT_ONCE = 20_000


class Shown(NamedTuple):
    """The text tokens of the samples that some feature shows, prompts one after another."""

    codes: dict[int, SparseCodes]
    """Codes per layer of every token."""
    token_ids: np.ndarray
    """Vocabulary id of every token."""
    start: np.ndarray
    """First token of each sample, by its row in the split; -1 where it was not run."""
    length: np.ndarray
    """Text tokens of each sample."""


def run_example(run: Path) -> Stage:
    """One row per feature, source and rank."""
    study = open_study(run)
    return run_stage(
        run,
        "example",
        params=study.config.example.model_dump(),
        reads=["harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    for source, split in SOURCES.items():
        top = {layer: read_sums(study, layer).examples[source] for layer in study.layers}
        shown = _run_shown(study, split, top)
        for layer in study.layers:
            _write_layer(output, study, source, split, layer, top[layer], shown)


@torch.no_grad()
def _run_shown(study: Study, split: str, top: dict[int, TopExamples]) -> Shown:
    """Encode the text tokens of every sample that is among the top ones of some feature."""
    first, n_samples = study.first_number[split], len(study.samples[split])
    numbers = torch.cat([t.samples.flatten() for t in top.values()]).unique()
    wanted = (numbers[numbers >= 0] - first).tolist()
    saes = {layer: adapted_sae(study, "text", layer) for layer in study.layers}
    codes: dict[int, list[SparseCodes]] = {layer: [] for layer in study.layers}
    ids, lengths = [], []
    samples = [study.samples[split][row] for row in wanted]
    n_batches = -(-len(samples) // study.config.batch_size)
    for batch, _ in track(study.prompts(samples), f"top samples of {split}", total=n_batches):
        tokens = harvest(study.vlm.model, batch, study.layers).only(TEXT_ROLES)
        for layer, sae in saes.items():
            codes[layer].append(encode(sae, tokens.residuals[layer]))
        is_text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES, device=batch.roles.device))
        ids.append(batch.input_ids[is_text].cpu())
        lengths.append(is_text.sum(1).cpu())
    length = np.zeros(n_samples, np.int64)
    length[wanted] = torch.cat(lengths).numpy()
    start = np.full(n_samples, -1, np.int64)
    start[wanted] = np.cumsum(length[wanted]) - length[wanted]
    joined = {
        layer: SparseCodes(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))
        for layer, parts in codes.items()
    }
    return Shown(joined, torch.cat(ids).numpy(), start, length)


def _write_layer(
    output: StageOutput,
    study: Study,
    source: str,
    split: str,
    layer: int,
    top: TopExamples,
    shown: Shown,
) -> None:
    samples, ceiling = top.samples.numpy(), top.activations.numpy()
    features, ranks = np.nonzero(samples >= 0)
    for begin in range(0, len(features), PAIRS_AT_ONCE):
        part = slice(begin, begin + PAIRS_AT_ONCE)
        feature, rank = features[part], ranks[part]
        sample = samples[feature, rank]
        tokens, offsets = _token_rows(shown, sample - study.first_number[split])
        activations = _activations(shown.codes[layer], tokens, np.repeat(feature, np.diff(offsets)))
        n = len(feature)
        output.table(
            "example",
            {
                "layer": np.full(n, layer, np.int16),
                "feature": feature.astype(np.int32),
                "source": [source] * n,
                "rank": rank.astype(np.int16),
                "sample": sample,
                "max_activation": ceiling[feature, rank],
                "max_token": _peak(activations, offsets),
                "tokens": _strings(study, shown.token_ids[tokens], offsets),
                "activations": pa.ListArray.from_arrays(
                    pa.array(offsets, pa.int32()), pa.array(activations, pa.float32())
                ),
            },
        )


def _token_rows(shown: Shown, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Token numbers of the given samples end to end, and where each sample begins."""
    length = shown.length[rows]
    offsets = np.concatenate([[0], np.cumsum(length)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], length)
    return np.repeat(shown.start[rows], length) + within, offsets


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
