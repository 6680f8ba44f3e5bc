"""Streamlit pages over a published atlas: one question a page, `queries.py` the only reader."""
