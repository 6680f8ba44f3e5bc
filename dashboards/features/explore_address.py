"""A view of features as an address, and back: `?where=cosine:..0.5&where=is_adapted:yes&sort=-f1`.

A filter is column:low..high, either end may be left out; a flag's is column:yes or column:no. A
minus before the column that sorts: largest first.
"""

from collections.abc import Mapping, MutableMapping
from math import isfinite
from typing import Any

from feature_atlas.dashboards.queries.explore import Filter, Place
from feature_atlas.dashboards.queries.explore_columns import Column

FIRST = "cosine"
"""What sorts if nothing is asked for: the features that turned most lead."""

PLACES = ("after", "before")
"""Of a row, behind or before which a page of the table lies."""


def parse_filter(text: str, columns: Mapping[str, Column]) -> Filter:
    """Raises ValueError with what is wrong."""
    name, _, ends = text.rpartition(":")
    column = _column(name, columns)
    if column.is_flag:
        if ends not in ("yes", "no"):
            raise ValueError(f"{text!r}: {name} holds or not; expected {name}:yes or {name}:no.")
        return Filter(column, float(ends == "yes"), None)
    low, dots, high = ends.partition("..")
    if not dots:
        raise ValueError(f"{text!r}: expected {name}:LOW..HIGH, either end may be left out.")
    return Filter(column, read_number(low), read_number(high))


def write_filter(one: Filter) -> str:
    """The part of an address that `parse_filter` reads."""
    if one.column.is_flag:
        return f"{one.column.name}:{'yes' if one.low else 'no'}"
    low, high = ("" if end is None else f"{end:.9g}" for end in (one.low, one.high))
    return f"{one.column.name}:{low}..{high}"


def parse_sort(text: str, columns: Mapping[str, Column]) -> tuple[Column, bool]:
    """The column and whether the largest come first."""
    column = _column(text.removeprefix("-"), columns)
    if column.is_flag:
        raise ValueError(f"{column.name} holds or not: it filters, and cannot sort.")
    return column, text.startswith("-")


def parse_place(name: str, text: str) -> Place:
    """A row beside the page, `?after=` or `?before=`: value,layer,feature."""
    try:
        value, layer, feature = text.split(",")
        place = Place(float(value), int(layer), int(feature), name == "after")
    except ValueError:
        place = Place(float("nan"), 0, 0)
    if not isfinite(place.value) or not (0 <= place.layer < 2**15 and 0 <= place.feature < 2**31):
        raise ValueError(f"{name}={text!r}: expected VALUE,LAYER,FEATURE of the row beside.")
    return place


def write_place(place: Place) -> dict[str, str]:
    """The part of an address that `parse_place` reads."""
    name = "after" if place.is_last else "before"
    return {name: f"{place.value!r},{place.layer},{place.feature}"}


def forget_place(address: MutableMapping[str, Any]) -> None:
    """Of an address: it begins at the first page."""
    for name in PLACES:
        address.pop(name, None)


def read_number(text: str) -> float | None:
    """A number, None for nothing; raises ValueError."""
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number) or abs(number) > 3e38:
        raise ValueError(f"{text!r} is no number: expected one like 0.5 or 1e-3.")
    return number


def _column(name: str, columns: Mapping[str, Column]) -> Column:
    if name not in columns:
        raise ValueError(f"this run has no column {name!r}: choose one of the boxes.")
    return columns[name]
