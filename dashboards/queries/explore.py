"""The features of a run that pass some filters, in some order: rows, layers, bins, and the SQL.

Statements are made of the columns of `explore_columns` and of bound values. Features that have no
value in the column that sorts are left out, so that its index gives the order.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import (
    DOUBLE_PRECISION,
    REAL,
    BigInteger,
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    table,
    tuple_,
)
from sqlalchemy.dialects import postgresql

from feature_atlas.dashboards.queries.database import cached, select_statement
from feature_atlas.dashboards.queries.explore_columns import LABEL, RECORD, Column
from feature_atlas.models import FeatureRecord

_RECORD = FeatureRecord.__table__.alias("f")
_KINDS = {
    **dict.fromkeys(("run_id", "layer", "feature"), Integer),
    **dict.fromkeys(("label_is_informative", "is_candidate", "survives"), Boolean),
    "q_value": DOUBLE_PRECISION,
    "label": Text,
    "skill": Text,
}
"""Of columns of views; all others are real."""

ALWAYS = ("cosine", "visual_energy", "is_adapted", "survives_spatial", "survives_ocr")
MAX_FOUND = 1000
"""Features that words find at most."""


class Filter(NamedTuple):
    """A column between two ends, both included; for a flag low is 1 (holds) or 0."""

    column: Column
    low: float | None
    high: float | None


class View(NamedTuple):
    """What is asked: which features, in which order."""

    run_id: int
    filters: tuple[Filter, ...]
    words: str
    """As in the search; none: no words."""
    sort: Column
    descending: bool


class Place(NamedTuple):
    """A row beside the page that is asked for."""

    value: float
    layer: int
    feature: int
    is_last: bool = True
    """Of the page before; else it is the first one of the page behind."""


@cached
def explored_rows(view: View, beside: Place | None, n_rows: int) -> pd.DataFrame:
    """layer, feature, label, the columns of `ALWAYS`, and those that sort and filter."""
    return select_statement(rows_statement(view, beside, n_rows))


@cached
def explored_layers(view: View) -> pd.DataFrame:
    """layer, n_features: how many pass, of those that have a value in the column that sorts."""
    layer = _RECORD.c.layer
    return select_statement(
        _matching(view, layer, func.count().label("n_features")).group_by(layer).order_by(layer)
    )


@cached
def explored_bins(
    view: View, x: Column, y: Column, is_log: tuple[bool, bool], n_bins: int
) -> pd.DataFrame:
    """x, y (middle of the bin), n_features; what has no place on a logarithm is left out."""
    ends = _ends(view, x, y, is_log)
    if ends is None:
        return pd.DataFrame({"x": [], "y": [], "n_features": []})
    places = []
    for number, (low, high) in enumerate(ends):
        value = _scaled((x, y)[number], is_log[number])
        step = max(high - low, 1e-12) / n_bins
        place = cast(func.floor((value - literal(low)) / literal(step)), Integer)
        places.append(func.least(place, n_bins - 1).label("xy"[number]))
    statement = _matching(view, *places, func.count().label("n_features"), also=(x, y))
    bins = select_statement(_on_scale(statement, (x, y), is_log).group_by(*places))
    for name, (low, high), log in zip("xy", ends, is_log, strict=True):
        middle = low + (bins[name].astype(float) + 0.5) * max(high - low, 1e-12) / n_bins
        bins[name] = middle.map(math.exp) if log else middle
    return bins


def explored_sql(view: View, n_rows: int) -> str:
    """The statement of the first rows, with its values: as `feature-atlas query` takes it."""
    statement = rows_statement(view, None, n_rows)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def rows_statement(view: View, beside: Place | None, n_rows: int) -> Select[Any]:
    """One page, with labels: these are looked up for the page's rows alone."""
    shown = [_value(_of_record(name)).label(name) for name in ALWAYS]
    asked = {one.name: one for one in (view.sort, *(f.column for f in view.filters))}
    shown += [
        _value(one).label(name) for name, one in asked.items()
        if name not in (*ALWAYS, "layer", "is_described")
    ]  # fmt: skip
    value = _value(view.sort)
    statement = _matching(
        view, _RECORD.c.layer, _RECORD.c.feature, *shown, value.label("sorted_by")
    )
    backwards = beside is not None and not beside.is_last
    if beside is not None:
        statement = statement.where(_beyond(value, beside, view.descending != backwards))
    order = (
        _order(value, view.descending != backwards),
        _order(_RECORD.c.layer, backwards),
        _order(_RECORD.c.feature, backwards),
    )
    page = statement.order_by(*order).limit(n_rows).cte("page")
    label = _view("feature_label", "run_id", "layer", "feature", "label").alias("said")
    kept = [one for one in page.c if one.name != "sorted_by"]
    return (
        select(*kept[:2], label.c.label, *kept[2:], page.c.sorted_by)
        .select_from(
            page.outerjoin(
                label,
                and_(label.c.run_id == view.run_id, label.c.layer == page.c.layer,
                     label.c.feature == page.c.feature),
            )
        )
        .order_by(_order(page.c.sorted_by, view.descending), page.c.layer, page.c.feature)
    )  # fmt: skip


def _beyond(value: ColumnElement[Any], place: Place, descending: bool) -> ColumnElement[bool]:
    """Rows beyond a place; the first part alone lets an index begin there."""
    last = _end(place.value, value, round)
    keys = tuple_(_RECORD.c.layer, _RECORD.c.feature)
    at = tuple_(literal(place.layer), literal(place.feature))
    beyond = value < last if descending else value > last
    further = keys > at if place.is_last else keys < at
    return and_(value <= last if descending else value >= last, or_(beyond, further))


def _order(value: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    return value.desc() if descending else value.asc()


def _matching(view: View, *shown: Any, also: tuple[Column, ...] = ()) -> Select[Any]:
    """A SELECT of what passes, joined with the sources that it needs."""
    start: FromClause = _RECORD
    used = [view.sort, *(one.column for one in view.filters), *also]
    for source in dict.fromkeys(one.source for one in used if one.source != RECORD):
        other = _source(source)
        same = [other.c[name] == _RECORD.c[name] for name in ("run_id", "layer", "feature")]
        if source != LABEL:
            same.append(other.c.skill == source)
        start = start.join(other, and_(other.c.run_id == view.run_id, *same))
    statement = select(*shown).where(_RECORD.c.run_id == view.run_id)
    if view.words:
        found = func.atlas.search(view.words, view.run_id, MAX_FOUND).table_valued(
            column("layer", Integer), column("feature", Integer), name="found"
        )
        start = start.join(
            found,
            and_(found.c.layer == _RECORD.c.layer, found.c.feature == _RECORD.c.feature),
        )
    statement = statement.select_from(start)
    for one in view.filters:
        statement = statement.where(*_passes(one))
    if not view.sort.is_flag:
        statement = statement.where(_value(view.sort).is_not(None))
    return statement


def _passes(one: Filter) -> list[ColumnElement[bool]]:
    value = _value(one.column)
    if one.column.name == "is_described":
        return [value.is_not(None) if one.low else value.is_(None)]
    if one.column.is_flag:
        return [value.is_(bool(one.low))]
    ends = []
    if one.low is not None:
        ends.append(value >= _end(one.low, value, math.ceil))
    if one.high is not None:
        ends.append(value <= _end(one.high, value, math.floor))
    return ends


def _end(
    number: float, value: ColumnElement[Any], whole: Callable[[float], int]
) -> ColumnElement[Any]:
    """The number in the column's own precision; a whole one where the column counts."""
    if not isinstance(value.type, Integer):
        return cast(literal(number), value.type)
    return cast(literal(max(-(2**62), min(whole(number), 2**62))), BigInteger)


def _ends(
    view: View, x: Column, y: Column, is_log: tuple[bool, bool]
) -> list[tuple[float, float]] | None:
    values = [_scaled(one, log) for one, log in zip((x, y), is_log, strict=True)]
    ends = [end for value in values for end in (func.min(value), func.max(value))]
    statement = _matching(view, *ends, also=(x, y))
    found = select_statement(_on_scale(statement, (x, y), is_log)).iloc[0].tolist()
    if any(end is None or pd.isna(end) for end in found):
        return None
    low_x, high_x, low_y, high_y = map(float, found)
    return [(low_x, high_x), (low_y, high_y)]


def _on_scale(
    statement: Select[Any], axes: tuple[Column, Column], is_log: tuple[bool, bool]
) -> Select[Any]:
    for one, log in zip(axes, is_log, strict=True):
        value = _value(one)
        statement = statement.where(value > 0 if log else value.is_not(None))
    return statement


def _scaled(one: Column, log: bool) -> ColumnElement[Any]:
    value = cast(_value(one), DOUBLE_PRECISION)
    return func.ln(func.nullif(func.greatest(value, 0), 0)) if log else value


def _of_record(name: str) -> Column:
    return Column(name, RECORD, name, False, "")


def _value(one: Column) -> ColumnElement[Any]:
    found: ColumnElement[Any]
    found = _RECORD.c[one.column] if one.source == RECORD else _source(one.source).c[one.column]
    return found


@lru_cache
def _source(name: str) -> FromClause:
    if name == LABEL:
        return _view("feature_all_runs", "run_id", "layer", "feature", "label", "f1",
                     "label_is_informative", "ablation_delta").alias("l")  # fmt: skip
    shift = _view("skill_shift", "run_id", "skill", "layer", "feature", "delta_p", "odds_ratio",
                  "q_value", "question_delta_p", "question_odds_ratio", "is_candidate",
                  "survives")  # fmt: skip
    return shift.alias(f"skill_{name}")


def _view(name: str, *columns: str) -> FromClause:
    kinds: dict[str, Any] = _KINDS
    return table(name, *(column(one, kinds.get(one, REAL)) for one in columns), schema="atlas")
