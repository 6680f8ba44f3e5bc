"""Every table and view with its columns: meaning, unit, range; of one also some rows."""

import pandas as pd
import psycopg
import pyarrow as pa
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.addressed import addressed
from feature_atlas.dashboards.sql.result import shown_table

ALL = "all"
EXAMPLES, SECONDS = 5, 5


def show_schema() -> None:
    """All columns, or those of `?relation=`; the table's own tool bar searches them."""
    columns = queries.schema_columns()
    names = columns.schema.where(columns.schema != "atlas", "") + "." + columns.relation
    columns = columns.assign(relation=names.str.removeprefix("."))
    relations = columns.drop_duplicates("relation").set_index("relation")
    chosen = addressed(
        "Table or view", [ALL, *relations.index], "relation",
        lambda name: name if name == ALL else _in_words(name, relations.loc[name]),
    )  # fmt: skip
    if chosen == ALL:
        st.dataframe(
            columns[["relation", "column", "unit", "range", "description", "type"]],
            hide_index=True, height=480, placeholder="",
        )  # fmt: skip
        return
    one = relations.loc[chosen]
    st.text(one.relation_description)
    st.dataframe(
        columns[columns.relation == chosen][["column", "unit", "range", "description", "type"]],
        hide_index=True, height=280, placeholder="",
    )  # fmt: skip
    _show_examples(chosen)


def _in_words(name: str, relation: pd.Series) -> str:
    if pd.isna(relation.n_rows_estimate):
        return f"{name} · {relation.kind}"
    return f"{name} · {relation.kind} of about {int(relation.n_rows_estimate):,} rows"


def _show_examples(relation: str) -> None:
    st.caption(f"{EXAMPLES} of its rows:")
    try:
        st.dataframe(_examples(relation), hide_index=True, placeholder="")
    except psycopg.Error as error:
        st.text(str(error))


@st.cache_data(ttl=queries.TTL, show_spinner=False)
def _examples(relation: str) -> pa.Table:
    # `relation` is a name of the catalogue, never what the address says
    name = ".".join(f'"{part}"' for part in relation.split("."))
    found = queries.answered(f"SELECT * FROM {name}", {}, EXAMPLES, SECONDS)
    return shown_table(found.answer)
