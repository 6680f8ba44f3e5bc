"""What breaks when features are removed, alone or together, and when one is added (5.3, D)."""

import streamlit as st

from feature_atlas.dashboards.ablation.groups import show_groups
from feature_atlas.dashboards.ablation.interventions import show_interventions
from feature_atlas.dashboards.ablation.single_removals import show_single_removals
from feature_atlas.dashboards.ablation.spatial_code import show_spatial_code
from feature_atlas.dashboards.ablation.steering import show_steering
from feature_atlas.dashboards.ablation.supervised import show_supervised
from feature_atlas.dashboards.part_choice import choose_part
from feature_atlas.dashboards.run_choice import choose_run

PARTS = {
    "one removed": show_single_removals,
    "several together": show_groups,
    "added instead": show_steering,
    "other ways to remove": show_interventions,
    "found from labels": show_supervised,
    "code of places": show_spatial_code,
}

title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title("Ablation", help="Directional ablation of features (paper 5.3, D).")
run = choose_run(choice)
st.caption(
    "A feature's decoder direction is projected out of the text tokens while the model answers. "
    "Δ: accuracy after minus before, in percentage points; below 0 it hurts."
)
removal = choose_part("Features", PARTS, "removal")
PARTS[removal](run.run_id)
