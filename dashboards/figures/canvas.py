"""One look for every figure of the paper: readable at the width of a README, the same as a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from feature_atlas.dashboards.palette import GRID, INK, NEUTRAL

WIDTH = 10.0
"""Inches; a README shows them at about 85 pixels each."""

DOTS_PER_INCH = 160

NOTE_COLUMNS = 150
"""Characters in a line of a note."""

STYLE: dict[str, Any] = {
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.edgecolor": "#cfd3d9",
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    # the same run draws the same bytes
    "svg.hashsalt": "feature-atlas",
}


class Undrawable(ValueError):
    """A run lacks what a figure shows; the message says what, and which stage leaves it."""


@contextmanager
def house_style() -> Iterator[None]:
    """Figures made inside have the house look."""
    with mpl.rc_context(STYLE):
        yield


def new_figure(run: pd.Series, title: str, note: str, height: float) -> Figure:
    """An empty figure, its title above, what explains it below; heights are in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    figure.suptitle(
        f"{title}, {run.vlm}", x=0.01, horizontalalignment="left", fontsize=13, fontweight="bold"
    )
    figure.supxlabel(
        fill(f"{note} Run {run.slug}.", NOTE_COLUMNS),
        x=0.01,
        horizontalalignment="left",
        fontsize=9,
        color=NEUTRAL,
        linespacing=1.4,
    )
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write it; the ending of the name says in which format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_vector = path.suffix == ".svg"
    figure.savefig(
        path, dpi=DOTS_PER_INCH, metadata={"Date": None} if is_vector else {"Software": None}
    )
