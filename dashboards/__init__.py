"""Streamlit pages over a published atlas: one question a page, `queries` the only reader."""
