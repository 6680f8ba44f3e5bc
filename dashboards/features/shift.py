"""Which features a skill recruits, one of your own too: `?skill=` (Figs 9, 10; 4.3, A.5, A.6)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import intervals, show_facts
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.features.funnel import funnel_chart
from feature_atlas.dashboards.features.shift_charts import (
    level_ranges,
    rate_histogram,
    shift_scatter,
)
from feature_atlas.dashboards.fold import fold
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.part_choice import choose_part
from feature_atlas.dashboards.queries.skill_shifts import LEVELS
from feature_atlas.dashboards.run_choice import choose_run
from feature_atlas.dashboards.table_under import table_under

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
CHECK = st.column_config.CheckboxColumn
N_BINS, N_CANDIDATES, PER_DECADE = 80, 2000, 8

COLUMNS = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "label": TEXT("description", width="medium"),
    "survives": CHECK("survives", width=72, help="Fires on a neutral prompt, for the picture."),
    "is_turned_by_vision": CHECK(
        "vision", width=64, help="Turned further than refit null and language control explain."
    ),
    "delta_pp": NUMBER("Δp, pp", format="%+.2f", help="Firing rate, skill minus elsewhere."),
    "odds_ratio": NUMBER("odds ratio", format="%.2f"),
    "interval": TEXT("95 %"),
    "q_value": NUMBER("q", format="%.2g", help="Per question, Benjamini-Hochberg over the run."),
    "n_samples": NUMBER("asked", help="Images tried, over the neutral prompts."),
    "n_fired": NUMBER("fired", help="Of them, with the picture."),
    "n_fired_mean_image": NUMBER("mean image", help="Of them, with the mean image instead."),
}

PROMPTS = {
    "prompt": TEXT("neutral prompt", width="large"),
    "has_skill_word": CHECK("skill's word", help="Has a word of the skill itself."),
    "n_candidates": NUMBER("asked of", format="localized", help="Candidates."),
    "n_survivors": NUMBER("survivors", format="localized", help="Of them, over all prompts."),
    "fired": NUMBER("fired", format="percent", help="Share of images, mean over candidates."),
    "fired_mean_image": NUMBER("mean image", format="percent"),
    "fired_shuffled_image": NUMBER("another's image", format="percent"),
}


def choose_skill(skills: pd.DataFrame) -> pd.Series:
    """The skill of the address, by default the first, and what it is."""
    skill = st.selectbox(
        "Skill", skills.skill.tolist(), key="skill", bind="query-params", width=300,
        help="A kind of question that is compared with all other questions: its definition is in "
        "the configuration of the run.",
    )  # fmt: skip
    chosen = skills.set_index("skill", drop=False).loc[skill]
    show_facts(
        {
            "Questions of the skill": f"{chosen.questions_skill:,}",
            "Other questions": f"{chosen.questions_base:,}",
            "Tokens of the skill": f"{chosen.tokens_skill:,}",
            "Other tokens": f"{chosen.tokens_base:,}",
        }
    )
    if isinstance(chosen.definition, dict):
        fold(
            "Which questions those are, its words and neutral prompts", "definition",
            lambda: st.json(chosen.definition),
        )  # fmt: skip
    return chosen


def show_who(run_id: int, skill: str) -> None:
    """Firing rates, and who shifts."""
    st.subheader(
        "From all features to a few",
        help="Adapted features that fire more on the skill's questions are candidates; those that "
        "still fire on prompts without a word of it, because of the picture, survive (4.3, A.6).",
    )
    steps, rates = (
        queries.skill_funnel(run_id, skill),
        queries.firing_rates(run_id, skill, PER_DECADE),
    )
    left, right = st.columns(2, gap="large")
    with left:
        draw(funnel_chart(steps, skill), "skill_funnel")
        table_under(steps, "skill_funnel")
    with right:
        draw(rate_histogram(rates, skill, PER_DECADE), "firing_rates")
        table_under(rates, "firing_rates")


def show_shift(run_id: int, skill: str) -> None:
    """The shift of every adapted feature on the chosen level, and all levels beside it."""
    st.subheader(
        "How much more they fire",
        help="Figs 9 and 10. Odds of firing, skill over other questions; 95 % intervals. Tokens of "
        "one question are not independent, a skill's questions are longer or shorter than others, "
        "and its words stand in the question: each level asks one of these.",
    )
    level = st.segmented_control(
        "Counted over", list(LEVELS), default="tokens", required=True, key="level",
        bind="query-params",
    )  # fmt: skip
    candidates = queries.shift_candidates(run_id, skill, level, N_CANDIDATES)
    cloud = queries.shift_cloud(run_id, skill, level, N_BINS)
    left, right = st.columns([3, 2], gap="large")
    with left:
        draw(shift_scatter(candidates, cloud, skill), "shift_scatter")
        _say_limits(candidates, level)
        table_under(cloud, "shift_scatter")
    with right:
        st.markdown("**Candidates, on every level**: how many have their interval above 1")
        levels = queries.shift_levels(run_id, skill)
        draw(level_ranges(levels, skill), "shift_levels")
        table_under(levels, "shift_levels")
    show_candidates(run_id, candidates)


def _say_limits(candidates: pd.DataFrame, level: str) -> None:
    if len(candidates) and candidates.odds_ratio.isna().all():
        st.info(f"Not measured in this run: {LEVELS[level].meaning}.")
    if len(candidates) == N_CANDIDATES:
        st.caption(f"The first {N_CANDIDATES:,} candidates by odds ratio, survivors before them.")


def show_candidates(run_id: int, candidates: pd.DataFrame) -> None:
    """A row per candidate, each with its link."""
    st.subheader("Candidates and survivors", help="Click a head to sort.")
    if candidates.empty:
        st.info(
            "No adapted feature is a candidate for this skill: none passes the thresholds of "
            "`firing_shift` in the configuration. A run with more questions has more power."
        )
        return
    shown = candidates.head(queries.MAX_ROWS)
    interval = intervals(shown.low, shown.high, ".2f")
    feature_table(
        shown.assign(delta_pp=100 * shown.delta_p, interval=interval),
        run_id,
        COLUMNS,
        key="shift_candidates_table",
    )


def show_neutral_prompts(run_id: int, skill: str) -> None:
    """What became of the candidates without a word of the skill."""
    st.subheader(
        "Neutral prompts",
        help="In the place of the question, a prompt without a word of the skill. As high with the "
        "mean image as with the picture: a word did it. Asking stops where the verdict is clear.",
    )
    prompts = queries.neutral_by_prompt(run_id, skill)
    if prompts.empty:
        st.info(
            "Not asked: the stage `neutral_prompt` asks candidates of skills that have neutral "
            "prompts in their definition."
        )
        return
    st.dataframe(prompts, hide_index=True, column_config=PROMPTS, placeholder="")


PARTS = {
    "how much more they fire": show_shift,
    "from all to a few": show_who,
    "on neutral prompts": show_neutral_prompts,
}

title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title("Shift", help="Which features a skill recruits (paper 4.3, A.5, A.6).")
run = choose_run(choice)
skills = queries.skills_of_run(run.run_id)
if skills.empty:
    st.info("No firing shifts: the stage `firing_shift` of `feature-atlas build` leaves them.")
    st.stop()
chosen = choose_skill(skills)
PARTS[choose_part("Its features", PARTS, "shift_part")](run.run_id, chosen.skill)
