"""Who writes: the name that was typed last in this tab, else ATLAS_REVIEWER."""

import os

import streamlit as st


def ask_name(key: str) -> str:
    """A box for the name."""
    return st.text_input(
        "Your name", known_name(), max_chars=100, key=key, autocomplete="name"
    ).strip()


def known_name() -> str:
    """The name as far as it is known."""
    return str(st.session_state.get("reviewer") or os.environ.get("ATLAS_REVIEWER") or "")


def remember_name(name: str) -> None:
    """For the next form of this tab."""
    st.session_state["reviewer"] = name
