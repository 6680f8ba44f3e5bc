"""A choice box whose choice is in the address under its own short name, whatever it shows."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st


def addressed(
    label: str,
    options: Sequence[str],
    name: str,
    shows: Callable[[str], str],
    default: int = 0,
    **more: Any,
) -> str:
    """The option that `?name=` asks for, else the default one; `more` goes to `st.selectbox`."""
    asked = st.query_params.get(name)
    # the address is the only memory: the widget is set from it and writes to it
    st.session_state[_key(name)] = asked if asked in options else options[default]
    return str(
        st.selectbox(
            label,
            options,
            format_func=shows,
            key=_key(name),
            on_change=lambda: remember(name, st.session_state[_key(name)]),
            **more,
        )
    )


def remember(name: str, option: str) -> None:
    """Put a choice into the address; the box follows."""
    st.query_params[name] = option


def _key(name: str) -> str:
    return f"{name}_choice"
