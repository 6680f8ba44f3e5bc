"""JSON that every reader of JSON takes, and that says what the database has."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal

import numpy as np
import pytest

from feature_atlas.models.notation.exact_values import IntervalText, JsonText
from feature_atlas.models.notation.json_text import json_text, write_json, write_json_lines


def strictly(text: str) -> object:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse, parse_float=Decimal)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        (True, True),
        (2**62, 2**62),
        (0.1, Decimal("0.1")),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (Decimal("NaN"), "NaN"),
        (Decimal("0.10000000000000000000000001"), Decimal("0.10000000000000000000000001")),
        (np.float64(0.5), Decimal("0.5")),
        ('"\\\n\x01é', '"\\\n\x01é'),
        (b"\x00\xff", "\\x00ff"),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22T00:00:00+00:00"),
        (time(12, 30), "12:30:00"),
        (IntervalText("P1M"), "P1M"),
        (JsonText('{"b": 1.00000000000000000001}'), {"b": Decimal("1.00000000000000000001")}),
        (JsonText("[1,\r\n 2]"), [1, 2]),
        ([[1, None], ["NaN", float("nan")]], [[1, None], ["NaN", "NaN"]]),
        ({"a": {1: b"\x01"}}, {"a": {"1": "\\x01"}}),
    ],
)
def test_a_value_is_what_it_was(value: object, read: object):
    text = json_text(value)

    assert strictly(text) == read
    assert "\n" not in text


@pytest.mark.parametrize("write", [write_json, write_json_lines])
def test_two_columns_of_one_name_are_refused_before_anything_is_written(write: Callable):
    stream = io.StringIO()
    with pytest.raises(ValueError, match=r"more than one column called a, b: name them with AS"):
        write(stream, ["b", "a", "b", "a"], [(1, 2, 3, 4)])
    assert stream.getvalue() == ""


def test_rows_are_a_list_or_lines():
    listed, lines = io.StringIO(), io.StringIO()
    write_json(listed, ["a", 'b"'], [(1, None), (2, "x")])
    write_json_lines(lines, ["a", 'b"'], iter([(1, None), (2, "x")]))

    assert json.loads(listed.getvalue()) == [{"a": 1, 'b"': None}, {"a": 2, 'b"': "x"}]
    assert [*map(json.loads, lines.getvalue().splitlines())] == json.loads(listed.getvalue())
