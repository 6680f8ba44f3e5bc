"""Stage `head_attribution`: which heads drive each surviving or ablated feature (paper 5.2, C).

A sample that is a top sample of several features, of whatever layers, is run once for all of them.
Samples that are asked about alike go through together, so that few backward passes are half empty.
What takes the picture's place is a choice, and with several of them all is done for each. Where it
is asked for, questions are asked again in other words, to see whether rankings hold.
"""

from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int
from rich.progress import track
from torch import Tensor
from torch.utils import _pytree as pytree

from feature_atlas.etl.config.causes import Corruption
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.run_folder.shards import batched
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages
from feature_atlas.etl.stages.features.feature_choice import Feature, studied_features
from feature_atlas.etl.stages.features.skills import skills_of
from feature_atlas.etl.stages.heads.attribution_rows import (
    attribution_columns,
    estimate_columns,
    stability_columns,
    wording_columns,
)
from feature_atlas.etl.stages.heads.clean_and_corrupt import (
    CleanAndCorrupt,
    aim,
    asked,
    clean_and_corrupt,
    turns,
)
from feature_atlas.etl.stages.heads.corrupted_samples import (
    corrupted_samples,
    looked_at,
    named,
    warn_of_opposites,
)
from feature_atlas.etl.stages.heads.further_rules import further_scores
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.skill import QUESTION
from feature_atlas.heads.head_attribution import (
    HeadScores,
    SwapScores,
    first_order,
    head_scores,
    run_clean_and_corrupt,
    through_softmax,
)

MIN_SAMPLES = 2

Wanted = dict[int, list[Feature]]
"""Features by the number of a sample on which they are asked about."""
SAMPLES_PER_PART = 128


class Setup(NamedTuple):
    """How samples are run."""

    corruption: Corruption
    wording: str
    """What stands around a question; `QUESTION` alone: its own words."""


class Part(NamedTuple):
    """A shard: some samples in one setup."""

    corruption: Corruption
    wording: str
    samples: list[tuple[int, list[Feature]]]
    """Numbers, with the features that are asked about on each."""


class Scored(NamedTuple):
    """One feature on one sample, or on several."""

    own: HeadScores
    """The paper's methods and the QK fix."""
    further: dict[str, SwapScores]
    """By the other rules that are configured."""


def run_head_attribution(run: Path) -> Stage:
    """One row per feature, method and head up to the feature's layer."""
    study = open_study(run)
    config = study.config.head_attribution
    return run_stage(
        run,
        "head_attribution",
        params={
            **config.model_dump(include={"n_samples", "max_features", "rules", "n_steps"}),
            **asked(study),
            "paraphrases": paraphrases(study),
        },
        reads=["mean_image", "neutral_prompt", "ablation", "harvest", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study),
    )


def paraphrases(study: Study) -> list[str]:
    """Other wordings in which questions are asked again: the first that the skills give."""
    found = [words for skill in skills_of(study).values() for words in skill.paraphrases]
    return list(dict.fromkeys(found))[: study.config.head_attribution.n_paraphrases]


def _write(output: StageOutput, study: Study) -> None:
    config = study.config.head_attribution
    features = studied_features(study)[: config.max_features]
    if "opposite" in config.corruption:
        tops = (looked_at(study, feature, "opposite") for feature in features)
        warn_of_opposites(output, study, chain.from_iterable(tops))
    own = [Setup(corruption, QUESTION) for corruption in config.corruption]
    in_words = [own[0]._replace(wording=words) for words in (QUESTION, *paraphrases(study))]
    if len(in_words) <= config.n_paraphrases:
        output.warn(
            f"{len(in_words) - 1} paraphrases in the skills' files, {config.n_paraphrases} wanted"
        )
    scores = _scores(output, study, features, [*own, *in_words[1:]])
    for feature in features:
        for setup in own:
            _write_feature(output, study, feature, setup.corruption, scores[setup, feature])
        of_feature = [scores[setup, feature] for setup in in_words]
        if len(in_words) > 1 and len(of_feature[0]) >= MIN_SAMPLES:
            by_wording = [_by_name(_joined(samples)) for samples in of_feature]
            rows = wording_columns(feature, own[0].corruption, by_wording)
            output.table("head_stability", rows)


def _write_feature(
    output: StageOutput,
    study: Study,
    feature: Feature,
    corruption: Corruption,
    scores: list[Scored],
) -> None:
    if len(scores) < MIN_SAMPLES:  # a standard error needs two
        output.warn(
            f"L{feature.layer} F{feature.feature} fires on {len(scores)} questions: not attributed"
            f"{named(corruption)}"
        )
        return
    found, of = _joined(scores), (feature, corruption)
    output.table("head_attribution", attribution_columns(*of, found.own))
    output.table("head_stability", stability_columns(*of, _by_name(found), study.config.seed))
    for rule, of_rule in found.further.items():
        output.table("head_estimate", estimate_columns(*of, rule, of_rule))


def _by_name(found: Scored) -> dict[str, SwapScores]:
    own = {"score": first_order(found.own), "fix": through_softmax(found.own)}
    return own | found.further


def _scores(
    output: StageOutput, study: Study, features: list[Feature], setups: list[Setup]
) -> dict[tuple[Setup, Feature], list[Scored]]:
    """Scores of every feature on each of its samples."""
    scores: dict[tuple[Setup, Feature], list[Scored]] = defaultdict(list)
    parts = [part for setup in setups for part in _parts(study, features, setup)]
    found = track(output.in_shards(scores_of, parts), "attribution patching", total=len(parts))
    for part, of_part in zip(parts, found, strict=True):
        for feature, of_sample in of_part:
            scores[Setup(*part[:2]), feature].append(of_sample)
    return scores


def _parts(study: Study, features: list[Feature], setup: Setup) -> list[Part]:
    """Samples with the features that are asked about, those that cost alike together."""
    wanted: Wanted = defaultdict(list)
    n = study.config.head_attribution.n_samples
    for feature in features:
        for number in corrupted_samples(study, feature, setup.corruption, n):
            wanted[number].append(feature)
    numbers = sorted(wanted, key=lambda number: _profile(study, wanted[number]))
    few = batched([(number, wanted[number]) for number in numbers], SAMPLES_PER_PART)
    return [Part(*setup, samples) for samples in few]


def scores_of(run: Path, part: Part) -> list[tuple[Feature, Scored]]:
    """Of every feature that is asked about on some samples."""
    study, part = open_study(run), Part(*part)
    wanted = {
        number: [Feature(*feature) for feature in features] for number, features in part.samples
    }
    at_once = study.samples_at_once
    return [
        scored
        for prompts in clean_and_corrupt(
            study, list(wanted), at_once, part.corruption, part.wording
        )
        for scored in _batch_scores(study, prompts, wanted)
    ]


def _profile(study: Study, features: list[Feature]) -> tuple[int, ...]:
    """How many features of each layer, the highest first: what a sample costs."""
    return tuple(sum(f.layer == layer for f in features) for layer in reversed(study.layers))


def _batch_scores(
    study: Study, prompts: CleanAndCorrupt, wanted: Wanted
) -> list[tuple[Feature, Scored]]:
    asked_of = [wanted[number] for number in prompts.numbers]
    layers = sorted({feature.layer for features in asked_of for feature in features})
    model = study.vlm.model
    both = run_clean_and_corrupt(model, prompts.both(model), layers)
    aims, rounds, own, turned = {}, {}, {}, {}
    for layer in layers:
        rounds[layer] = _rounds([[f.feature for f in of if f.layer == layer] for of in asked_of])
        residual = both.heads.residuals[layer].detach()[: len(asked_of)]
        aims[layer] = aim(study, layer, rounds[layer], prompts.batch.roles, residual)
        own[layer] = head_scores(both, aims[layer].positions, layer, aims[layer].directions)
        turned[layer] = turns(prompts, both.heads.residuals[layer].detach(), aims[layer])
    ends = both.without_graph()
    del both
    further = further_scores(study, prompts, aims, ends)
    done = []
    for layer in layers:
        scored = Scored(own[layer], {rule: of[layer] for rule, of in further.items()})
        for turn, place in (rounds[layer] >= 0).nonzero().tolist():
            one = (slice(None), slice(turn, turn + 1), slice(place, place + 1))
            by = float(turned[layer][turn, place])
            of_one = pytree.tree_map(lambda part, one=one, by=by: by * part[one].cpu(), scored)
            done.append((Feature(layer, int(rounds[layer][turn, place])), of_one))
    return done


def _joined(samples: list[Scored]) -> Scored:
    """A feature's samples, one behind the other."""
    joined: Scored = pytree.tree_map(lambda *parts: torch.cat(parts, dim=2), *samples)
    return joined


def _rounds(features: list[list[int]]) -> Int[Tensor, "round batch"]:
    """Feature numbers by turn and sample; -1 where a sample has none left."""
    n_rounds = max(map(len, features))
    padded = [of + [-1] * (n_rounds - len(of)) for of in features]
    return torch.tensor(padded).T
