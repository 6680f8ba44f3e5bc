"""The skills of a run by name, and which questions ask for them."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from feature_atlas.etl.samples import Sample
from feature_atlas.skill import OCR, SPATIAL, Skill, matched_rule

SKILLS: dict[str, Skill] = {skill.name: skill for skill in (SPATIAL, OCR)}


def questions_of_skill(name: str, samples: Sequence[Sample]) -> Bool[Tensor, " sample"]:
    """Which samples ask for the skill, by the question alone."""
    skill = SKILLS[name]
    asks = [matched_rule(skill, s.question, s.question_type) is not None for s in samples]
    if not any(asks) or all(asks):
        raise ValueError(
            f"skill {name!r} matches {sum(asks)} of {len(asks)} questions: a shift needs questions "
            "with and without it; draw more samples or mend the skill's patterns."
        )
    return torch.tensor(asks)
