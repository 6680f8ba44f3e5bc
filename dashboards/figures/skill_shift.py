"""Which features a skill recruits (paper Fig. 9, and below in Fig. 10; 4.3, A.5)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.figures.canvas import Undrawable, new_figure
from feature_atlas.dashboards.palette import ADAPTED, ALL, NEUTRAL, SKILLS
from feature_atlas.dashboards.queries.skill_shifts import LEVELS

PER_DECADE = 8
"""Bins of a firing rate per factor of ten."""

N_RUG = 3000
"""Candidates drawn as single points per level."""


def figure_9(run: pd.Series) -> Figure:
    """Top: firing rates of all features; of the adapted. Bottom: the ratio on other levels."""
    shifts = shifts_of(run, "spatial")
    rates = queries.firing_rates(run.run_id, "spatial", PER_DECADE)
    figure = new_figure(
        run,
        "Figure 9. Spatial distribution shift",
        "D_sp: spatial questions; D_base: all others. Rates are per token; 0 lies on the lowest "
        "line. Survives: fires on neutral prompts too; lost: does not. Bottom: odds of firing, "
        "spatial over other questions, above 1: more; bars: median and middle half of the "
        f"candidates; right: how many have their whole 95 % interval above 1.{controlled(shifts)}",
        8.8,
    )
    parts = figure.subfigures(2, 1, height_ratios=(1.35, 1))
    left, right = parts[0].subplots(1, 2)
    _draw_histograms(left, rates)
    draw_rates(right, shifts, "spatial")
    draw_levels(parts[1].subplots(), shifts, "spatial")
    return figure


def shifts_of(run: pd.Series, skill: str) -> pd.DataFrame:
    """`queries.adapted_shifts`, of a run that has them."""
    shifts = queries.adapted_shifts(run.run_id, skill)
    if shifts.empty:
        raise Undrawable(
            f"no adapted feature has a firing shift of the skill {skill}; the stage `firing_shift` "
            "leaves them for every skill of the configuration"
        )
    return shifts


def draw_rates(panel: Axes, shifts: pd.DataFrame, skill: str) -> None:
    """Adapted features by their firing rate on the base and on the skill, candidates above."""
    positive = pd.concat([shifts.rate_base, shifts.rate_skill])
    floor = float(positive[positive > 0].min()) / 2 if (positive > 0).any() else 1e-6
    is_candidate, survives = shifts.is_candidate.astype(bool), shifts.survives.astype(bool)
    turned = shifts.is_turned_by_vision.eq(True)  # NULL without controls
    colour = SKILLS[skill]
    for label, rows, style in (
        ("adapted", shifts[~is_candidate], {"color": ADAPTED, "s": 6}),
        ("candidate, lost", shifts[is_candidate & ~survives],
         {"facecolors": "none", "edgecolors": colour, "s": 18}),
        ("survives", shifts[survives],
         {"facecolors": colour, "edgecolors": colour, "s": 18}),
        ("turned by vision", shifts[is_candidate & turned],
         {"marker": "+", "color": "black", "s": 30}),
    ):  # fmt: skip
        if len(rows):
            panel.scatter(
                rows.rate_base.clip(lower=floor), rows.rate_skill.clip(lower=floor),
                label=f"{label} ({len(rows):,})", linewidths=0.9, rasterized=True, **style,
            )  # fmt: skip
    panel.axline((floor, floor), (1, 1), color=NEUTRAL, linewidth=1, linestyle=":")
    panel.set(xscale="log", yscale="log", xlabel="firing rate on other questions, per token")
    panel.set_xlim(left=floor / 100)  # room for the legend
    panel.set_ylabel(f"firing rate on {_name(skill)} questions")
    panel.set_title("Adapted features under both splits")
    panel.legend(loc="lower left", fontsize=8.5, handletextpad=0.1)


def draw_levels(panel: Axes, shifts: pd.DataFrame, skill: str) -> None:
    """The candidates' odds ratios on every level that was measured."""
    candidates = shifts[shifts.is_candidate.astype(bool)]
    if candidates.empty:
        panel.axis("off")
        panel.text(0.5, 0.5, f"no adapted feature is a candidate for {_name(skill)}", ha="center")
        return
    known = [x for x in LEVELS.values() if candidates[f"{x.interval}_low"].notna().any()]
    for place, level in enumerate(known):
        low_end = f"{level.interval}_low"
        rows = candidates[candidates[low_end].notna()]
        spread = np.random.default_rng(place).uniform(-0.22, 0.22, len(rows))
        panel.scatter(
            rows[level.ratio][:N_RUG], place + spread[:N_RUG], s=5, color=SKILLS[skill], alpha=0.35,
            linewidths=0, rasterized=True,
        )  # fmt: skip
        low, middle, high = rows[level.ratio].quantile([0.25, 0.5, 0.75])
        panel.plot([low, high], [place, place], color="black", linewidth=2)
        panel.plot(middle, place, "o", color="black", markersize=5)
        above = int((rows[low_end] > 1).sum())
        panel.text(
            1.01, place, f"{above:,} of {len(rows):,}", va="center", fontsize=9,
            transform=panel.get_yaxis_transform(),
        )  # fmt: skip
    panel.axvline(1, color=NEUTRAL, linewidth=1)
    panel.set(xscale="log", xlabel=f"odds ratio of firing, {_name(skill)} over other questions")
    panel.set_yticks(range(len(known)), [level.meaning for level in known])
    panel.set_ylim(len(known) - 0.5, -0.5)
    panel.grid(axis="y", visible=False)
    panel.set_title(f"Odds ratios of the {len(candidates):,} candidates")


def _draw_histograms(panel: Axes, rates: pd.DataFrame) -> None:
    width = 10 ** (1 / PER_DECADE)
    for split, label, colour in (
        ("base", "D_base", ALL),
        ("skill", "D_sp", SKILLS["spatial"]),
    ):
        rows = rates[rates.split == split]
        silent = int(rows.n_features[rows.rate.isna()].sum())
        rows = rows[rows.rate.notna()]
        panel.stairs(*_steps(rows, width), color=colour, fill=split == "base",
                     linewidth=1.8, label=f"{label} (never fire: {silent:,})")  # fmt: skip
    n_features = int(rates.n_features[rates.split == "base"].sum())
    panel.set(xscale="log", xlabel="firing rate per token", ylabel="features per bin")
    panel.set_title(f"Firing rates of all {n_features:,} features")
    panel.legend(loc="upper left")
    panel.margins(y=0.25)


def _steps(rows: pd.DataFrame, width: float) -> tuple[list[float], list[float]]:
    """Counts and edges, with the empty bins in between, which the database does not send."""
    steps = (PER_DECADE * np.log10(rows.rate)).round().astype(int)
    counts = pd.Series(rows.n_features.to_numpy(), index=steps.to_numpy())
    if counts.empty:
        return [0], [0.5, 1]
    every = range(counts.index.min(), counts.index.max() + 1)
    edges = [width**step for step in (*every, counts.index.max() + 1)]
    return counts.reindex(every, fill_value=0).tolist(), edges


def controlled(shifts: pd.DataFrame) -> str:
    """How many candidates their controls leave, in a sentence."""
    candidates = shifts[shifts.is_candidate.astype(bool)]
    if candidates.empty:
        return ""
    if candidates.is_turned_by_vision.isna().all():
        return " This run has no controls: nobody knows which candidates turned by vision."
    turned = int(candidates.is_turned_by_vision.eq(True).sum())
    return (
        f" {turned:,} of {len(candidates):,} candidates turned further than refit null and "
        "language control explain (crosses)."
    )


def _name(skill: str) -> str:
    return {"ocr": "OCR"}.get(skill, skill)
