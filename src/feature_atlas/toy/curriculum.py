"""The order in which both networks learn: what is where, then how things stand, then questions.

Each stage begins with drills (see there for why) and ends with the questions themselves.
"""

from typing import NamedTuple

from feature_atlas.toy.lessons import Plan

# Relations are the slowest to be learned, so they are asked more often here than in the data set.
EVERYTHING = {
    "spatial": 0.30,
    "statement": 0.14,
    "where": 0.06,
    "exists": 0.11,
    "attribute": 0.12,
    "count": 0.08,
    "colour": 0.08,
    "shape": 0.03,
    "sign": 0.01,
    "sign_says": 0.06,
    "sign_exists": 0.01,
}


class Phase(NamedTuple):
    """A stretch of training with its own warm-up and cooling."""

    name: str
    share: float
    """Of the steps of the whole stage."""
    plan: Plan
    rate: float
    """Scales the learning rates."""


CURRICULUM = (
    Phase("attributes", 0.19, Plan(96), 1.0),
    Phase("relations and facts", 0.25, Plan(56, n_pairs=12, n_facts=14, drill_share=0.5), 0.8),
    Phase(
        "questions and drills",
        0.20,
        Plan(32, 6, EVERYTHING, n_pairs=4, n_facts=6, drill_share=0.4),
        0.8,
    ),
    Phase("questions", 0.36, Plan(32, 10, EVERYTHING, drill_share=0.4), 0.7),
)
# The text model knows the drills already; until the eyes see anything it would only forget.
OPENING_EYES = (Phase("eyes only", 0.10, Plan(96), 1.0),)
SEEING = (
    Phase("attributes", 0.16, Plan(96), 0.6),
    Phase("relations and facts", 0.20, Plan(56, n_pairs=12, n_facts=14, drill_share=0.5), 0.6),
    Phase(
        "questions and drills",
        0.17,
        Plan(32, 6, EVERYTHING, n_pairs=4, n_facts=6, drill_share=0.4),
        0.7,
    ),
    Phase("questions", 0.37, Plan(32, 10, EVERYTHING, drill_share=0.4), 0.6),
)


def steps_of(phase: Phase, n_steps: int) -> int:
    """How many of a stage's steps a phase takes; at least one."""
    return max(1, round(phase.share * n_steps))
