"""What a feature means, in one sentence, and how well the sentence predicts it (paper 5.1, B.1).

1. ``interp_samples`` chooses top samples to describe, and held-out samples on which the feature
   fires or does not.
2. An ``Explainer`` completes "this neuron activates for ..." from the first group. It sees the
   firing tokens marked (RAW), and where the feature's top heads look besides (OVERLAY). Or it sees
   no sample at all, but the tokens that the feature makes likelier and less likely (OUTPUT:
   output-centric, arXiv 2501.08319).
3. ``label_score`` has an explainer, the same or another, mark each held-out sample 0 or 1 from the
   sentence alone, and counts.

A malformed answer is repaired once by the explainer; after that it is a failure: an answer of None,
with what was replied. Nothing is left out silently.
"""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from feature_atlas.meaning.interp_samples import Sample

Variant = Literal["RAW", "OVERLAY", "OUTPUT"]
Task = Literal[
    "describe_raw", "describe_overlay", "describe_output",
    "validate_raw", "validate_overlay", "validate_text", "intruder",
]  # fmt: skip

PROMPT_VERSION = 2
"""Of the files in `prompts`; a changed word is a new version."""


class Usage(NamedTuple):
    """What some answers cost."""

    prompt_tokens: int = 0
    """Read by the model, pictures included."""
    reply_tokens: int = 0
    """Written by the model."""
    cost_usd: float | None = 0.0
    """US dollars; None where the model's price is not known."""
    n_repaired: int = 0
    """Replies that could not be read, and were asked for once more."""

    def plus(self, other: "Usage") -> "Usage":
        """Both together."""
        costs = (self.cost_usd, other.cost_usd)
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.reply_tokens + other.reply_tokens,
            None if costs[0] is None or costs[1] is None else costs[0] + costs[1],
            self.n_repaired + other.n_repaired,
        )


class Written(NamedTuple):
    """What a feature writes, without any sample."""

    likelier: Sequence[str]
    """Tokens that it makes likelier, the most first."""
    less_likely: Sequence[str]
    """Tokens that it makes less likely, the most first."""


class Description(NamedTuple):
    """What an explainer said about a feature."""

    text: str | None
    """Completes "this neuron activates for ..."; None if no answer could be read."""
    raw_reply: str
    """The last reply, word for word."""
    usage: Usage = Usage()
    """What it cost."""


class Verdicts(NamedTuple):
    """Which samples an explainer said to match."""

    answers: list[bool | None]
    """One per sample, in order; None where no answer could be read."""
    raw_replies: list[str] = []
    """Every last reply, word for word."""
    usage: Usage = Usage()
    """What they cost."""


@runtime_checkable
class Explainer(Protocol):
    """Anything that can describe a feature and judge a description."""

    name: str
    """"openai" or "offline": column explainer."""
    model: str
    """Which model answers."""
    variant: Variant
    """What it is shown."""
    prompt_hash: str
    """Of the prompts or rules it works by."""

    def describe(self, samples: Sequence[Sample]) -> Description:
        """One sentence for the samples on which a feature fires most."""
        ...

    def describe_output(self, written: Written) -> Description:
        """One sentence for the tokens that a feature makes likelier and less likely."""
        ...

    def classify(self, description: str, samples: Sequence[Sample]) -> Verdicts:
        """Whether each sample matches."""
        ...


def shuffled_descriptions(descriptions: Sequence[str | None], *, seed: int = 0) -> list[str | None]:
    """For each feature another feature's description, of different words where there is one.

    None for all if fewer than two features have a description.
    """
    random = np.random.default_rng(seed)
    texts = [text for text in descriptions if text]
    if len(texts) < 2:
        return [None] * len(descriptions)
    others = [[text for text in texts if text != own] or texts for own in descriptions]
    return [choices[random.integers(len(choices))] for choices in others]


def prompt(task: Task) -> str:
    """The system prompt of the paper's Prompt A (describe) or B (validate)."""
    name = f"{task}_v{PROMPT_VERSION}.txt"
    return (
        resources.files("feature_atlas.meaning")
        .joinpath("prompts", name)
        .read_text(encoding="utf-8")
    )


def prompts_hash(variant: Variant) -> str:
    """sha256 of the prompts of a variant: two labels are comparable if it is the same."""
    tasks: tuple[Task, ...] = ("describe_raw", "validate_raw", "validate_text")
    if variant == "OVERLAY":
        tasks = ("describe_overlay", "validate_overlay", "validate_text")
    if variant == "OUTPUT":
        tasks = ("describe_output", "validate_raw", "validate_text")
    return hashlib.sha256("".join(map(prompt, tasks)).encode()).hexdigest()
