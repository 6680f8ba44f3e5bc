"""Yes-no margins of a set of questions, untouched and with each of several edits (paper 5.3)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from feature_atlas.ablation.ablation import AblatedMargins, ablated_margins
from feature_atlas.ablation.intervention import Edit
from feature_atlas.ablation.yes_no import AnswerIds, yes_no_ids, yes_no_margin
from feature_atlas.etl.stages.ablation.evaluation_sets import EvaluationSet, questions_of
from feature_atlas.etl.stages.vlm.embedded_prompts import embedded_prompts
from feature_atlas.etl.study import Study
from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.residual_stream import logits


class BlindMargins(NamedTuple):
    """Margins, untouched, of questions that do not see their picture."""

    mean_image: Float[Tensor, " sample"]
    """The mean image embedding in its place."""
    no_image: Float[Tensor, " sample"]
    """No image at all."""


def margins_of(
    study: Study, layer: int, edits: Sequence[Edit], evaluation: EvaluationSet
) -> AblatedMargins:
    """Margins of every question without and with each edit of one layer's text positions."""
    return margins_of_groups(study, [{layer: edit} for edit in edits], evaluation)


@torch.no_grad()
def margins_of_groups(
    study: Study, edits: Sequence[Mapping[int, Edit]], evaluation: EvaluationSet
) -> AblatedMargins:
    """Margins of every question without and with each set of edits, by layer."""
    model, answers, parts, n_text = study.vlm.model, _answers(study), [], []
    lowest = min(layer for of_layers in edits for layer in of_layers)
    for batch in embedded_prompts(study, evaluation.numbers):
        parts.append(ablated_margins(model, batch.inputs, batch.text_mask, lowest, edits, answers))
        n_text.append(int(batch.text_mask.sum()))
    weights = torch.tensor(n_text, dtype=torch.float64) / sum(n_text)
    removed = torch.stack([p.removed_norm.double().cpu() for p in parts])
    return AblatedMargins(
        torch.cat([p.before for p in parts]).cpu(),
        torch.cat([p.after for p in parts], dim=1).cpu(),
        (weights[:, None] * removed).sum(0),
    )


@lru_cache(maxsize=64)
def blind_margins(study: Study, evaluation: EvaluationSet) -> BlindMargins:
    """Of every question, what words alone and any picture at all would answer."""
    return BlindMargins(_with_mean_image(study, evaluation), _without_image(study, evaluation))


@torch.no_grad()
def _with_mean_image(study: Study, evaluation: EvaluationSet) -> Float[Tensor, " sample"]:
    blind = embedded_prompts(study, evaluation.numbers, study.mean_image)
    parts = [yes_no_margin(logits(study.vlm.model, b.inputs), _answers(study)) for b in blind]
    return torch.cat(parts).cpu()


@torch.no_grad()
def _without_image(study: Study, evaluation: EvaluationSet) -> Float[Tensor, " sample"]:
    model, parts = study.vlm.model, []
    for batch, _ in study.prompts(questions_of(study, evaluation), with_image=False):
        parts.append(yes_no_margin(logits(model, decoder_inputs(model, batch)), _answers(study)))
    return torch.cat(parts).cpu()


@lru_cache(maxsize=1)
def _answers(study: Study) -> AnswerIds:
    return yes_no_ids(study.vlm.processor.tokenizer)
