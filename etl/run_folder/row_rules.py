"""Rules between the columns of one row, such as a count that is part of another count.

The database holds the same rules as CHECKs of these names; here a row that breaks one gets an
error with its file, before anything is written. A test keeps the two lists the same.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_atlas.etl.run_folder.table_rows import Batch


class Rule(NamedTuple):
    """What must hold in every row."""

    words: str
    """The rule as said to the user."""
    fields: tuple[str, ...]
    """The columns that it is about."""
    holds: Callable[..., pa.Array]
    """Their values to true or false, row by row."""
    knows_missing: bool = False
    """Whether it is about values that are missing; otherwise it holds where one is."""


def _part(*pairs: tuple[str, str]) -> Rule:
    """The first of each pair is at most the second."""
    fields = tuple(dict.fromkeys(field for pair in pairs for field in pair))

    def holds(*columns: pa.Array) -> pa.Array:
        of = dict(zip(fields, map(_number, columns), strict=True))
        return pa.array(np.logical_and.reduce([of[low] <= of[high] for low, high in pairs]))

    return Rule(" and ".join(f"{low} <= {high}" for low, high in pairs), fields, holds)


def _number(values: pa.Array) -> np.ndarray:
    """Numbers as the database stores them: real where they are not whole; NaN is missing."""
    if pa.types.is_null(values.type):
        return np.full(len(values), np.nan)
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False)
    return numbers.astype(np.float32) if pa.types.is_floating(values.type) else numbers


def _positive(*fields: str) -> Rule:
    def holds(*columns: pa.Array) -> pa.Array:
        return pa.array(np.logical_and.reduce([_number(column) > 0 for column in columns]))

    return Rule(" and ".join(f"{field} > 0" for field in fields), fields, holds)


def _double(values: pa.Array) -> pa.Array:
    return values.cast(pa.float64())


def _all_alike(truths: Sequence[pa.Array]) -> pa.Array:
    """Row by row, whether all are true or all are false."""
    return reduce(pc.and_, [pc.equal(truths[0], truth) for truth in truths])


def _all_true(truths: Sequence[pa.Array]) -> pa.Array:
    """Row by row, as AND of the database: false if one is false, whatever is missing."""
    return reduce(pc.and_kleene, [truth.cast(pa.bool_()) for truth in truths])


def _together(*fields: str) -> Rule:
    """All of them are there, or none."""
    return Rule(
        f"{', '.join(fields[:-1])} and {fields[-1]} are there together or not at all",
        fields,
        lambda *columns: _all_alike([pc.is_null(column) for column in columns]),
        knows_missing=True,
    )


AS_MANY = Rule(
    "there are as many tokens as activations",
    ("tokens", "activations"),
    lambda tokens, numbers: pc.equal(pc.list_value_length(tokens), pc.list_value_length(numbers)),
)


def _of_one_length(*fields: str) -> Rule:
    def holds(*lists: pa.Array) -> pa.Array:
        first, *others = (pc.list_value_length(one) for one in lists)
        return reduce(pc.and_, [pc.equal(first, other) for other in others])

    return Rule(f"{', '.join(fields)} are lists of one length", fields, holds)


NEUTRAL = {
    "samples": _part(("n_fired", "n_samples"), ("n_fired_mean_image", "n_samples")),
    "shuffled": _part(("n_fired_shuffled_image", "n_samples")),
}

PICTURED = {
    "grid": _positive("grid_rows", "grid_columns"),
    "patches": Rule(
        "there are grid_rows * grid_columns weights",
        ("weights", "grid_rows", "grid_columns"),
        lambda weights, rows, columns: pc.equal(
            pc.list_value_length(weights),
            pc.multiply(rows.cast(pa.int32()), columns.cast(pa.int32())),
        ),
    ),
    "seen": _part(("seen_left", "seen_right"), ("seen_top", "seen_bottom")),
}

EFFECT = {
    "interval": _part(("delta_low", "delta_high")),
    "margin_interval": _part(("margin_low", "margin_high")),
}

RULES: dict[str, dict[str, Rule]] = {
    "image": {
        "size": _positive("width", "height"),
        "sha256": Rule(
            "sha256 is 64 hexadecimal digits",
            ("sha256",),
            lambda text: pc.match_substring_regex(text, "^[0-9a-f]{64}$"),
        ),
    },
    "decoder_cosine": {
        "null": _together("null_cosine", "excess_rotation", "rotation_p_value", "rotation_q_value"),
        "correction": Rule(
            "rotation_p_value <= rotation_q_value",
            ("rotation_p_value", "rotation_q_value"),
            lambda p, q: pc.fill_null(pc.less_equal(_double(p), _double(q)), True),
        ),
    },
    "latent_scaling": {
        "text": _together("base_beta_text", "vlm_beta_text"),
        "image": _together("base_beta_image", "vlm_beta_image"),
    },
    "chance_score": {
        "interval": _part(("low", "high")),
        "percentiles": _part(("p5", "p95")),
        "random_interval": _part(("random_low", "random_high")),
        "random_percentiles": _part(("random_p5", "random_p95")),
    },
    "seed_stability": {
        "adapted": _part(("n_seeds_adapted", "n_seeds")),
        "vision": _part(("n_seeds_turned_by_vision", "n_seeds_adapted")),
        "order": _part(("cosine_low", "cosine_high")),
    },
    "selection": {
        "vision": Rule(
            "is_turned_by_vision says whether is_adapted, is_beyond_null and is_beyond_language",
            ("is_turned_by_vision", "is_adapted", "is_beyond_null", "is_beyond_language"),
            lambda vision, *parts: pc.fill_null(
                pc.equal(vision.cast(pa.bool_()), _all_true(parts)), True
            ),
            knows_missing=True,
        ),
    },
    "visual_energy": {
        "fired": _part(
            ("fired_question_only", "fired_question"),
            ("fired_header", "fired_question"),
            ("fired_question_control", "fired_question"),
        ),
        "suffix": _part(("fired_suffix", "fired_question")),
        "interval": _part(("modality_preference_low", "modality_preference_high")),
        "mean_image_interval": _part(("mean_image_preference_low", "mean_image_preference_high")),
    },
    "role_energy": {"sinks": _part(("n_sinks", "n_tokens"))},
    "firing_shift": {
        "tokens": _part(("fired_skill", "tokens_skill"), ("fired_base", "tokens_base")),
        "questions": _part(
            ("questions_fired_skill", "questions_skill"), ("questions_fired_base", "questions_base")
        ),
        "interval": _part(("odds_ratio_low", "odds_ratio"), ("odds_ratio", "odds_ratio_high")),
        "question_interval": _part(
            ("question_odds_ratio_low", "question_odds_ratio"),
            ("question_odds_ratio", "question_odds_ratio_high"),
        ),
        "boot_interval": _part(
            ("odds_ratio_boot_low", "odds_ratio"), ("odds_ratio", "odds_ratio_boot_high")
        ),
        "role_tokens": _part(
            ("role_fired_skill", "role_tokens_skill"), ("role_fired_base", "role_tokens_base")
        ),
        "role_interval": _part(
            ("role_odds_ratio_low", "role_odds_ratio"), ("role_odds_ratio", "role_odds_ratio_high")
        ),
        "matched_tokens": _part(
            ("matched_fired_skill", "matched_tokens_skill"),
            ("matched_fired_base", "matched_tokens_base"),
        ),
        "matched_pairs": _part(
            ("matched_questions_fired_skill", "matched_questions"),
            ("matched_questions_fired_base", "matched_questions"),
        ),
        "matched_interval": _part(
            ("matched_odds_ratio_low", "matched_odds_ratio"),
            ("matched_odds_ratio", "matched_odds_ratio_high"),
        ),
    },
    "activation_histogram": {
        "bins": Rule(
            "there are 1 to 32 - first_bin counts",
            ("n_tokens", "first_bin"),
            lambda counts, first: pc.and_(
                pc.greater(pc.list_value_length(counts), 0),
                pc.less_equal(pc.add(pc.list_value_length(counts), first.cast(pa.int32())), 32),
            ),
        ),
    },
    "logit_effect": {
        end: _of_one_length(*(f"{end}_{name}" for name in ("token_ids", "tokens", "effects")))
        for end in ("top", "bottom")
    },
    "nearest_feature": {"as_many": _of_one_length("features", "cosines")},
    "candidate": NEUTRAL,
    "neutral_prompt": NEUTRAL,
    "example": {
        "tokens": AS_MANY,
        "max_token_in_tokens": Rule(
            "max_token is one of the tokens",
            ("max_token", "tokens"),
            lambda token, tokens: pc.less(token, pc.list_value_length(tokens)),
        ),
    },
    "patch_activation": {
        "grid": PICTURED["grid"],
        "seen": PICTURED["seen"],
        "patches": Rule(
            "there are grid_rows * grid_columns patches",
            ("patches", "grid_rows", "grid_columns"),
            lambda patches, rows, columns: pc.equal(
                pc.binary_length(patches),
                pc.multiply(rows.cast(pa.int32()), columns.cast(pa.int32())),
            ),
        ),
        "silent": Rule(
            "patches are there if, and only if, max_activation is above 0",
            ("max_activation", "patches"),
            lambda most, patches: pc.equal(pc.greater(most, 0), pc.is_valid(patches)),
            knows_missing=True,
        ),
    },
    "intruder": {
        "trials": _part(("n_right", "n_trials"), ("n_failed", "n_trials")),
        "interval": _part(("accuracy_low", "accuracy_high")),
    },
    "output_score": {
        "interval": _part(("output_score_gain_low", "output_score_gain_high")),
        "ratio_interval": _part(("log_probability_gain_low", "log_probability_gain_high")),
    },
    "head_attribution": {"head_below_feature": _part(("head_layer", "layer"))},
    "head_estimate": {"head_below_feature": _part(("head_layer", "layer"))},
    "head_exact": {
        "head_below_feature": _part(("head_layer", "layer")),
        "interval": _part(("effect_low", "effect_high")),
        "correction": Rule(
            "p_value <= q_value",
            ("p_value", "q_value"),
            lambda p, q: pc.less_equal(_double(p), _double(q)),
        ),
    },
    "head_knockout": {
        "interval": _part(("delta_low", "delta_high")),
        "projection_interval": _part(("projection_delta_low", "projection_delta_high")),
        "control": Rule(
            "a q_value is there if, and only if, control_no is 0",
            ("control_no", "q_value"),
            lambda number, q: pc.equal(pc.equal(number, 0), pc.is_valid(q)),
            knows_missing=True,
        ),
    },
    "overlay": {
        **PICTURED,
        "whole_box": _together("seen_left", "seen_top", "seen_right", "seen_bottom"),
        "objects": _together("object_share", "object_area", "lift"),
    },
    "localisation": {
        "interval": _part(("share_low", "share_high"), ("lift_low", "lift_high")),
    },
    "custom_prompt": {"tokens": AS_MANY},
    "custom_overlay": PICTURED,
    "ablation": {
        "control": Rule(
            "a control_feature is there if, and only if, control_no is not 0 and control_kind is "
            "not direction",
            ("control_no", "control_kind", "control_feature"),
            lambda number, kind, feature: pc.equal(
                pc.or_(
                    pc.equal(number, 0),
                    pc.fill_null(pc.equal(kind.cast(pa.string()), "direction"), False),
                ),
                pc.is_null(feature),
            ),
            knows_missing=True,
        ),
        **EFFECT,
        "interaction_interval": _part(("interaction_low", "interaction_high")),
    },
    "ablation_group": EFFECT,
    "steering": EFFECT,
    "spatial_code_ablation": {
        **EFFECT,
        "remaining_accuracy_interval": _part(("remaining_accuracy_low", "remaining_accuracy_high")),
        "remaining_margin_interval": _part(("remaining_margin_low", "remaining_margin_high")),
    },
    "supervised_ablation": {
        "control": Rule(
            "a control_kind is there if, and only if, control_no is not 0",
            ("control_no", "control_kind"),
            lambda number, kind: pc.equal(pc.equal(number, 0), pc.is_null(kind)),
            knows_missing=True,
        ),
        **EFFECT,
        "interaction_interval": _part(("interaction_low", "interaction_high")),
        "compared": _part(("delta_less_feature_low", "delta_less_feature_high")),
    },
    "supervised_steering": EFFECT,
}


def verify_rules(batch: Batch, name: str) -> None:
    """Refuse the first row that breaks a rule of its table; its values were found legal before.

    Of a value that may be missing and is, a rule says nothing, as a CHECK of the database.
    """
    if batch.rows.num_rows == 0:
        return  # an empty column may be of any kind
    for rule in RULES.get(name, {}).values():
        columns = [batch.column(field) for field in rule.fields]
        is_broken = ~rule.holds(*columns).to_numpy(zero_copy_only=False).astype(bool)
        if not rule.knows_missing:
            for column in columns:
                is_broken &= column.is_valid().to_numpy(zero_copy_only=False)
        if is_broken.any():
            row = int(np.flatnonzero(is_broken)[0])
            found = ", ".join(
                f"{field} {_shown(column[row].as_py())}"
                for field, column in zip(rule.fields, columns, strict=True)
            )
            raise batch.refuse(row, f"{rule.words} does not hold ({found})")


def _shown(value: object) -> str:
    return f"of length {len(value)}" if isinstance(value, list) else str(value)
