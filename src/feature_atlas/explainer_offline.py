"""An explainer without a language model: what top samples say more often than others (paper 5.1).

1. Terms of a sample: its words, with relation phrases ("left of") kept whole; its first two words;
   its answer. Each counts once per sample.
2. Over-representation of a term that a of n top samples and b of m background samples have:

       log-odds = log((a + 1/2) / (n - a + 1/2)) - log((b + 1/2) / (m - b + 1/2))

   in units of its standard error, sqrt of the sum of 1 / (cell + 1/2).
3. Of the over-represented terms up to three, joined by "or", that together cover the most top
   samples and the fewest others; then an answer too, where that tells them apart better.
4. The sentence: questions with "above" or "on top of", answered "yes", firing most on "above".
5. To judge a sample, the quoted terms are read back from the sentence, whoever wrote it, and looked
   for in the question and the answer. So the F1 is that of the sentence, and of nothing else. The
   tokens it fires on are said, not judged by: a held-out sample shows no firing.

Of the picture it knows the answer only: features that share words and answers share a sentence.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from typing import NamedTuple

from feature_atlas.auto_interp import Description, Sample, Variant, firing

# One-sided 1 in 15: with five top samples a word they all share and half of the others have passes.
LEAST_Z = 1.5
# A term is added only if it separates top from background by this share of samples more.
LEAST_GAIN = 0.05
MOST_TERMS = 3
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


@dataclass
class OfflineExplainer:
    """Describes by over-representation against ``background``."""

    background: Sequence[Sample]
    """A few hundred samples of all kinds, as they come."""
    name: str = "offline"
    model: str = "over-representation 1"
    variant: Variant = "RAW"
    prompt_hash: str = field(init=False)
    tokens_used: int = 0

    def __post_init__(self) -> None:
        if not self.background:
            raise ValueError(
                "no background samples; over-representation needs something to be over."
            )
        knobs = (self.model, LEAST_Z, LEAST_GAIN, MOST_TERMS, RELATION_PHRASES)
        self.prompt_hash = hashlib.sha256(repr(knobs).encode()).hexdigest()

    def describe(self, samples: Sequence[Sample]) -> Description:
        """The sentence of the best rule, and the tokens fired on."""
        rule = learn_rule(samples, self.background)
        text = sentence(rule, over_represented_tokens(samples, self.background))
        return Description(text=text, raw_reply=text)

    def classify(self, description: str, samples: Sequence[Sample]) -> list[bool | None]:
        """Whether each sample has what the sentence quotes; None for sentences in other words."""
        if description == NOTHING:
            return [False] * len(samples)
        rule = read_rule(description)
        return [None if rule is None else matches(rule, sample) for sample in samples]


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
    return has_term and (not rule.answers or answer_of(sample) in rule.answers)


# ---------------------------------------------------------------- learning


def log_odds(a: float, n: float, b: float, m: float) -> tuple[float, float]:
    """Log-odds of a of n against b of m, 1/2 added to every cell, and its standard error."""
    cells = (a + 0.5, n - a + 0.5, b + 0.5, m - b + 0.5)
    return log(cells[0] / cells[1]) - log(cells[2] / cells[3]), sqrt(sum(1 / c for c in cells))


def learn_rule(top: Sequence[Sample], background: Sequence[Sample]) -> Rule:
    """Up to three terms, then an answer; each added if it separates top from background better."""
    rule, separation = Rule((), ()), 0.0
    candidates = _over_represented(top, background, terms_of)
    for _ in range(MOST_TERMS):
        longer = [rule._replace(terms=(*rule.terms, term)) for term in candidates]
        best, gained = _best(longer, top, background)
        if best is None or gained < separation + LEAST_GAIN:
            break
        rule, separation = best, gained
    answered = _over_represented(top, background, lambda sample: {("answered", answer_of(sample))})
    best, gained = _best([rule._replace(answers=(text,)) for _, text in answered], top, background)
    return best if best is not None and gained >= separation + LEAST_GAIN else rule


def _over_represented(
    top: Sequence[Sample],
    background: Sequence[Sample],
    terms: Callable[[Sample], Iterable[Term]],
) -> list[Term]:
    """Terms of the top samples with z of at least LEAST_Z, falling; long phrases first on ties."""
    in_top = Counter(term for sample in top for term in terms(sample))
    in_background = Counter(term for sample in background for term in terms(sample))
    scored = []
    for term, count in in_top.items():
        value, error = log_odds(count, len(top), in_background[term], len(background))
        if value >= LEAST_Z * error:
            scored.append((-value / error, -len(term[1]), term))
    return [term for _, _, term in sorted(scored)]


def _best(
    rules: Sequence[Rule], top: Sequence[Sample], background: Sequence[Sample]
) -> tuple[Rule | None, float]:
    """The rule that matches the larger share of top less background samples; the first on ties."""
    best, most = None, float("-inf")
    for rule in rules:
        separation = _share(rule, top) - _share(rule, background)
        if separation > most + 1e-12:
            best, most = rule, separation
    return best, most


def _share(rule: Rule, samples: Sequence[Sample]) -> float:
    return sum(matches(rule, sample) for sample in samples) / len(samples)


def over_represented_tokens(top: Sequence[Sample], background: Sequence[Sample]) -> list[str]:
    """Tokens on which firing falls often, and more often than they are written."""
    fired = Counter(
        _clean(token)
        for sample in top
        for token, is_firing in zip(sample.tokens, firing(sample), strict=True)
        if is_firing
    )
    written = Counter(_clean(token) for sample in background for token in sample.tokens)
    n_fired, n_written = fired.total(), written.total()
    scored = []
    for token, count in fired.items():
        value, _ = log_odds(count, n_fired, written[token], n_written)
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


def _quoted(texts: Sequence[str], joint: str) -> str:
    return f" {joint} ".join(f'"{text}"' for text in texts)


def read_rule(description: str) -> Rule | None:
    """The rule a sentence states by its quoted terms; None if it quotes none."""
    quoted: dict[str, list[str]] = {}
    clause = re.compile(
        r'\b(with|starting|answered|firing most on) ("[^"]+"(?: (?:or|and) "[^"]+")*)'
    )
    for kind, texts in clause.findall(description):
        quoted.setdefault(kind, []).extend(re.findall(r'"([^"]+)"', texts))
    terms = [(kind, text) for kind in ("with", "starting") for text in quoted.get(kind, [])]
    answers = quoted.get("answered", [])
    return Rule(tuple(terms), tuple(answers)) if terms or answers else None
