"""The optional third model: what instruction tuning without pictures does (control `instruct`).

It reads the token ids that the VLM's own processor makes of the questions, so that the two differ
in their weights and in nothing else; a model whose tokenizer makes other ids is refused.
"""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from feature_atlas.etl.inputs.checkpoints import instruct_folder, load_instruct_model
from feature_atlas.etl.study import Study

N_COMPARED = 32
"""Questions whose token ids are compared."""


def load_instruct(study: Study) -> PreTrainedModel:
    """The configured model in evaluation mode, checked against the VLM."""
    config, vlm = study.config.instruct, study.vlm
    if config is None:
        raise ValueError("the regime instruct needs the section `instruct` in the configuration.")
    model, own = load_instruct_model(config, vlm.model, study.config.vlm.dtype, study.config.device)
    questions = [sample.question for sample in study.samples["vqav2-train"]]
    require_same_tokens(instruct_folder(config), own, vlm.processor.tokenizer, questions)
    return model


def require_same_tokens(
    folder: Path,
    own: PreTrainedTokenizerBase,
    vlm: PreTrainedTokenizerBase,
    questions: Sequence[str],
) -> None:
    """Refuse a model that reads the first questions as other tokens than the VLM."""
    for question in questions[:N_COMPARED]:
        found, expected = (t(question, add_special_tokens=False) for t in (own, vlm))
        if found["input_ids"] != expected["input_ids"]:
            raise ValueError(
                f"the tokenizer in {folder} makes {found['input_ids'][:8]} of "
                f"{question!r}, the VLM's {expected['input_ids'][:8]}: expected the same "
                "tokens. Leave `instruct` out, or name the model the VLM was tuned from."
            )
