"""Stage `auto_interp`: describe candidates and score the descriptions (paper 5.1, B).

The offline explainer reads questions and answers only, so it describes the RAW variant; an endpoint
is also shown where the feature's strongest head looks (OVERLAY), on positives and negatives alike.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image
from rich.progress import track

from feature_atlas.auto_interp import (
    Description,
    Explainer,
    Variant,
    score_description,
    shuffled_descriptions,
)
from feature_atlas.etl.artifacts import Stage, StageOutput, read_rows, read_table, run_stage
from feature_atlas.etl.chosen import chosen_features, sample_of, top_samples
from feature_atlas.etl.harvest import SOURCES
from feature_atlas.etl.neutral_prompt import Feature
from feature_atlas.etl.overlay import METHOD, overlaid_pictures
from feature_atlas.etl.samples import open_image
from feature_atlas.etl.silent_samples import background_of, silent_of
from feature_atlas.etl.study import Study, open_study
from feature_atlas.explainer_offline import OfflineExplainer
from feature_atlas.interp_samples import Sample, choose_samples


class Material(NamedTuple):
    """What an explainer gets to see of one feature."""

    feature: Feature
    describe: list[Sample]
    positives: list[Sample]
    negatives: list[Sample]


def run_auto_interp(run: Path) -> Stage:
    """One row per described feature and variant."""
    study = open_study(run)
    config = study.config.auto_interp
    return run_stage(
        run,
        "auto_interp",
        params={**config.model_dump(exclude={"base_url"}), "variants": list(_variants(study))},
        reads=["example", "head_attribution", "ablation", "neutral_prompt"],
        body=lambda output: _write(output, study),
    )


def _variants(study: Study) -> tuple[Variant, ...]:
    config = study.config.auto_interp
    return ("RAW",) if config.explainer == "offline" else config.variants


def _write(output: StageOutput, study: Study) -> None:
    features = chosen_features(study, study.config.auto_interp.max_features)
    if not features:
        return
    background = background_of(study, features)
    silent = silent_of(study, features, background)
    tokens = _tokens_of_examples(study, features)
    for variant in _variants(study):
        explainer = _explainer(study, variant, [_shown(study, n) for n in background])
        material = [
            m
            for feature in track(features, f"samples for {variant} descriptions")
            if (m := _material(study, feature, silent[feature], tokens, variant)) is not None
        ]
        if material:
            output.table("auto_interp", _columns(study, explainer, material))


def _explainer(study: Study, variant: Variant, background: list[Sample]) -> Explainer:
    config = study.config.auto_interp
    if config.explainer == "offline":
        return OfflineExplainer(background)
    from feature_atlas.explainer_openai import OpenAIExplainer

    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise ValueError(
            "auto_interp.explainer is 'openai' but OPENAI_API_KEY is not set: set it (any word "
            "for a local server without keys), or use the 'offline' explainer."
        )
    return OpenAIExplainer(
        base_url=config.base_url or "https://api.openai.com/v1",
        model=config.model,
        api_key=key,
        variant=variant,
        seed=study.config.seed,
    )


def _tokens_of_examples(
    study: Study, features: list[Feature]
) -> dict[tuple[Feature, int], tuple[list[str], list[float]]]:
    """Tokens and activations of the chosen features' top samples, from the example stage."""
    rows = read_table(study.run, "example", "example")
    wanted = {layer * 2**32 + feature for layer, feature in features}
    keys = rows["layer"].to_numpy().astype(np.int64) * 2**32 + rows["feature"].to_numpy()
    chosen = rows.take(np.flatnonzero(np.isin(keys, list(wanted)))).to_pylist()
    return {
        (Feature(r["layer"], r["feature"]), r["sample"]): (r["tokens"], r["activations"])
        for r in chosen
    }


def _material(
    study: Study,
    feature: Feature,
    silent: list[int],
    tokens: Mapping[tuple[Feature, int], tuple[list[str], list[float]]],
    variant: Variant,
) -> Material | None:
    """Samples to describe and to score; None for a feature with too few pictures or no silence."""
    config = study.config.auto_interp
    m = study.config.example.n_per_source
    numbers = [n for source in SOURCES for n in top_samples(study, feature, source, m)]
    active = [_shown(study, n, *tokens[feature, n]) for n in numbers]
    active.sort(key=lambda sample: -max(sample.activations))
    if len({sample.image_id for sample in active}) < 2 or not silent:
        return None
    chosen = choose_samples(
        active,
        [_shown(study, n) for n in silent],
        n_describe=config.n_description,
        n_positive=config.n_validation,
        n_negative=config.n_validation,
        seed=study.config.seed,
    )
    groups = [chosen.describe, chosen.positives, chosen.negatives]
    if config.explainer == "openai":
        groups = [_with_pictures(study, feature, group, variant) for group in groups]
    return Material(feature, *groups)


def _shown(
    study: Study, number: int, tokens: list[str] | None = None, values: list[float] | None = None
) -> Sample:
    """A sample as explainers know it; pictures are opened only when they are sent."""
    sample = sample_of(study, number)
    split = next(s for s in SOURCES.values() if sample.dataset == s)
    row = number - study.first_number[split]
    return Sample(
        question=sample.question,
        answer=sample.answer,
        tokens=tokens or (),
        activations=values or (),
        image_id=int(study.image_numbers[split][row]),
        relation=sample.relation,
    )


def _with_pictures(
    study: Study, feature: Feature, group: list[Sample], variant: Variant
) -> list[Sample]:
    files = {
        int(number): sample.image
        for split in SOURCES.values()
        for number, sample in zip(study.image_numbers[split], study.samples[split], strict=True)
    }
    pictures = [open_image(files[sample.image_id]) for sample in group]
    overlays: list[Image.Image | None] = [None] * len(group)
    if variant == "OVERLAY":
        head = _strongest_head(study, feature)
        if head is not None:
            questions = [sample.question for sample in group]
            overlays = list(overlaid_pictures(study, questions, pictures, head))
    return [
        sample._replace(image=picture, overlay=overlay)
        for sample, picture, overlay in zip(group, pictures, overlays, strict=True)
    ]


def _strongest_head(study: Study, feature: Feature) -> tuple[int, int] | None:
    rows = [
        r
        for r in read_rows(study.run, "head_attribution", "head_attribution")
        if (r["layer"], r["feature"], r["method"]) == (*feature, METHOD)
    ]
    best = max(rows, key=lambda r: abs(r["score"]), default=None)
    return None if best is None else (best["head_layer"], best["head"])


def _columns(study: Study, explainer: Explainer, material: list[Material]) -> dict[str, object]:
    described, used = [], []
    for m in track(material, f"{explainer.name} {explainer.variant} descriptions"):
        before = explainer.tokens_used
        described.append(explainer.describe(m.describe))
        used.append(explainer.tokens_used - before)
    others = shuffled_descriptions([d.text for d in described], seed=study.config.seed)
    rows = []
    for m, said, other, spent in zip(material, described, others, used, strict=True):
        before = explainer.tokens_used
        score = score_description(
            explainer, said.text, m.positives, m.negatives, shuffled=other, seed=study.config.seed
        )
        rows.append((m.feature, said, score, spent + explainer.tokens_used - before))
    n = len(rows)
    return {
        "layer": np.array([f.layer for f, *_ in rows], np.int16),
        "feature": np.array([f.feature for f, *_ in rows], np.int32),
        "variant": [explainer.variant] * n,
        "explainer": [explainer.name] * n,
        "model": [explainer.model] * n,
        "description": [_said(d) for _, d, *_ in rows],
        **{
            name: [getattr(score, name) for *_, score, _ in rows]
            for name in type(rows[0][2])._fields
        },
        "prompt_hash": [explainer.prompt_hash] * n,
        "raw_reply": [d.raw_reply for _, d, *_ in rows],
        "tokens_used": np.array([spent for *_, spent in rows], np.int32),
        "cost_usd": pa.nulls(n, pa.float64()),  # prices are not known here
    }


def _said(description: Description) -> str:
    return description.text or "(no readable description)"
