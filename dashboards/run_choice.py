"""Which run a page shows: `?run=` of the address, else the newest published one."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from feature_atlas.dashboards import queries


def published_runs() -> pd.DataFrame:
    """`queries.runs` by run_id; stops the page where there are none, and says what to do."""
    runs = queries.runs()
    if runs.empty:
        st.info(
            "The atlas is empty. Run `feature-atlas demo` to build the shipped tiny world, "
            "`feature-atlas build CONFIG` for your own model, or `feature-atlas ingest FOLDER` "
            "to load a run folder; then reload this page.",
            icon=":material/inbox:",
        )
        st.stop()
    return runs.set_index("run_id", drop=False)


def choose_run(where: DeltaGenerator, keep: tuple[str, ...] = ()) -> pd.Series:
    """The row of `queries.runs` that the address asks for, with the widget drawn in `where`;
    stops the page where there is none. Another choice leaves of the address only `keep`."""
    runs = published_runs()
    last = st.session_state.get("run")
    asked = st.query_params.get("run", str(last if last in runs.index else runs.index[0]))
    if asked == "stable" and runs.is_stable.any():
        asked = str(runs.index[runs.is_stable][0])  # the page's own links then name it for good
    if not asked.isdecimal() or int(asked) not in runs.index:
        st.error(
            f"The address asks for run {quoted(asked)}, which this atlas does not have. Take one "
            "of the runs below as `?run=`, or none for the newest; `?run=stable` is the run that "
            "`feature-atlas runs promote --stable RUN` names."
        )
        st.text("\n".join(f"{run}: {slug}" for run, slug in runs.slug.items()))
        st.stop()
    _show_choice(where, runs, int(asked), keep)
    return runs.loc[int(asked)]


def run_in_words(run: pd.Series) -> str:
    """Its name, and when it was published."""
    superseded = "" if run.state == "published" else " · superseded"
    stable = " · stable" if run.is_stable else ""
    return f"{run.slug} · {run.published_at:%d %b %Y %H:%M}{superseded}{stable}"


def quoted(asked: str) -> str:
    """Words of the address or of the data, safe inside a message."""
    return f"`{asked[:40].replace('`', '')}`"


def _show_choice(
    where: DeltaGenerator, runs: pd.DataFrame, run_id: int, keep: tuple[str, ...]
) -> None:
    address = {name: st.query_params.get_all(name) for name in st.query_params}
    address["run"] = [str(run_id)]
    # the way to another page empties the address, and a link to the same page leaves the browser's
    # as it was, until one is written; but writing sends all of it, and would undo what the reader
    # chose while this page was drawn
    if "run" not in st.query_params or st.session_state.get("address") != address:
        st.session_state["address"] = address
        st.query_params["run"] = str(run_id)
    st.session_state["run"] = run_id
    # the address is the only memory: the widget is set from it and writes to it
    st.session_state["run_widget"] = run_id
    where.selectbox(
        "Run",
        runs.index.tolist(),
        format_func=lambda run: run_in_words(runs.loc[run]),
        key="run_widget",
        on_change=_follow_widget,
        args=(keep,),
        width=460,
        help="A run is one version of the atlas. It never changes once published; "
        "a link to this page names it.",
    )


def _follow_widget(keep: tuple[str, ...]) -> None:
    kept = {name: st.query_params[name] for name in keep if name in st.query_params}
    st.query_params.clear()
    st.query_params.update(kept)
    st.query_params["run"] = str(st.session_state["run_widget"])
