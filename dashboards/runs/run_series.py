"""A series of runs, training checkpoints or seeds: which features turned when."""

import re

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.addressed import addressed
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.queries.run_series import MAX_RUNS
from feature_atlas.dashboards.run_choice import quoted, run_in_words
from feature_atlas.dashboards.runs.comparable import like, why_not
from feature_atlas.dashboards.runs.pair_table import NUMBER, TEXT
from feature_atlas.dashboards.runs.series_charts import set_lines, trajectory_lines, turned_bars
from feature_atlas.dashboards.table_under import table_under
from feature_atlas.models.features.feature_record import METRICS

N_PATHS = 8
COLUMNS = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d"),
    "label": TEXT("description", width="medium"),
    "cosine": NUMBER(format="%.3f", help="Decoder, in the last run of the series."),
    "visual_energy": NUMBER("E_v", format="%.3g"),
    "survives_spatial": st.column_config.CheckboxColumn("spatial"),
    "survives_ocr": st.column_config.CheckboxColumn("OCR"),
}


def show_series(runs: pd.DataFrame) -> None:
    """Sets run by run, when features turned, and single ones through all runs."""
    chosen = choose_series(runs)
    series, names = chosen.run_id.tolist(), chosen.slug.tolist()
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("How many", help="Adapted features (4.2) and survivors (4.3) of each run.")
        sets = queries.sets_by_run(series)
        draw(set_lines(sets, names), "set_lines")
        table_under(sets.assign(run=names), "set_lines")
    turned = queries.turned_when(series)
    with right:
        st.subheader(
            "When they turned",
            help="A feature turned in the first run from which on it is adapted in every run to "
            "the last: stage-wise diffing. Grey: adapted in some run, but not in the last.",
        )
        draw(turned_bars(turned, names), "turned_bars")
        table_under(turned, "turned_bars")
    listed = _show_turned_at(series, names, turned)
    _show_paths(chosen, listed)


def choose_series(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs `?series=1,2,3`, in that order; by default all of the newest run's shape, by time
    of publication."""
    default = like(runs, runs.iloc[0]).index[-MAX_RUNS:].tolist()
    asked = st.query_params.get("series", "")
    numbers = [int(number) for number in re.findall(r"\d+", asked)] or default
    unknown = [number for number in numbers if number not in runs.index]
    if unknown or len(set(numbers)) < len(numbers) or len(numbers) > MAX_RUNS:
        st.error(
            f"The address asks for the series {quoted(asked)}. Name runs of this atlas "
            f"({', '.join(map(str, sorted(runs.index)))}), each once, at most {MAX_RUNS} of them."
        )
        st.stop()
    st.session_state["series_choice"] = numbers
    st.multiselect(
        "Runs, in order",
        sorted(runs.index),
        format_func=lambda number: f"{number}: {run_in_words(runs.loc[number])}",
        key="series_choice",
        max_selections=MAX_RUNS,
        on_change=_follow_choice,
        help="Training checkpoints or seeds of one dictionary shape. The order of choice is the "
        "order of the series, and in the address.",
    )
    chosen = runs.loc[numbers]
    reasons = [why_not(chosen.iloc[0], run) for _, run in chosen.iterrows()]
    if any(reasons):
        st.warning(next(reason for reason in reasons if reason))
        st.stop()
    if len(chosen) < 2:
        st.info(
            "A series needs two runs of one dictionary shape. `feature-atlas build` with another "
            "checkpoint or seed makes one."
        )
        st.stop()
    return chosen


def _follow_choice() -> None:
    numbers = st.session_state["series_choice"]
    if numbers:
        st.query_params["series"] = ",".join(map(str, numbers))
    else:
        st.query_params.pop("series", None)


def _show_turned_at(series: list[int], names: list[str], turned: pd.DataFrame) -> pd.DataFrame:
    counts = turned.groupby("turned_at").n_features.sum()
    places = [str(place) for place in range(1, len(series) + 1)]
    place = addressed(
        "Features that turned in",
        places,
        "turned",
        lambda place: f"{place}: {names[int(place) - 1]} ({counts.get(float(place), 0):,})",
        default=len(places) - 1,
        width=500,
    )
    found = queries.turned_at(series, int(place))
    if found.empty:
        st.info("None.")
    else:
        feature_table(found, series[-1], COLUMNS, key="turned_at", height=280)
    return found


def _show_paths(chosen: pd.DataFrame, listed: pd.DataFrame) -> None:
    st.subheader(
        "Through the series",
        help="Each feature's metric in every run. Filled: adapted there; hollow: not.",
    )
    left, right = st.columns([1, 2])
    with left:
        metric = addressed("Metric", METRICS, "metric", lambda name: name.replace("_", " "))
    with right:
        written = st.text_input(
            "Features",
            key="features",
            bind="query-params",
            placeholder="layer/feature, such as 3/17, 3/40",
            help=f"As layer/feature, separated by commas, at most {N_PATHS}; none: the first of "
            "the list above.",
        )
    run = chosen.iloc[-1]
    keys = [
        (int(layer), int(feature)) for layer, feature in re.findall(r"(\d+)\s*/\s*(\d+)", written)
    ]
    if not keys:
        keys = list(zip(listed.layer.tolist(), listed.feature.tolist(), strict=True))
    known = [key for key in dict.fromkeys(keys) if key[0] in run.layers and key[1] < run.d_sae]
    known = known[:N_PATHS]
    if not known:
        st.info("Name features of these runs as layer/feature: none of those above is in them.")
        return
    layers, features = ([key[side] for key in known] for side in (0, 1))
    paths = queries.trajectories(chosen.run_id.tolist(), layers, features, metric)
    draw(trajectory_lines(paths, chosen.slug.tolist(), metric), "trajectories")
    table_under(paths, "trajectories")
