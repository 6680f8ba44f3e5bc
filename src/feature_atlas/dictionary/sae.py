"""TopK sparse autoencoders in the normalised space of their release (paper 3.2, 4.1).

    z = s x                     x raw residual, s the release's scale: |z| averages sqrt(d_model)
    a = relu(top_k((z W_enc + b_enc) * |d_f|))       d_f row f of W_dec
    x' = (sum_f a_f d_f / |d_f| + b_dec) / s

``a_f`` is the length of feature f's contribution to z: comparable across layers and between a base
and an adapted dictionary. The gate multiplies by the decoder norm as Llama Scope's training did.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.top_k import top_k

if TYPE_CHECKING:  # importing sae-lens takes ten seconds
    from sae_lens import SAE
    from sae_lens.saes.topk_sae import TopKTrainingSAE


class TopKSae(NamedTuple):
    """Weights in the normalised space."""

    w_enc: Float[Tensor, "d_model d_sae"]
    """Column f detects feature f."""
    b_enc: Float[Tensor, " d_sae"]
    """Encoder bias."""
    w_dec: Float[Tensor, "d_sae d_model"]
    """Row f is the direction that feature f writes."""
    b_dec: Float[Tensor, " d_model"]
    """Decoder bias; not subtracted before encoding."""
    k: int
    """How many features at most fire on a token."""
    scale: float
    """s: normalised = s * raw residual."""

    def to(self, device: torch.device | str) -> "TopKSae":
        """The same dictionary on another device."""
        return self._replace(
            w_enc=self.w_enc.to(device),
            b_enc=self.b_enc.to(device),
            w_dec=self.w_dec.to(device),
            b_dec=self.b_dec.to(device),
        )


class SparseCodes(NamedTuple):
    """The k largest activations of every token; a dense code is never built."""

    values: Float[Tensor, "token k"]
    """Activations in normalised units, >= 0; 0 is silent."""
    indices: Int[Tensor, "token k"]
    """Feature numbers."""


class Encoder(NamedTuple):
    """One matrix and one bias in which scale, encoder and decoder norm are folded together."""

    weight: Float[Tensor, "d_model d_sae"]
    """s |d_f| W_enc: takes raw residuals."""
    bias: Float[Tensor, " d_sae"]
    """|d_f| b_enc."""
    k: int
    """How many features at most fire on a token."""

    @classmethod
    def of(cls, sae: TopKSae) -> "Encoder":
        """Fold once, encode many batches: the decoder is read here and not again."""
        norm = sae.w_dec.norm(dim=-1)
        return cls(sae.w_enc * (sae.scale * norm), sae.b_enc * norm, sae.k)

    @property
    def d_sae(self) -> int:
        """How many features there are."""
        return len(self.bias)

    @torch.no_grad()
    def encode(self, residual: Float[Tensor, "token d_model"]) -> SparseCodes:
        """Which features fire on each token, and how strongly, from the raw residual.

        Memory for gates is that of one block of tokens, however many tokens come.
        """
        if residual.shape[-1] != len(self.weight):
            raise ValueError(
                f"residual of width {residual.shape[-1]}, SAE of width {len(self.weight)}: "
                "this SAE belongs to another model."
            )
        parts = [self._encode(block) for block in residual.split(tokens_per_block(self.bias))]
        return SparseCodes(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _encode(self, residual: Float[Tensor, "token d_model"]) -> SparseCodes:
        gate = torch.addmm(self.bias, residual.float(), self.weight)
        values, indices = top_k(gate, self.k)
        return SparseCodes(values.relu_(), indices)


def tokens_per_block(per_feature: Tensor) -> int:
    """So many tokens' dense gates take a quarter of a gigabyte in float32."""
    return max(1, 2**26 // len(per_feature))


def encode(sae: TopKSae, residual: Float[Tensor, "token d_model"]) -> SparseCodes:
    """`Encoder.of(sae).encode(residual)`: for one batch; for many make the encoder once."""
    return Encoder.of(sae).encode(residual)


def decode(sae: TopKSae, codes: SparseCodes) -> Float[Tensor, "token d_model"]:
    """The raw residual that the codes stand for."""
    directions = unit_directions(sae)[codes.indices]
    normalised = torch.einsum("tk,tkd->td", codes.values, directions) + sae.b_dec
    return normalised / sae.scale


def unit_directions(sae: TopKSae) -> Float[Tensor, "d_sae d_model"]:
    """Decoder rows of unit length; a zero row stays zero."""
    return sae.w_dec / sae.w_dec.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def from_sae_lens(sae: "SAE[object]", scale: float, k: int | None = None) -> TopKSae:
    """Read a SAELens SAE that takes raw residuals as TopK in the normalised space.

    A TopK SAE says its k; another ``k`` is an error. A JumpReLU SAE with one threshold for all
    features, as SAELens reads Llama Scope, was trained as TopK and needs ``k``.
    """
    architecture = sae.cfg.architecture()
    if architecture not in ("topk", "jumprelu"):
        raise ValueError(
            f"SAE architecture {architecture!r}, expected 'topk', or 'jumprelu' with one threshold "
            "(a TopK SAE after training): another gate fires a different set of features. Use a "
            "TopK release of this model, or train one with SAELens."
        )
    if sae.cfg.apply_b_dec_to_input or sae.cfg.normalize_activations != "none":
        raise ValueError(
            f"SAE with apply_b_dec_to_input={sae.cfg.apply_b_dec_to_input} and "
            f"normalize_activations={sae.cfg.normalize_activations!r}, expected False and 'none': "
            "load the final, folded checkpoint."
        )
    return _from_topk(sae, scale, k) if architecture == "topk" else _from_jumprelu(sae, scale, k)


def _from_topk(sae: "SAE[object]", scale: float, k: int | None) -> TopKSae:
    """Raw-space weights are the normalised ones with s folded in: a_raw = a / s.

    So biases are multiplied by s and both matrices stay (s cancels between gate and contribution).
    """
    if k is not None and k != sae.cfg.k:
        raise ValueError(
            f"k is {k}, and the SAE was trained with {sae.cfg.k}: set sae.k to {sae.cfg.k}, or "
            "leave it out (another k fires another set of features)."
        )
    w_dec = sae.W_dec.detach().float()
    norm = w_dec.norm(dim=-1)
    if not sae.cfg.rescale_acts_by_decoder_norm and not torch.allclose(
        norm, torch.ones_like(norm), atol=1e-3
    ):
        raise ValueError(
            "SAE with free decoder norms whose gate ignores them; expected unit decoder rows or "
            "rescale_acts_by_decoder_norm=True."
        )
    return TopKSae(
        w_enc=sae.W_enc.detach().float(),
        b_enc=sae.b_enc.detach().float() * scale,
        w_dec=w_dec,
        b_dec=sae.b_dec.detach().float() * scale,
        k=sae.cfg.k,
        scale=scale,
    )


def _from_jumprelu(sae: "SAE[object]", scale: float, k: int | None) -> TopKSae:
    """As it was while it trained: s taken out of the encoder, the threshold left aside.

    SAELens folds s with W_enc s, W_dec / s and b_dec / s, and leaves b_enc.
    """
    threshold = sae.threshold.detach().float()
    if not torch.allclose(threshold, threshold[0].expand_as(threshold), rtol=0.02):
        raise ValueError(
            f"JumpReLU SAE whose features have thresholds of their own ({threshold.min():.3g} to "
            f"{threshold.max():.3g}): it was not trained as TopK, and would fire other features. "
            "Expected one threshold for all, as Llama Scope has, or a TopK SAE."
        )
    if k is None:
        raise ValueError(
            "JumpReLU SAE without its k: set sae.k to the number of features that it was trained "
            "to fire on a token (Llama Scope: 50)."
        )
    return TopKSae(
        w_enc=sae.W_enc.detach().float() / scale,
        b_enc=sae.b_enc.detach().float(),
        w_dec=sae.W_dec.detach().float() * scale,
        b_dec=sae.b_dec.detach().float() * scale,
        k=k,
        scale=scale,
    )


def to_training_sae(
    sae: TopKSae, *, aux_loss_coefficient: float = 0.0, device: str = "cpu"
) -> "TopKTrainingSAE":
    """SAELens' own trainable TopK SAE, in the normalised space, starting from these weights.

    The auxiliary loss is off by default: it trains exactly the dead features, which would then
    look as if fine-tuning had turned them.
    """
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    d_model, d_sae = sae.w_enc.shape
    config = TopKTrainingSAEConfig(
        d_in=d_model,
        d_sae=d_sae,
        k=sae.k,
        device=device,
        dtype="float32",
        apply_b_dec_to_input=False,
        normalize_activations="none",
        rescale_acts_by_decoder_norm=True,
        decoder_init_norm=None,
        aux_loss_coefficient=aux_loss_coefficient,
    )
    trainable = TopKTrainingSAE(config)
    with torch.no_grad():
        trainable.W_enc.copy_(sae.w_enc)
        trainable.b_enc.copy_(sae.b_enc)
        trainable.W_dec.copy_(sae.w_dec)
        trainable.b_dec.copy_(sae.b_dec)
    return trainable


def from_training_sae(trainable: "TopKTrainingSAE", scale: float) -> TopKSae:
    """The weights of a training SAE that lives in the normalised space."""
    return TopKSae(
        w_enc=trainable.W_enc.detach().clone(),
        b_enc=trainable.b_enc.detach().clone(),
        w_dec=trainable.W_dec.detach().clone(),
        b_dec=trainable.b_dec.detach().clone(),
        k=trainable.cfg.k,
        scale=scale,
    )


def random_sae(like: TopKSae, seed: int) -> TopKSae:
    """A dictionary of random unit directions with a tied encoder: the control regime (4.1)."""
    generator = torch.Generator().manual_seed(seed)
    w_dec = torch.randn(like.w_dec.shape, generator=generator).to(like.w_dec.device)
    w_dec = w_dec / w_dec.norm(dim=-1, keepdim=True)
    return like._replace(
        w_enc=w_dec.T.contiguous(),
        b_enc=torch.zeros_like(like.b_enc),
        w_dec=w_dec,
        b_dec=torch.zeros_like(like.b_dec),
    )


def folded(sae: TopKSae) -> dict[str, Tensor]:
    """SAELens tensors for raw residuals with unit decoder rows (keys W_enc, b_enc, W_dec, b_dec).

    Activations of the folded SAE are in raw units: multiply by s for the units used here.
    """
    norm = sae.w_dec.norm(dim=-1).clamp_min(1e-12)
    return {
        "W_enc": (sae.w_enc * norm).contiguous(),
        "b_enc": sae.b_enc * norm / sae.scale,
        "W_dec": (sae.w_dec / norm[:, None]).contiguous(),
        "b_dec": sae.b_dec / sae.scale,
    }
