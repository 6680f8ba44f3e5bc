"""Stage `latent_scaling`: is a feature turned, or used less (beside paper 4.2).

Base questions with their pictures run through the VLM and, from the same embeddings on, through the
base language model, whose layers never saw any: one after the other, since a device may have room
for one. A shard is 256 questions; what shards gathered is added up in their order.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils import _pytree as pytree

from feature_atlas.etl.inputs.checkpoints import base_model_folder
from feature_atlas.etl.inputs.samples import draw
from feature_atlas.etl.inputs.skeletons import language_skeleton
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages, adapted_sae
from feature_atlas.etl.stages.features.layer_groups import layer_groups
from feature_atlas.etl.stages.features.skills import BASE
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.latent_scaling import (
    GROUPS,
    LatentScaling,
    Reader,
    ScalingSums,
    latent_scaling,
)
from feature_atlas.vlm.decoder_inputs import DecoderInputs, decoder_inputs, text_model
from feature_atlas.vlm.image_features import accepted
from feature_atlas.vlm.residual_stream import residuals
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

PROMPTS_PER_PART = 256
DICTIONARIES = 3
"""So many times what an encoder takes: both dictionaries, with their directions."""
NO_BASE = (
    "no base_model is configured: whether a feature is used less than before is not known "
    "(latent_scaling)"
)

Part = tuple[int, int]
"""Places of a shard's first question, and behind its last."""


class Seen(NamedTuple):
    """A batch of prompts as the VLM has them, in main memory."""

    inputs: DecoderInputs
    """What its layers are given, and the base model's are in their turn."""
    is_read: Bool[Tensor, "batch token"]
    """Tokens that are compared."""
    residuals: dict[int, Float[Tensor, "token d_model"]]
    """Of these, by layer."""
    group: Int[Tensor, " token"]
    """Place in `GROUPS`."""


def run_latent_scaling(run: Path) -> Stage:
    """One row per layer and feature; none without a base model."""
    study = open_study(run)
    return run_stage(
        run,
        "latent_scaling",
        params=study.config.latent_scaling.model_dump(),
        reads=["samples", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    rows = _rows(study)
    if not rows:
        return
    odd = NO_BASE if study.config.base_model is None else _not_taken(study, rows)
    if odd:
        output.warn(odd)
        return
    parts = [
        (first, min(first + PROMPTS_PER_PART, len(rows)))
        for first in range(0, len(rows), PROMPTS_PER_PART)
    ]
    for layer, sums in output.folded(gather, parts, merged).items():
        output.table("latent_scaling", _columns(layer, sums, latent_scaling(sums)))
    study.drop("base_model")  # no later stage asks for it


def merged(one: dict[int, ScalingSums], other: dict[int, ScalingSums]) -> dict[int, ScalingSums]:
    """Both together; the first is changed."""
    for layer, sums in other.items():
        one[layer].merge(sums)
    return one


def gather(run: Path, part: Part) -> dict[int, ScalingSums]:
    """Run a part's questions through both models, once for each group of layers."""
    study, sums = open_study(run), dict[int, ScalingSums]()
    for layers in layer_groups(study, DICTIONARIES):
        seen = list(_seen(study, _rows(study)[slice(*part)], layers))
        of_group = _gather_group(study, seen, layers)
        sums |= {layer: ScalingSums(*(t.cpu() for t in of)) for layer, of in of_group.items()}
    return sums


@torch.no_grad()
def _gather_group(
    study: Study, seen: Sequence[Seen], layers: Sequence[int]
) -> dict[int, ScalingSums]:
    model, device = study.base_model.model, study.config.device
    base, vlm = dict[int, Reader](), dict[int, Reader]()
    for layer in layers:
        base[layer] = Reader.of(study.base[layer])
        vlm[layer] = Reader.of(adapted_sae(study, "text", layer))
        study.forget_dictionaries()
    sums = {layer: ScalingSums.empty(base[layer].encoder.d_sae, device) for layer in layers}
    for batch in seen:
        inputs, is_read, of_vlm, group = _on(device, batch)
        of_base = residuals(model, inputs, layers, is_read)
        for layer in layers:
            sums[layer].add(base[layer], of_base[layer], vlm[layer], of_vlm[layer], group)
    return sums


def _rows(study: Study) -> Sequence[int]:
    """Rows of the base split that both models read."""
    every = range(len(study.samples[BASE]))
    return draw(every, study.config.latent_scaling.n_questions, study.config.seed)


@torch.no_grad()
def _seen(study: Study, rows: Sequence[int], layers: Sequence[int]) -> Iterator[Seen]:
    text = torch.tensor(TEXT_ROLES, device=study.config.device)
    for prompt, _ in study.prompts([study.samples[BASE][row] for row in rows]):
        is_text, is_image = torch.isin(prompt.roles, text), prompt.roles == Role.IMAGE
        is_read = is_text | is_image
        inputs = decoder_inputs(study.vlm.model, prompt)
        of_vlm = residuals(study.vlm.model, inputs, layers, is_read)
        group = is_image[is_read].long() * GROUPS.index("image")
        yield _on("cpu", Seen(inputs, is_read, of_vlm, group))


def _on(device: str, seen: Seen) -> Seen:
    moved: Seen = pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), seen)
    return moved


def _not_taken(study: Study, rows: Sequence[int]) -> str | None:
    """Why the base model cannot read on from the VLM's embeddings, if it cannot."""
    [(prompt, _)] = study.prompts([study.samples[BASE][rows[0]]])
    inputs: DecoderInputs = decoder_inputs(study.vlm.model, prompt)
    assert study.config.base_model is not None
    model = text_model(language_skeleton(base_model_folder(study.config.base_model)).model)
    given = inputs.arguments()
    odd = sorted(set(given) - set(accepted(model.forward, given)))
    if not odd:
        return None
    return (
        f"the base model's {type(model).__name__} takes no {', '.join(odd)}, which the VLM's text "
        "model is given: whether a feature is used less than before is not known (latent_scaling)"
    )


def _columns(layer: int, sums: ScalingSums, found: LatentScaling) -> dict[str, object]:
    n = sums.tokens.shape[1]
    columns: dict[str, object] = {
        "layer": np.full(n, layer, np.int16),
        "feature": np.arange(n, dtype=np.int32),
    }
    for place, group in enumerate(GROUPS):
        for name, values in (
            ("scale", found.scale),
            ("standard_error", found.standard_error),
            ("base_beta", found.base),
            ("vlm_beta", found.vlm),
        ):
            single = values[place].float().numpy()
            columns[f"{name}_{group}"] = pa.array(single, from_pandas=True)
        columns[f"n_tokens_{group}"] = sums.tokens[place].numpy()
    return columns
