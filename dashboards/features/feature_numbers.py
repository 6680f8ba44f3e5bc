"""The measured numbers of one feature: turning, seeing, firing on a skill, neutral prompts."""

from math import log10
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import number
from feature_atlas.dashboards.palette import ADAPTED, FAINT, NEUTRAL, SKILLS, draw, plain

ODDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000, 10_000]
NUMBER = st.column_config.NumberColumn


def show_what_changed(run: pd.Series, layer: int, feature: int) -> None:
    """Turning and seeing beside firing on skills and neutral prompts."""
    key = (run.run_id, layer, feature)
    left, right = st.columns(2, gap="large")
    with left:
        _show_decoder_cosine(*key)
        _show_seeds(*key)
        _show_scaling(*key)
        _show_visual_energy(*key, epsilon=run.config.get("selection", {}).get("epsilon"))
    with right:
        _show_firing_shift(*key)
        _show_neutral_prompts(*key)


def _show_decoder_cosine(run_id: int, layer: int, feature: int) -> None:
    """How far it turned, a row per regime."""
    st.subheader(
        "Turning",
        help="Decoder direction before and after adaptation, per token mask (4.2, A.1). The text "
        "regime is the paper's choice. A best base match far above the cosine: the feature moved "
        "onto another one's direction. Null: the cosine of refit features that fired as often, "
        "turned by training alone; a feature went further than that where the excess is above 0 "
        "and q small.",
    )
    cosines = queries.decoder_cosines(run_id, layer, feature)
    if cosines.empty:
        st.info("No decoder cosines: the stage `decoder_cosine` of `feature-atlas build`.")
        return
    cosines["best_match"] = [
        f"F{match} at {cosine:.3f}"
        for match, cosine in zip(cosines.best_base_feature, cosines.best_base_cosine, strict=True)
    ]
    st.dataframe(
        cosines,
        hide_index=True,
        placeholder="",
        column_order=[
            "regime",
            "cosine",
            "null_cosine",
            "excess_rotation",
            "rotation_q_value",
            "encoder_cosine",
            "best_match",
            "base_norm",
            "adapted_norm",
            "n_firings",
        ],
        column_config={
            "cosine": NUMBER(format="%.3f", help="Decoder; 1: kept, 0: a new direction."),
            "null_cosine": NUMBER(
                "null", format="%.3f", help="Cosine of refit features that fired as often."
            ),
            "excess_rotation": NUMBER(
                "excess", format="%+.3f", help="Null less cosine; above 0: turned further."
            ),
            "rotation_q_value": NUMBER(
                "q", format="%.2g", help="Of a turn beyond the null, Benjamini-Hochberg."
            ),
            "encoder_cosine": NUMBER("encoder", format="%.3f", help="The same for the encoder."),
            "best_match": st.column_config.TextColumn(
                "closest base feature", help="Of the same layer."
            ),
            "base_norm": NUMBER("norm before", format="%.2f", help="Length of the decoder row."),
            "adapted_norm": NUMBER("norm after", format="%.2f"),
            "n_firings": NUMBER("firings", format="localized", help="Tokens that trained it."),
        },
    )


def _show_seeds(run_id: int, layer: int, feature: int) -> None:
    """How alike it turned in other orders of the data."""
    found = queries.seed_stability(run_id, layer, feature)
    if found.empty:
        st.caption("In other orders of the data: not trained (`adapt.seeds`).")
        return
    row = found.iloc[0]
    said = (
        f"In {row.n_seeds:.0f} orders of the data: cosine {row.cosine_mean:.3f}, standard "
        f"deviation {row.cosine_sd:.2g} ({row.cosine_low:.3f} to {row.cosine_high:.3f}); adapted "
        f"in {row.n_seeds_adapted:.0f}"
    )
    if pd.notna(row.n_seeds_turned_by_vision):
        said += f", turned by vision in {row.n_seeds_turned_by_vision:.0f}"
    st.caption(f"{said}.")


def _show_scaling(run_id: int, layer: int, feature: int) -> None:
    """Whether it is written as strongly as by the base model, on text and on image tokens."""
    scales = queries.latent_scales(run_id, layer, feature)
    if scales.empty:
        st.caption("Turned or used less: not measured (stage `latent_scaling`; needs base_model).")
        return
    intervals = [f"[{number(r.low, '.2f')}, {number(r.high, '.2f')}]" for r in scales.itertuples()]
    st.dataframe(
        scales.assign(interval=intervals),
        hide_index=True,
        column_order=["tokens", "scale", "interval", "base_beta", "vlm_beta", "n_tokens"],
        column_config={
            "scale": NUMBER(
                format="%.2f",
                help="How strongly the VLM writes it where the base model does, on the same "
                "tokens: 1 as strongly, 0.5 half. Low with a cosine near 1: shrunk; about 1 with a "
                "low cosine: turned.",
            ),
            "interval": st.column_config.TextColumn("95 %", help="Tokens as independent."),
            "base_beta": NUMBER("base", format="%.2f", help="Least squares, the base model's."),
            "vlm_beta": NUMBER("VLM", format="%.2f", help="Likewise, along its new direction."),
            "n_tokens": NUMBER("tokens read", format="localized", help="Where the base fires."),
        },
    )


def _show_visual_energy(run_id: int, layer: int, feature: int, epsilon: float | None) -> None:
    """Its energy by kind of token."""
    st.subheader(
        "Seeing",
        help="Mean squared activation by kind of token (4.2, A.4). 'Text, with its image' is "
        "the paper's E_v: question, suffix and header. If it falls without the image, the feature "
        "carries what was seen.",
    )
    energies = queries.visual_energies(run_id, layer, feature)
    if energies.empty:
        st.info("No visual energy: the stage `visual_energy` of `feature-atlas build`.")
        return
    draw(_energy_bars(energies, epsilon), "energies")
    for row in queries.modality_preferences(run_id, layer, feature).itertuples():
        st.caption(_preference(row))


def _show_firing_shift(run_id: int, layer: int, feature: int) -> None:
    """Its odds of firing on each skill, with intervals."""
    st.subheader(
        "Firing on a skill",
        help="Odds of firing on the skill's questions over the others, 95 % intervals (Woolf, ½ "
        "added to every cell; 4.3). Tokens of one question are not independent: the question "
        "level is the honest one.",
    )
    shifts = queries.firing_shifts(run_id, layer, feature)
    if shifts.empty:
        st.info("No firing shifts: the stage `firing_shift` of `feature-atlas build`.")
        return
    draw(_odds_ratios(shifts), "odds_ratios")
    st.dataframe(
        _shift_rows(shifts),
        hide_index=True,
        column_config={
            "rate": st.column_config.TextColumn("fired, skill | base"),
            "delta": NUMBER("Δp, pp", format="%+.2f", help="Skill minus base, percentage points."),
            "q": NUMBER(
                "q", format="%.2g", help="Benjamini-Hochberg over all features of the run (tokens)."
            ),
        },
        placeholder="",
    )
    if shifts.has_zero_cell.any():
        skills = ", ".join(shifts.skill[shifts.has_zero_cell])
        st.text(f"A cell of the token table is 0 for {skills}: its ratio rests on the added ½.")


def _show_neutral_prompts(run_id: int, layer: int, feature: int) -> None:
    """Whether it fires without a word of its skill."""
    st.subheader(
        "Neutral prompts",
        help="The questions of its top samples are replaced by prompts without a word of the "
        "skill; prompt and the model's reply are run on the real and on the mean image, of as many "
        "samples as the verdict needs. A survivor fires on one prompt because of the picture "
        "(4.3, A.6).",
    )
    prompts = queries.neutral_prompts(run_id, layer, feature)
    if prompts.empty:
        st.info(
            "Not asked: only adapted candidates of a skill are tried on neutral prompts.",
            icon=":material/do_not_disturb_on:",
        )
        return
    for skill, rows in prompts.groupby("skill", sort=False):
        word = "survives" if rows.survives.iloc[0] else "does not survive"
        st.text(f"As a candidate for {skill} it {word}.")
        st.dataframe(
            rows.assign(
                real=_of(rows.n_fired, rows.n_samples),
                mean=_of(rows.n_fired_mean_image, rows.n_samples),
            ),
            hide_index=True,
            column_order=["prompt", "real", "mean", "mean_activation"],
            column_config={
                "prompt": st.column_config.TextColumn(width="medium"),
                "real": st.column_config.TextColumn("fired, image"),
                "mean": st.column_config.TextColumn("fired, mean image"),
                "mean_activation": NUMBER(
                    "activation", format="%.2f", help="Largest per image, mean over images."
                ),
            },
        )


def _preference(row: Any) -> str:
    """One comparison of energies in words; its interval is over images drawn anew."""
    said = f"Modality preference against {row.against}: {row.preference:+.2f}"
    if pd.notna(row.low):
        said += f" [{row.low:+.2f}, {row.high:+.2f}]"
    return f"{said}, the log ratio of its energies on text tokens; above 0: more with its image."


def _energy_bars(energies: pd.DataFrame, epsilon: float | None) -> go.Figure:
    is_measure = energies.condition == "text, with its image"
    # image tokens have far more energy than words: a logarithm, from below the smallest
    positive = energies.energy[energies.energy > 0]
    start = positive.min() / 5 if len(positive) else 1e-6
    figure = go.Figure(
        go.Bar(
            base=start,
            x=(energies.energy - start).clip(lower=0),
            y=energies.condition,
            orientation="h",
            marker_color=[ADAPTED if measure else "#d5d9df" for measure in is_measure],
            text=[
                f" {energy:.3g}" + ("" if pd.isna(fired) else f"  ·  {int(fired):,} firings")
                for energy, fired in zip(energies.energy, energies.n_fired, strict=True)
            ],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    if epsilon:
        figure.add_vline(epsilon, line={"dash": "dot", "width": 1, "color": FAINT})
    decades = log10(max(energies.energy.max() / start, 10))
    figure.update_xaxes(
        type="log",
        dtick=1,
        exponentformat="power",
        title_text="energy, normalised units², logarithmic",
        range=[log10(start), log10(start) + 1.55 * decades],
    )
    figure.update_yaxes(
        autorange="reversed", ticks="", showline=False, showgrid=False, ticksuffix="  "
    )
    return figure.update_layout(height=240, margin={"t": 6}, bargap=0.35)


def _odds_ratios(shifts: pd.DataFrame) -> go.Figure:
    figure = go.Figure()
    levels = (("tokens", "", 0.13, "circle-open"), ("questions", "question_", -0.13, "circle"))
    for level, prefix, shift, symbol in levels:
        ratio, low, high = (shifts[f"{prefix}odds_ratio{end}"] for end in ("", "_low", "_high"))
        figure.add_scatter(
            x=ratio,
            y=[shift - place for place in range(len(shifts))],
            error_x={"array": high - ratio, "arrayminus": ratio - low, "thickness": 1.6, "width": 4,
                     "color": "#6b7178"},
            mode="markers",
            name=f"per {level[:-1]}",
            marker={"size": 9, "symbol": symbol, "line": {"width": 1.6},
                    "color": [SKILLS.get(skill, NEUTRAL) for skill in shifts.skill]},
            customdata=list(zip(shifts.skill.map(plain), low, high, strict=True)),
            hovertemplate="%{customdata[0]}: %{x:.2f} [%{customdata[1]:.2f}, %{customdata[2]:.2f}]"
            f"<extra>{level}</extra>",
        )  # fmt: skip
    figure.add_vline(1, line={"width": 1, "color": NEUTRAL})
    figure.update_xaxes(
        type="log", title_text="odds ratio (above 1: fires more)", tickvals=ODDS, ticktext=ODDS
    )
    figure.update_yaxes(
        tickvals=[-place for place in range(len(shifts))],
        ticktext=shifts.skill.map(plain).tolist(),
        showgrid=False, ticks="", showline=False, range=[0.6 - len(shifts), 0.5],
    )  # fmt: skip
    return figure.update_layout(height=120 + 44 * len(shifts), margin={"t": 30})


def _shift_rows(shifts: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for shift in shifts.itertuples():
        rows.append(
            {
                "skill": shift.skill,
                "level": "tokens",
                "rate": f"{shift.fired_skill:,} / {shift.tokens_skill:,} | "
                f"{shift.fired_base:,} / {shift.tokens_base:,}",
                "delta": 100 * shift.delta_p,
                "odds ratio [95 %]": f"{shift.odds_ratio:.2f} "
                f"[{shift.odds_ratio_low:.2f}, {shift.odds_ratio_high:.2f}]",
                "q": shift.q_value,
            }
        )
        rows.append(
            {
                "skill": shift.skill,
                "level": "questions",
                "rate": f"{shift.questions_fired_skill:,} / {shift.questions_skill:,} | "
                f"{shift.questions_fired_base:,} / {shift.questions_base:,}",
                "delta": 100 * shift.question_delta_p,
                "odds ratio [95 %]": f"{shift.question_odds_ratio:.2f} "
                f"[{shift.question_odds_ratio_low:.2f}, {shift.question_odds_ratio_high:.2f}]",
                "q": None,
            }
        )
    return pd.DataFrame(rows)


def _of(part: pd.Series, whole: pd.Series) -> list[str]:
    return [f"{p} of {w}" for p, w in zip(part, whole, strict=True)]
