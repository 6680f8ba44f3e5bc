"""The output score of one stored row, by plain forward passes with a hook (arXiv 2505.20063)."""

from functools import partial
from typing import Any

import numpy as np
import torch

from feature_atlas.ablation.intervention import addition
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.meaning.output_score import neutral_prompts, pictured
from feature_atlas.etl.study import Study
from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.residual_stream import edit_residual, logits
from feature_atlas.vlm.token_roles import TEXT_ROLES, encode_prompts


def plain_output_score(study: Study, row: dict[str, Any]) -> float:
    """Mean over the prompts of (1 - r / |V|) p, every token of the vocabulary sorted."""
    direction = unit_directions(adapted_sae(study, "text", row["layer"]))[row["feature"]]
    edit, tokenizer = addition(direction, row["length"]), study.vlm.processor.tokenizer
    tokens = [i for word in row["tokens"] for i in tokenizer.convert_tokens_to_ids([word.strip()])]
    pictures, scores = [open_image(sample.image) for sample in pictured(study)], []
    for prompt in neutral_prompts(study):
        batch = encode_prompts(study.vlm.processor, [prompt] * len(pictures), pictures)
        hook = partial(edit, text_mask=torch.isin(batch.roles, torch.tensor(TEXT_ROLES)))
        with edit_residual(study.vlm.model, row["layer"], hook), torch.no_grad():
            last = logits(study.vlm.model, decoder_inputs(study.vlm.model, batch))
        for chances in last.double().softmax(-1).numpy():
            order = list(np.argsort(-chances, kind="stable"))
            best = min(order.index(token) for token in tokens)
            scores.append((1 - best / len(order)) * chances[tokens].max())
    assert len(scores) == row["n_prompts"]
    return float(np.mean(scores))
