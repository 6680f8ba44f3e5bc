"""The statement, its parameters and its limits, to be written and run."""

import streamlit as st

from feature_atlas.dashboards.sql.asking import MAX_ROWS, MAX_SECONDS, Asking, ask

MONOSPACE = "<style>.st-key-statement textarea { font-family: monospace; font-size: 14px }</style>"


def statement_form(asking: Asking) -> None:
    """The form; *Run* puts what it says into the address, and the page answers that."""
    _follow_address(asking)
    st.html(MONOSPACE)
    with st.form("statement_form", border=False):
        st.text_area(
            "One SELECT", key="statement", height=260,
            placeholder="SELECT layer, feature, label, f1 FROM feature WHERE f1 > :least LIMIT 20",
            help="Views and tables of the schema atlas need no prefix. `:name` is a value of your "
            "own: Run asks for it.",
        )  # fmt: skip
        if asking.names:
            with st.container(horizontal=True):
                kinds = {p.name: p.type for p in asking.saved.parameters} if asking.saved else {}
                for name in asking.names:
                    st.text_input(name, key=f"value_{name}", width=150, help=kinds.get(name))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.form_submit_button(
                "Run", type="primary", icon=":material/play_arrow:", on_click=_run
            )
            st.selectbox(
                "Rows at most", MAX_ROWS, key="rows_asked", width=130, format_func="{:,}".format
            )
            st.selectbox("Seconds at most", MAX_SECONDS, key="seconds_asked", width=140)


def _follow_address(asking: Asking) -> None:
    """What is typed stays until the address asks for something else."""
    if st.session_state.get("asked") != asking:
        st.session_state["asked"] = asking
        st.session_state["statement"] = asking.sql
        st.session_state["rows_asked"] = asking.max_rows
        st.session_state["seconds_asked"] = asking.max_seconds
        defaults = {p.name: str(p.default) for p in asking.saved.parameters} if asking.saved else {}
        for name in asking.names:
            st.session_state[f"value_{name}"] = asking.said.get(name, defaults.get(name, ""))


def _run() -> None:
    state = st.session_state
    said = {
        str(key).removeprefix("value_"): value
        for key, value in state.items()
        if str(key).startswith("value_")
    }
    ask(state["statement"], said, state["rows_asked"], state["seconds_asked"])
    state["answered"] = None  # Run asks the database again, whatever it said before
