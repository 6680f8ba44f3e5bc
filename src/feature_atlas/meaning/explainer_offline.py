"""An explainer without a language model: what top samples say more often than others (paper 5.1).

1. Terms of a sample: its words, with relation phrases ("left of") kept whole; its first two words;
   its answer. Each counts once per sample.
2. Over-representation of a term that a of n top samples and b of m background samples have:

       log-odds = log((a + 1/2) / (n - a + 1/2)) - log((b + 1/2) / (m - b + 1/2))

3. A rule: up to three terms joined by "or", and an answer besides. Of all that a beam search tries
   the one with most evidence G that top samples match it more often, less 2 log(number of terms)
   per term in it, since one of many would fit by luck (the risk inflation criterion):

       G = 2 sum over the four cells of observed log(observed / expected)

4. The sentence: questions with "above" or "on top of", answered "yes", firing most on "above".
5. To judge a sample, the quoted terms are read back from the sentence, whoever wrote it, and looked
   for in the question and the answer. So the F1 is that of the sentence, and of nothing else. The
   tokens it fires on are said, not judged by: a held-out sample shows no firing.

6. Of what a feature writes the sentence quotes the first words among its likelier tokens: writing
   "left" or "west". A sample matches that has one of them in its question or its answer.

Of the picture it knows the answer only: features that share words and answers share a sentence.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import log
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from feature_atlas.meaning.auto_interp import Description, Variant, Verdicts, Written
from feature_atlas.meaning.interp_samples import Sample, firing

MOST_TERMS = 3
BEAM_WIDTH = 8
# A token is named if at least this share of the firing falls on it.
LEAST_FIRING_SHARE = 0.2
MOST_FIRING_TOKENS = 2
NOTHING = "nothing that a word, a relation or an answer could tell from other questions"

# Kept whole: the relations of VSR and of the tiny world that are more than one word, and kin.
RELATION_PHRASES = tuple(
    tuple(phrase.split())
    for phrase in """
    to the left of, to the right of, at the left side of, at the right side of, on the left of,
    on the right of, on the left, on the right, left of, right of, left side, right side,
    at the back of, at the edge of, at the side of, in the middle of, in the front of, in front of,
    on top of, off of, next to, close to, far away from, far from, away from, facing away from,
    across from, across the street from, attached to, connected to, adjacent to, parallel to,
    perpendicular to, opposite to, part of, consists of, has as a part, made of, full of, out of,
    surrounded by, ahead of, alongside of, in between, on the side of
    """.replace("\n", " ").split(",")
)

Kind = str
Term = tuple[Kind, str]
"""("with", "above"), ("starting", "how many") or ("answered", "yes")."""


class Rule(NamedTuple):
    """What a sentence claims: any of the terms, and any of the answers where it names some."""

    terms: tuple[Term, ...]
    """A sample has one of these; any sample does if there are none."""
    answers: tuple[str, ...]
    """And one of these answers; any answer if there are none."""
    written: tuple[str, ...] = ()
    """And one of these words in its question or answer; any words if there are none."""


@dataclass
class OfflineExplainer:
    """Describes by over-representation against ``background``."""

    background: Sequence[Sample]
    """A few hundred samples of all kinds, as they come."""
    name: str = "offline"
    model: str = "over-representation 1"
    variant: Variant = "RAW"
    prompt_hash: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.background:
            raise ValueError(
                "no background samples; over-representation needs something to be over."
            )
        knobs = (self.model, MOST_TERMS, BEAM_WIDTH, RELATION_PHRASES)
        self.prompt_hash = hashlib.sha256(repr(knobs).encode()).hexdigest()

    def describe(self, samples: Sequence[Sample]) -> Description:
        """The sentence of the best rule, and the tokens fired on."""
        rule = learn_rule(samples, self.background)
        text = sentence(rule, over_represented_tokens(samples, self.background))
        return Description(text=text, raw_reply=text)

    def describe_output(self, written: Written) -> Description:
        """The first few words among the tokens that it makes likelier, and that it does not."""
        likelier, less_likely = _whole_words(written.likelier), _whole_words(written.less_likely)
        if not likelier:
            return Description(text=NOTHING, raw_reply=NOTHING)
        text = f"writing {_quoted(likelier, 'or')}"
        if less_likely:
            text += f", less of {_quoted(less_likely, 'and')}"
        return Description(text=text, raw_reply=text)

    def classify(self, description: str, samples: Sequence[Sample]) -> Verdicts:
        """Whether each sample has what the sentence quotes; None for sentences in other words."""
        if description == NOTHING:
            return Verdicts([False] * len(samples))
        rule = read_rule(description)
        return Verdicts([None if rule is None else matches(rule, sample) for sample in samples])


# ---------------------------------------------------------------- terms


def words_of(text: str) -> list[str]:
    """Lower-case words, relation phrases whole: ["is", "it", "left of", "the", "sign"]."""
    words = re.findall(r"\w+", text.lower())
    found, at = [], 0
    while at < len(words):
        phrases = [p for p in RELATION_PHRASES if tuple(words[at : at + len(p)]) == p]
        length = max(map(len, phrases), default=1)
        found.append(" ".join(words[at : at + length]))
        at += length
    return found


def terms_of(sample: Sample) -> set[Term]:
    """Everything that can be said about the question."""
    opening = " ".join(re.findall(r"\w+", sample.question.lower())[:2])
    return {("with", word) for word in words_of(sample.question)} | {("starting", opening)}


def answer_of(sample: Sample) -> str:
    """As it is written in a sentence."""
    return sample.answer.lower().replace('"', "").strip()


def matches(rule: Rule, sample: Sample) -> bool:
    """Whether the sample has one of the terms and one of the answers."""
    has_term = not rule.terms or not terms_of(sample).isdisjoint(rule.terms)
    has_answer = not rule.answers or answer_of(sample) in rule.answers
    words = re.findall(r"\w+", f"{sample.question} {sample.answer}".lower())
    return has_term and has_answer and (not rule.written or not set(words).isdisjoint(rule.written))


# ---------------------------------------------------------------- learning


def log_odds(a: int, n: int, b: int, m: int) -> float:
    """Log-odds of a of n against b of m, 1/2 added to every cell; 0 when equally frequent."""
    return log((a + 0.5) / (n - a + 0.5)) - log((b + 0.5) / (m - b + 0.5))


def evidence(a: int, n: int, b: int, m: int) -> float:
    """G, a log likelihood ratio, of a of n against b of m; 0 unless a of n is the larger share."""
    if a * m <= b * n:
        return 0.0
    hit, missed = (a + b) / (n + m), 1 - (a + b) / (n + m)
    cells = ((a, n * hit), (n - a, n * missed), (b, m * hit), (m - b, m * missed))
    return 2 * sum(seen * log(seen / expected) for seen, expected in cells if seen)


def learn_rule(top: Sequence[Sample], background: Sequence[Sample]) -> Rule:
    """The rule with most evidence for its length; the empty rule if none has enough."""
    has = _by_over_representation(top, background)
    is_top = np.arange(len(top) + len(background)) < len(top)
    price = 2 * log(max(2, len(has)))
    best, beam = Rule((), ()), [Rule((), ())]
    most = 0.0
    for _ in range(MOST_TERMS + 1):
        grown = list(dict.fromkeys(longer for rule in beam for longer in _longer(rule, has)))
        worth = {rule: _evidence_of(rule, has, is_top) - price * _length(rule) for rule in grown}
        beam = sorted(grown, key=worth.__getitem__, reverse=True)[:BEAM_WIDTH]
        if beam and worth[beam[0]] > most:
            best, most = beam[0], worth[beam[0]]
    return best


def _by_over_representation(
    top: Sequence[Sample], background: Sequence[Sample]
) -> dict[Term, Bool[np.ndarray, " sample"]]:
    """For each term and answer of the top samples which samples have it, the top ones first.

    In the order of falling log-odds, the longer first where they are equal: of two rules of equal
    worth the earlier is found, and "is there" says more than "there".
    """
    terms = [terms_of(sample) | {("answered", answer_of(sample))} for sample in [*top, *background]]
    scored = []
    for term in set().union(*terms[: len(top)]):
        has = np.array([term in of_sample for of_sample in terms])
        a, b = int(has[: len(top)].sum()), int(has[len(top) :].sum())
        scored.append((-log_odds(a, len(top), b, len(background)), -len(term[1]), term, has))
    return {term: has for _, _, term, has in sorted(scored, key=lambda entry: entry[:3])}


def _longer(rule: Rule, has: Iterable[Term]) -> Iterator[Rule]:
    """The rule with one more term, or with an answer."""
    for kind, text in has:
        if kind == "answered":
            if not rule.answers:
                yield rule._replace(answers=(text,))
        elif len(rule.terms) < MOST_TERMS and (kind, text) not in rule.terms:
            # In one order only, or each set of terms would be tried several times.
            yield rule._replace(terms=tuple(sorted((*rule.terms, (kind, text)))))


def _length(rule: Rule) -> int:
    return len(rule.terms) + len(rule.answers)


def _evidence_of(
    rule: Rule,
    has: dict[Term, Bool[np.ndarray, " sample"]],
    is_top: Bool[np.ndarray, " sample"],
) -> float:
    """G of the samples that match, the same ones as by `matches`."""
    matching = np.ones_like(is_top)
    if rule.terms:
        matching &= np.logical_or.reduce([has[term] for term in rule.terms])
    if rule.answers:
        matching &= np.logical_or.reduce([has["answered", text] for text in rule.answers])
    in_top, n_top = int((matching & is_top).sum()), int(is_top.sum())
    return evidence(in_top, n_top, int(matching.sum()) - in_top, len(is_top) - n_top)


def over_represented_tokens(top: Sequence[Sample], background: Sequence[Sample]) -> list[str]:
    """Tokens on which firing falls often, and more often than they are written.

    Background samples without tokens are split into words and punctuation.
    """
    fired = Counter(
        _clean(token)
        for sample in top
        for token, is_firing in zip(sample.tokens, firing(sample), strict=True)
        if is_firing
    )
    written = Counter(
        _clean(token)
        for sample in background
        for token in sample.tokens or re.findall(r"\w+|[^\w\s]", sample.question)
    )
    n_fired, n_written = fired.total(), written.total()
    scored = []
    for token, count in fired.items():
        value = log_odds(count, n_fired, written[token], n_written)
        if token and count >= LEAST_FIRING_SHARE * n_fired and value > 0:
            scored.append((-count, -value, token))
    return [token for _, _, token in sorted(scored)[:MOST_FIRING_TOKENS]]


def _clean(token: str) -> str:
    return token.strip().lower().replace('"', "")


# ---------------------------------------------------------------- the sentence


def sentence(rule: Rule, fired_tokens: Sequence[str]) -> str:
    """What `read_rule` reads back: this neuron activates for ... questions with "above"."""
    clauses = [
        f"{kind} {_quoted([text for k, text in rule.terms if k == kind], 'or')}"
        for kind in ("with", "starting")
        if any(k == kind for k, _ in rule.terms)
    ]
    if not clauses and not rule.answers:
        return NOTHING
    text = " ".join(["questions", " or ".join(clauses)]).strip()
    if rule.answers:
        text += f"{',' if clauses else ''} answered {_quoted(rule.answers, 'or')}"
    if fired_tokens:
        text += f", firing most on {_quoted(fired_tokens, 'and')}"
    return text


def _whole_words(tokens: Sequence[str]) -> list[str]:
    """The first tokens that are words as they stand, each once."""
    words = (_clean(token) for token in tokens)
    return list(dict.fromkeys(word for word in words if re.fullmatch(r"\w+", word)))[:MOST_TERMS]


def _quoted(texts: Sequence[str], joint: str) -> str:
    return f" {joint} ".join(f'"{text}"' for text in texts)


def read_rule(description: str) -> Rule | None:
    """The rule a sentence states by its quoted terms; None if it quotes none."""
    quoted: dict[str, list[str]] = {}
    clause = re.compile(
        r"\b(with|starting|answered|writing|less of|firing most on) "
        r'("[^"]+"(?: (?:or|and) "[^"]+")*)'
    )
    for kind, texts in clause.findall(description):
        quoted.setdefault(kind, []).extend(re.findall(r'"([^"]+)"', texts))
    terms = [(kind, text) for kind in ("with", "starting") for text in quoted.get(kind, [])]
    answers, written = quoted.get("answered", []), quoted.get("writing", [])
    rule = Rule(tuple(terms), tuple(answers), tuple(written))
    return rule if any(rule) else None
