"""Embeddings and a mask as a plain causal text model takes them."""

import torch
from torch import Tensor

from feature_atlas.vlm.decoder_inputs import DecoderInputs


def plain(embeds: Tensor, mask: Tensor) -> DecoderInputs:
    """No masks, positions or features beyond what the text model makes itself."""
    return DecoderInputs(embeds, mask)


def both(clean: Tensor, corrupt: Tensor, mask: Tensor) -> DecoderInputs:
    """The clean prompts, and the corrupt ones behind them."""
    return DecoderInputs(torch.cat([clean, corrupt]), torch.cat([mask, mask]))
