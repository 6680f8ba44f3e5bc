"""The way from another page's SQL to the page where it can be run and changed."""

import streamlit as st

from feature_atlas.dashboards.fold import fold

PAGE = "sql/sql.py"


def open_in_sql(title: str, key: str, sql: str, caption: str) -> None:
    """The statement, folded, with a link that opens it on the SQL page, and so runs it."""

    def show() -> None:
        st.code(sql, language="sql")
        st.page_link(
            PAGE, label="Run and change it", icon=":material/terminal:", query_params={"sql": sql}
        )
        st.caption(caption)

    fold(title, key, show, icon=":material/code:")
