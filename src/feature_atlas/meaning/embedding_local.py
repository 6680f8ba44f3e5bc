"""Texts as vectors from a transformer on this machine: the mean over the tokens of a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.meaning.embedding import checked_vectors

LONGEST = 512
"""Tokens of a text that count at most; descriptions are sentences."""


def mean_pooled(
    hidden: Float[Tensor, "prompt token d_model"], mask: Int[Tensor, "prompt token"]
) -> Float[Tensor, "prompt d_model"]:
    """Mean of the last layer over the tokens of each text, of length 1.

        e = m / |m|,  m = sum over tokens t with mask_t = 1 of h_t / their number

    Padding (mask 0) does not count.
    """
    kept = mask[..., None].to(hidden.dtype)
    mean = (hidden * kept).sum(1) / kept.sum(1).clamp(min=1)
    return F.normalize(mean, dim=-1)


@dataclass
class LocalEmbedder:
    """A transformers encoder with its tokenizer."""

    encoder: Any
    """Gives `last_hidden_state`."""
    tokenizer: Any
    """Its tokenizer."""
    model: str
    """What the model is called."""
    revision: str
    """Hash over its files."""

    def __post_init__(self) -> None:
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.encoder.eval()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One row of numbers for each text, in order."""
        room = getattr(self.encoder.config, "max_position_embeddings", LONGEST)
        tokens = self.tokenizer(
            list(texts),
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=min(LONGEST, room),
        )
        hidden = self.encoder(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).last_hidden_state
        vectors = mean_pooled(hidden.float(), tokens["attention_mask"])
        return checked_vectors(vectors.numpy(), len(texts), f"the model {self.model}")
