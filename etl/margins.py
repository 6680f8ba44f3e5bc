"""Yes-no margins of a set of questions without and with each of several features (paper 5.3)."""

import torch

from feature_atlas.ablation import AblatedMargins, ablated_margins
from feature_atlas.etl.adapt import adapted_sae
from feature_atlas.etl.evaluation import Evaluation, questions_of
from feature_atlas.etl.study import Study
from feature_atlas.sae import unit_directions
from feature_atlas.vlm import TEXT_ROLES, image_embeddings, input_embeddings
from feature_atlas.yes_no import yes_no_ids


@torch.no_grad()
def margins_of(
    study: Study, layer: int, features: list[int], evaluation: Evaluation
) -> AblatedMargins:
    """Margins of every question without and with each direction removed."""
    model = study.vlm.model
    directions = unit_directions(adapted_sae(study, "text", layer))[features].to(model.dtype)
    answers = yes_no_ids(study.vlm.processor.tokenizer)
    parts, n_text = [], []
    for batch, _ in study.prompts(questions_of(study, evaluation)):
        if batch.pixel_values is None:
            raise ValueError("ablation needs prompts with images.")
        embeds = input_embeddings(model, batch, image_embeddings(model, batch.pixel_values))
        text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES, device=batch.roles.device))
        parts.append(
            ablated_margins(model, embeds, batch.attention_mask, text, layer, directions, answers)
        )
        n_text.append(int(text.sum()))
    weights = torch.tensor(n_text, dtype=torch.float64) / sum(n_text)
    removed = torch.stack([p.removed_norm.double().cpu() for p in parts])
    return AblatedMargins(
        torch.cat([p.before for p in parts]).cpu(),
        torch.cat([p.after for p in parts], dim=1).cpu(),
        (weights[:, None] * removed).sum(0),
    )
