"""Visual energy: how strongly a feature is active, by kind of token (paper 4.2, A.4).

The paper reads E_v(f) = E_vision[h_f^2] in two ways: section 4.2 says "under vision inputs",
section A.4 says "computed under a text-only mask". Sums are therefore kept per token role, one
`EnergySums` per condition (real image, mean image, no image), and every reading is a mean of them:

    paper, A.4 (text mask)       mean_energy(real_image, TEXT_ROLES), text that follows an image
    paper, 4.2 (image tokens)    mean_energy(real_image, (Role.IMAGE,))
    what the image adds          modality_preference of the text energy, real against no image

"Energy on text above 0" only says that a feature is active on text; the last says that it sees.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.sae import SparseCodes
from feature_atlas.vlm import Role

N_ROLES = max(Role) + 1


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

    @classmethod
    def empty(cls, d_sae: int, device: torch.device | str = "cpu") -> "EnergySums":
        """Nothing seen yet."""
        return cls(
            torch.zeros(N_ROLES, d_sae, dtype=torch.float64, device=device),
            torch.zeros(N_ROLES, d_sae, dtype=torch.int64, device=device),
            torch.zeros(N_ROLES, dtype=torch.int64, device=device),
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
        is_token = roles != Role.PAD
        roles, values, indices = roles[is_token], codes.values[is_token], codes.indices[is_token]
        slots = (roles[:, None] * self.fired.shape[1] + indices).flatten()
        self.sum_squares.view(-1).index_add_(0, slots, values.double().square().flatten())
        self.fired.view(-1).index_add_(0, slots, (values > 0).long().flatten())
        self.tokens.index_add_(0, roles, torch.ones_like(roles))


def mean_energy(sums: EnergySums, roles: Sequence[Role]) -> Float[Tensor, " d_sae"]:
    """Mean squared activation over all tokens of the given roles, silent ones included.

    E_f = (1 / n) sum_t h_f(t)^2        normalised units squared; 0: never fired there
    """
    return sums.sum_squares[list(roles)].sum(0) / _n_tokens(sums, roles)


def firing_rate(sums: EnergySums, roles: Sequence[Role]) -> Float[Tensor, " d_sae"]:
    """Share of the tokens of the given roles on which each feature fires."""
    return sums.fired[list(roles)].sum(0).double() / _n_tokens(sums, roles)


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


def _n_tokens(sums: EnergySums, roles: Sequence[Role]) -> int:
    n_tokens = int(sums.tokens[list(roles)].sum())
    if n_tokens == 0:
        seen = [role.name for role in Role if role >= 0 and sums.tokens[role] > 0]
        raise ValueError(
            f"no token of role {', '.join(role.name for role in roles)} was seen, only of "
            f"{', '.join(seen) or 'none'}: harvest prompts that have them."
        )
    return n_tokens
