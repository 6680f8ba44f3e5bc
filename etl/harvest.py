"""Stage `harvest`: one pass over the questions feeds every statistic (paper 4.2, 4.3, 5.1).

Each prompt runs once through the VLM for all layers; the text-adapted dictionaries encode its
tokens, and sums, counts and top samples are updated in place. A part of the questions runs twice
more, on the mean image and without an image, since "active on text" is not yet "sees".
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from feature_atlas.etl.adapt import adapted_sae, layer_groups, stage_name
from feature_atlas.etl.artifacts import Stage, StageOutput, read_arrays, run_stage
from feature_atlas.etl.samples import Sample, draw
from feature_atlas.etl.skills import questions_of_skill
from feature_atlas.etl.study import Study, open_study
from feature_atlas.example import TopExamples
from feature_atlas.firing_shift import FiringCounts
from feature_atlas.harvest import Tokens, harvest
from feature_atlas.sae import SparseCodes, TopKSae, encode
from feature_atlas.visual_energy import EnergySums
from feature_atlas.vlm import TEXT_ROLES, PromptBatch

BASE = "vqav2-val"
STATEMENTS = "vsr-train"
SOURCES = {"vqav2": BASE, "vsr": STATEMENTS}
"""Where examples come from; ablation scores other statements."""


class LayerSums(NamedTuple):
    """Everything that one pass gathers about one layer."""

    energy: dict[str, EnergySums]
    """By condition: real, mean (image), none."""
    counts: dict[str, FiringCounts]
    """By split: base (all of it), each skill, vsr."""
    examples: dict[str, TopExamples]
    """By source: vqav2, vsr."""


def run_harvest(run: Path) -> Stage:
    """Leaves one file of sums per layer."""
    study = open_study(run)
    groups = range(len(layer_groups(study)))
    config = study.config
    return run_stage(
        run,
        "harvest",
        params={**config.harvest.model_dump(), "n_per_source": config.example.n_per_source},
        reads=["samples", *(stage_name("text", group) for group in groups)],
        body=lambda output: _write(output, gather(study)),
    )


def gather(study: Study) -> dict[int, LayerSums]:
    """Run the conditions over their samples and return each layer's sums."""
    saes = {layer: adapted_sae(study, "text", layer) for layer in study.layers}
    sums = {layer: _empty(study, sae) for layer, sae in saes.items()}
    base, statements = study.samples[BASE], study.samples[STATEMENTS]
    controls = draw(base, study.config.harvest.n_control, study.config.seed)
    skills: dict[str, Tensor] = {
        name: questions_of_skill(name, base) for name in study.config.harvest.skills
    }
    for tokens, rows in _encoded_batches(study, base, "base questions"):
        for layer, codes in _codes(saes, tokens):
            _add_base(sums[layer], codes, tokens, rows, study, skills)
    for tokens, rows in _encoded_batches(study, statements, "VSR statements"):
        for layer, codes in _codes(saes, tokens):
            text = _text_sample(tokens, rows)
            sums[layer].counts["vsr"].add(codes, text)
            _add_examples(sums[layer].examples["vsr"], codes, text, study, STATEMENTS)
    for condition in ("mean", "none"):
        for tokens, _ in _encoded_batches(study, controls, f"{condition} image", condition):
            for layer, codes in _codes(saes, tokens):
                sums[layer].energy[condition].add(codes, tokens.roles)
    return sums


@lru_cache(maxsize=2)
def read_sums(study: Study, layer: int) -> LayerSums:
    """The sums of a finished pass; asked for feature by feature, so a layer's file is read once."""
    stored = read_arrays(study.run, "harvest", f"sums.{layer}")
    return LayerSums(
        {n: EnergySums(*parts) for n, parts in _stored(stored, "energy", EnergySums._fields)},
        {n: FiringCounts(*parts) for n, parts in _stored(stored, "counts", FiringCounts._fields)},
        {n: TopExamples(*parts) for n, parts in _stored(stored, "examples", TopExamples._fields)},
    )


def _stored(
    stored: dict[str, np.ndarray], kind: str, fields: tuple[str, ...]
) -> Iterator[tuple[str, list[Tensor]]]:
    """Name and tensors of everything of one kind, as `_write` keeps them."""
    for name in sorted({key.split("/")[1] for key in stored if key.startswith(f"{kind}/")}):
        yield name, [torch.from_numpy(stored[f"{kind}/{name}/{field}"]) for field in fields]


def _empty(study: Study, sae: TopKSae) -> LayerSums:
    d_sae, device = len(sae.w_dec), study.config.device
    m = study.config.example.n_per_source
    return LayerSums(
        {name: EnergySums.empty(d_sae, device) for name in ("real", "mean", "none")},
        {
            n: FiringCounts.empty(d_sae, device)
            for n in ("base", "vsr", *study.config.harvest.skills)
        },
        {name: TopExamples.empty(d_sae, m, device) for name in ("vqav2", "vsr")},
    )


def _encoded_batches(
    study: Study, samples: list[Sample], what: str, condition: str = "real"
) -> Iterator[tuple[Tokens, Tensor]]:
    """Residuals of batches of prompts under one condition, with each prompt's row."""
    n_batches = -(-len(samples) // study.config.batch_size)
    batches = study.prompts(samples, with_image=condition != "none")
    for batch, rows in track(batches, f"harvest: {what}", total=n_batches):
        embeds = _image_embeds(study, batch) if condition == "mean" else None
        tokens = harvest(study.vlm.model, batch, study.layers, image_embeds=embeds)
        yield tokens, torch.tensor(rows, device=tokens.roles.device)


def _image_embeds(study: Study, batch: PromptBatch) -> Tensor:
    return study.mean_image.expand(len(batch.input_ids), -1, -1)


def _codes(saes: dict[int, TopKSae], tokens: Tokens) -> Iterator[tuple[int, SparseCodes]]:
    for layer, sae in saes.items():
        yield layer, encode(sae, tokens.residuals[layer])


def _text_sample(tokens: Tokens, rows: Tensor) -> Tensor:
    """Row of each token's sample, -1 for tokens that statistics pass over."""
    is_text = torch.isin(tokens.roles, torch.tensor(TEXT_ROLES, device=tokens.roles.device))
    return torch.where(is_text, rows[tokens.prompt], -1)


def _add_base(
    sums: LayerSums,
    codes: SparseCodes,
    tokens: Tokens,
    rows: Tensor,
    study: Study,
    skills: dict[str, Tensor],
) -> None:
    sums.energy["real"].add(codes, tokens.roles)
    text = _text_sample(tokens, rows)
    sums.counts["base"].add(codes, text)
    for name, asks in skills.items():
        of_skill = torch.where((text >= 0) & asks.to(text.device)[text.clamp_min(0)], text, -1)
        sums.counts[name].add(codes, of_skill)
    _add_examples(sums.examples["vqav2"], codes, text, study, BASE)


def _add_examples(
    top: TopExamples, codes: SparseCodes, text: Tensor, study: Study, split: str
) -> None:
    images = study.image_numbers[split].to(text.device)
    first = study.first_number[split]
    top.add(codes, torch.where(text >= 0, text + first, -1), images[text.clamp_min(0)])


def _write(output: StageOutput, sums: dict[int, LayerSums]) -> None:
    for layer, of_layer in sums.items():
        arrays: dict[str, np.ndarray] = {}
        for kind, group in of_layer._asdict().items():
            for name, held in group.items():
                for field, tensor in held._asdict().items():
                    arrays[f"{kind}/{name}/{field}"] = tensor.cpu().numpy()
        output.arrays(f"sums.{layer}", **arrays)
