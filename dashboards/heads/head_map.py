"""Which attention heads drive a feature (paper 5.2, Fig. 14 left): layer by head, methods A and B.

A head drives the feature where A is below 0 and B above 0; red means that in both maps.
"""

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.heads.head_grid import head_grids
from feature_atlas.dashboards.palette import DIVERGING

SIGNS = {"A": -1, "B": 1}
TITLES = {"A": "Method A (below 0: drives)", "B": "Method B (above 0: drives)"}
PARTS = {
    "score": "q + k, the paper's score",
    "qk_fix": "q + k, softmax anew",
    "q": "queries",
    "k": "keys",
    "v": "values",
    "z": "head output",
    "qk_relp": "q + k, RelP",
    "z_relp": "output, RelP",
    "qk_ig": "q + k, integrated",
    "z_ig": "output, integrated",
    "qk_grad_drop": "q + k, GradDrop",
    "z_grad_drop": "output, GradDrop",
}


def head_map(attributions: pd.DataFrame, part: str) -> go.Figure:
    """One heat map per method, the same colours for the same strength within a method."""
    error = "<br>± %{customdata[0]:.2g} standard error" if part == "score" else ""
    return head_grids(
        attributions,
        part,
        TITLES,
        # each method's own sign: red drives
        {"A": [[place, DIVERGING[-1 - i][1]] for i, (place, _) in enumerate(DIVERGING)],
         "B": DIVERGING},
        f"{part} %{{z:.3g}}{error}",
        ["standard_error"],
    )  # fmt: skip


def top_heads(attributions: pd.DataFrame, n: int) -> pd.DataFrame:
    """The n strongest heads of each method by score: name, score, standard_error, rank, evidence
    per method, and whether both methods have it."""
    ranked = attributions.assign(
        strength=attributions.score * attributions.method.map(SIGNS),
        name=[
            f"L{layer}H{head}"
            for layer, head in zip(attributions.head_layer, attributions["head"], strict=True)
        ],
    )
    ranked["rank"] = ranked.groupby("method").strength.rank(ascending=False, method="first")
    wide = ranked.pivot(
        index=["name", "head_layer", "head"],
        columns="method",
        values=["score", "standard_error", "rank"],
    )
    wide.columns = [f"{value}_{method}" for value, method in wide.columns]
    evidence = ranked.pivot(
        index=["name", "head_layer", "head"], columns="method", values="evidence"
    )
    wide = wide.join(evidence.add_prefix("evidence_"))
    ranks = [column for column in wide.columns if column.startswith("rank_")]
    wide["in_both"] = (wide[ranks] <= n).all(axis=1) & (len(ranks) == 2)
    shown = wide[(wide[ranks] <= n).any(axis=1)]
    return shown.sort_values(ranks[::-1]).reset_index()
