"""What changed: two runs, a series of runs, or two features: `?show=`."""

import streamlit as st

from feature_atlas.dashboards.part_choice import choose_part
from feature_atlas.dashboards.run_choice import published_runs
from feature_atlas.dashboards.runs.run_series import show_series
from feature_atlas.dashboards.runs.two_features import show_two_features
from feature_atlas.dashboards.runs.two_runs import show_two_runs

SHOWS = {
    "two runs": show_two_runs,
    "a series": show_series,
    "two features": show_two_features,
}

title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title("Compare", help="Runs and features side by side; they are paired by layer and index.")
runs = published_runs()
with choice:
    shown = choose_part("Compare", SHOWS, "show")
SHOWS[shown](runs)
