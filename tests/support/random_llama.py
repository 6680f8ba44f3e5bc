"""A small random Llama with grouped queries, and two runs of it that differ in their picture."""

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from feature_atlas.vlm.residual_stream import decoder_layers, freeze

LAYER, N_LAYERS, N_HEADS, N_KV_HEADS, D_MODEL, N_TOKENS = 2, 4, 4, 2, 32, 7


def text_config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=50,
        hidden_size=D_MODEL,
        intermediate_size=48,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        num_key_value_heads=N_KV_HEADS,
        initializer_range=0.3,
    )


def random_llama() -> LlamaForCausalLM:
    """Random, in float64 throughout: Llama's own norm computes in float32."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(text_config()).double()
    for block in decoder_layers(model):
        block.input_layernorm = nn.RMSNorm(D_MODEL, dtype=torch.float64)
        block.post_attention_layernorm = nn.RMSNorm(D_MODEL, dtype=torch.float64)
    return freeze(model)


def runs(batch: int = 2, size: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Clean and corrupt embeddings (tokens 1 to 3 differ by `size`), mask and positions."""
    generator = torch.Generator().manual_seed(1)
    clean = torch.randn(batch, N_TOKENS, D_MODEL, generator=generator, dtype=torch.float64)
    corrupt = clean.clone()
    noise = torch.randn(batch, 3, D_MODEL, generator=generator, dtype=torch.float64)
    corrupt[:, 1:4] += size * noise
    mask = torch.ones(batch, N_TOKENS, dtype=torch.int64)
    mask[-1, -1] = 0  # the last sample is padded
    positions = mask.bool() & (torch.arange(N_TOKENS) >= 4)
    return clean, corrupt, mask, positions


def unit_rows(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(n, D_MODEL, generator=generator, dtype=torch.float64)
    return rows / rows.norm(dim=-1, keepdim=True)
