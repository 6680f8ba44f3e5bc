"""Stage `head_attribution`: which heads drive each surviving or ablated feature (paper 5.2, C).

Top samples of all features of one layer go through in common batches, each with its own direction.
"""

from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from feature_atlas.etl.adapt import adapted_sae
from feature_atlas.etl.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.chosen import by_layer_of, sample_of, studied_features, top_samples
from feature_atlas.etl.neutral_prompt import Feature
from feature_atlas.etl.study import Study, open_study
from feature_atlas.head_attribution import HeadScores, attribute_heads, summarise_heads
from feature_atlas.sae import unit_directions
from feature_atlas.vlm import TEXT_ROLES, PromptBatch, image_embeddings, input_embeddings

METHODS = ("A", "B")
MIN_SAMPLES = 2


def run_head_attribution(run: Path) -> Stage:
    """One row per feature, method and head up to the feature's layer."""
    study = open_study(run)
    config = study.config.head_attribution
    return run_stage(
        run,
        "head_attribution",
        params={
            **config.model_dump(include={"n_samples", "max_features"}),
            "direction": "adapted",
            "positions": "text",
            "corruption": "position-wise mean image",
        },
        reads=["mean_image", "neutral_prompt", "ablation", "harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    features = studied_features(study)[: study.config.head_attribution.max_features]
    for layer, numbers in by_layer_of(features).items():
        for feature, scores in _layer_scores(study, layer, numbers).items():
            output.table("head_attribution", _columns(layer, feature, scores))


def _layer_scores(study: Study, layer: int, features: list[int]) -> dict[int, HeadScores]:
    """Scores of every feature on its own top samples."""
    directions = unit_directions(adapted_sae(study, "text", layer))
    n = study.config.head_attribution.n_samples
    pairs = [
        (f, number)
        for f in features
        for number in top_samples(study, Feature(layer, f), "vqav2", n)
    ]
    owners = np.array([f for f, _ in pairs])
    samples = [sample_of(study, number) for _, number in pairs]
    parts = []
    n_batches = -(-len(samples) // study.config.batch_size)
    batches = study.prompts(samples)
    for batch, rows in track(batches, f"attribution patching, layer {layer}", total=n_batches):
        parts.append(_batch_scores(study, batch, layer, directions[owners[rows]]))
    joined = HeadScores(*(torch.cat(part, dim=2).cpu() for part in zip(*parts, strict=True)))
    return {
        f: HeadScores(*(part[:, :, torch.from_numpy(owners == f)] for part in joined))
        for f in features
        if (owners == f).sum() >= MIN_SAMPLES  # a standard error needs two
    }


def _batch_scores(
    study: Study, batch: PromptBatch, layer: int, directions: torch.Tensor
) -> HeadScores:
    model = study.vlm.model
    if batch.pixel_values is None:
        raise ValueError("attribution patching needs prompts with images.")
    with torch.no_grad():
        picture = image_embeddings(model, batch.pixel_values)
        clean = input_embeddings(model, batch, picture)
        corrupt = input_embeddings(model, batch, study.mean_image.expand_as(picture))
    text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES, device=batch.roles.device))
    return attribute_heads(
        model, clean, corrupt, batch.attention_mask, text, layer, directions[None].to(clean.dtype)
    )


def _columns(layer: int, feature: int, scores: HeadScores) -> dict[str, object]:
    summary = summarise_heads(scores)
    n_methods, _, n_layers, n_heads = summary.score.shape
    method, head_layer, head = np.indices((n_methods, n_layers, n_heads)).reshape(3, -1)
    n = len(method)
    return {
        "layer": np.full(n, layer, np.int16),
        "feature": np.full(n, feature, np.int32),
        "method": [METHODS[m] for m in method],
        "head_layer": head_layer.astype(np.int16),
        "head": head.astype(np.int16),
        **{
            name: getattr(summary, name).flatten().float().numpy()
            for name in ("score", "q", "k", "v", "z", "standard_error")
        },
        "n_samples": np.full(n, summary.n_samples, np.int32),
    }
