"""Which features have these numbers: filter, sort and turn pages over all features of a run."""

from io import BytesIO

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from feature_atlas.dashboards.features.explore_address import (
    MAX_WORDS,
    address_of,
    place_in_words,
    place_of,
    view_of,
)
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.palette import SPATIAL, draw
from feature_atlas.dashboards.queries import explore
from feature_atlas.dashboards.queries.explore import Between, Place, View
from feature_atlas.dashboards.run_choice import choose_run

PRESETS = {
    "Adapted and turned by vision": View(sets=("is_adapted", "is_turned_by_vision")),
    "Spatial survivors": View(
        sets=("survives_spatial",), sort="spatial_odds_ratio", descending=True
    ),
    "OCR survivors": View(sets=("survives_ocr",), sort="ocr_odds_ratio", descending=True),
}
"""Views to begin from."""


def go_to(view: View, after: Place | None = None) -> None:
    """Put a view into the address; everything on the page follows it."""
    run = st.query_params["run"]
    st.query_params.from_dict({"run": run, **address_of(view)})
    if after is not None:
        st.query_params["after"] = place_in_words(after)


def read_address() -> tuple[View, Place | None]:
    """The view and where its page begins; stops the page at an address that says neither."""
    try:
        found = view_of(st.query_params), place_of(st.query_params.get("after", ""))
    except ValueError as error:
        st.error(f"The address cannot be followed. {error}")
        st.stop()
    return found


def show_filters(view: View) -> None:
    """The widgets are set from the address and write to it."""
    state = st.session_state
    state["by"] = list(dict.fromkeys(metric for metric, _, _ in view.between))
    state["sets"], state["words"] = list(view.sets), view.words
    state["sort"], state["down"] = view.sort, view.descending
    metrics, sets, words, sort, down = st.columns([3, 3, 2, 2, 1], vertical_alignment="bottom")
    metrics.multiselect("Filter by", explore.METRICS, key="by", on_change=_follow_widgets)
    sets.multiselect("In all of these sets", explore.SETS, key="sets", on_change=_follow_widgets)
    words.text_input("In the label", key="words", max_chars=MAX_WORDS, on_change=_follow_widgets)
    sort.selectbox("Sort by", explore.METRICS, key="sort", on_change=_follow_widgets)
    down.toggle("Largest first", key="down", on_change=_follow_widgets)
    for metric, low, high in view.between:
        _show_ends(metric, low, high)


def _show_ends(metric: str, low: float | None, high: float | None) -> None:
    name, *ends = st.columns([4, 2, 2], vertical_alignment="bottom")
    name.text(f"{metric}: {explore.HELP[metric]}")
    for place, end, value in zip(ends, ("from", "to"), (low, high), strict=True):
        st.session_state[f"{metric}_{end}"] = value
        place.number_input(
            f"{metric} {end}",
            value=None,
            format="%g",
            key=f"{metric}_{end}",
            on_change=_follow_widgets,
        )


def _follow_widgets() -> None:
    state = st.session_state
    between = tuple(
        Between(metric, state.get(f"{metric}_from"), state.get(f"{metric}_to"))
        for metric in state["by"]
    )
    go_to(View(between, tuple(state["sets"]), state["words"], state["sort"], state["down"]))


def show_count(run_id: int, view: View) -> None:
    """How many are left, and in which layers."""
    n = int(explore.n_explored(run_id, view).n[0])
    more = f"more than {explore.MAX_COUNTED:,}" if n > explore.MAX_COUNTED else f"{n:,}"
    st.markdown(f"**{more} feature{'' if n == 1 else 's'}**")
    if n == 0:
        st.info("No feature of this run passes all filters. Widen or remove one.")
        st.stop()


def show_page(run_id: int, view: View, after: Place | None) -> None:
    """One page of features, and the way to the next."""
    page = explore.explored(run_id, view, after)
    if page.empty:
        st.info("No feature lies behind this place. Go back to the first page.")
    else:
        filtered = (metric for metric, _, _ in view.between)
        numbers = dict.fromkeys((view.sort, *filtered, "cosine", "visual_energy", "firing_rate"))
        feature_table(page, run_id, _columns(numbers), key="explored")
    first, following, _ = st.columns([1, 1, 6])
    first.button("First page", on_click=go_to, args=(view,), disabled=after is None)
    following.button(
        "Next page",
        on_click=go_to,
        args=(view, _last(page)),
        disabled=len(page) < explore.N_PAGE,
    )


def _last(page: pd.DataFrame) -> Place | None:
    if page.empty:
        return None
    row = page.iloc[-1]
    value = None if pd.isna(row.sort_value) else float(row.sort_value)
    return Place(value, int(row.layer), int(row.feature))


def _columns(numbers: dict[str, None]) -> dict[str, object]:
    return {
        "layer": st.column_config.NumberColumn("layer", width="small"),
        "feature": st.column_config.NumberColumn("feature", width="small", format="%d"),
        "label": st.column_config.TextColumn("description", width="large"),
        "f1": st.column_config.NumberColumn("F1", format="%.2f"),
        **{
            name: st.column_config.NumberColumn(name, format="%.4g", help=explore.HELP[name])
            for name in numbers
        },
    }


def show_layers(run_id: int, view: View) -> None:
    """In which layers they are."""
    layers = explore.explored_layers(run_id, view)
    bars = go.Figure(go.Bar(x=layers.layer, y=layers.n_features, marker_color=SPATIAL))
    bars.update_layout(height=260, xaxis_title="layer", yaxis_title="features left")
    draw(bars, "explored_layers")


def show_downloads(run_id: int, view: View) -> None:
    """The view as files and as SQL; the link is the address itself."""
    csv, parquet, _ = st.columns([1, 1, 6])
    csv.download_button("CSV", lambda: _csv(run_id, view), "features.csv", key="csv")
    parquet.download_button(
        "Parquet", lambda: _parquet(run_id, view), "features.parquet", key="parquet"
    )
    st.caption(f"The first {explore.MAX_COUNTED:,} of the view. The address is its link.")
    with st.expander("The view as SQL, for `feature-atlas query`"):
        st.code(explore.view_as_sql(run_id, view), language="sql")


def _csv(run_id: int, view: View) -> bytes:
    return explore.all_explored(run_id, view).to_csv(index=False).encode()


def _parquet(run_id: int, view: View) -> bytes:
    file = BytesIO()
    explore.all_explored(run_id, view).to_parquet(file, index=False)
    return file.getvalue()


title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title("Explore", help="All features of a run by any number.")
run_id = int(choose_run(choice).run_id)
view, after = read_address()
with st.container(horizontal=True):
    for name, preset in PRESETS.items():
        st.button(name, on_click=go_to, args=(preset,), type="tertiary")
show_filters(view)
show_count(run_id, view)
show_page(run_id, view, after)
show_layers(run_id, view)
show_downloads(run_id, view)
