"""What a plain forward pass answers, with hooks on layers: the reference of every removal."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import torch

from feature_atlas.ablation.intervention import Edit
from feature_atlas.ablation.yes_no import yes_no_ids, yes_no_margin
from feature_atlas.etl.stages.vlm.embedded_prompts import embedded_prompts
from feature_atlas.etl.study import Study
from feature_atlas.vlm.residual_stream import edit_residual, logits


def plain_margins(study: Study, numbers: Sequence[int], edits: Mapping[int, Edit]) -> torch.Tensor:
    """One hooked pass over freshly read prompts, their text tokens edited by layer."""
    model, parts = study.vlm.model, []
    answers = yes_no_ids(study.vlm.processor.tokenizer)
    for batch in embedded_prompts(study, numbers):
        with torch.no_grad(), ExitStack() as hooks:
            for layer, edit in edits.items():
                change = partial(edit, text_mask=batch.text_mask)
                hooks.enter_context(edit_residual(model, layer, change))
            parts.append(yes_no_margin(logits(model, batch.inputs), answers))
    return torch.cat(parts)


def hidden_states(study: Study, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of one prompt by transformers itself [layer, token, d_model]; its ids; where its text is."""
    [batch] = embedded_prompts(study, [number])
    with torch.no_grad():
        whole = study.vlm.model.model.language_model(
            **batch.inputs.arguments(), output_hidden_states=True
        )
    layers = torch.stack(whole.hidden_states[1:])[:, 0]  # the last one is behind the final norm
    return layers, batch.batch.input_ids[0], batch.text_mask[0]
