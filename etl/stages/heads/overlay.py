"""Stage `overlay`: what the strongest, weakest and matched heads look at (paper 5.2, C.2).

Heads are ranked by the estimate that agrees best with real swaps in this run.

Each map is stored with the place of its patches on the picture, and, where it is known what the
question is about, with how much of it lies there. Where that place is not known there is no map,
and a warning says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from feature_atlas.etl.inputs.data_sets import read_objects
from feature_atlas.etl.inputs.instances import Instances
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.top_samples import top_samples
from feature_atlas.etl.stages.heads.attention_map import (
    Map,
    Place,
    batch_attention,
    map_columns,
    place_of,
)
from feature_atlas.etl.stages.heads.head_drives import best_estimate, drives_by
from feature_atlas.etl.stages.heads.localisation import Pair, localisation_columns, located_pairs
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.stages.vlm.token_places import tokens_of
from feature_atlas.etl.study import Study, open_study
from feature_atlas.heads.overlay import ImageAttention, blend, choose_heads
from feature_atlas.vlm.head_probe import Head
from feature_atlas.vlm.measured_geometry import UnknownGeometryError
from feature_atlas.vlm.processor_geometry import on_picture
from feature_atlas.vlm.token_roles import encode_prompts


def run_overlay(run: Path) -> Stage:
    """One row per feature, sample and shown head; and whether heads of a kind localise."""
    study = open_study(run)
    config = study.config.head_attribution
    return run_stage(
        run,
        "overlay",
        params={
            **config.model_dump(include={"n_overlay_heads", "n_overlay_samples"}),
            "method": "agrees best with real swaps of queries and keys",
            "random": "matched on image mass and layer",
        },
        reads=["head_attribution", "exact_patch", "harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    instances = read_objects(study.config.data.instances, study.data_sets)
    pairs: list[Pair] = []
    unknown: dict[int, str] = {}
    estimate = best_estimate(study)
    for feature, drive in track(drives_by(study, estimate).items(), "attention overlays"):
        n = study.config.head_attribution.n_overlay_samples
        numbers = [*top_samples(study, feature, "vqav2", n), *top_samples(study, feature, "vsr", n)]
        places = _places(study, numbers, instances, unknown)
        if not places:
            continue
        maps = _maps(study, feature, torch.from_numpy(drive).float(), places)
        output.table("overlay", _columns(feature, estimate, maps))
        pairs += located_pairs(study, feature, maps)
    summary = localisation_columns(pairs, study.config.seed)
    if summary is not None:
        output.table("localisation", summary)
    if unknown:
        output.warn(
            f"where heads look is left out for {len(unknown)} samples, whose image tokens have no "
            f"known place in the picture: {next(iter(unknown.values()))}"
        )


@torch.no_grad()
def overlaid_pictures(
    study: Study, questions: Sequence[str], pictures: Sequence[Image.Image], head: Head
) -> Iterator[Image.Image | None]:
    """Each picture under the attention of one head while its question is read.

    None: where the head looks is not known.
    """
    step = study.batch_size
    for start in range(0, len(questions), step):
        asked, shown = questions[start : start + step], pictures[start : start + step]
        batch = encode_prompts(
            study.vlm.processor, asked, shown, suffix=study.config.vlm.suffix
        ).to(study.config.device)
        attention = batch_attention(study, batch, [head])
        for picture, (weights,) in zip(shown, attention.weights, strict=True):
            yield _overlaid(study, picture, weights.float().cpu().numpy())


def _overlaid(study: Study, picture: Image.Image, weights: np.ndarray) -> Image.Image | None:
    try:
        tokens = tokens_of(study, picture.size)
    except UnknownGeometryError:
        return None
    grid = tokens.laid(weights).reshape(tokens.shape)
    return blend(picture, on_picture(grid, tokens.seen, *picture.size))


def _columns(feature: Feature, estimate: str, maps: Sequence[Map]) -> dict[str, object]:
    """Rows of the table overlay."""
    n, scores = len(maps), [one.on_objects for one in maps]
    return {
        "layer": np.full(n, feature.layer, np.int16),
        "feature": np.full(n, feature.feature, np.int32),
        "sample": np.array([one.sample for one in maps], np.int64),
        "method": [estimate] * n,
        **map_columns(maps),
        "object_share": pa.array([s and s.share for s in scores], pa.float32()),
        "object_area": pa.array([s and s.area for s in scores], pa.float32()),
        "lift": pa.array([s and s.lift for s in scores], pa.float32()),
    }


def _maps(
    study: Study,
    feature: Feature,
    scores: Tensor,
    places: Mapping[int, Place],
) -> list[Map]:
    """Maps of a feature's shown heads on each of its samples."""
    attention = _attention(study, feature, list(places))
    n_layers, n_heads = scores.shape
    heads = choose_heads(
        scores,
        attention.image_mass.mean(0).reshape(n_layers, n_heads),
        n=study.config.head_attribution.n_overlay_heads,
        seed=study.config.seed,
    )
    kinds = [(kind, head) for kind, shown in heads._asdict().items() for head in shown]
    maps: list[Map] = []
    for (number, place), of_tokens in zip(places.items(), attention.weights, strict=True):
        of_sample = place.tokens.laid(of_tokens.float().numpy())
        for kind, (layer, head) in kinds:
            weights = of_sample[layer * n_heads + head]
            maps.append(Map(number, kind, (layer, head), weights, place))
    return maps


def _places(
    study: Study, numbers: list[int], instances: Instances | None, unknown: dict[int, str]
) -> dict[int, Place]:
    """Where the patches of samples lie, and which show what the question names; or why not."""
    places: dict[int, Place] = {}
    for number in numbers:
        sample = sample_of(study, number)
        asked = None if instances is None else instances.asked_about(sample)
        try:
            places[number] = place_of(study, study.data_sets.sizes[sample.image], asked)
        except UnknownGeometryError as error:
            unknown[number] = str(error)
    return places


@torch.no_grad()
def _attention(study: Study, feature: Feature, numbers: list[int]) -> ImageAttention:
    """Attention of every head up to the feature's layer on its top samples."""
    n_heads = study.inputs["vlm"]["n_heads"]
    heads = [(layer, head) for layer in range(feature.layer + 1) for head in range(n_heads)]
    batches = study.prompts([sample_of(study, number) for number in numbers])
    parts = [batch_attention(study, batch, heads) for batch, _ in batches]
    return ImageAttention(
        [of_prompt.cpu() for part in parts for of_prompt in part.weights],
        torch.cat([part.image_mass for part in parts]).cpu(),
    )
