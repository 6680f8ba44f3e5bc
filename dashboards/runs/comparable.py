"""Which runs can be put side by side: those of one dictionary shape, by layer and index."""

import pandas as pd

from feature_atlas.dashboards.run_choice import quoted

SHAPE = ("layers", "d_sae")


def why_not(before: pd.Series, after: pd.Series) -> str | None:
    """Why features of two runs cannot be paired, in a sentence; None: they can."""
    if shape_of(before) == shape_of(after):
        return None
    return (
        "Features are paired by layer and index, and these runs have other ones: "
        f"run {before.run_id} has {_in_words(before)}, run {after.run_id} has {_in_words(after)}. "
        "Choose two runs of one shape."
    )


def shape_of(run: pd.Series) -> tuple[tuple[int, ...], int]:
    """Layers and features per layer: what two runs must share."""
    return tuple(run.layers), int(run.d_sae)


def like(runs: pd.DataFrame, run: pd.Series) -> pd.DataFrame:
    """The runs of the shape of one, in order of publication."""
    alike = [shape_of(other) == shape_of(run) for _, other in runs.iterrows()]
    oldest_first = runs[alike][::-1]
    return oldest_first.sort_values("published_at", kind="stable")


def caution(before: pd.Series, after: pd.Series) -> str | None:
    """What a reader of the comparison must know; None: nothing."""
    if before.sae_set != after.sae_set:
        return (
            f"They start from different base SAEs, {quoted(before.sae_set)} and "
            f"{quoted(after.sae_set)}. Index by "
            "index they compare only if one set was trained from the other."
        )
    return None


def _in_words(run: pd.Series) -> str:
    return f"layers {', '.join(map(str, run.layers))} of {run.d_sae:,} features"
