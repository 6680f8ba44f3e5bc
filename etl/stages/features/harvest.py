"""Stage `harvest`: one pass over the questions feeds every statistic (paper 4.2, 4.3, 5.1).

Each prompt runs once through the VLM for all layers; the text-adapted dictionaries encode its
tokens, and sums, counts and samples are updated in place: from the codes, a dense one is never
built. The control questions run twice more, on the mean image and without an image, since "active
on text" is not yet "sees"; their sums with their own image are kept apart for the comparison.
"""

from collections.abc import Iterator, Mapping, Sequence
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
from feature_atlas.etl.stages.dictionary.encoders import AnyEncoder, text_encoders, write_fallbacks
from feature_atlas.etl.stages.features.harvest_sums import (
    LayerHarvest,
    empty_sums,
    write_sums,
)
from feature_atlas.etl.stages.features.shift_counts import add_counts
from feature_atlas.etl.stages.features.skills import BASE, STATEMENTS
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


def run_harvest(run: Path) -> Stage:
    """Leaves one file of sums, one of draws and one of shifts per layer."""
    study = open_study(run)
    config = study.config
    return run_stage(
        run,
        "harvest",
        params={**config.harvest.model_dump(), **config.example.model_dump(exclude={"n_spread"})},
        reads=["samples", "mean_image", "sample_skill", *adapt_stages(study, "text")],
        body=lambda output: _gather_and_write(output, study),
    )


def _gather_and_write(output: StageOutput, study: Study) -> None:
    encoders = text_encoders(study)
    write_sums(output, gather(study, encoders))
    write_fallbacks(output, encoders)


def gather(study: Study, encoders: Mapping[int, AnyEncoder]) -> dict[int, LayerHarvest]:
    """Run the conditions over their samples and return what was gathered of each layer."""
    gathered = {layer: empty_sums(study, e.d_sae) for layer, e in encoders.items()}
    every_row = {split: range(len(study.samples[split])) for split in (BASE, STATEMENTS)}
    controls = draw(every_row[BASE], study.config.harvest.n_control, study.config.seed)
    control_rows = torch.tensor(controls, device=study.config.device)
    for batch in _batches(study, BASE, every_row[BASE]):
        is_control = torch.isin(batch.text, control_rows)
        for layer, codes in _codes(encoders, batch):
            _add_base(gathered[layer], layer, codes, batch, study)
            _add_control(gathered[layer], codes, batch, is_control, study.config.seed)
    for batch in _batches(study, STATEMENTS, every_row[STATEMENTS]):
        for layer, codes in _codes(encoders, batch):
            roles, text = batch.tokens.roles, batch.text
            add_counts(gathered[layer].shift, codes, roles, text, study, STATEMENTS)
            _add_examples(gathered[layer], "vsr", codes, batch)
    for condition in ("mean", "none"):
        for batch in _batches(study, BASE, controls, condition):
            for layer, codes in _codes(encoders, batch):
                _add_condition(gathered[layer], condition, layer, codes, batch, study.config.seed)
    return gathered


def _batches(
    study: Study, split: str, rows: Sequence[int], condition: str = "real"
) -> Iterator[Batch]:
    """Some samples of a split under one condition."""
    device = study.config.device
    row_of, images = torch.tensor(rows, device=device), study.image_numbers[split].to(device)
    text_roles = torch.tensor(TEXT_ROLES, device=device)
    n_batches = -(-len(rows) // study.config.batch_size)
    prompts = study.prompts(
        [study.samples[split][row] for row in rows],
        with_image=condition != "none",
        image=study.mean_image if condition == "mean" else None,
    )
    for prompt, places in track(prompts, f"harvest: {split}, {condition} image", total=n_batches):
        tokens = harvest(study.vlm.model, prompt, study.layers)
        row = row_of[torch.tensor(places, device=device)][tokens.prompt]
        is_text = torch.isin(tokens.roles, text_roles)
        yield Batch(
            tokens,
            torch.where(is_text, row, -1),
            torch.where(is_text, row + study.first_number[split], -1),
            torch.where(is_text, images[row], -1),
        )


def _codes(encoders: Mapping[int, AnyEncoder], batch: Batch) -> Iterator[tuple[int, SparseCodes]]:
    for layer, encoder in encoders.items():
        yield layer, encoder.encode(batch.tokens.residuals[layer])


def _add_base(
    gathered: LayerHarvest, layer: int, codes: SparseCodes, batch: Batch, study: Study
) -> None:
    roles = batch.tokens.roles
    gathered.sums.energy["real"].add(codes, roles)
    gathered.sums.norms["real"].add(batch.tokens.residuals[layer], codes, roles)
    add_counts(gathered.shift, codes, roles, batch.text, study, BASE)
    _add_examples(gathered, "vqav2", codes, batch)


def _add_control(
    gathered: LayerHarvest,
    codes: SparseCodes,
    batch: Batch,
    is_control: Bool[Tensor, " token"],
    seed: int,
) -> None:
    """The questions that also run on other images, with their own: like is compared with like."""
    of_text = SparseCodes(codes.values[is_control], codes.indices[is_control])
    gathered.sums.energy["control"].add(of_text, batch.tokens.roles[is_control])
    gathered.draws.replicates["control"].add(of_text, batch.image[is_control], seed)


def _add_condition(
    gathered: LayerHarvest,
    condition: str,
    layer: int,
    codes: SparseCodes,
    batch: Batch,
    seed: int,
) -> None:
    """Control questions on another image, or on none."""
    gathered.sums.energy[condition].add(codes, batch.tokens.roles)
    gathered.sums.norms[condition].add(batch.tokens.residuals[layer], codes, batch.tokens.roles)
    gathered.draws.replicates[condition].add(codes, batch.image, seed)


def _add_examples(gathered: LayerHarvest, source: str, codes: SparseCodes, batch: Batch) -> None:
    gathered.sums.examples[source].add(codes, batch.sample, batch.image)
    gathered.draws.spread[source].add(codes, batch.sample, batch.image)
