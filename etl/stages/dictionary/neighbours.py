"""Whether each dictionary explains its own layer better than the layers beside it (paper 3.2).

Neighbouring layers' residuals are alike, so the dictionary of a neighbour can lie within every
bound of the gate check. On the residuals of its own layer it is still better: where another layer's
are explained better, layers were swapped.
"""

from rich.progress import track

from feature_atlas.dictionary.gate_check import GateSums, add_tokens
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.stages.dictionary.base_text import base_text_tokens
from feature_atlas.etl.study import Study
from feature_atlas.vlm.residual_stream import decoder_layers
from feature_atlas.vlm.token_roles import Role

MOST_TOKENS = 4096
"""Held-out tokens that are compared, at most."""

Fvus = dict[int, dict[int, float]]
"""Of each studied layer's dictionary: FVU on its own layer's residuals and on those beside."""


def fvus_beside(study: Study, n_tokens: int) -> Fvus:
    """One pass over held-out text feeds every layer and its neighbours."""
    n_layers = len(decoder_layers(study.base_model.model))
    beside = {i: [j for j in (i - 1, i, i + 1) if 0 <= j < n_layers] for i in study.layers}
    saes = dict(study.base)  # all on the device, for one pass
    sums = {
        (i, j): GateSums.empty(*_size(saes[i]), study.config.device)
        for i, layers in beside.items()
        for j in layers
    }
    read = sorted({j for layers in beside.values() for j in layers})
    left = min(n_tokens, MOST_TOKENS)
    batches = base_text_tokens(study, read, part="held_out")
    for tokens in track(batches, "gate check: layers beside"):
        counted = tokens.only((Role.QUESTION,))
        for (i, j), of_pair in sums.items():
            add_tokens(of_pair, saes[i], counted.residuals[j][:left])
        left -= len(counted.roles)
        if left <= 0:
            break
    return {i: {j: sums[i, j].quality().fvu for j in layers} for i, layers in beside.items()}


def _size(sae: Sae) -> tuple[int, int]:
    d_model, d_sae = sae.w_enc.shape
    return d_model, d_sae


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
