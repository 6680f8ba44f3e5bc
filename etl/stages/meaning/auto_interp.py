"""Stage `auto_interp`: describe candidates and score the descriptions (paper 5.1, B).

The offline explainer reads questions and answers only, so it describes the RAW variant; an endpoint
is also shown where the feature's strongest heads look (OVERLAY), on positives and negatives alike.
Both can be asked for what a feature writes (OUTPUT): the description is made from tokens alone, and
scored on the same samples, so it says how far what a feature writes is what it fires on.
What an endpoint answered is on disk at once (`reply_ledger`): a stage that stopped goes on where it
was and pays for nothing twice.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from rich.progress import track

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.features.feature_choice import Feature, chosen_features
from feature_atlas.etl.stages.meaning.explainers import Pair, offline_pair, open_endpoints
from feature_atlas.etl.stages.meaning.interp_estimate import announce, estimate
from feature_atlas.etl.stages.meaning.interp_material import (
    Album,
    Material,
    Materials,
    gather,
    top_heads,
)
from feature_atlas.etl.study import Study, open_study
from feature_atlas.meaning.auto_interp import (
    Description,
    Variant,
    Written,
    prompts_hash,
    shuffled_descriptions,
)
from feature_atlas.meaning.interp_samples import Sample
from feature_atlas.meaning.label_score import Graded, Score, score_description
from feature_atlas.vlm.head_probe import Head

Item = TypeVar("Item")
Result = TypeVar("Result")

Pictured = Callable[[Sequence[Sample], Material], list[Sample]]
"""Puts the pictures to the samples of a feature."""

NO_DESCRIPTION = "(no readable description)"
"""A failure keeps its row; the views `label_score` and `description` know it by these words."""


class Labelled(NamedTuple):
    """One described and scored feature."""

    material: Material
    said: Description
    graded: Graded


def run_auto_interp(run: Path) -> Stage:
    """One row per described feature and variant."""
    study = open_study(run)
    config = study.config.auto_interp
    written = ["logit_effect"] if "OUTPUT" in _variants(study) else []
    return run_stage(
        run,
        "auto_interp",
        params={
            **config.model_dump(exclude={"endpoint"}),
            "variants": list(_variants(study)),
            "prompts": [prompts_hash(variant) for variant in _variants(study)],
            "prices": {name: list(price) for name, price in config.endpoint.prices.items()},
        },
        reads=["example", "overlay", "ablation", "neutral_prompt", *written],
        body=lambda output: _write(output, study),
    )


def _variants(study: Study) -> tuple[Variant, ...]:
    """Offline there are no overlays."""
    config = study.config.auto_interp
    if config.explainer == "openai":
        return config.variants
    return tuple(variant for variant in config.variants if variant != "OVERLAY") or ("RAW",)


def _write(output: StageOutput, study: Study) -> None:
    features = chosen_features(study, study.config.auto_interp.max_features)
    if not features:
        return
    album = Album(study)
    gathered = gather(study, album, features)
    if gathered.left_out:
        first, reason = next(iter(gathered.left_out.items()))
        output.warn(
            f"{len(gathered.left_out)} of {len(features)} features are not described, e.g. layer "
            f"{first.layer} feature {first.feature}: {reason}"
        )
    if study.config.auto_interp.explainer == "offline":
        for variant in _variants(study):
            pair, material = offline_pair(gathered.background, variant), _of(variant, gathered, {})
            _write_variant(output, study, material, pair, _no_pictures, n_at_once=1)
    else:
        _ask_endpoint(output, study, album, gathered)


def _ask_endpoint(output: StageOutput, study: Study, album: Album, gathered: Materials) -> None:
    """Every variant, after an estimate of what all of them cost."""
    config, heads = study.config.auto_interp, top_heads(study)
    of_variant: dict[Variant, list[Material]] = {
        variant: _of(variant, gathered, heads) for variant in _variants(study)
    }
    n_without = len(gathered.material) - len(of_variant.get("OVERLAY", gathered.material))
    if n_without:
        output.warn(f"{n_without} features have no OVERLAY description: no head was attributed")
    with open_endpoints(study, "auto_interp") as endpoints:
        pairs = {variant: endpoints.pair(variant, config) for variant in of_variant}
        n_heads = study.config.head_attribution.n_overlay_heads
        announce(endpoints, "auto_interp", estimate(pairs, of_variant, n_heads))
        for variant, material in of_variant.items():
            pictured = _pictured(album, heads if variant == "OVERLAY" else {})
            n_at_once = config.endpoint.n_at_once
            _write_variant(output, study, material, pairs[variant], pictured, n_at_once=n_at_once)
        for endpoint in (endpoints.describer, endpoints.grader):
            output.warn_of(endpoint.remarks())


def _of(
    variant: Variant, gathered: Materials, heads: Mapping[Feature, Sequence[Head]]
) -> list[Material]:
    """The features of which there is what a variant shows."""
    if variant == "OVERLAY":
        return [one for one in gathered.material if heads.get(one.feature)]
    return [one for one in gathered.material if variant == "RAW" or one.written]


def _pictured(album: Album, heads: Mapping[Feature, Sequence[Head]]) -> Pictured:
    """Opens the pictures of a feature's samples, and draws the overlays of its heads."""
    return lambda samples, material: album.pictured(samples, heads.get(material.feature, ()))


def _no_pictures(samples: Sequence[Sample], material: Material) -> list[Sample]:
    return list(samples)


def _write_variant(
    output: StageOutput,
    study: Study,
    material: list[Material],
    pair: Pair,
    pictured: Pictured,
    *,
    n_at_once: int,
) -> None:
    if not material:
        return
    seed = study.config.seed
    variant = pair.describer.variant
    name = f"{pair.describer.name} {variant}"
    shown = ((variant == "OUTPUT" and m.written) or pictured(m.describe, m) for m in material)

    def describe(what: Written | list[Sample]) -> Description:
        if isinstance(what, Written):
            return pair.describer.describe_output(what)
        return pair.describer.describe(what)

    n = len(material)
    described = list(track(in_order(describe, shown, n_at_once), f"{name} descriptions", n))
    others = shuffled_descriptions([said.text for said in described], seed=seed)

    def grade(task: tuple[Description, str | None, list[Sample], list[Sample]]) -> Graded:
        said, other, positives, negatives = task
        return score_description(
            pair.grader, said.text, positives, negatives, shuffled=other, seed=seed
        )

    tasks = (
        (said, other, pictured(m.scored.positives, m), pictured(m.scored.negatives, m))
        for m, said, other in zip(material, described, others, strict=True)
    )
    graded = track(in_order(grade, tasks, n_at_once), f"{name} scores", total=len(material))
    labelled = [Labelled(*one) for one in zip(material, described, graded, strict=True)]
    output.table("auto_interp", _columns(pair, labelled))


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], n_at_once: int
) -> Iterator[Result]:
    """Results in the order of the items, some worked on at once; items are made as they are due.

    At most ``n_at_once`` items and the next are held. After an error nothing new is begun.
    """
    out: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(n_at_once) as pool:
        try:
            for item in items:
                out.append(pool.submit(work, item))
                if len(out) > n_at_once:
                    yield out.popleft().result()
            while out:
                yield out.popleft().result()
        finally:
            for future in out:
                future.cancel()


def _columns(pair: Pair, labelled: list[Labelled]) -> dict[str, object]:
    n = len(labelled)
    usages = [one.said.usage.plus(one.graded.usage) for one in labelled]
    return {
        "layer": np.array([one.material.feature.layer for one in labelled], np.int16),
        "feature": np.array([one.material.feature.feature for one in labelled], np.int32),
        "variant": [pair.describer.variant] * n,
        "explainer": [pair.describer.name] * n,
        "model": [pair.describer.model] * n,
        "grader_model": [pair.grader.model] * n,
        "description": [one.said.text or NO_DESCRIPTION for one in labelled],
        **{
            name: _numbers([getattr(one.graded.score, name) for one in labelled])
            for name in Score._fields
        },
        "n_same_relation": [one.material.scored.n_same_relation for one in labelled],
        "n_same_image": [one.material.scored.n_same_image for one in labelled],
        "prompt_hash": [pair.describer.prompt_hash] * n,
        "raw_reply": [one.said.raw_reply for one in labelled],
        "raw_verdicts": pa.array(
            [one.graded.raw_replies for one in labelled], pa.list_(pa.string())
        ),
        "tokens_used": [usage.prompt_tokens + usage.reply_tokens for usage in usages],
        "cost_usd": pa.array([usage.cost_usd for usage in usages], pa.float64()),
        "n_repaired": [usage.n_repaired for usage in usages],
    }


def _numbers(values: list[int | float | None]) -> pa.Array:
    """Whole numbers, or floating-point ones where any is or all are missing."""
    is_whole = all(type(value) is int for value in values)
    return pa.array(values, pa.int64() if is_whole else pa.float64())
