"""Sparse autoencoders in the normalised space of their release (paper 3.2, 4.1).

    z = s x                     x raw residual, s the release's scale: |z| averages sqrt(d_model)
    a = gate(z W_enc + b_enc)                        which fire, times |d_f|: `gate`
    x' = (sum_f a_f d_f / |d_f| + b_dec) / s         d_f row f of W_dec

``a_f`` is the length of feature f's contribution to z: comparable across layers and between a base
and an adapted dictionary.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.gate import Gate, Threshold


class Sae(NamedTuple):
    """Weights in the normalised space."""

    w_enc: Float[Tensor, "d_model d_sae"]
    """Column f detects feature f."""
    b_enc: Float[Tensor, " d_sae"]
    """Encoder bias."""
    w_dec: Float[Tensor, "d_sae d_model"]
    """Row f is the direction that feature f writes."""
    b_dec: Float[Tensor, " d_model"]
    """Decoder bias; not subtracted before encoding."""
    gate: Gate
    """Which pre-activations become activations."""
    scale: float
    """s: normalised = s * raw residual."""

    @property
    def n_bytes(self) -> int:
        """Of both matrices; the rest is next to nothing."""
        return self.w_enc.nbytes + self.w_dec.nbytes

    def to(self, device: torch.device | str) -> "Sae":
        """The same dictionary on another device."""
        return self._replace(
            w_enc=self.w_enc.to(device),
            b_enc=self.b_enc.to(device),
            w_dec=self.w_dec.to(device),
            b_dec=self.b_dec.to(device),
            gate=self.gate.to(device),
        )

    def with_biases_times(self, factor: float) -> "Sae":
        """Biases and thresholds in other units, the matrices as they are."""
        gate = self.gate
        if isinstance(gate, Threshold):
            gate = Threshold(gate.theta * factor)
        return self._replace(b_enc=self.b_enc * factor, b_dec=self.b_dec * factor, gate=gate)


class Encoder(NamedTuple):
    """One matrix and one bias in which all that comes before the gate is folded together."""

    weight: Float[Tensor, "d_model d_sae"]
    """s W_enc, times |d_f| where the gate sees norms: takes raw residuals."""
    bias: Float[Tensor, " d_sae"]
    """b_enc, times |d_f| where the gate sees norms."""
    gate: Gate
    """Which of them fire."""
    norm: Float[Tensor, " d_sae"] | None
    """|d_f| where it is multiplied in after the gate; None: it is folded in."""

    @classmethod
    def of(cls, sae: Sae) -> "Encoder":
        """Fold once, encode many batches: the decoder is read here and not again."""
        norm = sae.w_dec.norm(dim=-1)
        if not sae.gate.sees_norms:
            return cls(sae.w_enc * sae.scale, sae.b_enc, sae.gate, norm)
        return cls(sae.w_enc * (sae.scale * norm), sae.b_enc * norm, sae.gate, None)

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
        return SparseCodes.joined(parts)

    def _encode(self, residual: Float[Tensor, "token d_model"]) -> SparseCodes:
        return self.in_units(self.gate.of(torch.addmm(self.bias, residual.float(), self.weight)))

    def in_units(self, codes: SparseCodes) -> SparseCodes:
        """What the gate lets through as lengths of contributions."""
        if self.norm is None:
            return codes
        return codes._replace(values=codes.values * self.norm[codes.indices])


def without_decoder_bias(
    w_enc: Float[Tensor, "d_model d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    b_dec: Float[Tensor, " d_model"],
) -> Float[Tensor, " d_sae"]:
    """The encoder's bias that does what taking b_dec off the input did: (x - b) W = x W - b W."""
    return (b_enc.double() - b_dec.double() @ w_enc.double()).float()


def tokens_per_block(per_feature: Tensor) -> int:
    """So many tokens' dense gates take a quarter of a gigabyte in float32."""
    return max(1, 2**26 // len(per_feature))


def _tokens_per_decode(width: int, d_model: int) -> int:
    """So many tokens' directions, `width` each, take a gigabyte in float32."""
    return max(1, 2**28 // (width * d_model))


def encode(sae: Sae, residual: Float[Tensor, "token d_model"]) -> SparseCodes:
    """`Encoder.of(sae).encode(residual)`: for one batch; for many make the encoder once."""
    return Encoder.of(sae).encode(residual)


def decode(sae: Sae, codes: SparseCodes) -> Float[Tensor, "token d_model"]:
    """The raw residual that the codes stand for."""
    return (written(unit_directions(sae), codes) + sae.b_dec) / sae.scale


def written(
    unit: Float[Tensor, "d_sae d_model"], codes: SparseCodes
) -> Float[Tensor, "token d_model"]:
    """The features' contributions together: their unit directions, each as long as its code."""
    n_tokens = _tokens_per_decode(codes.values.shape[1], unit.shape[1])
    parts = zip(codes.values.split(n_tokens), codes.indices.split(n_tokens), strict=True)
    return torch.cat([torch.einsum("tk,tkd->td", values, unit[rows]) for values, rows in parts])


def unit_directions(sae: Sae) -> Float[Tensor, "d_sae d_model"]:
    """Decoder rows of unit length; a zero row stays zero."""
    return sae.w_dec / sae.w_dec.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def random_sae(like: Sae, seed: int) -> Sae:
    """A dictionary of random unit directions with a tied encoder: the control regime (4.1).

    Under thresholds the encoder's rows keep their lengths and biases: unit rows without bias could
    all stay below thresholds that were learned for others, and what never fires never trains.
    """
    generator = torch.Generator().manual_seed(seed)
    w_dec = torch.randn(like.w_dec.shape, generator=generator).to(like.w_dec.device)
    w_dec = w_dec / w_dec.norm(dim=-1, keepdim=True)
    if isinstance(like.gate, Threshold):
        w_enc = (w_dec.T * like.w_enc.norm(dim=0)).contiguous()
        return like._replace(w_enc=w_enc, w_dec=w_dec, b_dec=torch.zeros_like(like.b_dec))
    return like._replace(
        w_enc=w_dec.T.contiguous(),
        b_enc=torch.zeros_like(like.b_enc),
        w_dec=w_dec,
        b_dec=torch.zeros_like(like.b_dec),
    )
