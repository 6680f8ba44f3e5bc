"""Stage `output_score`: does adding what a feature writes make the model say it (5.1, 5.3).

Off unless `output_score.n_pictures` says how many pictures are asked about, in the skills' neutral
prompts. A shard is a layer: its prompts run once, and each feature and control costs the layers
above for their text tokens.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int64
from rich.progress import track

from feature_atlas.ablation.ablation import edited_logits
from feature_atlas.ablation.intervention import Edit, addition
from feature_atlas.ablation.yes_no import surface_ids
from feature_atlas.etl.inputs.samples import Sample, draw
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, read_rows, run_stage
from feature_atlas.etl.stages.ablation.interventions import LayerInterventions
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages
from feature_atlas.etl.stages.features.feature_choice import (
    Feature,
    by_layer_of,
    chosen_features,
)
from feature_atlas.etl.stages.features.harvest import BASE
from feature_atlas.etl.stages.features.selection import by_layer
from feature_atlas.etl.stages.features.skills import skills_of
from feature_atlas.etl.stages.meaning.auto_interp import NO_DESCRIPTION
from feature_atlas.etl.stages.meaning.interp_material import rows_of_features
from feature_atlas.etl.stages.vlm.embedded_prompts import EmbeddedPrompts, embedded
from feature_atlas.etl.study import Study, open_study
from feature_atlas.meaning.output_score import (
    OutputScore,
    Said,
    joined,
    output_score,
    said,
    words_of_description,
)

Part = tuple[int, list[int]]
"""A layer, and its features."""


class Tokens(NamedTuple):
    """A set T."""

    ids: list[int]
    texts: list[str]


class Added(NamedTuple):
    """One direction that is added for a feature."""

    feature: int
    control_no: int
    """0: its own."""
    edit: Edit


class Row(NamedTuple):
    """One row of table output_score."""

    feature: Feature
    tokens_of: str
    tokens: list[str]
    length: float
    n_prompts: int
    n_controls: int
    score: OutputScore


def run_output_score(run: Path) -> Stage:
    """A row for the tokens that each feature writes, and one for those of its label."""
    study = open_study(run)
    return run_stage(
        run,
        "output_score",
        params={
            **study.config.output_score.model_dump(),
            "seed": study.config.seed,
            "prompts": neutral_prompts(study),
        },
        reads=["auto_interp", "logit_effect", "visual_energy", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study),
    )


def neutral_prompts(study: Study) -> list[str]:
    """Of all skills, each once."""
    of_skills = (skill.neutral_prompts for skill in skills_of(study).values())
    return list(dict.fromkeys(prompt for prompts in of_skills for prompt in prompts))


def _write(output: StageOutput, study: Study) -> None:
    config = study.config.output_score
    if config.n_pictures == 0:
        return
    parts = list(by_layer_of(chosen_features(study, config.max_features)).items())
    found = track(output.in_shards(score_layer, parts), "output scores", total=len(parts))
    rows = [row for of_layer in found for row in of_layer]
    if rows:
        output.table("output_score", _columns(config.alpha, rows))


@torch.no_grad()
def score_layer(run: Path, part: Part) -> list[Row]:
    """A shard: every feature of one layer."""
    study, (layer, numbers) = open_study(run), part
    lengths = _lengths(study, layer, numbers)
    features = [f for f in numbers if np.isfinite(lengths[f])]
    sets = _token_sets(study, [Feature(layer, f) for f in features])
    added = _added(study, layer, {f: lengths[f] for f in features if sets.get(f)})
    if not added:
        return []
    pictures, heard = _listen(study, layer, sets, added)
    n_controls = {one.feature: one.control_no for one in added}  # the last one's number
    return [
        Row(
            Feature(layer, f), name, tokens.texts, lengths[f], len(pictures), n_controls[f],
            output_score(
                heard[f, name, None], heard[f, name, 0],
                [heard[f, name, n] for n in range(1, n_controls[f] + 1)],
                pictures, seed=study.config.seed,
            ),
        )
        for f in n_controls
        for name, tokens in sets[f].items()
    ]  # fmt: skip


def _lengths(study: Study, layer: int, features: Sequence[int]) -> dict[int, float]:
    """What is added for each feature; NaN for one that fires nowhere."""
    means = by_layer(study, "visual_energy", "visual_energy", "mean_activation")
    of_layer = means[study.layers.index(layer)]
    unit = study.config.output_score.alpha / study.base[layer].scale
    return {feature: float(of_layer[feature]) * unit for feature in features}


def _added(study: Study, layer: int, lengths: Mapping[int, float]) -> list[Added]:
    """Each feature's own direction, then those of features like it, in the same length."""
    of_layer = LayerInterventions(study, layer, list(lengths))
    n = study.config.output_score.n_controls
    return [
        Added(feature, number, addition(of_layer.directions[other], length))
        for feature, length in lengths.items()
        for number, other in enumerate([feature, *of_layer.matched(feature, n)])
    ]


# ---------------------------------------------------------------- what is looked for


def _token_sets(study: Study, features: list[Feature]) -> dict[int, dict[str, Tokens]]:
    """Of each feature, by its number: the tokens it writes, and those of its label."""
    sets: dict[int, dict[str, Tokens]] = defaultdict(dict)
    for row in rows_of_features(study, "logit_effect", features, ["top_token_ids", "top_tokens"]):
        sets[row["feature"]]["logits"] = Tokens(row["top_token_ids"], row["top_tokens"])
    for feature, description in _labels(study).items():
        tokens = _tokens_of(study, words_of_description(description))
        if feature in features and tokens.ids:
            sets[feature.feature]["label"] = tokens
    return dict(sets)


def _labels(study: Study) -> dict[Feature, str]:
    """The description of each feature with the highest F1; not one of what it writes."""
    rows = [
        row
        for row in read_rows(study.run, "auto_interp", "auto_interp")
        if row["variant"] != "OUTPUT" and row["description"] != NO_DESCRIPTION
    ]
    best = sorted(rows, key=lambda row: row["f1"])
    return {Feature(row["layer"], row["feature"]): row["description"] for row in best}


def _tokens_of(study: Study, words: Sequence[str]) -> Tokens:
    """The words that are tokens as they stand, in any case."""
    tokenizer = study.vlm.processor.tokenizer
    ids = {word: surface_ids(tokenizer, word) for word in words}
    known = [word for word in words if ids[word]]
    return Tokens(sorted({number for word in known for number in ids[word]}), known)


# ---------------------------------------------------------------- what is said


def _listen(
    study: Study,
    layer: int,
    sets: Mapping[int, Mapping[str, Tokens]],
    added: Sequence[Added],
) -> tuple[Int64[np.ndarray, " prompt"], dict[tuple[int, str, int | None], Said]]:
    """Pictures of all prompts, and how much of each set is said: untouched (None), by control."""
    vocabulary, edits = len(study.vlm.processor.tokenizer), [one.edit for one in added]
    pictures: list[int] = []
    parts: dict[tuple[int, str, int | None], list[Said]] = defaultdict(list)
    for asked in _asked(study):
        pictures += asked.places
        each = edited_logits(study.vlm.model, asked.inputs, asked.text_mask, layer, edits)
        untouched = next(each)[:, :vocabulary]
        for one, logits in zip(added, each, strict=True):
            for name, tokens in sets[one.feature].items():
                heard = said(logits[:, :vocabulary], tokens.ids)
                parts[one.feature, name, one.control_no].append(heard)
                if one.control_no == 0:
                    parts[one.feature, name, None].append(said(untouched, tokens.ids))
    return np.array(pictures), {key: joined(some) for key, some in parts.items()}


def _asked(study: Study) -> Iterator[EmbeddedPrompts]:
    """Every neutral prompt about every picture."""
    samples = pictured(study)
    for prompt in neutral_prompts(study):
        yield from embedded(study, samples, questions=[prompt] * len(samples))


def pictured(study: Study) -> list[Sample]:
    """Samples with the pictures that are asked about, each another one."""
    base = {sample.image: sample for sample in study.samples[BASE]}
    return draw(list(base.values()), study.config.output_score.n_pictures, study.config.seed)


def _columns(alpha: float, rows: list[Row]) -> dict[str, Any]:
    return {
        "layer": np.array([row.feature.layer for row in rows], np.int16),
        "feature": np.array([row.feature.feature for row in rows], np.int32),
        "tokens_of": [row.tokens_of for row in rows],
        "tokens": pa.array([row.tokens for row in rows], pa.list_(pa.string())),
        "alpha": np.full(len(rows), alpha, np.float32),
        "length": np.array([row.length for row in rows]),
        "n_prompts": np.array([row.n_prompts for row in rows]),
        "n_controls": np.array([row.n_controls for row in rows]),
        **{
            name: pa.array([getattr(row.score, name) for row in rows], pa.float64())
            for name in OutputScore._fields
        },
    }
