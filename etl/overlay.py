"""Stage `overlay`: what the strongest, weakest and matched heads look at (paper 5.2, C.2)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from feature_atlas.etl.artifacts import Stage, StageOutput, read_rows, run_stage
from feature_atlas.etl.chosen import sample_of, top_samples
from feature_atlas.etl.neutral_prompt import Feature
from feature_atlas.etl.samples import open_image
from feature_atlas.etl.study import Study, open_study
from feature_atlas.head_probe import Head
from feature_atlas.overlay import (
    ChosenHeads,
    ImageAttention,
    blend,
    choose_heads,
    geometry,
    grid_shape,
    image_attention,
    on_picture,
)
from feature_atlas.vlm import (
    TEXT_ROLES,
    PromptBatch,
    Role,
    encode_prompts,
    image_embeddings,
    input_embeddings,
)

METHOD = "B"
"""The method whose ranking picks the heads; the paper finds it sharper (C.2)."""


def run_overlay(run: Path) -> Stage:
    """One row per feature, sample and shown head, with the attention on every patch."""
    study = open_study(run)
    config = study.config.head_attribution
    return run_stage(
        run,
        "overlay",
        params={
            **config.model_dump(include={"n_overlay_heads", "n_overlay_samples"}),
            "method": METHOD,
        },
        reads=["head_attribution", "harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    scores = _scores(study)
    for feature, of_feature in track(scores.items(), "attention overlays"):
        n = study.config.head_attribution.n_overlay_samples
        numbers = [*top_samples(study, feature, "vqav2", n), *top_samples(study, feature, "vsr", n)]
        everywhere = _attention(study, feature, numbers)
        n_layers, n_heads = of_feature.shape
        heads = choose_heads(
            of_feature,
            everywhere.image_mass.mean(0).reshape(n_layers, n_heads),
            n=study.config.head_attribution.n_overlay_heads,
            seed=study.config.seed,
        )
        output.table("overlay", _columns(study, feature, numbers, everywhere, heads, n_heads))


@torch.no_grad()
def overlaid_pictures(
    study: Study, questions: Sequence[str], pictures: Sequence[Image.Image], head: Head
) -> Iterator[Image.Image]:
    """Each picture under the attention of one head while its question is read."""
    step = study.config.batch_size
    for start in range(0, len(questions), step):
        asked, shown = questions[start : start + step], pictures[start : start + step]
        batch = encode_prompts(
            study.vlm.processor, asked, shown, suffix=study.config.vlm.suffix
        ).to(study.config.device)
        attention = _batch_attention(study, batch, [head])
        for picture, weights in zip(shown, attention.weights[:, 0].cpu(), strict=True):
            seen = geometry(study.vlm.processor.image_processor, *picture.size)
            grid = weights.reshape(grid_shape(len(weights), seen)).float().numpy()
            yield blend(picture, on_picture(grid, seen, *picture.size))


def _scores(study: Study) -> dict[Feature, Tensor]:
    """Each attributed feature's scores as [layer, head]."""
    rows = read_rows(study.run, "head_attribution", "head_attribution")
    cells: dict[Feature, dict[tuple[int, int], float]] = {}
    for row in rows:
        if row["method"] == METHOD:
            of_feature = cells.setdefault(Feature(row["layer"], row["feature"]), {})
            of_feature[row["head_layer"], row["head"]] = row["score"]
    return {
        feature: torch.tensor([of[key] for key in sorted(of)]).reshape(feature.layer + 1, -1)
        for feature, of in cells.items()
    }


@torch.no_grad()
def _attention(study: Study, feature: Feature, numbers: list[int]) -> ImageAttention:
    """Attention of every head up to the feature's layer on its top samples."""
    n_heads = study.inputs["vlm"]["n_heads"]
    heads = [(layer, head) for layer in range(feature.layer + 1) for head in range(n_heads)]
    batches = study.prompts([sample_of(study, number) for number in numbers])
    parts = [_batch_attention(study, batch, heads) for batch, _ in batches]
    return ImageAttention(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))


def _batch_attention(study: Study, batch: PromptBatch, heads: Sequence[Head]) -> ImageAttention:
    if batch.pixel_values is None:
        raise ValueError("overlays need prompts with images.")
    model = study.vlm.model
    embeds = input_embeddings(model, batch, image_embeddings(model, batch.pixel_values))
    is_text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES, device=batch.roles.device))
    is_image = batch.roles == Role.IMAGE
    return image_attention(model, embeds, batch.attention_mask, is_text, is_image, heads)


def _columns(
    study: Study,
    feature: Feature,
    numbers: list[int],
    attention: ImageAttention,
    heads: ChosenHeads,
    n_heads: int,
) -> dict[str, object]:
    picture = sample_of(study, numbers[0]).image
    with_size = _grid(study, picture, attention.weights.shape[-1])
    rows = [
        (sample, number, kind, layer, head)
        for sample, number in enumerate(numbers)
        for kind, shown in heads._asdict().items()
        for layer, head in shown
    ]
    weights = [attention.weights[s, layer * n_heads + head] for s, _, _, layer, head in rows]
    n = len(rows)
    return {
        "layer": np.full(n, feature.layer, np.int16),
        "feature": np.full(n, feature.feature, np.int32),
        "sample": np.array([number for _, number, *_ in rows], np.int64),
        "head_layer": np.array([layer for *_, layer, _ in rows], np.int16),
        "head": np.array([head for *_, head in rows], np.int16),
        "kind": [kind for _, _, kind, *_ in rows],
        "method": [METHOD] * n,
        "grid_rows": np.full(n, with_size[0], np.int16),
        "grid_columns": np.full(n, with_size[1], np.int16),
        "weights": [w.float().numpy() for w in weights],
        "image_mass": np.array([float(w.sum()) for w in weights], np.float32),
    }


def _grid(study: Study, picture: Path, n_patches: int) -> tuple[int, int]:
    width, height = open_image(picture).size
    return grid_shape(n_patches, geometry(study.vlm.processor.image_processor, width, height))
