"""Stage `exact_patch`: heads swapped for real, the referee of attribution patching (paper 5.2, C).

Of every attributed feature its strongest heads and a random sample of the others; of some features
every head, on which estimates and exact effects are compared. Both are taken on the same samples.
"""

from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float64
from rich.progress import track

from feature_atlas.etl.config.causes import Corruption
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages
from feature_atlas.etl.stages.features.feature_choice import Feature, by_layer_of
from feature_atlas.etl.stages.heads.clean_and_corrupt import (
    Aim,
    CleanAndCorrupt,
    aim,
    asked,
    clean_and_corrupt,
    turns,
)
from feature_atlas.etl.stages.heads.corrupted_samples import corrupted_samples, named
from feature_atlas.etl.stages.heads.estimate_agreement import (
    DRIVES,
    METHODS,
    Compared,
    agreements,
)
from feature_atlas.etl.stages.heads.further_rules import further_scores
from feature_atlas.etl.stages.heads.head_drives import Drive, head_drives, strongest
from feature_atlas.etl.study import Study, open_study
from feature_atlas.heads.exact_patch import exact_patch_heads
from feature_atlas.heads.head_attribution import (
    first_order,
    head_scores,
    run_clean_and_corrupt,
    through_softmax,
)
from feature_atlas.statistics.mean_effect import mean_effect
from feature_atlas.statistics.uncertainty import benjamini_hochberg
from feature_atlas.vlm.head_probe import Head, Part

SWAPPED: dict[str, tuple[Part, ...]] = {"qk": ("q", "k"), "v": ("v",), "z": ("z",)}


class Swaps(NamedTuple):
    """A shard: one feature under one corruption, and the heads that are swapped."""

    feature: Feature
    corruption: Corruption
    heads: list[Head]
    why: list[str]
    """Why each is: top, random or full."""
    is_full: bool
    """Whether every head is, for the comparison with estimates."""


class Patched(NamedTuple):
    """One part of one feature's heads, swapped both ways."""

    feature: Feature
    corruption: Corruption
    part: str
    """As in SWAPPED."""
    heads: list[Head]
    """Those that were swapped."""
    why: list[str]
    """Why each was: top, random or full."""
    effect: Float64[np.ndarray, "sample method head"]
    """Change of J_f; A: corrupt into clean, B: clean into corrupt."""
    estimates: dict[str, Float64[np.ndarray, "sample method head"]]
    """score: first order; fix: through the softmax, for queries and keys; of a feature with all
    heads swapped also those of the configured rules."""


def run_exact_patch(run: Path) -> Stage:
    """One row per feature, swapped part, method and patched head; and how estimates agree."""
    study = open_study(run)
    return run_stage(
        run,
        "exact_patch",
        params={**study.config.exact_patch.model_dump(), **asked(study)},
        reads=["head_attribution", "mean_image", "harvest", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    config = study.config.exact_patch
    full: list[Patched] = []
    corruptions = study.config.head_attribution.corruption
    parts = [swaps for corruption in corruptions for swaps in _swaps(output, study, corruption)]
    found = track(output.in_shards(patch, parts), "exact patching", total=len(parts))
    for swaps, of_feature in zip(parts, found, strict=True):
        for patched in of_feature:
            output.table("head_exact", _columns(patched, config.max_q))
            if swaps.is_full:
                full.append(patched)
    if full:
        for table, rows in agreements(study, [_turned(p) for p in full]).items():
            output.table(table, {name: [row[name] for row in rows] for name in rows[0]})


def _swaps(output: StageOutput, study: Study, corruption: Corruption) -> list[Swaps]:
    """Every attributed feature's heads; all of those that are in full."""
    config = study.config.exact_patch
    by_score = head_drives(study, "score", corruption)
    by_fix = head_drives(study, "qk_fix", corruption)
    wanted = _in_turns(list(by_score))[: config.n_full_features]
    if len(wanted) < config.n_full_features:
        output.warn(
            f"{len(wanted)} features had every head patched, {config.n_full_features} wanted: no "
            f"more were attributed{named(corruption)}"
        )
    found = []
    for feature in by_score:
        rankings, is_full = [*by_score[feature], by_fix[feature].mean(0)], feature in wanted
        chosen = _chosen(study, feature, rankings, is_full)
        swaps = Swaps(feature, corruption, list(chosen), list(chosen.values()), is_full)
        found.append(swaps)
    return found


def _in_turns(features: list[Feature]) -> list[Feature]:
    """The layers' first features, then their second ones, and so on: a sample of all layers."""
    layers = by_layer_of(features)
    ranked = ([Feature(layer, f) for f in layers[layer]] for layer in sorted(layers))
    return [f for turn in zip_longest(*ranked) for f in turn if f is not None]


def _chosen(
    study: Study, feature: Feature, rankings: list[Drive], is_full: bool
) -> dict[Head, str]:
    """Heads to patch with the reason."""
    config = study.config.exact_patch
    top = [head for drive in rankings for head in strongest(drive, config.n_top)]
    others = [h for h in np.ndindex(*rankings[0].shape) if h not in set(top)]
    random = np.random.default_rng([study.config.seed, feature.layer, feature.feature])
    drawn = random.permutation(len(others))[: config.n_random]
    chosen = dict.fromkeys(top, "top") | {others[i]: "random" for i in sorted(drawn.tolist())}
    return chosen | {h: "full" for h in others if is_full and h not in chosen}


def patch(run: Path, swaps: Swaps) -> list[Patched]:
    """Every configured part of a feature's chosen heads, on its top samples."""
    study, swaps = open_study(run), Swaps(*swaps)
    feature, heads = Feature(*swaps.feature), [(layer, head) for layer, head in swaps.heads]
    n, at_once = study.config.exact_patch.n_samples, study.samples_at_once
    numbers = corrupted_samples(study, feature, swaps.corruption, n)
    batches = [
        _patch_batch(study, feature, prompts, heads)
        for prompts in clean_and_corrupt(study, numbers, at_once, swaps.corruption)
    ]
    return [
        Patched(
            feature,
            swaps.corruption,
            swapped,
            heads,
            swaps.why,
            np.concatenate([batch[swapped]["effect"] for batch in batches]),
            {
                name: np.concatenate([batch[swapped][name] for batch in batches])
                for name in batches[0][swapped]
                if name != "effect"
            },
        )
        for swapped in study.config.exact_patch.parts
    ]


def _patch_batch(
    study: Study, feature: Feature, prompts: CleanAndCorrupt, heads: list[Head]
) -> dict[str, dict[str, Float64[np.ndarray, "sample method head"]]]:
    """By part, the effect and its estimates."""
    model, n = study.vlm.model, len(prompts.numbers)
    layer = feature.layer
    clean_first, corrupt_first = prompts.both(model), prompts.swapped(model)
    both = run_clean_and_corrupt(model, clean_first, [layer])
    residual = both.heads.residual.detach()[:n]
    number = torch.full((1, n), feature.feature)
    positions, directions = aim(study, layer, number, prompts.batch.roles, residual)
    scores = head_scores(both, positions, layer, directions)
    turned = turns(prompts, both.heads.residual.detach(), Aim(positions, directions))
    by = turned[0, :, None, None].double().cpu().numpy()
    ends = both.without_graph()
    del both
    further = {}
    if _are_all(study, feature, heads):
        further = further_scores(study, prompts, {layer: Aim(positions, directions)}, ends)
    positions = positions if positions.ndim == 2 else positions[0]
    at = tuple(torch.tensor(heads, device=residual.device).T)

    def of_heads(part: torch.Tensor) -> np.ndarray:
        """[method, 1, sample, layer, head] to [sample, method, chosen head]."""
        return by * part[:, 0][(..., *at)].transpose(0, 1).double().cpu().numpy()

    by_name = {"score": first_order(scores), "fix": through_softmax(scores)}
    by_name |= {rule: of_layer[layer] for rule, of_layer in further.items()}
    found: dict[str, dict[str, np.ndarray]] = {}
    for part in study.config.exact_patch.parts:
        effect = exact_patch_heads(  # both ways in one batch
            model,
            clean_first,
            corrupt_first,
            torch.cat([positions, positions]),
            layer,
            torch.cat([directions, directions], dim=1),
            heads=heads,
            parts=SWAPPED[part],
        )[0]
        both_ways = by * effect.unflatten(0, (2, n)).transpose(0, 1).double().cpu().numpy()
        estimates = {name: of_heads(getattr(of_all, part)) for name, of_all in by_name.items()}
        if part != "qk":
            del estimates["fix"]  # no softmax lies between
        found[part] = {"effect": both_ways, **estimates}
    return found


def _are_all(study: Study, feature: Feature, heads: list[Head]) -> bool:
    """Whether estimates of all rules are wanted: where every head is swapped, they are compared."""
    return len(heads) == (feature.layer + 1) * study.inputs["vlm"]["n_heads"]


def _turned(patched: Patched) -> Compared:
    """Estimates and effects so that above 0 drives the feature."""
    turn = DRIVES[:, None]
    estimates = {name: turn * estimate for name, estimate in patched.estimates.items()}
    return Compared(
        patched.feature, patched.corruption, patched.part, turn * patched.effect, estimates
    )


def _columns(patched: Patched, max_q: float) -> dict[str, object]:
    """Rows of table head_exact."""
    n_samples, n_methods, n_heads = patched.effect.shape
    effect = mean_effect(patched.effect)
    q = np.stack([benjamini_hochberg(of_method) for of_method in effect.p_value])
    q = np.maximum(q, effect.p_value)  # rounding may say less
    score = patched.estimates["score"].mean(0)
    n = n_methods * n_heads
    fix = patched.estimates["fix"].mean(0).ravel() if "fix" in patched.estimates else [None] * n
    is_causal = (q <= max_q) & (np.sign(effect.mean) == np.sign(score)) & (score != 0)
    return {
        "layer": np.full(n, patched.feature.layer, np.int16),
        "feature": np.full(n, patched.feature.feature, np.int32),
        "corruption": [patched.corruption] * n,
        "part": [patched.part] * n,
        "method": np.repeat(METHODS, n_heads).tolist(),
        "head_layer": np.tile(np.array([h[0] for h in patched.heads], np.int16), n_methods),
        "head": np.tile(np.array([h[1] for h in patched.heads], np.int16), n_methods),
        "why": patched.why * n_methods,
        "effect": effect.mean.ravel().astype(np.float32),
        "standard_error": effect.standard_error.ravel().astype(np.float32),
        "effect_low": effect.low.ravel().astype(np.float32),
        "effect_high": effect.high.ravel().astype(np.float32),
        "p_value": effect.p_value.ravel(),
        "q_value": q.ravel(),
        "estimate": score.ravel().astype(np.float32),
        "estimate_fix": pa.array(fix, pa.float32()),
        "is_causal": is_causal.ravel(),
        "n_samples": np.full(n, n_samples, np.int32),
    }
