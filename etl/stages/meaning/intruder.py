"""Stage `intruder`: do the samples of a feature belong together (beside 5.1).

Off unless `intruder.n_trials` says how often to ask. Intruders are stored examples of features of
the same layer that fire about as often, on which the feature itself is silent.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.progress import track

from feature_atlas.etl.inputs.samples import draw
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.features.feature_choice import Feature, chosen_features
from feature_atlas.etl.stages.features.selection import by_layer
from feature_atlas.etl.stages.meaning.auto_interp import in_order
from feature_atlas.etl.stages.meaning.embedding_model import NONE_CHOSEN, chosen_embedder
from feature_atlas.etl.stages.meaning.explainers import open_endpoints
from feature_atlas.etl.stages.meaning.interp_estimate import Estimate, announce, blank_pictures
from feature_atlas.etl.stages.meaning.interp_material import Album, tokens_of_examples
from feature_atlas.etl.stages.meaning.silent_samples import silent_of
from feature_atlas.etl.study import Study, open_study
from feature_atlas.meaning.auto_interp import prompt
from feature_atlas.meaning.embedding import Embedder
from feature_atlas.meaning.explainer_openai import OpenAIExplainer
from feature_atlas.meaning.interp_samples import Sample, TooFewSamplesError
from feature_atlas.meaning.intruder import (
    Coherence,
    EmbeddingJudge,
    Picked,
    Trial,
    WordOverlap,
    coherence,
    draw_trials,
)

PER_TRIAL = 2
"""Samples of other features for each trial: the feature itself fires on some of them."""
ANSWER_TOKENS = 10
"""Of a reply, for the estimate."""

Trials = dict[Feature, list[Trial]]
Numbered = dict[Feature, dict[int, Sample]]
"""Stored examples by local number."""


def run_intruder(run: Path) -> Stage:
    """One row per feature that has enough samples; none where `intruder.n_trials` is 0."""
    study = open_study(run)
    config = study.config.intruder
    embedder = _embedder(study) if config.n_trials else None
    return run_stage(
        run,
        "intruder",
        params={
            **config.model_dump(),
            "seed": study.config.seed,
            "asked": _who_is_asked(study, embedder) if config.n_trials else "nobody",
        },
        reads=["example", "visual_energy", "ablation", "neutral_prompt"],
        body=lambda output: _write(output, study, embedder),
    )


def _who_is_asked(study: Study, embedder: Embedder | None) -> str:
    """What decides the answers beside the settings of this stage."""
    if embedder is not None:
        return f"{embedder.model} {embedder.revision}"
    interp = study.config.auto_interp
    return f"{interp.grader_model or interp.model} {interp.detail} {prompt('intruder')}"


def _embedder(study: Study) -> Embedder | None:
    """None: an endpoint is asked."""
    if study.config.intruder.judge == "openai":
        return None
    if study.config.intruder.judge == "words":
        return WordOverlap()
    embedder = chosen_embedder()
    if embedder is None:
        raise ValueError(f"intruder.judge is 'embedding', but {NONE_CHOSEN}.")
    return embedder


def _write(output: StageOutput, study: Study, embedder: Embedder | None) -> None:
    config = study.config.intruder
    features = chosen_features(study, config.max_features) if config.n_trials else []
    album = Album(study)
    trials = _trials(output, study, album, features) if features else {}
    if not trials:
        return
    if embedder is None:
        _ask_endpoint(output, study, album, trials)
        return
    judge = EmbeddingJudge(embedder)
    picked = [judge.pick(trial.samples) for trial in track(_all(trials), "intruders")]
    output.table("intruder", _columns(config.judge, judge.model, trials, picked))


def _ask_endpoint(output: StageOutput, study: Study, album: Album, trials: Trials) -> None:
    """The grader of descriptions sees the pictures too."""
    interp, asked = study.config.auto_interp, _all(trials)
    with open_endpoints(study, "intruder") as endpoints:
        judge = OpenAIExplainer(endpoints.grader, "RAW", interp.detail)
        announce(endpoints, "intruder", _estimate(judge, asked))
        shown = (album.pictured(trial.samples, ()) for trial in asked)
        picked = track(
            in_order(judge.pick, shown, interp.endpoint.n_at_once), "intruders", total=len(asked)
        )
        output.table("intruder", _columns("openai", judge.model, trials, list(picked)))
        output.warn_of(endpoints.grader.remarks())


def _estimate(judge: OpenAIExplainer, asked: Sequence[Trial]) -> Estimate:
    total = Estimate()
    for trial in asked:
        messages = judge.to_pick(blank_pictures(trial.samples))
        total.add(judge.model, judge.endpoint.estimate(messages), ANSWER_TOKENS)
    return total


def _all(trials: Trials) -> list[Trial]:
    return [trial for of_feature in trials.values() for trial in of_feature]


# ---------------------------------------------------------------- what is shown


def _trials(output: StageOutput, study: Study, album: Album, features: list[Feature]) -> Trials:
    """Of every feature that has enough samples; a warning says how many have not."""
    seed, n_trials = study.config.seed, study.config.intruder.n_trials
    beside = _beside(study, features)
    stored = _stored(study, album, {*features, *(g for of in beside.values() for g in of)})
    strange = {
        feature: draw(_strange(stored, feature, beside[feature]), PER_TRIAL * n_trials, seed)
        for feature in features
    }
    silent = silent_of(study, features, sorted({n for of in strange.values() for n, _ in of}))
    trials, left_out = Trials(), dict[Feature, str]()
    for feature in features:
        quiet = set(silent[feature])
        own = list(stored.get(feature, {}).values())
        others = [sample for number, sample in strange[feature] if number in quiet]
        try:
            trials[feature] = draw_trials(own, others, n_trials=n_trials, seed=seed)
        except TooFewSamplesError as error:
            left_out[feature] = str(error)
    if left_out:
        first, reason = next(iter(left_out.items()))
        output.warn(
            f"{len(left_out)} of {len(features)} features are not tried with intruders, e.g. layer "
            f"{first.layer} feature {first.feature}: {reason}"
        )
    return trials


def _beside(study: Study, features: list[Feature]) -> dict[Feature, list[Feature]]:
    """The features of the same layer whose firing rate is nearest, by its logarithm."""
    rates = by_layer(study, "visual_energy", "visual_energy", "firing_rate")
    found = {}
    for layer, feature in features:
        of_layer = rates[study.layers.index(layer)].astype(np.float64)
        fire = np.flatnonzero(of_layer > 0)
        others = fire[fire != feature]
        own = np.log(max(of_layer[feature], of_layer[fire].min(initial=1)))
        nearest = np.abs(np.log(of_layer[others]) - own).argsort(kind="stable")
        chosen = others[nearest[: study.config.intruder.n_beside]]
        found[Feature(layer, feature)] = [Feature(layer, int(other)) for other in chosen]
    return found


def _stored(study: Study, album: Album, features: set[Feature]) -> Numbered:
    """All stored examples of some features."""
    found: Numbered = {}
    for (feature, number), said in tokens_of_examples(study, sorted(features)).items():
        found.setdefault(feature, {})[number] = album.shown(number, *said)
    return found


def _strange(
    stored: Mapping[Feature, Mapping[int, Sample]], feature: Feature, beside: Sequence[Feature]
) -> list[tuple[int, Sample]]:
    """Examples of the features beside one, with their numbers, that are none of its own."""
    own = stored.get(feature, {})
    return [
        (number, sample)
        for other in beside
        for number, sample in stored.get(other, {}).items()
        if number not in own
    ]


# ---------------------------------------------------------------- what was found


def _columns(judge: str, model: str, trials: Trials, picked: Sequence[Picked]) -> dict[str, object]:
    n = len(trials)
    n_trials = len(picked) // n
    parts = [picked[i * n_trials : (i + 1) * n_trials] for i in range(n)]
    found = [coherence(of, said) for of, said in zip(trials.values(), parts, strict=True)]
    costs = [[said.usage.cost_usd for said in part] for part in parts]
    return {
        "layer": np.array([feature.layer for feature in trials], np.int16),
        "feature": np.array([feature.feature for feature in trials], np.int32),
        "judge": [judge] * n,
        "model": [model] * n,
        **{name: [getattr(one, name) for one in found] for name in Coherence._fields},
        "tokens_used": [
            sum(said.usage.prompt_tokens + said.usage.reply_tokens for said in part)
            for part in parts
        ],
        "cost_usd": pa.array(
            [None if None in of else sum(filter(None, of)) for of in costs], pa.float64()
        ),
    }
