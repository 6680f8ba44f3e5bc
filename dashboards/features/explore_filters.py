"""The row of filters: one box a filter, its ends beside it; all of it in the address."""

from collections.abc import Mapping

import streamlit as st

from feature_atlas.dashboards.features.explore_address import (
    forget_place,
    parse_filter,
    read_number,
    write_filter,
)
from feature_atlas.dashboards.queries.explore import Filter
from feature_atlas.dashboards.queries.explore_columns import Column

PRESETS = {
    "Turned by vision": ["is_turned_by_vision:yes"],
    "Adapted, and sees": ["is_adapted:yes", "visual_energy:0.1.."],
    "Spatial survivors": ["survives_spatial:yes"],
    "OCR survivors": ["survives_ocr:yes"],
    "Hurt when removed": ["ablation_delta:..0"],
    "Described well": ["f1:0.8..", "label_is_informative:yes"],
}
"""Views that many want, one click away."""


def show_presets() -> None:
    """Buttons that put other filters into the address."""
    with st.container(horizontal=True):
        for name, filters in PRESETS.items():
            st.button(name, on_click=set_filters, args=(filters,), type="tertiary")
        st.button("All features", on_click=set_filters, args=([],), type="tertiary")


def set_filters(written: list[str]) -> None:
    """These filters and no others; a new view begins at its first page."""
    st.query_params["where"] = written
    forget_place(st.query_params)


def ask_filters(columns: Mapping[str, Column]) -> tuple[Filter, ...]:
    """The filters of the address, with boxes to change them; stops on what is none."""
    written = st.query_params.get_all("where")
    try:
        filters = [parse_filter(one, columns) for one in written if one]
    except ValueError as error:
        st.error("The address asks for what cannot be filtered.")
        st.text(str(error))
        st.button("Drop all filters", on_click=set_filters, args=([],))
        st.stop()
    for number, one in enumerate(filters):
        _ask_one(number, one, filters)
    names = list(columns)
    st.session_state["add_filter"] = None
    st.selectbox(
        "Add a filter", names, index=None, key="add_filter", on_change=_add,
        args=(filters, columns),
        placeholder=f"any of {len(names)} columns", width=360,
        help="Numbers from and to; flags hold or not; a skill's columns begin with its name.",
    )  # fmt: skip
    return tuple(filters)


def _ask_one(number: int, one: Filter, filters: list[Filter]) -> None:
    keys = [f"{part}_{number}" for part in ("low", "high", "flag")]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text(one.column.name, help=one.column.meaning, width=230)
        if one.column.is_flag:
            st.session_state[keys[2]] = "holds" if one.low else "does not"
            st.segmented_control(
                one.column.name, ["holds", "does not"], key=keys[2], required=True,
                on_change=_change, args=(number, filters, keys), label_visibility="collapsed",
            )  # fmt: skip
        else:
            for key, end, name in ((keys[0], one.low, "from"), (keys[1], one.high, "to")):
                st.session_state[key] = "" if end is None else f"{end:.9g}"
                st.text_input(
                    f"{one.column.name} {name}", key=key, on_change=_change,
                    args=(number, filters, keys), placeholder=name, width=130,
                    label_visibility="collapsed",
                )  # fmt: skip
        rest = [write_filter(other) for place, other in enumerate(filters) if place != number]
        st.button(
            "Remove", key=f"remove_{number}", icon=":material/close:", type="tertiary",
            on_click=set_filters, args=(rest,),
        )  # fmt: skip


def _change(number: int, filters: list[Filter], keys: list[str]) -> None:
    one = filters[number]
    if one.column.is_flag:
        changed = one._replace(low=float(st.session_state[keys[2]] == "holds"))
    else:
        try:
            low, high = (read_number(st.session_state[key]) for key in keys[:2])
        except ValueError as error:
            st.toast(str(error).replace("`", ""))
            return
        changed = one._replace(low=low, high=high)
    set_filters([write_filter(changed if n == number else o) for n, o in enumerate(filters)])


def _add(filters: list[Filter], columns: Mapping[str, Column]) -> None:
    column = columns[st.session_state["add_filter"]]
    added = Filter(column, 1.0 if column.is_flag else None, None)
    set_filters([write_filter(one) for one in (*filters, added)])
