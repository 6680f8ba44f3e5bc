"""The regimes of adaptation: which tokens a base dictionary is fine-tuned on (paper 4.1, A.2).

The paper's regimes see the same prompts and differ in the tokens that train. Each dictionary is
trained by itself (`training`), from batches of mixed tokens (`shuffle_buffer`): side by side they
would share nothing but the forward passes, whose residuals are kept.
"""

from feature_atlas.dictionary.reconstruction import RoleSet
from feature_atlas.dictionary.sae import Sae, random_sae
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

REGIME_ROLES: dict[str, RoleSet] = {
    "text": TEXT_ROLES,
    "image": (Role.IMAGE,),
    "full": (Role.IMAGE, *TEXT_ROLES),
    "random": (Role.IMAGE, *TEXT_ROLES),
    "refit": TEXT_ROLES,
    "language": TEXT_ROLES,
    "instruct": TEXT_ROLES,
}
"""Which tokens train in each regime. ``random`` is ``full`` from a random start; the last three
are controls on text without pictures: the base model's, the VLM's and an instruction-tuned one's.
"""


def starting_point(regime: str, base: Sae, seed: int) -> Sae:
    """The base dictionary, or a random one of its shape for the regime of that name."""
    if regime not in REGIME_ROLES:
        raise ValueError(f"regime {regime!r}; expected one of {sorted(REGIME_ROLES)}.")
    return random_sae(base, seed) if regime == "random" else base
