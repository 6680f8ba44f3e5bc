"""The way from another page's SQL to the page where it can be run and changed."""

import streamlit as st

PAGE = "sql/sql.py"


def open_in_sql(sql: str) -> None:
    """A link that opens a statement on the SQL page, and so runs it."""
    st.page_link(
        PAGE, label="Run and change it", icon=":material/terminal:", query_params={"sql": sql}
    )
