"""Whether each dictionary explains its own layer better than the layers beside it (paper 3.2).

Neighbouring layers' residuals are alike, so the dictionary of a neighbour can lie within every
bound of the gate check. On the residuals of its own layer it is still better: where another layer's
are explained better, layers were swapped.
"""

from collections.abc import Container

from feature_atlas.dictionary.gate_check import add_tokens, empty_sums_for
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.stages.dictionary.base_text import HeldOutText

MOST_TOKENS = 4096
"""Held-out tokens that are compared, at most."""

Fvus = dict[int, dict[int, float]]
"""Of each studied layer's dictionary: FVU on its own layer's residuals and on those beside."""


def fvus_beside(sae: Sae, layer: int, text: HeldOutText) -> dict[int, float]:
    """FVU of one layer's dictionary on the residuals of its own layer and of those beside."""
    found = {}
    for j in beside_of(layer, text):
        sums, left = empty_sums_for(sae), MOST_TOKENS
        for residual in text[j]:
            add_tokens(sums, sae, residual[:left].to(sae.w_enc.device))
            left -= len(residual)
            if left <= 0:
                break
        found[j] = sums.quality().fvu
    return found


def beside_of(layer: int, layers: Container[int]) -> list[int]:
    """The layer itself and the one on either side, as far as there are such."""
    return [j for j in (layer - 1, layer, layer + 1) if j in layers]


def better_beside(fvus: Fvus, max_ratio: float) -> list[str]:
    """A phrase for every dictionary that explains a layer beside its own better than its own."""
    said = []
    for own, found in fvus.items():
        best = min(found, key=lambda layer: found[layer])
        if found[own] > max_ratio * found[best]:
            said.append(
                f"the SAE of layer {own} explains the output of layer {best} better (FVU "
                f"{found[best]:.3g}) than that of its own ({found[own]:.3g})"
            )
    return said
