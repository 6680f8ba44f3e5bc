"""What a feature means, in one sentence, and how well the sentence predicts it (paper 5.1, B.1).

1. ``interp_samples`` chooses top samples to describe, and held-out samples on which the feature
   fires or does not.
2. An ``Explainer`` completes "this neuron activates for ..." from the first group. It sees the
   firing tokens marked (RAW), and where the feature's top heads look besides (OVERLAY).
3. ``score_description``: the explainer marks each held-out sample 0 or 1 from the sentence alone.
   The samples are blinded first: neither marks nor activations reach it. F1 as in the paper; beside
   it balanced accuracy and Matthews correlation, since always answering 1 earns an F1 of 2/3, and
   the F1 of another feature's sentence on the same samples (the shuffled baseline).

A malformed answer is repaired once by the explainer; after that it is a failure, and a failure is
scored as a wrong answer and counted. Nothing is left out of a denominator.
"""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from feature_atlas.interp_samples import Sample, blinded
from feature_atlas.uncertainty import matthews_correlation

Variant = Literal["RAW", "OVERLAY"]

PROMPT_VERSION = 1


class Description(NamedTuple):
    """What an explainer said about a feature."""

    text: str | None
    """Completes "this neuron activates for ..."; None if no answer could be read."""
    raw_reply: str
    """The last reply, word for word."""


class Score(NamedTuple):
    """How well a sentence tells firing from silent samples: columns of table auto_interp."""

    n_positive: int
    """Held-out samples on which the feature fires."""
    n_negative: int
    """Samples on which it does not."""
    true_positive: int
    """Fires and said to match."""
    false_positive: int
    """Silent but said to match, or failed."""
    false_negative: int
    """Fires but said not to match, or failed."""
    true_negative: int
    """Silent and said not to match."""
    f1: float
    """2 TP / (2 TP + FP + FN); 2/3 for always 1 on halves."""
    balanced_accuracy: float
    """Mean of the shares right among positives and negatives; 1/2 for always 1."""
    mcc: float
    """Matthews correlation, -1 to 1; 0 for always 1."""
    shuffled_f1: float | None
    """F1 of another feature's sentence on these samples; None if there is no other feature."""
    n_failed: int
    """Samples without a readable answer to this feature's own sentence."""


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
    tokens_used: int
    """So far; 0 if it costs nothing."""

    def describe(self, samples: Sequence[Sample]) -> Description:
        """One sentence for the samples on which a feature fires most."""
        ...

    def classify(self, description: str, samples: Sequence[Sample]) -> list[bool | None]:
        """Whether each sample matches; None where no answer could be read."""
        ...


# ---------------------------------------------------------------- scoring


def score_description(
    explainer: Explainer,
    description: str | None,
    positives: Sequence[Sample],
    negatives: Sequence[Sample],
    *,
    shuffled: str | None = None,
    n_rounds: int = 2,
    seed: int = 0,
) -> Score:
    """Confusion and what follows from it, over blinded samples in random order.

    ``shuffled`` is another feature's description (see ``shuffled_descriptions``). The samples are
    put to the explainer in ``n_rounds`` parts, so that one lost reply does not lose them all.
    """
    if not positives or not negatives:
        raise ValueError(
            f"{len(positives)} positives and {len(negatives)} negatives; expected some of both: a "
            "description that says yes to everything would score 1."
        )
    truth = np.array([True] * len(positives) + [False] * len(negatives))
    order = np.random.default_rng(seed).permutation(len(truth))
    samples = [blinded([*positives, *negatives][i]) for i in order]
    answers = _answers(explainer, description, samples, n_rounds)
    baseline = shuffled and _answers(explainer, shuffled, samples, n_rounds)
    confusion = confusion_of(truth[order], answers)
    return Score(
        n_positive=len(positives),
        n_negative=len(negatives),
        **confusion,
        f1=f1_score(**confusion),
        balanced_accuracy=balanced_accuracy_of(**confusion),
        mcc=float(matthews_correlation(**confusion)),
        shuffled_f1=f1_score(**confusion_of(truth[order], baseline)) if baseline else None,
        n_failed=sum(answer is None for answer in answers),
    )


def _answers(
    explainer: Explainer, description: str | None, samples: Sequence[Sample], n_rounds: int
) -> list[bool | None]:
    """One answer per sample; all None for a feature that has no description."""
    if not description:
        return [None] * len(samples)
    answers: list[bool | None] = []
    for part in np.array_split(np.arange(len(samples)), n_rounds):
        if len(part):
            given = explainer.classify(description, [samples[i] for i in part])
            _require_one_each(given, len(part), explainer)
            answers += given
    return answers


def _require_one_each(given: list[bool | None], n: int, explainer: Explainer) -> None:
    if len(given) != n:
        raise ValueError(
            f"explainer {explainer.name!r} gave {len(given)} answers to {n} samples; expected one "
            "each, None where it has none."
        )


def confusion_of(truth: np.ndarray, answers: Sequence[bool | None]) -> dict[str, int]:
    """A failed answer is a wrong one: a miss on a positive, a false alarm on a negative."""
    said = np.array(
        [not fires if a is None else a for a, fires in zip(answers, truth, strict=True)]
    )
    return {
        "true_positive": int((truth & said).sum()),
        "false_positive": int((~truth & said).sum()),
        "false_negative": int((truth & ~said).sum()),
        "true_negative": int((~truth & ~said).sum()),
    }


def f1_score(
    true_positive: int, false_positive: int, false_negative: int, true_negative: int
) -> float:
    """2 TP / (2 TP + FP + FN); 0 without any true positive."""
    denominator = 2 * true_positive + false_positive + false_negative
    return 2 * true_positive / denominator if denominator else 0.0


def balanced_accuracy_of(
    true_positive: int, false_positive: int, false_negative: int, true_negative: int
) -> float:
    """Mean of the shares right among positives and negatives."""
    sensitivity = true_positive / (true_positive + false_negative)
    specificity = true_negative / (true_negative + false_positive)
    return (sensitivity + specificity) / 2


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


# ---------------------------------------------------------------- prompts


def prompt(task: Literal["describe", "validate"], variant: Variant) -> str:
    """The system prompt of the paper's Prompt A (describe) or B (validate)."""
    name = f"{task}_{variant.lower()}_v{PROMPT_VERSION}.txt"
    return resources.files("feature_atlas").joinpath("prompts", name).read_text(encoding="utf-8")


def prompts_hash(variant: Variant) -> str:
    """sha256 of both prompts: two labels are comparable if it is the same."""
    both = prompt("describe", variant) + prompt("validate", variant)
    return hashlib.sha256(both.encode()).hexdigest()
