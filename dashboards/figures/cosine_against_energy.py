"""Every feature by how far it turned and how much it sees (paper Figs 2 and 10; 4.2, A.6)."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.scatter import MAX_POINTS, energy_floor
from feature_atlas.dashboards.figures.canvas import Undrawable, new_figure
from feature_atlas.dashboards.figures.skill_shift import (
    controlled,
    draw_levels,
    draw_rates,
    shifts_of,
)
from feature_atlas.dashboards.palette import ADAPTED, ALL, CAUSAL, NEUTRAL, OCR, SPATIAL

N_BINS = 200
"""Bins per axis of a cloud that is too large to draw point by point."""


def figure_2(run: pd.Series) -> Figure:
    """The cloud, the adapted set, the spatial features, those that were analysed further."""
    cloud, marked = _cloud(run), queries.marked_features(run.run_id)
    is_survivor = marked.survives_spatial.astype(bool)
    figure = new_figure(
        run,
        "Figure 2. SAE features by visual energy and cosine",
        f"Adapted: $E_v$ above ε (dotted) and cosine in the bottom share, as in the paper. "
        f"{_turned(run)} Features of energy 0 lie on the lowest line.{_binned(cloud)}",
        6.2,
    )
    panel = figure.subplots()
    floor = _draw_cloud(panel, run, cloud, marked)
    for label, rows, marker in (
        (
            "spatial candidates, lost on neutral prompts",
            marked[marked.is_spatial_candidate.astype(bool) & ~is_survivor],
            {"marker": "s", "s": 20, "facecolors": "none", "edgecolors": "#7fa8d6"},
        ),
        (
            "spatial features",
            marked[is_survivor],
            {"marker": "s", "s": 34, "facecolors": "#2f6fb555", "edgecolors": SPATIAL},
        ),
        (
            "described or ablated",
            marked[marked.label.notna() | marked.ablation_delta.notna()],
            {"marker": "x", "s": 30, "color": CAUSAL, "linewidths": 1.3},
        ),
    ):
        _mark(panel, label, rows, floor, marker)
    _label(panel)
    return figure


def figure_10(run: pd.Series) -> Figure:
    """OCR features in the same plane, and their shift as Fig. 9 shows the spatial one."""
    shifts = shifts_of(run, "ocr")
    cloud, marked = _cloud(run), queries.marked_features(run.run_id)
    candidates = marked[marked.is_ocr_candidate.astype(bool)]
    if candidates.empty:
        raise Undrawable("no adapted feature of the run fires more on OCR questions")
    shared = int((candidates.is_spatial_candidate.astype(bool)).sum())
    figure = new_figure(
        run,
        "Figure 10. OCR features",
        f"{len(candidates):,} candidates, {shared:,} of them spatial candidates too. Below: their "
        "odds of firing, OCR over other questions, above 1: more; bars: median and middle half of "
        "the candidates; right: how many of them have their whole 95 % interval above 1."
        + controlled(shifts)
        + _binned(cloud),
        9.0,
    )
    parts = figure.subfigures(2, 1, height_ratios=(1.45, 1))
    panel = parts[0].subplots()
    floor = _draw_cloud(panel, run, cloud, marked)
    survives = candidates.survives_ocr.astype(bool)
    spatial = marked[marked.survives_spatial.astype(bool)]
    hollow = {"marker": "s", "s": 22, "facecolors": "none", "edgecolors": SPATIAL}
    _mark(panel, "spatial features", spatial, floor, hollow)
    diamond = {"marker": "D", "s": 24, "edgecolors": OCR}
    _mark(panel, "OCR candidates, lost on neutral prompts", candidates[~survives], floor,
          diamond | {"facecolors": "none"})  # fmt: skip
    _mark(panel, "OCR features", candidates[survives], floor, diamond | {"facecolors": OCR})
    _label(panel)
    left, right = parts[1].subplots(1, 2, width_ratios=(1.2, 1))
    draw_rates(left, shifts, "ocr")
    draw_levels(right, shifts, "ocr")
    return figure


def _cloud(run: pd.Series) -> pd.DataFrame:
    is_large = run.n_layers * run.d_sae > MAX_POINTS
    if is_large:
        cloud = queries.feature_bins(run.run_id, N_BINS)
    else:
        cloud = queries.feature_points(run.run_id).assign(n_features=1)
    if cloud.empty:
        raise Undrawable("the run has no features")
    return cloud.assign(is_binned=is_large)


def _draw_cloud(panel: Axes, run: pd.Series, cloud: pd.DataFrame, marked: pd.DataFrame) -> float:
    """All features and the adapted ones. Returns where energies of 0 are drawn."""
    floor = energy_floor(pd.concat([cloud.visual_energy, marked.visual_energy]))
    is_adapted = cloud.is_adapted.astype(bool)
    for label, rows, colour in (
        ("all other features", cloud[~is_adapted], ALL),
        ("adapted", cloud[is_adapted], ADAPTED),
    ):
        panel.scatter(
            rows.cosine, rows.visual_energy.clip(lower=floor), s=5, color=colour, linewidths=0,
            label=f"{label} ({rows.n_features.sum():,})", rasterized=True,
        )  # fmt: skip
    epsilon = (run.config.get("selection") or {}).get("epsilon")
    if epsilon:
        panel.axhline(epsilon, color=NEUTRAL, linestyle=":", linewidth=1.2)
        panel.text(0.005, epsilon, f" ε = {epsilon:g}", color=NEUTRAL, va="bottom", fontsize=9,
                   transform=panel.get_yaxis_transform())  # fmt: skip
    return floor


def _mark(
    panel: Axes, label: str, rows: pd.DataFrame, floor: float, marker: dict[str, Any]
) -> None:
    if len(rows):
        panel.scatter(
            rows.cosine, rows.visual_energy.clip(lower=floor),
            label=f"{label} ({len(rows):,})", **{"linewidths": 1.0, **marker},
        )  # fmt: skip


def _label(panel: Axes) -> None:
    panel.set_yscale("log")
    panel.set_xlabel("decoder cosine, base to adapted (1: kept its direction, 0: a new one)")
    panel.set_ylabel("visual energy $E_v$, normalised units²")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, markerscale=1.4)


def _turned(run: pd.Series) -> str:
    layers = queries.adapted_by_layer(run.run_id)
    if layers.n_turned_by_vision.isna().all():
        return "This run has no controls: nobody knows how many turned for a reason."
    return (
        f"{layers.n_turned_by_vision.sum():,.0f} of {layers.n_adapted.sum():,} adapted features "
        "turned further than their controls explain (turned by vision, Fig. 7)."
    )


def _binned(cloud: pd.DataFrame) -> str:
    if not cloud.is_binned.any():
        return ""
    return f" The clouds are counted in {N_BINS} × {N_BINS} bins; a dot is a bin with a feature."
