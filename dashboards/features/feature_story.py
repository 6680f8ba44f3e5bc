"""One sentence each of what changed of a feature, what drives it, and what breaks without it."""

import pandas as pd

from feature_atlas.dashboards.facts import number

Q = 0.05
"""Below it a difference is said to be there."""


def what_changed(record: pd.Series) -> str:
    """Of a row of `queries.feature`: its turn beside the refit null, and whether it sees."""
    turned = f"Turned to a cosine of {number(record.cosine, '.2f')}"
    if pd.notna(record.excess_rotation):
        is_beyond = record.excess_rotation > 0 and record.rotation_q_value < Q
        turned += (
            f", {record.excess_rotation:.2f} further than refitting alone turns features that "
            f"fire as often (q = {number(record.rotation_q_value, '.1g')})"
            if is_beyond
            else ", no further than refitting alone would turn it"
        )
    if pd.notna(record.cosine_sd):
        turned += f"; in another order of the data that cosine varies by {record.cosine_sd:.2g}"
    scale = record.scale_text
    if pd.notna(scale):
        turned += f"; written {scale:.2f} times as strongly as by the base model"
    preference = record.modality_preference
    sees = "" if pd.isna(preference) else f"; its energy with an image is {_times(preference)}"
    return f"{turned}{sees}."


def what_drives(heads: pd.DataFrame) -> str:
    """Of `queries.heads_in_short`: the strongest head, a cause if there is one."""
    if heads.empty:
        return "Its heads were not traced."
    n_swapped, n_causal = int(heads.is_swapped.sum()), int(heads.is_causal.sum())
    if not n_swapped:
        return f"{_head(heads.iloc[0])} by attribution; no head was swapped for real."
    if not n_causal:
        return (
            f"{_head(heads.iloc[0])} by attribution, but none of the {n_swapped} heads swapped for "
            "real proved a cause."
        )
    strongest = heads[heads.is_causal.astype(bool)].iloc[0]
    return (
        f"{_head(strongest)}, a cause when swapped for real; {n_causal} of {n_swapped} heads "
        "swapped are causes."
    )


def what_breaks(removal: pd.DataFrame) -> str:
    """Of `queries.removal_in_short`: the loss of accuracy beside its controls."""
    if removal.empty:
        return "It was not removed."
    row = removal.iloc[0]
    on = "VSR statements" if pd.isna(row.relation) else f"statements of “{row.relation}”"
    verdict = "" if pd.isna(row.q_value) else f" (q = {row.q_value:.2g})"
    said = f"Without it accuracy changes by {_points(row.delta_vsr)} on {on}{verdict}"
    if pd.notna(row.control_mean):
        said += f", without a matched control by {_points(row.control_mean)}"
    if pd.notna(row.delta_vqa):
        said += f"; on general questions by {_points(row.delta_vqa)}"
    return f"{said}."


def _times(log_ratio: float) -> str:
    factor = 2.718281828459045**log_ratio
    return f"{factor:.3g} times that without" if factor < 1000 else "over 1000 times that without"


def _head(row: pd.Series) -> str:
    return f"L{int(row.head_layer)}H{int(row['head'])}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f} pp"
