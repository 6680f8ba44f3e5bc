"""The features of a run by any number: filtered, sorted and turned page by page in the database."""

from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import (
    Double,
    Select,
    Text,
    cast,
    column,
    func,
    literal,
    select,
    table,
    tuple_,
)
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.sql.elements import ColumnElement

from feature_atlas.dashboards.queries.database import cached, rows_of
from feature_atlas.models.features.feature_record import METRICS, FeatureRecord

N_PAGE = 50
"""Features of one page."""

MAX_COUNTED = 100_000
"""Features counted exactly, and at most downloaded; more are said to be more."""

_RECORD = FeatureRecord.__table__.columns
SETS = tuple(c.name for c in _RECORD if c.name.startswith(("is_", "survives_")))
"""Flags of the wide row."""
HELP = {name: str(_RECORD[name].comment) for name in (*METRICS, *SETS)}
"""What each column is, in the schema's own words."""

_VIEW = table(
    "feature_all_runs",
    *(column(c.name, c.type) for c in _RECORD),
    column("label", Text),
    column("f1", Double),
    schema="atlas",
)


class Between(NamedTuple):
    """A metric and its ends, both within; None: open."""

    metric: str
    low: float | None
    high: float | None


class View(NamedTuple):
    """Which features, in which order."""

    between: tuple[Between, ...] = ()
    sets: tuple[str, ...] = ()
    """Flags that must be set."""
    words: str = ""
    """Part of the label, in any case."""
    sort: str = "cosine"
    descending: bool = False


class Place(NamedTuple):
    """The last feature of a page; the next page begins behind it."""

    value: float | None
    """Of the metric that sorts; None: among the features that have none, which come last."""
    layer: int
    feature: int


@cached
def explored(run_id: int, view: View, after: Place | None) -> pd.DataFrame:
    """At most `N_PAGE` features behind `after`: layer, feature, label, f1, all metrics and sets,
    and sort_value, which is exact. Ties by layer and feature; features without a value last."""
    measured = pd.DataFrame()
    if after is None or after.value is not None:
        measured = rows_of(_measured(run_id, view, after).limit(N_PAGE))
        after = None
    n_left = N_PAGE - len(measured)
    if n_left == 0:
        return measured
    rest = rows_of(_unmeasured(run_id, view, after).limit(n_left))
    # pandas warns when it has to guess the type of an empty table
    return pd.concat([part for part in (measured, rest) if len(part)] or [rest], ignore_index=True)


@cached
def n_explored(run_id: int, view: View) -> pd.DataFrame:
    """n, how many features are left: exact to `MAX_COUNTED`, one more where there are more."""
    some = select(_VIEW.c.layer).where(*_conditions(run_id, view)).limit(MAX_COUNTED + 1)
    return rows_of(select(func.count().label("n")).select_from(some.subquery()))


@cached
def explored_layers(run_id: int, view: View) -> pd.DataFrame:
    """layer, n_features: how many are left in each layer that has any."""
    return rows_of(
        select(_VIEW.c.layer, func.count().label("n_features"))
        .where(*_conditions(run_id, view))
        .group_by(_VIEW.c.layer)
        .order_by(_VIEW.c.layer)
    )


def all_explored(run_id: int, view: View) -> pd.DataFrame:
    """The first `MAX_COUNTED` features of the view, to be saved."""
    return rows_of(whole_view(run_id, view))


def view_as_sql(run_id: int, view: View) -> str:
    """The same question with its values in it, for `feature-atlas query`."""
    whole = whole_view(run_id, view)
    dialect: Any = PGDialect(paramstyle="named")
    return str(whole.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def whole_view(run_id: int, view: View) -> Select[Any]:
    """All features of the view in its order, at most `MAX_COUNTED`."""
    key = _VIEW.c[view.sort]
    order = key.desc().nulls_last() if view.descending else key.asc().nulls_last()
    shown = _shown().where(*_conditions(run_id, view))
    return shown.order_by(order, _VIEW.c.layer, _VIEW.c.feature).limit(MAX_COUNTED)


def _measured(run_id: int, view: View, after: Place | None) -> Select[Any]:
    """Features with a value, by the index of the metric."""
    key = _VIEW.c[view.sort]
    wanted = _shown().add_columns(cast(key, Double).label("sort_value"))
    wanted = wanted.where(*_conditions(run_id, view), key.is_not(None))
    if after is not None:
        last = literal(after.value, Double)
        beyond = key < last if view.descending else key > last
        within = key <= last if view.descending else key >= last
        wanted = wanted.where(within, beyond | _behind(after))
    order = key.desc() if view.descending else key.asc()
    return wanted.order_by(order, _VIEW.c.layer, _VIEW.c.feature)


def _unmeasured(run_id: int, view: View, after: Place | None) -> Select[Any]:
    """Features without a value, behind all others."""
    key = _VIEW.c[view.sort]
    wanted = _shown().add_columns(cast(key, Double).label("sort_value"))
    wanted = wanted.where(*_conditions(run_id, view), key.is_(None))
    if after is not None:
        wanted = wanted.where(_behind(after))
    return wanted.order_by(_VIEW.c.layer, _VIEW.c.feature)


def _behind(after: Place) -> ColumnElement[bool]:
    return tuple_(_VIEW.c.layer, _VIEW.c.feature) > tuple_(after.layer, after.feature)


def _shown() -> Select[Any]:
    names = ("layer", "feature", "label", "f1", *METRICS, *SETS)
    return select(*(_VIEW.c[name] for name in names))


def _conditions(run_id: int, view: View) -> list[ColumnElement[bool]]:
    found = [_VIEW.c.run_id == run_id]
    for metric, low, high in view.between:
        # a real is compared as the double it is
        if low is not None:
            found.append(_VIEW.c[metric] >= literal(low, Double))
        if high is not None:
            found.append(_VIEW.c[metric] <= literal(high, Double))
    found += [_VIEW.c[name].is_(True) for name in view.sets]
    if view.words:
        found.append(_VIEW.c.label.icontains(view.words, autoescape=True))
    return found
