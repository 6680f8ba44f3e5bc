"""Stage `harvest`: one pass over the questions feeds every statistic (paper 4.2, 4.3, 5.1).

Each prompt runs once through the VLM for all layers; the text-adapted dictionaries encode its
tokens, and sums, counts and samples are updated in place: from the codes, a dense one is never
built. The control questions run twice more, on the mean image and without an image, since "active
on text" is not yet "sees"; their sums with their own image are kept apart for the comparison.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from rich.progress import track
from torch import Tensor

from feature_atlas.dictionary.sae import SparseCodes
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
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch


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
        _add_to_each(study, encoders, batch, partial(_add_base, study, gathered, is_control))
    for batch in _batches(study, STATEMENTS, every_row[STATEMENTS]):
        _add_to_each(study, encoders, batch, partial(_add_statements, study, gathered))
    for condition in ("mean", "none"):
        for batch in _batches(study, BASE, controls, condition):
            add = partial(_add_condition, study, gathered, condition)
            _add_to_each(study, encoders, batch, add)
    return gathered


def _add_to_each(
    study: Study,
    encoders: Mapping[int, AnyEncoder],
    batch: Batch,
    add: Callable[[int, SparseCodes, Batch], None],
) -> None:
    """Encode a pass layer by layer, and add it to what was gathered of the layer."""

    def one(layer: int) -> None:
        add(layer, encoders[layer].encode(batch.tokens.residuals[layer]), batch)

    study.for_each(encoders, one)


def _batches(
    study: Study, split: str, rows: Sequence[int], condition: str = "real"
) -> Iterator[Batch]:
    """Some samples of a split under one condition."""
    device = study.config.device
    row_of, images = torch.tensor(rows, device=device), study.image_numbers[split].to(device)
    text_roles = torch.tensor(TEXT_ROLES, device=device)
    n_batches = -(-len(rows) // study.config.batch_size)
    prompts = study.prompts(
        [study.samples[split][row] for row in rows], with_image=condition != "none"
    )
    for prompt, places in track(prompts, f"harvest: {split}, {condition} image", total=n_batches):
        embeds = _image_embeds(study, prompt) if condition == "mean" else None
        tokens = harvest(study.vlm.model, prompt, study.layers, image_embeds=embeds)
        row = row_of[torch.tensor(places, device=device)][tokens.prompt]
        is_text = torch.isin(tokens.roles, text_roles)
        yield Batch(
            tokens,
            torch.where(is_text, row, -1),
            torch.where(is_text, row + study.first_number[split], -1),
            torch.where(is_text, images[row], -1),
        )


def _image_embeds(study: Study, batch: PromptBatch) -> Tensor:
    return study.mean_image.expand(len(batch.input_ids), -1, -1)


def _add_base(
    study: Study,
    gathered: dict[int, LayerHarvest],
    is_control: Bool[Tensor, " token"],
    layer: int,
    codes: SparseCodes,
    batch: Batch,
) -> None:
    """All questions; and those that also run on other images: like is compared with like."""
    of_layer, roles = gathered[layer], batch.tokens.roles
    of_layer.sums.energy["real"].add(codes, roles)
    of_layer.sums.norms["real"].add(batch.tokens.residuals[layer], codes, roles)
    add_counts(of_layer.shift, codes, roles, batch.text, study, BASE)
    _add_examples(of_layer, "vqav2", codes, batch)
    of_text = SparseCodes(codes.values[is_control], codes.indices[is_control])
    of_layer.sums.energy["control"].add(of_text, roles[is_control])
    of_layer.draws.replicates["control"].add(of_text, batch.image[is_control], study.config.seed)


def _add_statements(
    study: Study, gathered: dict[int, LayerHarvest], layer: int, codes: SparseCodes, batch: Batch
) -> None:
    shift, roles = gathered[layer].shift, batch.tokens.roles
    add_counts(shift, codes, roles, batch.text, study, STATEMENTS)
    _add_examples(gathered[layer], "vsr", codes, batch)


def _add_condition(
    study: Study,
    gathered: dict[int, LayerHarvest],
    condition: str,
    layer: int,
    codes: SparseCodes,
    batch: Batch,
) -> None:
    """Control questions on another image, or on none."""
    of_layer, roles = gathered[layer], batch.tokens.roles
    of_layer.sums.energy[condition].add(codes, roles)
    of_layer.sums.norms[condition].add(batch.tokens.residuals[layer], codes, roles)
    of_layer.draws.replicates[condition].add(codes, batch.image, study.config.seed)


def _add_examples(gathered: LayerHarvest, source: str, codes: SparseCodes, batch: Batch) -> None:
    gathered.sums.examples[source].add(codes, batch.sample, batch.image)
    gathered.draws.spread[source].add(codes, batch.sample, batch.image)
