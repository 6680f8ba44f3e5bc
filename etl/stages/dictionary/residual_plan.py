"""How many of a stream's residuals are kept, and for how many layers a pass: arithmetic (4.1).

A regime needs its training tokens and what still waits to be mixed at the end. Text has some
twenty tokens a prompt, and its epochs go over all prompts; of image tokens a few thousand prompts
have enough, and the pass ends there. All layers of a pass lie on the disk at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

from feature_atlas.dictionary.shuffle_buffer import n_tokens_for
from feature_atlas.etl.config.features import AdaptConfig

GB = 10**9
DISK_SHARE = 0.75
"""Of what is free on the disk, when the setting allows more."""


class ResidualPlan(NamedTuple):
    """The passes of one stream."""

    n_prompts: int
    """Prompts (or documents) of a pass."""
    layer_bytes: int
    """What one layer leaves on the disk."""
    layers_at_once: int
    """Layers of one pass."""
    n_passes: int
    """Until every layer had its turn."""


def residual_plan(
    *,
    n_layers: int,
    n_prompts: int,
    row_bytes: int,
    trained: Sequence[float],
    kept: float,
    needed: int,
    room: int,
) -> ResidualPlan:
    """From a prompt's tokens: those that train in each regime, and all that are kept.

    ``needed`` is of every regime (`needed_tokens`), ``room`` in bytes.
    """
    wanted = max(needed / max(n, 1e-9) for n in trained)
    n_asked = min(n_prompts, int(wanted) + 1)
    layer_bytes = max(1, int(n_asked * kept * row_bytes))
    at_once = max(1, min(n_layers, room // layer_bytes))
    return ResidualPlan(n_asked, layer_bytes, at_once, -(-n_layers // at_once))


def needed_tokens(config: AdaptConfig) -> int:
    """So many tokens of a regime give it all its batches."""
    n_served = config.n_tokens // config.batch_size * config.batch_size
    return n_tokens_for(n_served, config.buffer_size, config.batch_size)


def room_for_residuals(config: AdaptConfig, free_disk: int) -> int:
    """Bytes that residuals may take: the setting, or less where the disk has less."""
    return int(min(config.scratch_gb * GB, DISK_SHARE * free_disk))
