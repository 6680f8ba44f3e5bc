"""The paper's figures of a run, from SQL alone: `feature-atlas figures`, and the list of them.

fvu_curves              Figs 1, 6    how fast SAEs adapt
cosine_against_energy   Figs 2, 10   who turned and sees
cosine_by_layer         Figs 5, 7b   how far features turn
adapted_by_layer        Fig. 7a      how many adapted, and for a reason
threshold_sweep         Fig. 8       at other thresholds
skill_shift             Fig. 9       whom a skill recruits
"""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from feature_atlas.dashboards.figures.adapted_by_layer import figure_7a
from feature_atlas.dashboards.figures.cosine_against_energy import figure_2, figure_10
from feature_atlas.dashboards.figures.cosine_by_layer import figure_5, figure_7b
from feature_atlas.dashboards.figures.fvu_curves import figure_1, figure_6
from feature_atlas.dashboards.figures.skill_shift import figure_9
from feature_atlas.dashboards.figures.threshold_sweep import figure_8


class PaperFigure(NamedTuple):
    """One figure of the paper, drawn for any run."""

    name: str
    """What its file is called, without ending."""
    shows: str
    """What there is to see, with what we add to the paper."""
    draw: Callable[[pd.Series], Figure]
    """Takes a row of `queries.runs`; raises Undrawable where the run lacks what it shows."""


FIGURES = (
    PaperFigure(
        "figure_1",
        "FVU while SAEs adapt, mean over layers, and its last values; added: refit null and "
        "language control, question and image tokens apart",
        figure_1,
    ),
    PaperFigure("figure_2", "features by decoder cosine and visual energy", figure_2),
    PaperFigure(
        "figure_5",
        "decoder cosine by layer and regime; added: both controls, features that fired alone",
        figure_5,
    ),
    PaperFigure("figure_6", "FVU per layer and regime; added: both controls", figure_6),
    PaperFigure(
        "figure_7a", "adapted features per layer; added: how many their controls leave", figure_7a
    ),
    PaperFigure(
        "figure_7b",
        "decoder cosine of the adapted by layer; added: what the null and language explain",
        figure_7b,
    ),
    PaperFigure("figure_8", "the adapted set at other thresholds", figure_8),
    PaperFigure(
        "figure_9",
        "firing rates on spatial and other questions; added: odds ratios per question, on question "
        "tokens alone and at equal length",
        figure_9,
    ),
    PaperFigure("figure_10", "OCR features; added: the same levels as in figure 9", figure_10),
)
