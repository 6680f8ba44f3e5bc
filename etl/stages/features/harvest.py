"""Stage `harvest`: one pass over the questions feeds every statistic (paper 4.2, 4.3, 5.1).

Each prompt runs once through the VLM for as many layers as fit on the device; the text-adapted
dictionaries encode its tokens, and sums, counts and samples are updated in place: from the codes, a
dense one is never built. The control questions run twice more, on the mean image and without an
image, since "active on text" is not yet "sees"; their sums with their own image are kept apart for
the comparison. A shard is 4,096 prompts; what shards gathered is added up in their order.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from rich.progress import track
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.etl.inputs.samples import draw
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages
from feature_atlas.etl.stages.dictionary.encoders import Encoded, text_encoders, write_fallbacks
from feature_atlas.etl.stages.features.harvest_sums import (
    Gathered,
    LayerHarvest,
    empty_sums,
    in_main_memory,
    merged,
    write_sums,
)
from feature_atlas.etl.stages.features.layer_groups import layer_groups
from feature_atlas.etl.stages.features.shift_counts import add_counts, split_names
from feature_atlas.etl.stages.features.skills import BASE
from feature_atlas.etl.study import Study, open_study
from feature_atlas.vlm.harvest import Tokens, harvest
from feature_atlas.vlm.token_roles import TEXT_ROLES


class Batch(NamedTuple):
    """The tokens of some prompts, and what they belong to: the same for every layer."""

    tokens: Tokens
    """Residuals, roles and prompts."""
    text: Int[Tensor, " token"]
    """Row of the token's sample in its split; -1 for tokens that statistics of text pass over."""
    sample: Int[Tensor, " token"]
    """Number of that sample in the run, or -1."""
    image: Int[Tensor, " token"]
    """Number of its image, or -1."""
    is_control: Bool[Tensor, " token"]
    """Whether it is text of a question that also runs on other images."""


class Part(NamedTuple):
    """A shard: some questions of a split, in order, under one condition."""

    split: str
    condition: str
    """real, mean (image) or none."""
    first: int
    """Place of the first among those that the condition is for."""
    last: int
    """Place behind the last."""


CONDITIONS = ((BASE, "mean"), (BASE, "none"))
"""Passes beside those of every data set with its own pictures."""
PROMPTS_PER_PART = 4096


def run_harvest(run: Path) -> Stage:
    """Leaves a file each of sums, draws, counts and shifts per layer."""
    study = open_study(run)
    config = study.config
    return run_stage(
        run,
        "harvest",
        params={
            **config.harvest.model_dump(exclude={"layers_at_once"}),
            **config.example.model_dump(include={"n_per_source", "n_reservoir"}),
        },
        reads=["samples", "mean_image", "sample_skill", *adapt_stages(study, "text")],
        body=lambda output: _gather_and_write(output, study),
    )


def _gather_and_write(output: StageOutput, study: Study) -> None:
    gathered = output.folded(gather, parts_of(study), merged)
    write_sums(output, gathered.layers)
    write_fallbacks(output, gathered.encoded)


def parts_of(study: Study) -> list[Part]:
    """Every pass, cut into parts; one without questions gathers nothing."""
    return [
        Part(*kind, first, min(first + PROMPTS_PER_PART, n))
        for kind in (*((split, "real") for split in split_names(study)), *CONDITIONS)
        for n in [len(_rows(study, *kind))]
        for first in range(0, max(n, 1), PROMPTS_PER_PART)
    ]


def gather(run: Path, part: Part) -> Gathered:
    """Run the questions of a part once for each group of layers."""
    study, part, gathered = open_study(run), Part(*part), Gathered({}, {})
    for layers in layer_groups(study):
        of_group = _gather_group(study, part, layers)  # nothing of it stays on the device
        gathered.layers.update(of_group.layers)
        gathered.encoded.update(of_group.encoded)
    return gathered


def _gather_group(study: Study, part: Part, layers: Sequence[int]) -> Gathered:
    encoders = text_encoders(study, layers)
    gathered = {
        layer: empty_sums(study, encoder.d_sae, part.split, part.condition)
        for layer, encoder in encoders.items()
    }
    for batch in _batches(study, part, layers):
        for layer, encoder in encoders.items():
            codes = encoder.encode(batch.tokens.residuals[layer])
            _add(gathered[layer], part, layer, codes, batch, study)
    return Gathered(
        {layer: in_main_memory(of_layer) for layer, of_layer in gathered.items()},
        {layer: Encoded.by(encoder) for layer, encoder in encoders.items()},
    )


def _rows(study: Study, split: str, condition: str) -> Sequence[int]:
    """Rows of a split that run under a condition: all with their own image, else the controls."""
    every = range(len(study.samples[split]))
    if condition == "real":
        return every
    return draw(every, study.config.harvest.n_control, study.config.seed)


def _batches(study: Study, part: Part, layers: Sequence[int]) -> Iterator[Batch]:
    """A part's questions with the residuals of some layers."""
    device, split = study.config.device, part.split
    rows = _rows(study, split, part.condition)[part.first : part.last]
    row_of, images = torch.tensor(rows, device=device), study.image_numbers[split].to(device)
    text_roles = torch.tensor(TEXT_ROLES, device=device)
    controls = torch.tensor(_rows(study, BASE, "mean"), device=device)
    n_batches = -(-len(rows) // study.batch_size)
    prompts = study.prompts(
        [study.samples[split][row] for row in rows],
        with_image=part.condition != "none",
        image=study.mean_image if part.condition == "mean" else None,
    )
    said = f"harvest: {split}, {part.condition} image, from {part.first}"
    for prompt, places in track(prompts, said, total=n_batches):
        tokens = harvest(study.vlm.model, prompt, layers)
        row = row_of[torch.tensor(places, device=device)][tokens.prompt]
        is_text = torch.isin(tokens.roles, text_roles)
        yield Batch(
            tokens,
            torch.where(is_text, row, -1),
            torch.where(is_text, row + study.first_number[split], -1),
            torch.where(is_text, images[row], -1),
            is_text & torch.isin(row, controls),
        )


def _add(
    gathered: LayerHarvest, part: Part, layer: int, codes: SparseCodes, batch: Batch, study: Study
) -> None:
    """What a batch tells of a layer."""
    roles, residual, seed = batch.tokens.roles, batch.tokens.residuals[layer], study.config.seed
    if part.split == BASE:
        gathered.sums.energy[part.condition].add(codes, roles)
        gathered.sums.norms[part.condition].add(residual, codes, roles)
    if part.condition != "real":
        gathered.draws.replicates[part.condition].add(codes, batch.image, seed)
        return
    for strengths in gathered.counts.strength.values():
        strengths.add(codes, roles)
    add_counts(gathered.shift, codes, roles, batch.text, study, part.split)
    for source, examples in gathered.sums.examples.items():
        examples.add(codes, batch.sample, batch.image)
        gathered.draws.spread[source].add(codes, batch.sample, batch.image)
    if part.split == BASE:
        _add_control(gathered, codes, batch, seed)


def _add_control(gathered: LayerHarvest, codes: SparseCodes, batch: Batch, seed: int) -> None:
    """The questions that also run on other images, with their own: like is compared with like."""
    own = batch.is_control
    of_text = SparseCodes(codes.values[own], codes.indices[own])
    gathered.sums.energy["control"].add(of_text, batch.tokens.roles[own])
    gathered.draws.replicates["control"].add(of_text, batch.image[own], seed)
