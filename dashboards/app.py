"""The navigation and nothing else. `feature-atlas dashboard` serves it."""

import streamlit as st

from feature_atlas.dashboards.palette import ICON
from feature_atlas.dashboards.trouble import run_page

st.set_page_config(page_title="Feature atlas", page_icon=ICON, layout="wide")
pages = [
    st.Page("overview.py", title="Overview", icon=":material/scatter_plot:", default=True),
    st.Page(
        "features/explore.py", title="Explore", icon=":material/filter_alt:", url_path="explore"
    ),
    st.Page("features/feature.py", title="Feature", icon=":material/tune:", url_path="feature"),
    st.Page("lists/lists.py", title="Lists", icon=":material/list:", url_path="lists"),
    st.Page("sql/sql.py", title="SQL", icon=":material/terminal:", url_path="sql"),
    st.Page("meaning/search.py", title="Search", icon=":material/search:", url_path="search"),
    st.Page(
        "ablation/ablation.py", title="Ablation", icon=":material/content_cut:", url_path="ablation"
    ),
    st.Page("features/shift.py", title="Shift", icon=":material/compare_arrows:", url_path="shift"),
    st.Page("heads/heads.py", title="Heads", icon=":material/visibility:", url_path="heads"),
    st.Page(
        "features/thresholds.py",
        title="Thresholds",
        icon=":material/sliders:",
        url_path="thresholds",
    ),
    st.Page("runs/compare.py", title="Compare", icon=":material/difference:", url_path="compare"),
    st.Page("dictionary/layers.py", title="Layers", icon=":material/layers:", url_path="layers"),
    st.Page("runs/runs.py", title="Runs", icon=":material/history:", url_path="runs"),
    st.Page("vlm/try_it.py", title="Try it", icon=":material/science:", url_path="try"),
]
run_page(st.navigation(pages, position="top").run)
