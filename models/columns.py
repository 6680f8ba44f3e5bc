"""Kinds of column, and the bounds that both the database and the loader enforce.

A column declares once what it may hold; `Base` turns that into a named CHECK, and the
loader reads the same bounds to name the file and the row of a value that breaks them.
In Postgres NaN sorts above every number, so an upper bound refuses NaN too.
"""

from math import inf
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, Float, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, REAL
from sqlalchemy.orm import MappedColumn, mapped_column


class Bounds(NamedTuple):
    """What the values of a column may be."""

    low: float = -inf
    """Smallest legal value; -inf: any finite number."""
    high: float = inf
    """Largest legal value; inf: any finite number."""
    values: tuple[str, ...] = ()
    """Legal words of a text column; empty: any text."""


def measured(comment: str, *, low: float = -inf, high: float = inf) -> MappedColumn[Any]:
    """A measured number in single precision; never NaN, never infinite."""
    return mapped_column(REAL, comment=comment, info={"bounds": Bounds(low, high)})


def precise(comment: str, *, low: float = -inf, high: float = inf) -> MappedColumn[Any]:
    """A measured number in double precision, where small values matter (p-values)."""
    return mapped_column(DOUBLE_PRECISION, comment=comment, info={"bounds": Bounds(low, high)})


def measured_list(comment: str, *, low: float = -inf, high: float = inf) -> MappedColumn[Any]:
    """A list of measured numbers in single precision."""
    return mapped_column(ARRAY(REAL), comment=comment, info={"bounds": Bounds(low, high)})


def count(comment: str) -> MappedColumn[Any]:
    """How many; never negative."""
    return mapped_column(BigInteger, comment=comment, info={"bounds": Bounds(0)})


def counts(comment: str) -> MappedColumn[Any]:
    """A list of how many; none is negative."""
    return mapped_column(ARRAY(Integer), comment=comment, info={"bounds": Bounds(0)})


def one_of(*values: str, comment: str, primary_key: bool = False) -> MappedColumn[Any]:
    """One word out of a few. Text with a CHECK: a new word needs no new type."""
    return mapped_column(
        Text, comment=comment, primary_key=primary_key, info={"bounds": Bounds(values=values)}
    )


def words_index(name: str, expression: str, where: str | None = None) -> Index:
    """An index that finds rows by the words of a text; the words themselves are not stored."""
    words = text(f"to_tsvector('atlas.words'::regconfig, {expression})")
    return Index(name, words, postgresql_using="gin", postgresql_where=where)


def bounds(column: Column[Any]) -> Bounds | None:
    """The bounds that the column declares, None if any value will do."""
    declared: Bounds | None = column.info.get("bounds")
    return declared


def bounds_check(column: Column[Any]) -> CheckConstraint | None:
    """The CHECK that holds a column to its bounds, named after the column."""
    declared = bounds(column)
    if declared is None:
        return None
    return CheckConstraint(_condition(column, declared), name=column.name)


def _condition(column: Column[Any], declared: Bounds) -> str:
    low, high, values = declared
    name = column.name
    if values:
        return f"{name} IN ({', '.join(repr(value) for value in values)})"
    if isinstance(column.type, ARRAY):
        # the number stands left of ALL, so the comparisons are turned round
        if not isinstance(column.type.item_type, Float):
            return f"{low:g} <= ALL ({name})"
        lowest = "'-infinity' <" if low == -inf else f"{low:g} <="
        highest = "'infinity' >" if high == inf else f"{high:g} >="
        return f"{lowest} ALL ({name}) AND {highest} ALL ({name})"
    if low != -inf and high != inf:
        return f"{name} BETWEEN {low:g} AND {high:g}"
    if not isinstance(column.type, Float):
        return f"{name} >= {low:g}"
    lowest = "> '-infinity'" if low == -inf else f">= {low:g}"
    return f"{name} {lowest} AND {name} < 'infinity'"
