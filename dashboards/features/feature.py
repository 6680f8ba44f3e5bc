"""Everything known of one feature, by deep link: `?run=&layer=&feature=`, and its open sections.

The first screen tells the story; each section below is folded, asks the database only while it is
open, and stands in the address: `&fires=true`.
"""

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.feature_ablation import show_what_breaks
from feature_atlas.dashboards.features.feature_choice import (
    choose_feature,
    show_neighbours,
    survivors_of,
)
from feature_atlas.dashboards.features.feature_numbers import show_what_changed
from feature_atlas.dashboards.features.feature_summary import show_summary
from feature_atlas.dashboards.features.feature_writes import show_what_it_writes
from feature_atlas.dashboards.features.other_runs import show_other_runs
from feature_atlas.dashboards.heads.feature_heads import show_what_drives
from feature_atlas.dashboards.lists.feature_lists import show_lists_with
from feature_atlas.dashboards.meaning.feature_examples import show_when_it_fires
from feature_atlas.dashboards.meaning.feature_meaning import show_what_it_is
from feature_atlas.dashboards.run_choice import choose_run

SECTIONS = {
    "what": ("What it is: descriptions, reviews, comments, the base feature", show_what_it_is),
    "fires": ("When it fires: examples, words, answers", show_when_it_fires),
    "writes": ("What it writes: tokens, nearest features", show_what_it_writes),
    "changed": ("What changed: turning, seeing, skills, neutral prompts", show_what_changed),
    "drives": ("What drives it: heads, and where they look", show_what_drives),
    "breaks": ("What breaks: removal, groups, steering", show_what_breaks),
    "runs": ("The same feature in other runs", show_other_runs),
}
"""Name in the address: title, and what shows it."""

left, choice = st.columns([3, 2], vertical_alignment="bottom")
title = left.empty()
title.title("Feature")
run = choose_run(choice)
survivors = survivors_of(queries.marked_features(run.run_id))
with st.container(horizontal=True, vertical_alignment="bottom"):
    layer, feature = choose_feature(run, survivors)
    show_neighbours(run, layer, feature, survivors)
title.title(f"Layer {layer}, feature {feature}")

found = queries.feature(run.run_id, layer, feature)
if found.empty:
    st.error(
        f"Run {run.run_id} has no row for layer {layer}, feature {feature}: the run was loaded "
        "incompletely. Run `feature-atlas status`."
    )
    st.stop()
show_summary(found.iloc[0])
show_lists_with(int(run.run_id), layer, feature)
for name, (heading, show) in SECTIONS.items():
    with st.expander(heading, key=name, bind="query-params") as section:
        if section.open:
            show(run, layer, feature)
