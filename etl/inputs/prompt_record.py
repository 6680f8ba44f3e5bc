"""What a run's prompts look like: template hash, and the tokens and roles of one of them.

Stored with the run, so that a changed template, tokenizer or processor is seen, and not only felt
in every activation.
"""

import hashlib
from itertools import groupby
from pathlib import Path
from typing import Any

from transformers import ProcessorMixin

from feature_atlas.vlm.chat_template import chat_template
from feature_atlas.vlm.token_roles import PromptBatch, Role


def describe_prompt(processor: ProcessorMixin, batch: PromptBatch) -> dict[str, Any]:
    """The first prompt of a batch: its token ids, and its roles as (name, how many) in order."""
    names = [Role(role).name.lower() for role in batch.roles[0].tolist()]
    return {
        "template_sha256": hashlib.sha256(chat_template(processor).encode()).hexdigest(),
        "token_ids": batch.input_ids[0].tolist(),
        "roles": [[name, len(list(tokens))] for name, tokens in groupby(names)],
    }


def require_same_prompt(known: dict[str, Any], found: dict[str, Any], file: Path) -> None:
    """A run that is resumed asks as it did when it began."""
    changed = [name for name in found if known.get(name) != found[name]]
    if changed:
        raise ValueError(
            f"the prompts of this run have changed since it began ({', '.join(changed)} differ "
            f"from {file}): the chat template writes a date, or another version of transformers "
            "tokenises. Put back what was there, or remove the run's folder and build it anew."
        )
