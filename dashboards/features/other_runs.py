"""The same layer and index in every run that started from the same base SAEs."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.feature_table import LINK, page_of

NUMBER = st.column_config.NumberColumn
SETS = {
    "adapted": "is_adapted",
    "spatial survivor": "survives_spatial",
    "OCR survivor": "survives_ocr",
}


def show_other_runs(run: pd.Series, layer: int, feature: int) -> None:
    """A row per run, with a link to the feature there."""
    found = queries.same_feature(run.run_id, layer, feature)
    if len(found) < 2:
        st.info(
            "No other published run starts from the same base SAEs. `feature-atlas build` with "
            "another configuration or seed makes one; features keep their index."
        )
        return
    rows = found.assign(
        **{LINK: [page_of(run_id, layer, feature) for run_id in found.run_id]},
        this=found.run_id == run.run_id,
        sets=[
            ", ".join(name for name, column in SETS.items() if row[column])
            for _, row in found.iterrows()
        ],
        ablation_pp=100 * found.ablation_delta.astype(float),
    )
    st.dataframe(
        rows,
        hide_index=True,
        column_order=[
            *(LINK, "slug", "this", "label", "cosine", "visual_energy", "spatial_odds_ratio"),
            *("ablation_pp", "sets", "published_at"),
        ],
        column_config={
            LINK: st.column_config.LinkColumn(
                "open", display_text=":material/open_in_new:", width=56
            ),
            "slug": st.column_config.TextColumn("run"),
            "this": st.column_config.CheckboxColumn("this page"),
            "label": st.column_config.TextColumn(width="large"),
            "cosine": NUMBER(format="%.3f", help="Decoder; 1: kept, 0: a new direction."),
            "visual_energy": NUMBER("E_v", format="%.3g"),
            "spatial_odds_ratio": NUMBER("spatial odds ratio", format="%.2f"),
            "ablation_pp": NUMBER("Δ VSR, pp", format="%+.1f", help="When removed."),
            "published_at": st.column_config.DatetimeColumn("published"),
        },
        placeholder="",
    )
