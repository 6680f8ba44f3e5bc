"""A dictionary trained from forward passes that are all in memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

from feature_atlas.dictionary.adapt import REGIME_ROLES
from feature_atlas.dictionary.reconstruction import RoleSet, held_out
from feature_atlas.dictionary.sae import Sae
from feature_atlas.dictionary.shuffle_buffer import mixed_batches
from feature_atlas.dictionary.training import Adaptation, Training, TrainingPlan
from feature_atlas.vlm.harvest import Tokens


def trained(
    regime: str,
    start: Sae,
    passes: Iterator[Tokens],
    judging: Tokens,
    plan: TrainingPlan,
    layer: int = 0,
) -> Adaptation:
    """One dictionary from its start to its end."""
    batches = mixed(passes, REGIME_ROLES[regime], plan, layer)
    return untrained(regime, start, judging, plan, layer).run(batches)


def untrained(
    regime: str, start: Sae, judging: Tokens, plan: TrainingPlan, layer: int = 0
) -> Training:
    roles = REGIME_ROLES[regime]
    held = held_out(judging.residuals[layer], judging.roles, [roles], plan.n_held_out)
    return Training(f"regime {regime}, layer {layer}", roles, start, held, plan)


def mixed(
    passes: Iterator[Tokens], roles: RoleSet, plan: TrainingPlan, layer: int = 0
) -> Iterator[Tensor]:
    """Batches of the tokens of these roles."""
    rows = torch.empty(0)

    def numbers() -> Iterator[Tensor]:
        nonlocal rows
        for tokens in passes:
            found = tokens.only(roles).residuals[layer]
            n_before = len(rows)
            rows = torch.cat([rows, found]) if n_before else found
            yield torch.arange(n_before, len(rows))

    for chosen in mixed_batches(numbers(), plan.buffer_size, plan.batch_size, plan.seed):
        yield rows[chosen]
