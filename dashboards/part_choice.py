"""One part of a page at a time: what the others show is neither asked for nor drawn."""

from collections.abc import Iterable

import streamlit as st


def choose_part(label: str, parts: Iterable[str], key: str) -> str:
    """The part that `?key=` of the address asks for, else the first.

    Each page has a key of its own: what two pages share goes with the reader from one to the other.
    """
    first, *others = parts
    return st.segmented_control(
        label, [first, *others], default=first, required=True, key=key, bind="query-params"
    )
