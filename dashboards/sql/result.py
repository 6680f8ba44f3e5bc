"""What a statement returned: its table, and the same as CSV, JSON or Parquet."""

import io
from collections.abc import Callable
from typing import Any, Literal, TextIO

import pyarrow as pa
import streamlit as st

from feature_atlas.dashboards.own_csv import own_csv
from feature_atlas.dashboards.queries.statements import Timed
from feature_atlas.models.notation.arrow_rows import arrow_schema, record_batch, write_parquet
from feature_atlas.models.notation.csv_text import plain_text, write_csv
from feature_atlas.models.notation.json_text import write_json
from feature_atlas.models.user_sql import Answer

FLOAT = st.column_config.NumberColumn(format="%.7g")
"""As many digits as single precision holds; the files have all."""


def show_result(timed: Timed) -> pa.Table:
    """Rows, time, files; returns the table as it is shown."""
    answer = timed.answer
    rows = f"{len(answer.rows):,} row{'' if len(answer.rows) == 1 else 's'}"
    more = ", and there are more: raise *Rows at most*, or aggregate" if answer.is_cut else ""
    st.markdown(f"**{rows}** in {timed.seconds:.2f} s{more}")
    table = shown_table(answer)
    short = {f.name: FLOAT for f in table.schema if pa.types.is_floating(f.type)}
    height: Literal["auto"] | int = "auto" if len(answer.rows) < 12 else 420
    with own_csv("answer"):
        st.dataframe(table, hide_index=True, height=height, column_config=short, placeholder="")
    with st.container(horizontal=True):
        _download("CSV", answer, lambda: _text(write_csv, answer), "text/csv")
        is_named = len(set(answer.names)) == len(answer.names)
        _download("JSON", answer, lambda: _text(write_json, answer), "application/json", is_named)
        _download("Parquet", answer, lambda: parquet(answer), None, is_named)
    return table


def shown_table(answer: Answer) -> pa.Table:
    """Rows with the types that PostgreSQL said; of columns of one name all are there."""
    names = _distinct(answer.names)
    types = ["text" if kind == "bytea" else kind for kind in answer.types]
    is_bytes = [kind == "bytea" for kind in answer.types]
    rows = [
        tuple(plain_text(v) if b else v for v, b in zip(row, is_bytes, strict=True))
        for row in answer.rows
    ] if any(is_bytes) else answer.rows  # fmt: skip
    schema = arrow_schema(names, types)
    return pa.Table.from_batches([record_batch(schema, rows)], schema)


def parquet(answer: Answer) -> bytes:
    """The rows as a Parquet file."""
    file = io.BytesIO()
    write_parquet(file, arrow_schema(answer.names, answer.types), [answer.rows])
    return file.getvalue()


def _text(
    write: Callable[[TextIO, list[str], list[tuple[Any, ...]]], int], answer: Answer
) -> bytes:
    file = io.StringIO()
    write(file, answer.names, answer.rows)
    return file.getvalue().encode()


def _download(
    form: str, answer: Answer, data: Callable[[], bytes], mime: str | None, is_named: bool = True
) -> None:
    st.download_button(
        form, data, f"answer.{form.lower()}", mime, on_click="ignore",
        icon=":material/download:", disabled=not is_named,
        help=None if is_named else "Two columns have one name: name them with AS.",
    )  # fmt: skip


def _distinct(names: list[str]) -> list[str]:
    """Each with its number where an earlier one is called so."""
    found: list[str] = []
    for name in names:
        number, distinct = 1, name
        while distinct in found:
            number += 1
            distinct = f"{name} ({number})"
        found.append(distinct)
    return found
