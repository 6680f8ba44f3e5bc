"""When one feature fires: how often, on which samples, words and answers (5.1)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import number
from feature_atlas.dashboards.features.strength_histogram import strength_histogram
from feature_atlas.dashboards.meaning.example_cards import show_cards
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.table_under import table_under

KINDS = {
    "strongest": "The samples on which it fires most.",
    "by quantile": "Samples of each tenth of its activations, the strongest tenth first: what it "
    "fires on most of the time.",
    "random": "Drawn by lot from all samples on which it fires.",
}
EVERY = "all"
N_MORE = 6
"""Examples shown at first, and by every click on more."""

_SHOWN = "shown"


def show_when_it_fires(run: pd.Series, layer: int, feature: int) -> None:
    """Density; examples of a kind; their words and answers."""
    key = (run.run_id, layer, feature)
    record = queries.feature(*key).iloc[0]
    st.text(
        f"It fires on {number(record.firing_rate, '.3%')} of the questions' text tokens; "
        f"adaptation saw it fire on {number(record.n_firings, ',')} tokens."
    )
    bins = queries.activation_bins(*key)
    if bins.empty:
        st.caption(
            "No histogram of its activations: the stage `activation_histogram` counts features "
            "that fire; runs of before have none."
        )
    else:
        draw(strength_histogram(bins), "activations")
        table_under(bins, "activations")
    stored = queries.example_sources(*key)
    if stored.empty:
        st.info(
            "No sample made it fire, or the stage `example` of `feature-atlas build` is missing."
        )
        return
    _show_examples(key, stored)
    words, answers = st.columns(2, gap="large")
    n = int(stored.n_strongest.sum() + stored.n_quantile.sum())
    with words:
        _show_groups("Words", queries.example_words(*key), "word", n)
    with answers:
        _show_groups("Answers", queries.example_answers(*key), "answer", n)


def _show_examples(key: tuple[int, int, int], stored: pd.DataFrame) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Examples",
            list(KINDS),
            default="strongest",
            required=True,
            key="examples",
            bind="query-params",
        )
        source = st.segmented_control(
            "Of",
            [EVERY, *stored.source],
            default=EVERY,
            required=True,
            key="source",
            bind="query-params",
        )
    st.caption(
        f"{KINDS[kind]} Tokens are shaded by activation, full at the strongest "
        "shown; the veiled picture is clear where the feature fires on it."
    )
    shown = _shown()
    found = queries.examples(*key, kind, None if source == EVERY else source, shown + 1)
    if found.empty:
        st.info("None is stored; runs of before such examples were drawn have none.")
        return
    show_cards(found.head(shown), float(found.max_activation.max()))
    if len(found) > shown:
        st.button("More examples", icon=":material/expand_more:", on_click=_show_more)


def _shown() -> int:
    asked = st.query_params.get(_SHOWN, "")
    return min(int(asked), queries.MAX_ROWS) if asked.isdecimal() and int(asked) else N_MORE


def _show_more() -> None:
    st.query_params[_SHOWN] = str(_shown() + N_MORE)


def _show_groups(title: str, groups: pd.DataFrame, name: str, n: int) -> None:
    """Words or answers by how many stored examples have them."""
    st.markdown(f"**{title} of its {n} stored examples**")
    st.dataframe(
        groups,
        hide_index=True,
        height=min(36 * (len(groups) + 1), 290),
        column_config={
            name: st.column_config.TextColumn(name),
            "n_examples": st.column_config.ProgressColumn(
                "examples", format="%d", min_value=0, max_value=n
            ),
            "mean_activation": st.column_config.NumberColumn("mean activation", format="%.2f"),
            "max_activation": st.column_config.NumberColumn("largest", format="%.2f"),
        },
    )
