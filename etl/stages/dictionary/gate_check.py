"""Stage `gate_check`: do the base SAEs do on their own model's text what their release says? (3.2)

Before anything else is computed. Out of bounds, the run stops and names the mistake that fits.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from feature_atlas.dictionary.gate_check import (
    Bounds,
    GateQuality,
    Stated,
    add_tokens,
    bounds_of,
    empty_sums_for,
    out_of_bounds,
)
from feature_atlas.dictionary.gate_mistake import Fit, diagnose
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.config.inputs import BaseModelConfig
from feature_atlas.etl.inputs.sae_stated import stated_by_release
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.dictionary.base_text import (
    base_text_tokens,
    held_out_text,
)
from feature_atlas.etl.stages.dictionary.neighbours import beside_of, better_beside, fvus_beside
from feature_atlas.etl.study import Study, open_study
from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.token_roles import Role

UNCHECKED = (
    "no base_model is configured: the base SAEs were not checked on text of their own model, and "
    "there is no null of how far features turn when a dictionary is merely trained on"
)


def run_gate_check(run: Path) -> Stage:
    """One row per layer; none without a base model, which is then a warning."""
    study = open_study(run)
    base = study.config.base_model
    asked = base.model_dump(mode="json", exclude={"path", "text"}) if base else None
    return run_stage(
        run,
        "gate_check",
        params={"base_model": asked, "prompt": study.inputs["prompt"]},
        reads=[],
        body=lambda output: _write(output, study, base),
    )


def _write(output: StageOutput, study: Study, base: BaseModelConfig | None) -> None:
    if base is None:
        output.warn(UNCHECKED)
        return
    text = held_out_text(study, _with_neighbours(study), base.n_gate_tokens)
    stated = {layer: stated_quality(study, base, layer) for layer in study.layers}
    qualities, bounds, beside = {}, {}, {}
    for layer in track(study.layers, "gate check"):  # one dictionary on the device at a time
        sae = study.base[layer]
        bounds[layer] = _bounds(sae, base, stated[layer])
        qualities[layer] = _quality(sae, text[layer])
        beside[layer] = fvus_beside(sae, layer, text)
    swapped = better_beside(beside, base.max_neighbour_ratio)
    _require_within(study, base, qualities, bounds, stated, swapped)
    _require_own_layer(study, swapped)
    n_tokens = qualities[study.layers[0]].n_tokens
    if n_tokens < base.n_gate_tokens:
        output.warn(
            f"the gate check had {n_tokens} held-out tokens of plain text instead of "
            f"{base.n_gate_tokens}: base_model.text is short"
        )
    output.table("gate_check", _columns(qualities, stated))
    if "refit" not in study.config.adapt.regimes:
        study.drop("base_model")  # nothing else asks for it


def _with_neighbours(study: Study) -> list[int]:
    """The studied layers and those beside them."""
    depth = study.base.depth
    return sorted({j for i in study.layers for j in beside_of(i, range(depth))})


def _quality(sae: Sae, text: list[Tensor]) -> GateQuality:
    sums = empty_sums_for(sae)
    for residual in text:
        add_tokens(sums, sae, residual.to(sae.w_enc.device))
    return sums.quality()


def stated_quality(study: Study, base: BaseModelConfig, layer: int) -> Stated:
    """What the release says of a layer's dictionary: the configuration, or else its files."""
    d_sae = study.base.facts.d_sae
    in_files = stated_by_release(study.config.sae, layer, d_sae)
    given = base.stated[layer].model_dump() if layer in base.stated else {}
    return in_files._replace(**{name: value for name, value in given.items() if value is not None})


def _bounds(sae: Sae, base: BaseModelConfig, stated: Stated) -> Bounds:
    return bounds_of(
        sae,
        stated,
        max_fvu=base.max_fvu,
        max_fvu_ratio=base.max_fvu_ratio,
        max_dead=base.max_dead,
        l0_tolerance=base.l0_tolerance,
        norm_tolerance=base.norm_tolerance,
    )


def _require_within(
    study: Study,
    base: BaseModelConfig,
    qualities: dict[int, GateQuality],
    bounds: dict[int, Bounds],
    stated: dict[int, Stated],
    swapped: list[str],
) -> None:
    """Stop the run where a layer's numbers cannot be, and say what explains the first of them."""
    failed = {
        layer: complaints
        for layer, quality in qualities.items()
        if (complaints := out_of_bounds(quality, bounds[layer]))
    }
    if not failed:
        return
    first = min(failed)
    residual, place = _whole_documents(study, first, base.n_gate_tokens)
    fits = diagnose(study.base[first], residual, place, bounds[first], stated[first])
    said = "; ".join(f"layer {layer}: {', '.join(words)}" for layer, words in failed.items())
    raise ValueError(
        f"the base SAEs of {study.config.sae.release} do not do on text of {study.config.vlm.base} "
        f"what they should ({said}). {_explanation(first, fits, swapped)}"
        f"{_scales_by_text(study, qualities, bounds)} Nothing was computed."
    )


def _scales_by_text(
    study: Study, qualities: dict[int, GateQuality], bounds: dict[int, Bounds]
) -> str:
    """For releases that take raw residuals and state no scale: there it is a unit, no more."""
    found = {
        layer: float(f"{study.base[layer].scale * bounds[layer].middle_norm / q.mean_norm:.4g}")
        for layer, q in qualities.items()
        if not bounds[layer].mean_norm[0] <= q.mean_norm <= bounds[layer].mean_norm[1]
    }
    return f" Where the release states no scale, this text gives sae.scales {found}." * bool(found)


def _require_own_layer(study: Study, swapped: list[str]) -> None:
    """Stop the run where a dictionary within its bounds is better on another layer."""
    if swapped:
        raise ValueError(
            f"base SAEs of {study.config.sae.release} are better beside their layer: "
            f"{'; '.join(swapped)}. Correct sae.path, sae.sae_id or sae.layers; if the release is "
            "like that, raise base_model.max_neighbour_ratio. Nothing was computed."
        )


def _explanation(layer: int, fits: list[Fit], swapped: list[str]) -> str:
    if not fits:
        beside = f" But {'; '.join(swapped)}." if swapped else ""
        return (
            "None of the usual mistakes (scale, decoder norm, bias, threshold, k, BOS) explains "
            f"layer {layer}: is it the SAE of another layer or model, or is the text of another "
            f"kind?{beside} If it is all right, widen the bounds in base_model."
        )
    numbers = fits[0].quality
    others = "".join(f" It would also fit: {fit.mistake}." for fit in fits[1:3])
    return (
        f"What fits layer {layer}: {fits[0].mistake}. Put right, its FVU is {numbers.fvu:.3g}, L0 "
        f"{numbers.l0:.3g}, mean norm {numbers.mean_norm:.3g}.{others}"
    )


def _whole_documents(study: Study, layer: int, n_tokens: int) -> tuple[Tensor, Tensor]:
    """Residuals of one layer with BOS, and each token's place in its document."""
    parts: list[Tokens] = []
    for tokens in base_text_tokens(study, [layer], part="held_out"):
        parts.append(tokens)
        if sum(len(part.roles) for part in parts) >= n_tokens:
            break
    roles = torch.cat([part.roles for part in parts])
    residual = torch.cat([part.residuals[layer] for part in parts])
    return residual, places(roles)


def places(roles: Tensor) -> Tensor:
    """Place of each token in its document; a document begins with its BOS, which has place 0."""
    number = torch.arange(len(roles), device=roles.device)
    return number - torch.where(roles == Role.BOS, number, 0).cummax(0).values


def _columns(qualities: dict[int, GateQuality], stated: dict[int, Stated]) -> dict[str, Any]:
    layers = list(qualities)
    numbers = {
        name: np.array([getattr(qualities[layer], name) for layer in layers])
        for name in GateQuality._fields
    }
    release = {
        f"stated_{name}": [getattr(stated[layer], name) for layer in layers]
        for name in Stated._fields
    }
    return {"layer": np.array(layers, np.int16), **numbers, **release}
