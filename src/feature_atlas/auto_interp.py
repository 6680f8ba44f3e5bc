"""What a feature means, in one sentence, and how well the sentence predicts it (paper 5.1, B.1).

1. ``choose_samples``: up to five top samples of different pictures to describe; held-out samples
   on which the feature fires, and samples on which it does not: at random, with the same relation
   word, and of the same picture.
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
from typing import Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from PIL import Image

from feature_atlas.uncertainty import matthews_correlation

Variant = Literal["RAW", "OVERLAY"]
Item = TypeVar("Item")

PROMPT_VERSION = 1
# A token is marked from this share of the sample's largest activation: under TopK something nearly
# always fires a little.
FIRING_SHARE = 0.1


class Sample(NamedTuple):
    """One question about one picture, and what the feature did on it."""

    question: str
    """As asked, without template."""
    answer: str
    """The true answer."""
    tokens: Sequence[str] = ()
    """The question's tokens as written; a leading space is part of a token."""
    activations: Sequence[float] = ()
    """Of the feature, one per token; all 0 where it is silent."""
    image: Image.Image | None = None
    """The picture."""
    overlay: Image.Image | None = None
    """The picture under the attention of the feature's top heads, for OVERLAY."""
    image_id: int = 0
    """Same number: same picture."""
    relation: str | None = None
    """The relation asked about, where one is known."""


class ChosenSamples(NamedTuple):
    """The samples of one feature, no picture of the first group in the second."""

    describe: list[Sample]
    """Top samples to describe it from."""
    positives: list[Sample]
    """Held out: it fires."""
    negatives: list[Sample]
    """Held out: it does not."""


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


# ---------------------------------------------------------------- samples


def choose_samples(
    active: Sequence[Sample],
    silent: Sequence[Sample],
    *,
    n_describe: int = 5,
    n_positive: int = 10,
    n_negative: int = 10,
    seed: int = 0,
) -> ChosenSamples:
    """Top samples to describe, held-out ones to score. ``active`` falls in activation.

    Samples to describe have different pictures, none of which comes back among the positives. A
    feature with few pictures keeps half of them for scoring. A third each of the negatives has a
    picture or a relation of the firing samples; what is missing of either is drawn from the rest.
    """
    firsts = _first_of_each_image(active)
    n_describe = min(n_describe, len(firsts) // 2)
    if n_describe == 0 or not silent:
        raise ValueError(
            f"{len(firsts)} pictures on which the feature fires, {len(silent)} silent samples: "
            "expected at least 2 and 1. Keep more top samples per feature, or leave it undescribed."
        )
    random = np.random.default_rng(seed)
    describe = firsts[:n_describe]
    described = {sample.image_id for sample in describe}
    held_out = [sample for sample in active if sample.image_id not in described]
    positives = _draw(held_out, n_positive, random)
    return ChosenSamples(describe, positives, _negatives(active, silent, n_negative, random))


def _first_of_each_image(samples: Sequence[Sample]) -> list[Sample]:
    firsts: dict[int, Sample] = {}
    for sample in samples:
        firsts.setdefault(sample.image_id, sample)
    return list(firsts.values())


def _negatives(
    active: Sequence[Sample], silent: Sequence[Sample], n: int, random: np.random.Generator
) -> list[Sample]:
    """A third of the same pictures, a third of the same relations, the rest from all."""
    images = {sample.image_id for sample in active}
    relations = {sample.relation for sample in active} - {None}
    left = list(range(len(silent)))
    chosen: list[int] = []
    for is_near in (
        lambda sample: sample.image_id in images,
        lambda sample: sample.relation in relations,
    ):
        near = [i for i in left if is_near(silent[i])]
        chosen += _draw(near, n // 3, random)
        left = [i for i in left if i not in set(chosen)]
    return [silent[i] for i in chosen + _draw(left, n - len(chosen), random)]


def _draw(items: Sequence[Item], n: int, random: np.random.Generator) -> list[Item]:
    return [items[i] for i in random.permutation(len(items))[:n]]


def blinded(sample: Sample) -> Sample:
    """The same sample without a trace of what the feature did on it."""
    return sample._replace(tokens=(), activations=())


def firing(sample: Sample) -> list[bool]:
    """Which tokens count as firing: those near the sample's largest activation."""
    if len(sample.tokens) != len(sample.activations):
        raise ValueError(
            f"{len(sample.tokens)} tokens with {len(sample.activations)} activations: expected one "
            f"activation per token of {sample.question!r}."
        )
    threshold = FIRING_SHARE * max(sample.activations, default=0.0)
    return [value > 0 and value >= threshold for value in sample.activations]


def marked_text(sample: Sample) -> str:
    """The question with its firing tokens **marked**; the plain question if no token is given.

    Tokens with spaces of their own are put together as they are, others with a space between.
    """
    if not sample.tokens:
        return sample.question
    marked = [
        _mark(token) if is_firing else token
        for token, is_firing in zip(sample.tokens, firing(sample), strict=True)
    ]
    has_spaces = any(token.startswith((" ", "\n")) for token in sample.tokens)
    return ("" if has_spaces else " ").join(marked).strip()


def _mark(token: str) -> str:
    word = token.strip()
    return token.replace(word, f"**{word}**", 1) if word else token


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
    confusion = _confusion(truth[order], answers)
    return Score(
        n_positive=len(positives),
        n_negative=len(negatives),
        **confusion,
        f1=f1_score(**confusion),
        balanced_accuracy=_balanced_accuracy(**confusion),
        mcc=float(matthews_correlation(**confusion)),
        shuffled_f1=f1_score(**_confusion(truth[order], baseline)) if baseline else None,
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


def _confusion(truth: np.ndarray, answers: Sequence[bool | None]) -> dict[str, int]:
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


def _balanced_accuracy(
    true_positive: int, false_positive: int, false_negative: int, true_negative: int
) -> float:
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
