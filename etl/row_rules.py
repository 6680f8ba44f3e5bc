"""Rules between the columns of one row, such as a count that is part of another count.

The database holds the same rules as CHECKs of these names; here a row that breaks one gets an
error with its file, before anything is written. A test keeps the two lists the same.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_atlas.etl.table_rows import Batch


class Rule(NamedTuple):
    """What must hold in every row."""

    words: str
    """The rule as said to the user."""
    fields: tuple[str, ...]
    """The columns that it is about."""
    holds: Callable[..., pa.Array]
    """Their values to true or false, row by row."""


def _part(*pairs: tuple[str, str]) -> Rule:
    """The first of each pair is at most the second."""
    fields = tuple(dict.fromkeys(field for pair in pairs for field in pair))

    def holds(*columns: pa.Array) -> pa.Array:
        of = dict(zip(fields, map(_number, columns), strict=True))
        return pa.array(np.logical_and.reduce([of[low] <= of[high] for low, high in pairs]))

    return Rule(" and ".join(f"{low} <= {high}" for low, high in pairs), fields, holds)


def _number(values: pa.Array) -> np.ndarray:
    """Numbers as the database stores them: real where they are not whole."""
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False)
    return numbers.astype(np.float32) if numbers.dtype.kind == "f" else numbers


def _positive(*fields: str) -> Rule:
    def holds(*columns: pa.Array) -> pa.Array:
        return pa.array(np.logical_and.reduce([_number(column) > 0 for column in columns]))

    return Rule(" and ".join(f"{field} > 0" for field in fields), fields, holds)


NEUTRAL = _part(("n_fired", "n_samples"), ("n_fired_mean_image", "n_samples"))

RULES: dict[str, dict[str, Rule]] = {
    "image": {
        "size": _positive("width", "height"),
        "sha256": Rule(
            "sha256 is 64 hexadecimal digits",
            ("sha256",),
            lambda text: pc.match_substring_regex(text, "^[0-9a-f]{64}$"),
        ),
    },
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
    },
    "candidate": {"samples": NEUTRAL},
    "neutral_prompt": {"samples": NEUTRAL},
    "example": {
        "tokens": Rule(
            "there are as many tokens as activations",
            ("tokens", "activations"),
            lambda tokens, numbers: pc.equal(
                pc.list_value_length(tokens), pc.list_value_length(numbers)
            ),
        ),
        "max_token_in_tokens": Rule(
            "max_token is one of the tokens",
            ("max_token", "tokens"),
            lambda token, tokens: pc.less(token, pc.list_value_length(tokens)),
        ),
    },
    "head_attribution": {"head_below_feature": _part(("head_layer", "layer"))},
    "overlay": {
        "grid": _positive("grid_rows", "grid_columns"),
        "patches": Rule(
            "there are grid_rows * grid_columns weights",
            ("weights", "grid_rows", "grid_columns"),
            lambda weights, rows, columns: pc.equal(
                pc.list_value_length(weights),
                pc.multiply(rows.cast(pa.int32()), columns.cast(pa.int32())),
            ),
        ),
    },
    "ablation": {
        "control": Rule(
            "a control_feature is there if, and only if, control_no is not 0",
            ("control_no", "control_feature"),
            lambda number, feature: pc.equal(pc.equal(number, 0), pc.is_null(feature)),
        ),
        "interval": _part(("delta_low", "delta_high")),
    },
}


def verify_rules(batch: Batch, name: str) -> None:
    """Refuse the first row that breaks a rule of its table; its values were found legal before."""
    if batch.rows.num_rows == 0:
        return  # an empty column may be of any kind
    for rule in RULES.get(name, {}).values():
        columns = [batch.column(field) for field in rule.fields]
        is_broken = ~rule.holds(*columns).to_numpy(zero_copy_only=False).astype(bool)
        if is_broken.any():
            row = int(np.flatnonzero(is_broken)[0])
            found = ", ".join(
                f"{field} {_shown(column[row].as_py())}"
                for field, column in zip(rule.fields, columns, strict=True)
            )
            raise batch.refuse(row, f"{rule.words} does not hold ({found})")


def _shown(value: object) -> str:
    return f"of length {len(value)}" if isinstance(value, list) else str(value)
