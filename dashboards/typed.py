"""What was typed into the boxes of a form, for what its button does."""

import streamlit as st


def typed(key: str, *boxes: str) -> list[str]:
    """The texts of the boxes with keys `key_box`; "" where nothing is typed or chosen."""
    return [str(st.session_state.get(f"{key}_{box}") or "") for box in boxes]
