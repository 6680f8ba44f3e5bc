"""How well a dictionary explains tokens: FVU and L0 of sets of tokens (paper 4.1, A.2).

    FVU = sum_t |x_t - x'_t|^2 / sum_t |x_t - mean|^2       t over the set, mean that of the set

The mean is global: with the mean of each batch, numbers depend on how tokens were batched. All
sums are in float64, and a pass holds only some tokens at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.sae import Encoder, Sae, decode
from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.token_roles import Role

RoleSet = tuple[Role, ...]
"""Which tokens are judged together."""
CHUNK = 1024


class Reconstruction(NamedTuple):
    """How well a dictionary explains some tokens."""

    fvu: float
    """Sum of squared errors over sum of squared distances to the tokens' mean."""
    l0: float
    """Mean number of features that fire."""
    n_tokens: int
    """How many tokens."""


class HeldOut(NamedTuple):
    """Tokens of one layer that never train, and what is to be explained in each set of them."""

    residual: Float[Tensor, "token d_model"]
    """Raw residuals."""
    members: dict[RoleSet, Int[Tensor, " member"]]
    """Positions of each set's tokens; sets without variance are left out."""
    variance: dict[RoleSet, float]
    """Sum of squared distances to the set's mean, above 0."""


def reconstruction(
    sae: Sae, residual: Float[Tensor, "token d_model"], chunk: int = CHUNK
) -> Reconstruction:
    """FVU and L0 of all given tokens together; a ValueError if they do not vary."""
    variance = total_variance(residual, chunk)
    if is_noise(variance, residual):
        raise ValueError(f"{len(residual)} tokens without variance: FVU needs different tokens.")
    error, fired = _per_token(sae, residual, chunk)
    return _of_set(error, fired, variance)


def reconstructions(sae: Sae, held_out: HeldOut) -> dict[RoleSet, Reconstruction]:
    """FVU and L0 of every set; each token is encoded once."""
    error, fired = _per_token(sae, held_out.residual, CHUNK)
    return {
        roles: _of_set(error[members], fired[members], held_out.variance[roles])
        for roles, members in held_out.members.items()
    }


def held_out_parts(
    passes: Iterator[Tokens], role_sets: Sequence[RoleSet], n_tokens: int
) -> Iterator[Tokens]:
    """Tokens of forward passes until each of ``role_sets`` has ``n_tokens``, or the passes end.

    At most ``n_tokens`` of one role are kept, so that a picture's many do not fill the memory; the
    first ``n_tokens`` of any set of roles are all among them.
    """
    n_seen = dict.fromkeys(Role, 0)
    for tokens in passes:
        yield _below_limit(tokens, n_seen, n_tokens)
        if all(sum(n_seen[role] for role in roles) >= n_tokens for roles in role_sets):
            return
    if not any(n_seen.values()):
        raise ValueError("no held-out prompts: expected at least one that does not train.")


def held_out(
    residual: Float[Tensor, "token d_model"],
    roles: Int[Tensor, " token"],
    role_sets: Sequence[RoleSet],
    n_tokens: int,
) -> HeldOut:
    """The first ``n_tokens`` tokens of each role and of each of ``role_sets``.

    A ValueError if one of ``role_sets`` has no tokens that vary; a single role that has none (the
    constant BOS) is left out.
    """
    roles = roles.to(residual.device)
    single = [(Role(role),) for role in roles.unique().tolist()]
    wanted = list(dict.fromkeys([*role_sets, *single]))
    members = {chosen: _first(roles, chosen, n_tokens) for chosen in wanted}
    kept = torch.cat(list(members.values())).unique()  # sorted: the order of the stream
    places = {chosen: torch.searchsorted(kept, found) for chosen, found in members.items()}
    judged = _held_out(residual[kept], places)
    _require_variance(judged, role_sets)
    return judged


def total_variance(residual: Float[Tensor, "token d_model"], chunk: int = CHUNK) -> float:
    """Sum over tokens of the squared distance to their mean."""
    parts = residual.split(chunk)
    mean = torch.stack([part.double().sum(0) for part in parts]).sum(0) / len(residual)
    return sum(((part.double() - mean).square().sum().item() for part in parts), 0.0)


def is_noise(variance: float, residual: Float[Tensor, "token d_model"]) -> bool:
    """Whether a variance is what rounding alone leaves of equal residuals."""
    power = sum((part.double().square().sum().item() for part in residual.split(CHUNK)), 0.0)
    rounding = max(1e-5, 4 * torch.finfo(residual.dtype).eps)  # relative, after many layers
    return variance <= rounding**2 * power


def _below_limit(tokens: Tokens, n_seen: dict[Role, int], limit: int) -> Tokens:
    """The tokens that come early enough of their role; counts them all."""
    is_kept = torch.zeros_like(tokens.roles, dtype=torch.bool)
    for number in tokens.roles.unique().tolist():
        role = Role(number)
        is_kept[_first(tokens.roles, (role,), max(limit - n_seen[role], 0))] = True
        n_seen[role] += int((tokens.roles == role).sum())
    kept = {layer: x[is_kept] for layer, x in tokens.residuals.items()}
    return Tokens(kept, tokens.roles[is_kept], tokens.prompt[is_kept])


def _first(roles: Int[Tensor, " token"], wanted: RoleSet, n: int) -> Int[Tensor, " member"]:
    is_wanted = torch.isin(roles, torch.tensor(wanted, device=roles.device))
    return is_wanted.nonzero()[:n, 0]


def _held_out(
    residual: Float[Tensor, "token d_model"], places: Mapping[RoleSet, Tensor]
) -> HeldOut:
    members, variance = {}, {}
    for roles, found in places.items():
        of_set = residual[found]
        spread = total_variance(of_set) if len(of_set) else 0.0
        if not is_noise(spread, of_set):
            members[roles], variance[roles] = found, spread
    return HeldOut(residual, members, variance)


def _require_variance(judged: HeldOut, role_sets: Sequence[RoleSet]) -> None:
    for roles in role_sets:
        if roles not in judged.members:
            names = ", ".join(role.name.lower() for role in roles)
            raise ValueError(
                f"the held-out prompts have no varying tokens of the roles {names}, on which a "
                "regime trains: leave the regime out, or check the prompts' roles."
            )


@torch.no_grad()
def _per_token(
    sae: Sae, residual: Float[Tensor, "token d_model"], chunk: int
) -> tuple[Float[Tensor, " token"], Int[Tensor, " token"]]:
    """Squared error and number of firing features of each token."""
    encoder = Encoder.of(sae)
    errors, fired = [], []
    for part in residual.split(chunk):
        codes = encoder.encode(part)
        errors.append((part.float() - decode(sae, codes)).double().square().sum(-1))
        fired.append((codes.values > 0).sum(-1))
    return torch.cat(errors), torch.cat(fired)


def _of_set(
    error: Float[Tensor, " token"], fired: Int[Tensor, " token"], variance: float
) -> Reconstruction:
    n = len(error)
    return Reconstruction(error.sum().item() / variance, fired.sum().item() / n, n)
