"""Dictionaries as SAELens has them: read, trained, and written (paper 3.2, 4.1).

A SAELens SAE takes raw residuals x, ours z = s x. With a_raw = a / s the matrices stay as they are
and biases and thresholds are multiplied by s. What SAELens does around its gate is folded in:

    b_dec is taken off the input first      b_enc - b_dec W_enc
    the input is scaled by s first          the weights are those of z already
    the input is scaled token by token, or whitened        refused: no s stands for it
"""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from feature_atlas.dictionary.gate import Gate, Threshold, TopK
from feature_atlas.dictionary.sae import Sae, without_decoder_bias

if TYPE_CHECKING:  # importing sae-lens takes ten seconds
    from sae_lens import SAE
    from sae_lens.saes.sae import SAEMetadata, TrainingSAE

ARCHITECTURES = ("topk", "jumprelu", "standard")
"""What `from_sae_lens` reads; BatchTopK and Matryoshka SAEs are saved as jumprelu."""


def from_sae_lens(sae: "SAE[object]", scale: float, k: int | None = None) -> Sae:
    """A SAELens SAE in the normalised space, with its own gate.

    A TopK SAE says its k, and another ``k`` is an error. Llama Scope, which SAELens reads as a
    JumpReLU SAE, was trained as TopK and needs ``k``; other threshold gates have none.
    """
    if sae.cfg.architecture() not in ARCHITECTURES:
        raise ValueError(
            f"SAE architecture {sae.cfg.architecture()!r}, expected one of "
            f"{', '.join(ARCHITECTURES)}: its code is not what a linear encoder and a gate give."
        )
    is_normalised = _takes_normalised(sae)
    if is_llama_scope(sae):
        return _as_it_trained(sae, scale, k, is_normalised)
    own = _stated(sae, k)._replace(scale=scale)
    return own if is_normalised else own.with_biases_times(scale)


def is_llama_scope(sae: "SAE[object]") -> bool:
    """Whether it is Llama Scope as SAELens reads it: one threshold, which it did not train with."""
    if sae.cfg.architecture() != "jumprelu":
        return False
    threshold, said = sae.threshold.detach().float(), sae.cfg.metadata
    return (
        "slimpajama" in str(said.dataset_path).lower()
        and said.training_architecture is None
        and torch.allclose(threshold, threshold[:1].expand_as(threshold), rtol=0.02)
    )


def _takes_normalised(sae: "SAE[object]") -> bool:
    """Whether the weights belong to s x, not to x."""
    stated = sae.cfg.normalize_activations
    if stated not in ("none", "expected_average_only_in"):
        raise ValueError(
            f"SAE with normalize_activations={stated!r}, expected 'none' or "
            "'expected_average_only_in': each token is scaled by itself, or whitened, so no one "
            "scale makes its activations lengths. Fold whitening in with SAELens "
            "(fold_activation_whitening) and save again, or use another SAE."
        )
    if sae.cfg.reshape_activations != "none":
        raise ValueError(
            f"SAE with reshape_activations={sae.cfg.reshape_activations!r}: it reads attention "
            "heads, expected the residual stream."
        )
    return stated == "expected_average_only_in"


def _stated(sae: "SAE[object]", k: int | None) -> Sae:
    """The SAE in the units of its input, its decoder bias folded in."""
    w_enc, w_dec = sae.W_enc.detach().float(), sae.W_dec.detach().float()
    b_enc, b_dec = sae.b_enc.detach().float(), sae.b_dec.detach().float()
    if sae.cfg.apply_b_dec_to_input:
        b_enc = without_decoder_bias(w_enc, b_enc, b_dec)
    return Sae(w_enc, b_enc, w_dec, b_dec, _gate(sae, w_dec, k), scale=1.0)


def _gate(sae: "SAE[object]", w_dec: Float[Tensor, "d_sae d_model"], k: int | None) -> Gate:
    architecture = sae.cfg.architecture()
    if architecture == "topk":
        if k is not None and k != sae.cfg.k:
            raise ValueError(
                f"k is {k}, and the SAE was trained with {sae.cfg.k}: set sae.k to {sae.cfg.k}, or "
                "leave it out (another k fires another set of features)."
            )
        return TopK(sae.cfg.k, sae.cfg.rescale_acts_by_decoder_norm or has_unit_rows(w_dec))
    if k is not None:
        trained = sae.cfg.metadata.training_architecture or architecture
        raise ValueError(
            f"sae.k is {k}, and this SAE ({trained}) fires whatever is above its thresholds, "
            "another number of features on each token: leave sae.k out."
        )
    if architecture == "standard":
        return Threshold(torch.zeros(len(w_dec), device=w_dec.device))
    return Threshold(sae.threshold.detach().float().clamp_min(0))


def has_unit_rows(w_dec: Float[Tensor, "d_sae d_model"]) -> bool:
    """Whether it makes no difference if a gate sees the decoder norms."""
    norm = w_dec.norm(dim=-1)
    return torch.allclose(norm, torch.ones_like(norm), rtol=0, atol=1e-5)


def _as_it_trained(sae: "SAE[object]", scale: float, k: int | None, is_normalised: bool) -> Sae:
    """Llama Scope: s taken out of the encoder, the threshold left aside.

    SAELens folds s with W_enc s, W_dec / s and b_dec / s, and leaves b_enc.
    """
    if k is None:
        raise ValueError(
            "Llama Scope without its k: set sae.k to the number of features that it was trained "
            "to fire on a token (50)."
        )
    folded_in = 1.0 if is_normalised else scale
    return Sae(
        w_enc=sae.W_enc.detach().float() / folded_in,
        b_enc=sae.b_enc.detach().float(),
        w_dec=sae.W_dec.detach().float() * folded_in,
        b_dec=sae.b_dec.detach().float() * folded_in,
        gate=TopK(k),
        scale=scale,
    )


def to_sae_lens(sae: Sae, metadata: "SAEMetadata", dtype: str = "float32") -> "SAE[object]":
    """SAELens' SAE for raw residuals, with the same gate.

    In bfloat16 decoder rows are of unit length to 2^-8 only: a gate that sees norms goes on to.
    """
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    d_model, d_sae = sae.w_enc.shape
    common = {"d_in": d_model, "d_sae": d_sae, "metadata": metadata, "dtype": dtype}
    plain = {"apply_b_dec_to_input": False, "normalize_activations": "none"}
    if isinstance(sae.gate, TopK):
        topk = {"k": sae.gate.k, "rescale_acts_by_decoder_norm": sae.gate.sees_norms}
        exported = TopKSAE(TopKSAEConfig(**common, **plain, **topk))
    else:
        exported = JumpReLUSAE(JumpReLUSAEConfig(**common, **plain))
    exported.load_state_dict({name: t.cpu() for name, t in folded(sae).items()})
    return exported


def folded(sae: Sae) -> dict[str, Tensor]:
    """SAELens tensors for raw residuals: W_enc, b_enc, W_dec, b_dec, and threshold if there is one.

    Decoder rows are of unit length, but where a TopK gate does not see their norms: there they are
    as they were. Activations of the folded SAE are in raw units: times s they are those used here.
    """
    is_before_norms = isinstance(sae.gate, TopK) and not sae.gate.sees_norms
    length = sae.w_dec.norm(dim=-1).clamp_min(1e-12)
    norm = torch.ones_like(length) if is_before_norms else length
    weights = {
        "W_enc": (sae.w_enc * norm).contiguous(),
        "b_enc": sae.b_enc * norm / sae.scale,
        "W_dec": (sae.w_dec / norm[:, None]).contiguous(),
        "b_dec": sae.b_dec / sae.scale,
    }
    if isinstance(sae.gate, Threshold):
        weights["threshold"] = sae.gate.theta * norm / sae.scale
    return weights


def to_training_sae(
    sae: Sae,
    *,
    aux_loss_coefficient: float = 0.0,
    device: str = "cpu",
    mean_l0: float | None = None,
) -> "TrainingSAE[Any]":
    """SAELens' own trainable SAE, in the normalised space, starting from these weights.

    The auxiliary loss is off by default: it trains exactly the dead features, which would then
    look as if fine-tuning had turned them. Thresholds stay as they are, and nothing is asked of
    how many features fire: as under TopK, the loss is the error of reconstruction alone. With
    ``mean_l0``, so many fire in the mean of a batch, and the one threshold follows (BatchTopK).
    """
    common = {
        "d_in": len(sae.b_dec),
        "d_sae": len(sae.b_enc),
        "device": device,
        "dtype": "float32",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "decoder_init_norm": None,
    }
    trainable = _untrained(sae.gate, common, aux_loss_coefficient, mean_l0)
    with torch.no_grad():
        trainable.W_enc.copy_(sae.w_enc)
        trainable.b_enc.copy_(sae.b_enc)
        trainable.W_dec.copy_(sae.w_dec)
        trainable.b_dec.copy_(sae.b_dec)
    return trainable


def _untrained(
    gate: Gate, common: dict[str, Any], aux_loss_coefficient: float, mean_l0: float | None
) -> "TrainingSAE[Any]":
    """SAELens' trainable SAE with the gate, whatever its weights."""
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    from feature_atlas.dictionary.sparse_topk import SparseTopK

    topk = {"aux_loss_coefficient": aux_loss_coefficient}
    topk |= {"rescale_acts_by_decoder_norm": gate.sees_norms}
    if isinstance(gate, TopK):
        kind = TopKTrainingSAE if aux_loss_coefficient else SparseTopK
        return kind(TopKTrainingSAEConfig(**common, **topk, k=gate.k))
    if mean_l0 is None:
        trainable = JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(**common, l0_coefficient=0.0))
        trainable.threshold.requires_grad_(False).copy_(gate.theta)
        return trainable
    if not torch.allclose(gate.theta, gate.theta[:1].expand_as(gate.theta), rtol=1e-3):
        raise ValueError(
            "BatchTopK trains one threshold for all features, and these have thresholds of their "
            "own: set adapt.thresholds to frozen."
        )
    batched = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**common, **topk, k=mean_l0))
    batched.topk_threshold.fill_(float(gate.theta.mean()))
    return batched


def from_training_sae(trainable: "TrainingSAE[Any]", scale: float) -> Sae:
    """The weights of a training SAE that lives in the normalised space: its own, not copies."""
    return Sae(
        w_enc=trainable.W_enc.detach(),
        b_enc=trainable.b_enc.detach(),
        w_dec=trainable.W_dec.detach(),
        b_dec=trainable.b_dec.detach(),
        gate=_trained_gate(trainable),
        scale=scale,
    )


def _trained_gate(trainable: "TrainingSAE[Any]") -> Gate:
    architecture = trainable.cfg.architecture()
    if architecture == "jumprelu":
        return Threshold(trainable.threshold.detach())
    if architecture == "batchtopk":
        return Threshold(torch.full_like(trainable.b_enc.detach(), float(trainable.topk_threshold)))
    return TopK(trainable.cfg.k, trainable.cfg.rescale_acts_by_decoder_norm)
