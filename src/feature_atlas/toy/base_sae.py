"""Base dictionaries: one TopK SAE per layer of the language model, trained on text alone.

They stand for the public SAEs of a real language model, and are saved as those are: SAELens format,
raw residuals in, unit decoder rows, the activation scale in the metadata.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import LlamaForCausalLM

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae, decode, encode
from feature_atlas.dictionary.sae_lens_form import folded, from_training_sae, to_training_sae
from feature_atlas.toy.curriculum import EVERYTHING
from feature_atlas.toy.lessons import Plan, Teacher, text_lesson
from feature_atlas.toy.packing import PADDING, Packed, block_mask

D_SAE = 1024
K = 16
BATCH_TOKENS = 1024
BUFFER_TOKENS = 32_768
# No drills: the dictionaries are for what prompts are made of.
QUESTIONS_AND_CAPTIONS = Plan(16, 12, EVERYTHING, drill_share=0.0)
LEARNING_RATE = 1e-3
# Base training may revive dead features; adaptation must not (see `adapt`).
AUX_LOSS_COEFFICIENT = 1 / 32
N_HELD_OUT_BATCHES = 8
MODEL_NAME = "tiny world language model"

Residuals = dict[int, Float[Tensor, "token d_model"]]


class Quality(NamedTuple):
    """How well a dictionary rebuilds held-out residuals."""

    fvu: float
    """Fraction of variance unexplained, about the global mean; 0 is perfect."""
    l0: float
    """Mean number of features that fire on a token; at most k."""
    n_dead: int
    """Features that fired on no held-out token."""


def train_base_saes(
    model: LlamaForCausalLM, *, seed: int, n_tokens: int
) -> tuple[dict[int, Sae], dict[int, Quality]]:
    """A dictionary per layer, all from one stream of residuals; and their held-out quality."""
    from sae_lens.config import SAETrainerConfig  # ten seconds of imports, only where used
    from sae_lens.training.mixing_buffer import multi_hook_concat_split_iter
    from sae_lens.training.multi_sae_trainer import MultiSAETrainer

    n_steps = max(1, n_tokens // BATCH_TOKENS)
    held_out = held_out_residuals(model, seed)
    scales = {layer: activation_scale(x) for layer, x in held_out.items()}
    torch.manual_seed(seed)
    starts = {layer: _random_start(x, scales[layer]) for layer, x in held_out.items()}
    trainable = {
        str(layer): to_training_sae(start, aux_loss_coefficient=AUX_LOSS_COEFFICIENT)
        for layer, start in starts.items()
    }
    stream = (
        {str(layer): scales[layer] * x for layer, x in residuals.items()}
        for residuals in text_residuals(model, seed)
    )
    config = SAETrainerConfig(
        total_training_samples=n_steps * BATCH_TOKENS,
        train_batch_size_samples=BATCH_TOKENS,
        lr=LEARNING_RATE,
        lr_end=LEARNING_RATE / 100,
        lr_warm_up_steps=n_steps // 20,
        lr_decay_steps=n_steps // 3,
        dead_feature_window=min(100, n_steps),
        device="cpu",
    )
    names = list(trainable)
    batches = multi_hook_concat_split_iter(BUFFER_TOKENS, BATCH_TOKENS, stream, names)
    MultiSAETrainer(
        cfg=config,
        saes=trainable,
        hook_names={name: name for name in names},
        data_provider=batches,
    ).fit()
    saes = {
        layer: from_training_sae(trainable[str(layer)], scale) for layer, scale in scales.items()
    }
    return saes, {layer: quality(sae, held_out[layer]) for layer, sae in saes.items()}


def text_residuals(model: LlamaForCausalLM, seed: int) -> Iterator[Residuals]:
    """Residuals after every layer, for fresh scenes as text, without end; `<bos>` left out.

    The packed form is used because a token's residual in it is that of a prompt of its own.
    """
    teacher = Teacher(seed)
    while True:
        packed = text_lesson(teacher, QUESTIONS_AND_CAPTIONS)
        yield _residuals(model, packed)


@torch.no_grad()
def _residuals(model: LlamaForCausalLM, packed: Packed) -> Residuals:
    captured: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _module, _args, output: captured.append(output))
        for layer in model.model.layers
    ]
    try:
        model.model(
            input_ids=packed.tokens,
            attention_mask=block_mask(packed.block),
            position_ids=packed.positions,
            use_cache=False,
        )
    finally:
        for hook in hooks:
            hook.remove()
    is_text = _is_text(packed)
    return {layer: residual[is_text] for layer, residual in enumerate(captured)}


def activation_scale(residual: Float[Tensor, "token d_model"]) -> float:
    """s such that the average length of s x is sqrt(d_model)."""
    return (residual.shape[-1] ** 0.5 / residual.norm(dim=-1).mean()).item()


@torch.no_grad()
def quality(sae: Sae, residual: Float[Tensor, "token d_model"]) -> Quality:
    """FVU, L0 and silent features on raw residuals."""
    codes = encode(sae, residual)
    error = (residual - decode(sae, codes)).square().sum()
    variance = (residual - residual.mean(0)).square().sum()
    fires = codes.values > 0
    n_alive = codes.indices[fires].unique().numel()
    n_dead = sae.w_dec.shape[0] - n_alive
    return Quality((error / variance).item(), fires.sum(-1).float().mean().item(), n_dead)


def save_base_sae(sae: Sae, layer: int, folder: Path) -> None:
    """A folder that `sae_lens.SAE.load_from_disk` reads."""
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    assert isinstance(sae.gate, TopK)
    d_model, d_sae = sae.w_enc.shape
    metadata = SAEMetadata(
        activation_scale=sae.scale,
        hook_name=f"blocks.{layer}.hook_resid_post",
        layer=layer,
        model_name=MODEL_NAME,
    )
    config = TopKSAEConfig(
        d_in=d_model,
        d_sae=d_sae,
        k=sae.gate.k,
        dtype="float32",
        device="cpu",
        apply_b_dec_to_input=False,
        normalize_activations="none",
        rescale_acts_by_decoder_norm=False,
        metadata=metadata,
    )
    saved = TopKSAE(config)
    saved.load_state_dict(folded(sae))
    saved.save_model(folder)


def held_out_residuals(model: LlamaForCausalLM, seed: int) -> Residuals:
    """Residuals of scenes from another seed than the training stream's."""
    stream = text_residuals(model, seed + 1)
    batches = [next(stream) for _ in range(N_HELD_OUT_BATCHES)]
    return {layer: torch.cat([batch[layer] for batch in batches]) for layer in batches[0]}


def _random_start(residual: Float[Tensor, "token d_model"], scale: float) -> Sae:
    """Random unit directions with a tied encoder; the decoder bias starts at the mean."""
    d_model = residual.shape[-1]
    directions = torch.nn.functional.normalize(torch.randn(D_SAE, d_model), dim=-1)
    mean = scale * residual.mean(0)
    return Sae(
        w_enc=directions.T.contiguous(),
        # The bias is not subtracted before encoding, so the encoder's own bias does it.
        b_enc=-(directions @ mean),
        w_dec=directions,
        b_dec=mean,
        gate=TopK(K),
        scale=scale,
    )


def _is_text(packed: Packed) -> Bool[Tensor, "batch token"]:
    """Everything but padding and `<bos>`, the first token."""
    is_text = packed.block != PADDING
    is_text[:, 0] = False
    return is_text
