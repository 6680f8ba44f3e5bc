"""Another picture of which a sample's answer is another: corruption that stays a picture (5.2).

A mean embedding is like no picture that the model was trained on, and what it changes is whatever
makes a picture one. A picture with the opposite answer changes what was asked about (Zhang and
Nanda 2023). Of a VQAv2 question it is its complement by the official pairs, where these are given,
else that of the same question with another answer; of a VSR statement that of the same statement
with the other label, else of the statement of the same relation whose subject and object are most
alike. Only pictures of the split's drawn samples are taken: the run knows these.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from feature_atlas.etl.config.run_config import stable_hash
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.inputs.vqav2 import complements, read_vqav2
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of, split_of
from feature_atlas.etl.study import Study

HOW = ("official pair", "same question", "same relation")


class Opposite(NamedTuple):
    """Whose picture stands in a sample's place."""

    sample: Sample
    how: str
    """Of `HOW`."""


class Choice(NamedTuple):
    """What a split's samples are chosen from."""

    by_topic: dict[str, list[Sample]]
    """By relation, or by question where there is none."""
    by_id: dict[str, Sample]
    pairs: dict[str, list[str]]
    """Official complements, by external id."""

    @classmethod
    def of(cls, samples: Iterable[Sample], pairs: dict[str, list[str]]) -> "Choice":
        """Every sample whose picture may be shown."""
        by_topic: dict[str, list[Sample]] = {}
        by_id = {sample.external_id: sample for sample in samples}
        for sample in by_id.values():
            by_topic.setdefault(_topic(sample), []).append(sample)
        return cls(by_topic, by_id, pairs)

    def opposite(self, sample: Sample, seed: int) -> Opposite | None:
        """The same one whenever it is asked; None: there is none."""
        paired = (self.by_id.get(number) for number in self.pairs.get(sample.external_id, []))
        for other in paired:
            if other is not None and _differs(sample, other):
                return Opposite(other, "official pair")
        others = [s for s in self.by_topic.get(_topic(sample), []) if _differs(sample, s)]
        if not others:
            return None
        distances = [_distance(sample, other) for other in others]
        least = min(distances)
        nearest = [o for o, d in zip(others, distances, strict=True) if d == least]
        chosen = min(nearest, key=lambda o: stable_hash([seed, sample.external_id, o.external_id]))
        is_same = _words(chosen.question) == _words(sample.question)
        return Opposite(chosen, "same question" if is_same else "same relation")


@lru_cache(maxsize=100_000)  # asked for every feature, wording and stage that looks at the sample
def opposite(study: Study, number: int) -> Opposite | None:
    """Of a sample by its local number."""
    choice = _choice(study, split_of(study, number))
    return choice.opposite(sample_of(study, number), study.config.seed)


@lru_cache(maxsize=4)
def _choice(study: Study, split: str) -> Choice:
    drawn = study.samples[split]
    kind, _, part = split.partition("-")
    if kind != "vqav2":
        return Choice.of(drawn, {})
    folder = study.config.data.vqa_folder
    known = {sample.image for sample in drawn}
    asked = (sample for sample in read_vqav2(folder, part) if sample.image in known)
    return Choice.of(asked, complements(folder, part))


def _topic(sample: Sample) -> str:
    return " ".join(_words(sample.question)) if sample.relation is None else sample.relation


def _differs(sample: Sample, other: Sample) -> bool:
    return other.answer != sample.answer and other.image != sample.image


def _distance(sample: Sample, other: Sample) -> tuple[bool, float]:
    """Of statements of one relation: the same first, then by their things."""
    is_other = _words(sample.question) != _words(other.question)
    alike = sum(map(_alike, _things(sample), _things(other)))
    return is_other, -alike


def _things(sample: Sample) -> list[set[str]]:
    """Words before the relation, and those behind it."""
    if sample.relation is None:
        return [set(_words(sample.question))]
    before, _, behind = sample.question.casefold().partition(sample.relation.casefold())
    return [set(_words(before)), set(_words(behind))]


def _alike(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(len(one | other), 1)


def _words(text: str) -> list[str]:
    return text.casefold().split()
