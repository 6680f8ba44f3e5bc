"""The optional third model: what instruction tuning without pictures does (control `instruct`).

It reads the token ids that the VLM's own processor makes of the questions, so that the two differ
in their weights and in nothing else; a model whose tokenizer makes other ids is refused.
"""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from feature_atlas.etl.inputs.checkpoints import instruct_folder
from feature_atlas.etl.study import Study
from feature_atlas.vlm.residual_stream import decoder_layers, freeze, text_model

N_COMPARED = 32
"""Questions whose token ids are compared."""


def load_instruct(study: Study) -> PreTrainedModel:
    """The configured model in evaluation mode, checked against the VLM."""
    config = study.config.instruct
    if config is None:
        raise ValueError("the regime instruct needs the section `instruct` in the configuration.")
    folder = instruct_folder(config)
    dtype = getattr(torch, study.config.vlm.dtype)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    _require_same_shape(model, study)
    _require_same_tokens(folder, study)
    return freeze(model).to(study.config.device)


def _require_same_shape(model: PreTrainedModel, study: Study) -> None:
    shapes = [
        (text_model(m).config.hidden_size, len(decoder_layers(m))) for m in (model, study.vlm.model)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"the instruct model has width and depth {shapes[0]}, the VLM {shapes[1]}: expected "
            "models that came from the same language model."
        )


def _require_same_tokens(folder: Path, study: Study) -> None:
    own = AutoTokenizer.from_pretrained(folder)
    vlm = study.vlm.processor.tokenizer
    for sample in study.samples["vqav2-train"][:N_COMPARED]:
        found, expected = (t(sample.question, add_special_tokens=False) for t in (own, vlm))
        if found["input_ids"] != expected["input_ids"]:
            raise ValueError(
                f"the tokenizer in {folder} makes {found['input_ids'][:8]} of "
                f"{sample.question!r}, the VLM's {expected['input_ids'][:8]}: expected the same "
                "tokens. Leave `instruct` out, or name the model the VLM was tuned from."
            )
