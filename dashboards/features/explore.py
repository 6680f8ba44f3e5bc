"""Which features are like this? Any filters, any order, as table, charts, SQL, file and link."""

from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.addressed import addressed
from feature_atlas.dashboards.features.explore_address import (
    FIRST,
    PLACES,
    forget_place,
    parse_place,
    parse_sort,
    write_filter,
    write_place,
)
from feature_atlas.dashboards.features.explore_charts import bins_chart, layers_chart
from feature_atlas.dashboards.features.explore_filters import (
    ask_filters,
    set_filters,
    show_presets,
)
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.frame_csv import frame_csv
from feature_atlas.dashboards.lists.add_to_list import show_adding
from feature_atlas.dashboards.own_csv import own_csv
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.queries.explore import Filter, Place, View
from feature_atlas.dashboards.queries.explore_columns import Column, columns_of
from feature_atlas.dashboards.run_choice import choose_run
from feature_atlas.dashboards.sql.open_in_sql import open_in_sql
from feature_atlas.dashboards.writes.lists import MAX_ADDED
from feature_atlas.meaning.search_words import MAX_CHARACTERS, typed_words

N_ROWS = 50
N_SAVED = 100_000
N_BINS = 60
LOG = ("visual_energy", "energy_", "odds_ratio", "firing_rate", "n_firings", "q_value")
"""What lies over many powers of ten, by parts of its name."""


def ask_view(run_id: int, columns: dict[str, Column]) -> View:
    """Words, filters and order, from the address."""
    words = typed_words(st.query_params.get("q", ""))
    st.session_state["explore_words"] = words
    st.text_input(
        "Words", key="explore_words", on_change=_remember_words, max_chars=MAX_CHARACTERS,
        placeholder='in descriptions, questions and tokens: left of · "to the left" · -red',
        help="As in the search: all words, in any form; the thousand best features stay.",
    )  # fmt: skip
    filters = ask_filters(columns)
    sort, descending = _ask_sort(columns)
    return View(run_id, filters, words, sort, descending)


def _remember_words() -> None:
    st.query_params["q"] = typed_words(st.session_state["explore_words"])
    forget_place(st.query_params)


def _ask_sort(columns: dict[str, Column]) -> tuple[Column, bool]:
    try:
        sort, descending = parse_sort(st.query_params.get("sort", FIRST), columns)
    except ValueError as error:
        st.error("The address asks for an order that there is not.")
        st.text(str(error))
        sort, descending = columns[FIRST], False
    numbers = [name for name, one in columns.items() if not one.is_flag]
    st.session_state["sort_by"], st.session_state["largest"] = sort.name, descending
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Sort by", numbers, key="sort_by", on_change=_remember_sort, width=360,
            help=f"{sort.name}: {sort.meaning}. Features without it are left out.",
        )  # fmt: skip
        st.toggle("largest first", key="largest", on_change=_remember_sort)
    return sort, descending


def _remember_sort() -> None:
    sign = "-" if st.session_state["largest"] else ""
    st.query_params["sort"] = sign + st.session_state["sort_by"]
    forget_place(st.query_params)


def show_rows(view: View, n_features: int) -> None:
    """One page of the table, the way to the next one, and what to do with all."""
    beside = _asked_place()
    rows = queries.explored_rows(view, beside, N_ROWS)
    if beside is not None and not beside.is_last and len(rows) < N_ROWS:
        beside, rows = None, queries.explored_rows(view, None, N_ROWS)  # less than a page before
    with own_csv("explored"):
        feature_table(rows, view.run_id, _shown(rows, view), height=420, key="explored")
    with st.container(horizontal=True):
        first, last = (_place(rows.iloc[end]) if len(rows) else None for end in (0, -1))
        st.button("First page", disabled=beside is None, on_click=_go, args=(None,))
        st.button(
            "Previous page", disabled=beside is None or first is None, on_click=_go,
            args=(first and first._replace(is_last=False),),
        )  # fmt: skip
        st.button("Next page", disabled=len(rows) < N_ROWS, on_click=_go, args=(last,))
        st.download_button(
            "CSV", lambda: frame_csv(_all(view)), "features.csv", "text/csv",
            on_click="ignore", icon=":material/download:",
            help=f"All rows of the view, at most {N_SAVED:,}.",
        )  # fmt: skip
        st.download_button(
            "Parquet", lambda: _all(view).to_parquet(index=False), "features.parquet",
            on_click="ignore", icon=":material/download:",
            help=f"All rows of the view, at most {N_SAVED:,}.",
        )  # fmt: skip
        show_adding(
            f"Add all {n_features:,} to a list", "all", view.run_id,
            lambda: queries.explored_rows(view, None, MAX_ADDED),
            f"Every feature that passes, at most {MAX_ADDED:,}. Selected rows have a button of "
            "their own.", disabled=n_features > MAX_ADDED,
        )  # fmt: skip
    open_in_sql(
        "The same in SQL", "explored_sql", queries.explored_sql(view, N_SAVED),
        f"`feature-atlas query` runs it, of all rows at most {N_SAVED:,}.",
    )  # fmt: skip


def _asked_place() -> Place | None:
    for name in PLACES:
        asked = st.query_params.get(name)
        if asked:
            try:
                return parse_place(name, asked)
            except ValueError as error:
                st.text(str(error))
    return None


def _go(place: Place | None) -> None:
    forget_place(st.query_params)
    if place is not None:
        st.query_params.update(write_place(place))


def _place(row: Any) -> Place:
    return Place(float(row.sorted_by), int(row.layer), int(row.feature))


def _all(view: View) -> pd.DataFrame:
    return queries.explored_rows(view, None, N_SAVED).drop(columns="sorted_by")


def _shown(rows: pd.DataFrame, view: View) -> dict[str, Any]:
    asked = {one.name: one for one in (view.sort, *(f.column for f in view.filters))}
    columns: dict[str, Any] = {
        "layer": st.column_config.NumberColumn("layer", width="small"),
        "feature": st.column_config.NumberColumn("feature", width="small", format="%d"),
        "label": st.column_config.TextColumn("label", width="large"),
    }
    for name in rows.columns.difference([*columns, "sorted_by"], sort=False):
        meaning = asked[name].meaning if name in asked else None
        if rows[name].dtype == bool or (name in asked and asked[name].is_flag):
            columns[name] = st.column_config.CheckboxColumn(name, help=meaning)
        else:
            columns[name] = st.column_config.NumberColumn(name, format="%.4g", help=meaning)
    return columns


def show_charts(view: View, columns: dict[str, Column], layers: pd.DataFrame) -> None:
    """Two numbers against each other, whose box becomes filters; and the layers."""
    numbers = [name for name, one in columns.items() if not one.is_flag]
    left, right = st.columns(2, gap="large")
    with left:
        with st.container(horizontal=True):
            names = tuple(
                addressed(axis, numbers, axis, str, default=numbers.index(first), width=200)
                for axis, first in (("x", "cosine"), ("y", "visual_energy"))
            )
        x, y = (columns[name] for name in names)
        is_log = (any(part in x.name for part in LOG), any(part in y.name for part in LOG))
        bins = queries.explored_bins(view, x, y, is_log, N_BINS)
        event = draw(
            bins_chart(bins, (x.name, y.name), is_log), "explore_bins",
            on_select="rerun", selection_mode="box",
        )  # fmt: skip
        box = event.selection.get("box")
        if box:
            st.button(
                "Filter by the box", type="primary", on_click=set_filters,
                args=(with_box(view, (x, y), box[0]),),
            )  # fmt: skip
        else:
            st.caption("Draw a box to filter by it.")
    with right:
        draw(layers_chart(layers), "explore_layers")


def with_box(view: View, axes: tuple[Column, Column], box: Any) -> list[str]:
    """The view's filters, those of the axes replaced by the box."""
    kept = [one for one in view.filters if one.column not in axes]
    for column, axis in zip(axes, "xy", strict=True):
        kept.append(Filter(column, min(box[axis]), max(box[axis])))
    return [write_filter(one) for one in kept]


title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title(
    "Explore", help="All features of a run by any of their numbers; the address is the view."
)
run = choose_run(choice)
skills = tuple(queries.skills_of_run(run.run_id).skill)
columns = columns_of(skills)
show_presets()
view = ask_view(int(run.run_id), columns)
layers = queries.explored_layers(view)
n_features = int(layers.n_features.sum())
st.markdown(f"**{n_features:,} features** of {run.n_layers * run.d_sae:,}")
if n_features == 0:
    st.info("No feature passes all of these. Remove a filter, or widen one.")
    st.stop()
show_rows(view, n_features)
show_charts(view, columns, layers)
