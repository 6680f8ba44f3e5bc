"""Whether a base dictionary does on text of its own model what its release says (paper 3.2).

Before anything is computed: L0, fraction of variance unexplained (FVU), features that never fire
and the mean length of s x, over held-out text with BOS left out. A dictionary that is read wrongly
(scale, gate, bias, BOS) still gives numbers everywhere downstream, only wrong ones.
`gate_mistake` finds out what was done wrong.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.gate import Gate, TopK
from feature_atlas.dictionary.sae import Encoder, Sae, decode

CHUNK = 1024
"""Tokens whose dense gates are in memory at a time: 128 MiB for 32,768 features."""


class GateQuality(NamedTuple):
    """What a dictionary does on some tokens."""

    l0: float
    """Mean number of features that fire on a token."""
    fvu: float
    """Sum of squared errors over sum of squared distances to the tokens' mean."""
    share_dead: float
    """Share of features that fired on no token."""
    mean_norm: float
    """Mean length of s x; sqrt(d_model) where s is the release's."""
    n_tokens: int
    """Tokens counted."""


class Stated(NamedTuple):
    """What a release says of one dictionary; None where it says nothing."""

    l0: float | None = None
    fvu: float | None = None
    share_dead: float | None = None


class Bounds(NamedTuple):
    """Where each number must lie, both ends included."""

    l0: tuple[float, float]
    fvu: tuple[float, float]
    share_dead: tuple[float, float]
    mean_norm: tuple[float, float]

    @property
    def middle_norm(self) -> float:
        """sqrt(d_model)."""
        return sum(self.mean_norm) / 2


class GateSums(NamedTuple):
    """Running sums over tokens, in float64 and int64; ``add`` updates them in place."""

    n_tokens: Int[Tensor, ""]
    total: Float[Tensor, " d_model"]
    """Sum of the raw residuals."""
    squares: Float[Tensor, ""]
    """Sum of their squared lengths."""
    error: Float[Tensor, ""]
    """Sum of squared lengths of what is not rebuilt."""
    length: Float[Tensor, ""]
    """Sum of the lengths of s x."""
    n_fired: Int[Tensor, " d_sae"]
    """Tokens on which each feature fired."""

    @classmethod
    def empty(cls, d_model: int, d_sae: int, device: torch.device | str = "cpu") -> "GateSums":
        """No tokens yet."""

        def zero(*shape: int, whole: bool = False) -> Tensor:
            kind = torch.int64 if whole else torch.float64
            return torch.zeros(shape, dtype=kind, device=device)

        return cls(
            n_tokens=zero(whole=True),
            total=zero(d_model),
            squares=zero(),
            error=zero(),
            length=zero(),
            n_fired=zero(d_sae, whole=True),
        )

    def add(
        self,
        residual: Float[Tensor, "token d_model"],
        rebuilt: Float[Tensor, "token d_model"],
        n_fired: Int[Tensor, " d_sae"],
        scale: float,
    ) -> None:
        """Count raw residuals with what a dictionary made of them."""
        x = residual.double()
        self.n_tokens.add_(len(x))
        self.total.add_(x.sum(0))
        self.squares.add_(x.square().sum())
        self.error.add_((x - rebuilt.double()).square().sum())
        self.length.add_(scale * x.norm(dim=-1).sum())
        self.n_fired.add_(n_fired)

    def quality(self) -> GateQuality:
        """The numbers so far; tokens without variance have no FVU and are an error."""
        n = int(self.n_tokens)
        variance = float(self.squares - self.total.square().sum() / max(n, 1))
        if variance <= 0:
            raise ValueError(f"{n} tokens without variance: FVU needs different tokens.")
        return GateQuality(
            l0=float(self.n_fired.sum()) / n,
            fvu=float(self.error) / variance,
            share_dead=float((self.n_fired == 0).double().mean()),
            mean_norm=float(self.length) / n,
            n_tokens=n,
        )


def empty_sums_for(sae: Sae) -> GateSums:
    """Nothing counted yet, where the dictionary is."""
    d_model, d_sae = sae.w_enc.shape
    return GateSums.empty(d_model, d_sae, str(sae.w_enc.device))


@torch.no_grad()
def add_tokens(
    sums: GateSums,
    sae: Sae,
    residual: Float[Tensor, "token d_model"],
    unit: float | None = None,
) -> None:
    """Count tokens as the atlas reads the dictionary; ``unit`` is its own scale unless given."""
    encoder, scale = Encoder.of(sae), sae.scale if unit is None else unit
    for part in residual.float().split(CHUNK):
        codes = encoder.encode(part)
        sums.add(part, decode(sae, codes), _fired(codes, len(sae.w_dec)), scale)


def _fired(codes: SparseCodes, d_sae: int) -> Int[Tensor, " d_sae"]:
    return torch.bincount(codes.indices[codes.values > 0], minlength=d_sae)


def bounds_of(
    sae: Sae,
    stated: Stated,
    *,
    max_fvu: float,
    max_fvu_ratio: float,
    max_dead: float,
    l0_tolerance: float,
    norm_tolerance: float,
) -> Bounds:
    """What is asked of a dictionary: its release's numbers with a margin, or else the defaults."""
    l0 = _expected_l0(sae.gate, stated)
    fvu = max_fvu if stated.fvu is None else min(1.0, max_fvu_ratio * stated.fvu)
    norm = sae.w_enc.shape[0] ** 0.5
    anything = (0.0, float(len(sae.w_dec)))
    return Bounds(
        l0=anything if l0 is None else ((1 - l0_tolerance) * l0, (1 + l0_tolerance) * l0),
        fvu=(0.0, fvu),
        share_dead=(0.0, max_dead),
        mean_norm=((1 - norm_tolerance) * norm, (1 + norm_tolerance) * norm),
    )


def _expected_l0(gate: Gate, stated: Stated) -> float | None:
    """As stated, or k; of how much is above thresholds nothing is known by itself."""
    if stated.l0 is not None:
        return stated.l0
    return gate.k if isinstance(gate, TopK) else None


def out_of_bounds(quality: GateQuality, bounds: Bounds) -> list[str]:
    """A phrase for each number that does not lie where it must; none when all is well."""
    return [
        f"{name} {value:.3g}, expected {low:.3g} to {high:.3g}"
        for name, (low, high) in bounds._asdict().items()
        if not low <= (value := getattr(quality, name)) <= high  # NaN is outside, too
    ]
