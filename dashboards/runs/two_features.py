"""Two features side by side, of any runs, layers and indices."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.addressed import addressed
from feature_atlas.dashboards.facts import number, show_facts
from feature_atlas.dashboards.features.feature_choice import survivors_of
from feature_atlas.dashboards.features.feature_table import page_of
from feature_atlas.dashboards.meaning.example_cards import PER_ROW, show_cards
from feature_atlas.dashboards.runs.two_runs import choose_pair
from feature_atlas.models.features.feature_record import METRICS, FeatureRecord

SETS = {
    "adapted": "is_adapted",
    "turned by vision": "is_turned_by_vision",
    "spatial candidate": "is_spatial_candidate",
    "spatial survivor": "survives_spatial",
    "OCR survivor": "survives_ocr",
}


def show_two_features(runs: pd.DataFrame) -> None:
    """Labels, numbers and examples of `?a=&a_layer=&a_feature=` beside those of `?b=...`."""
    pair = choose_pair(runs)
    records = []
    for side, run, column in zip(("a", "b"), pair, st.columns(2), strict=True):
        with column:
            records.append(_choose_feature(side, run))
            _show_words(records[-1])
    _show_numbers(*records)
    for record in records:
        _show_examples(record)


def _choose_feature(side: str, run: pd.Series) -> pd.Series:
    """The feature that the address names on this side, by default the run's first survivor."""
    survivors = survivors_of(queries.marked_features(run.run_id))
    first = survivors.iloc[0] if len(survivors) else {"layer": run.layers[0], "feature": 0}
    layers = [str(layer) for layer in run.layers]
    with st.container(horizontal=True):
        layer = addressed(
            "Layer", layers, f"{side}_layer", str, layers.index(str(first["layer"])), width=110
        )
        feature = st.number_input(
            "Feature",
            min_value=0,
            max_value=int(run.d_sae) - 1,
            value=int(first["feature"]),
            step=1,
            key=f"{side}_feature",
            bind="query-params",
            width=160,
        )
    return queries.feature(run.run_id, int(layer), int(feature)).iloc[0]


def _show_words(record: pd.Series) -> None:
    sets = [name for name, column in SETS.items() if pd.notna(record[column]) and record[column]]
    show_facts(
        {
            "Description": "not described" if pd.isna(record.label) else record.label,
            "F1": number(record.f1, ".2f"),
            "Sets": ", ".join(sets) or "none",
        }
    )
    address = page_of(int(record.run_id), int(record.layer), int(record.feature))
    st.link_button(f"Open {_name(record)}", address, icon=":material/open_in_new:")


def _show_numbers(a: pd.Series, b: pd.Series) -> None:
    st.subheader("Numbers")
    columns = [*METRICS, "ablation_delta"]
    comments = {column.name: column.comment for column in FeatureRecord.__table__.columns}
    numbers = pd.DataFrame(
        {
            "number": [column.replace("_", " ") for column in columns],
            "a": [_or_none(a[column]) for column in columns],
            "b": [_or_none(b[column]) for column in columns],
            "meaning": [
                comments.get(
                    column, "change of accuracy on its relation when removed, as a fraction"
                )
                for column in columns
            ],
        }
    )
    st.dataframe(
        numbers,
        hide_index=True,
        column_config={
            "a": st.column_config.NumberColumn(_name(a), format="%.4g"),
            "b": st.column_config.NumberColumn(_name(b), format="%.4g"),
            "meaning": st.column_config.TextColumn(width="large"),
        },
        placeholder="",
    )


def _show_examples(record: pd.Series) -> None:
    st.subheader(f"{_name(record)} fires most on", help="Its strongest stored samples.")
    key = (int(record.run_id), int(record.layer), int(record.feature))
    strongest = queries.examples(*key, "strongest", None, PER_ROW)
    if strongest.empty:
        st.info("No stored sample made it fire: the stage `example` keeps those of candidates.")
        return
    show_cards(strongest, float(strongest.max_activation.max()))


def _name(record: pd.Series) -> str:
    return f"L{record.layer} F{record.feature} of run {record.run_id}"


def _or_none(value: object) -> float | None:
    return None if pd.isna(value) else float(value)  # type: ignore[arg-type, call-overload]
