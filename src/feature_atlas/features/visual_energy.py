"""Visual energy: how strongly a feature is active, by kind of token (paper 4.2, A.4).

The paper reads E_v(f) = E_vision[h_f^2] in two ways: section 4.2 says "under vision inputs",
section A.4 says "computed under a text-only mask". Sums are therefore kept per token role, one
`EnergySums` per condition (real image, mean image, no image), and every reading is a mean of them:

    paper, A.4 (text mask)       mean_energy(real_image, TEXT_ROLES), text that follows an image
    paper, 4.2 (vision inputs)   mean_energy(real_image, ALL_TOKENS), or over (Role.IMAGE,) alone
    what the image adds          modality_preference of the text energy, real against no image

"Energy on text above 0" only says that a feature is active on text; the last says that it sees. It
compares the same questions under both conditions; `preference_interval` draws their images anew.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.statistics.bootstrap_weights import poisson_weights
from feature_atlas.statistics.ordered_sum import add_in_order, count
from feature_atlas.vlm.token_roles import Role

N_ROLES = max(Role) + 1
ALL_TOKENS = tuple(role for role in Role if role > Role.BOS)
"""What a prompt consists of; the BOS is the same everywhere, and no dictionary is trained on it."""


class EnergySums(NamedTuple):
    """Running sums of one layer under one condition; row r belongs to `Role(r)`.

    Tensors only, and updated in place: save them and go on later from where they stand.
    """

    sum_squares: Float[Tensor, "role d_sae"]
    """Sum of squared activations, float64, normalised units squared."""
    fired: Int[Tensor, "role d_sae"]
    """Tokens on which the feature fired (activation above 0)."""
    tokens: Int[Tensor, " role"]
    """Tokens seen, firing or not."""
    total: Float[Tensor, "role d_sae"]
    """Sum of activations, float64, normalised units."""
    largest: Float[Tensor, "role d_sae"]
    """Largest activation, float32, normalised units; 0: never fired."""

    @classmethod
    def empty(cls, d_sae: int, device: torch.device | str = "cpu") -> "EnergySums":
        """Nothing seen yet."""
        return cls(
            torch.zeros(N_ROLES, d_sae, dtype=torch.float64, device=device),
            torch.zeros(N_ROLES, d_sae, dtype=torch.int64, device=device),
            torch.zeros(N_ROLES, dtype=torch.int64, device=device),
            torch.zeros(N_ROLES, d_sae, dtype=torch.float64, device=device),
            torch.zeros(N_ROLES, d_sae, dtype=torch.float32, device=device),
        )

    def add(self, codes: SparseCodes, roles: Int[Tensor, " token"]) -> None:
        """Count a batch of tokens; padding (role -1) is passed over."""
        if roles.shape != codes.values.shape[:1]:
            raise ValueError(
                f"codes of {len(codes.values)} tokens, roles {list(roles.shape)}: "
                "pass one role per encoded token."
            )
        if not codes.values.isfinite().all():
            raise ValueError(
                "activations hold NaN or inf: a residual overflowed; run the model in bfloat16 or "
                "float32, and check the SAE's scale."
            )
        fires = (codes.values > 0) & (roles != Role.PAD)[:, None]
        slots = roles[:, None] * self.fired.shape[1] + codes.indices
        slots, values = slots[fires], codes.values[fires]
        exact = values.double()
        add_in_order(self.sum_squares.view(-1), slots, exact.square())
        add_in_order(self.total.view(-1), slots, exact)
        count(self.fired.view(-1), slots)
        self.largest.view(-1).scatter_reduce_(0, slots, values.float(), "amax")
        count(self.tokens, roles[roles != Role.PAD])

    def merge(self, other: "EnergySums") -> None:
        """Count what another one counted, of other tokens."""
        self.sum_squares.add_(other.sum_squares)
        self.fired.add_(other.fired)
        self.tokens.add_(other.tokens)
        self.total.add_(other.total)
        torch.maximum(self.largest, other.largest, out=self.largest)


def mean_energy(sums: EnergySums, roles: Sequence[Role]) -> Float[Tensor, " d_sae"]:
    """Mean squared activation over all tokens of the given roles, silent ones included.

    E_f = (1 / n) sum_t h_f(t)^2        normalised units squared; 0: never fired there
    """
    return sums.sum_squares[list(roles)].sum(0) / _n_tokens(sums, roles)


def firing_rate(sums: EnergySums, roles: Sequence[Role]) -> Float[Tensor, " d_sae"]:
    """Share of the tokens of the given roles on which each feature fires."""
    return sums.fired[list(roles)].sum(0).double() / _n_tokens(sums, roles)


def mean_when_firing(sums: EnergySums, roles: Sequence[Role]) -> Float[Tensor, " d_sae"]:
    """Mean activation over the tokens on which the feature fires; NaN where it never does."""
    return sums.total[list(roles)].sum(0) / sums.fired[list(roles)].sum(0)


def modality_preference(
    energy_image: Float[Tensor, "*shape"], energy_none: Float[Tensor, "*shape"], delta: float = 1e-3
) -> Float[Tensor, "*shape"]:
    """How much an image raises a feature's energy on the same text.

        log((E_image + delta) / (E_none + delta))

    0: the image changes nothing. log 2: it doubles the energy. Negative: it silences the feature.
    Energies well below delta count as silence, so that noise over nothing is not a preference.
    """
    if energy_image.shape != energy_none.shape:
        raise ValueError(
            f"energy with image is {list(energy_image.shape)}, without {list(energy_none.shape)}: "
            "pass the same features under both conditions."
        )
    if delta <= 0:
        raise ValueError(f"delta must be above 0, got {delta}: silent features would divide by 0.")
    return ((energy_image + delta) / (energy_none + delta)).log()


class EnergyReplicates(NamedTuple):
    """The text energy of one layer under one condition, in every bootstrap replicate at once.

    Tensors only, and updated in place. A replicate draws an image as often under one condition as
    under another, so that differences between conditions are paired.
    """

    sum_squares: Float[Tensor, "replicate d_sae"]
    """Sum of squared activations, each as often as the replicate draws its image, float32."""
    tokens: Int[Tensor, " replicate"]
    """Tokens, counted as often."""

    @classmethod
    def empty(
        cls, n_replicates: int, d_sae: int, device: torch.device | str = "cpu"
    ) -> "EnergyReplicates":
        """Nothing seen yet."""
        return cls(
            torch.zeros(n_replicates, d_sae, device=device),
            torch.zeros(n_replicates, dtype=torch.int64, device=device),
        )

    def add(self, codes: SparseCodes, image: Int[Tensor, " token"], seed: int) -> None:
        """Count a batch of tokens; tokens whose image is negative are passed over.

        Energies are first summed per image, one row of d_sae each, however many tokens it has.
        """
        if image.shape != codes.values.shape[:1]:
            raise ValueError(
                f"codes of {len(codes.values)} tokens, images {list(image.shape)}: "
                "pass one image number per encoded token."
            )
        images, row = image[image >= 0].unique(return_inverse=True)
        squares = codes.values[image >= 0].float().square()
        n_replicates, d_sae = self.sum_squares.shape
        of_image = squares.new_zeros(len(images), d_sae)
        slots = row[:, None] * d_sae + codes.indices[image >= 0]
        add_in_order(of_image.view(-1), slots.flatten(), squares.flatten())
        weights = poisson_weights(images, n_replicates, seed).double()
        self.sum_squares.addmm_(weights.T.float(), of_image)
        n_tokens = torch.zeros_like(images)
        count(n_tokens, row)
        self.tokens.add_((weights.T @ n_tokens.double()).long())

    def merge(self, other: "EnergyReplicates") -> None:
        """Count what another one counted, of other tokens and with the same seed."""
        self.sum_squares.add_(other.sum_squares)
        self.tokens.add_(other.tokens)


class Interval(NamedTuple):
    """Ends of a 95 % interval."""

    low: Float[Tensor, " d_sae"]
    """Below it lie 2.5 % of the replicates."""
    high: Float[Tensor, " d_sae"]
    """Above it lie 2.5 % of the replicates."""


def preference_interval(
    with_image: EnergyReplicates, without: EnergyReplicates, delta: float = 1e-3
) -> Interval:
    """95 % percentile interval of `modality_preference` over images drawn anew.

    Both conditions hold the same questions, added with the same seed. A replicate that drew no
    image at all counts as silent; with ten images or more that does not happen.
    """
    replicates = modality_preference(
        _replicate_energy(with_image), _replicate_energy(without), delta
    )
    low, high = np.quantile(replicates.cpu().numpy(), (0.025, 0.975), axis=0)
    return Interval(torch.from_numpy(low), torch.from_numpy(high))


def _replicate_energy(replicates: EnergyReplicates) -> Float[Tensor, "replicate d_sae"]:
    return replicates.sum_squares.double() / replicates.tokens.clamp_min(1)[:, None]


def _n_tokens(sums: EnergySums, roles: Sequence[Role]) -> int:
    n_tokens = int(sums.tokens[list(roles)].sum())
    if n_tokens == 0:
        seen = [role.name for role in Role if role >= 0 and sums.tokens[role] > 0]
        raise ValueError(
            f"no token of role {', '.join(role.name for role in roles)} was seen, only of "
            f"{', '.join(seen) or 'none'}: harvest prompts that have them."
        )
    return n_tokens
