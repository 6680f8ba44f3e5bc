"""Where a number comes from: choose its table and column, and see the execution behind it."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.addressed import addressed
from feature_atlas.dashboards.facts import show_facts
from feature_atlas.dashboards.queries.run_health import COPIED, FACTS
from feature_atlas.models.features.feature_record import FeatureRecord

WIDE = str(FeatureRecord.__tablename__)
KEYS = {"run_id", "layer", "feature", "measurement_id"}


def show_provenance(run_id: int) -> None:
    """Stage, code, settings, inputs and time of every number of `?table=&column=`."""
    st.subheader(
        "Where a number comes from",
        help="Choose its table and column. The stage's settings are its section of the "
        "configuration; the fingerprints are of everything that it read.",
    )
    table, column = _choose_number()
    source = _source(column) if table == WIDE else table
    if source != table:
        st.caption(f"{WIDE} has a copy of it from the table {source}.")
    found = queries.origins(run_id, source)
    if found.empty:
        st.info(f"No row of {source} in this run: the stage that leaves it found nothing to do.")
    for _, origin in found.iterrows():
        _show_origin(origin)


def _choose_number() -> tuple[str, str]:
    tables = {WIDE: FeatureRecord.__table__} | FACTS
    left, right = st.columns(2)
    with left:
        table = addressed("Table", list(tables), "table", str)
    columns = [column.name for column in tables[table].columns if column.name not in KEYS]
    with right:
        column = addressed("Column", columns, "column", str)
    st.caption(str(tables[table].columns[column].comment))
    return table, column


def _source(column: str) -> str:
    return next(table for table, columns in COPIED.items() if column in columns)


def _show_origin(origin: pd.Series) -> None:
    seconds = (origin.finished_at - origin.started_at).total_seconds()
    added = {} if pd.isna(origin.added_at) else {"Joined": f"{origin.added_at:%d %b %Y %H:%M} UTC"}
    show_facts(
        {
            "Stage": origin.stage,
            "Ran": f"{origin.started_at:%d %b %Y %H:%M} UTC, {seconds:,.0f} s",
            "Code": f"{origin.code_version[:12]}{' + uncommitted' if origin.dirty else ''}",
            "Device": origin.device,
            "Seeds": ", ".join(map(str, origin.seeds)) or "none",
            **added,
        }
    )
    settings, inputs = st.columns(2)
    with settings:
        st.caption("Settings")
        st.json(origin.params, expanded=1)
    with inputs:
        st.caption("Fingerprints of what it read, and of its files; libraries")
        st.json(
            {
                "inputs": origin.inputs,
                "all inputs": origin.input_fingerprint,
                "checksum of its files": origin.checksum,
                "libraries": origin.libraries,
            },
            expanded=1,
        )
