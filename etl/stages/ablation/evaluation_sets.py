"""Yes/no questions on which interventions are scored (paper 5.3, D).

Statements of VSR's test split about a feature's own relation; about other relations, which tell
what is specific; questions of VQAv2 answered yes or no; What'sUp and GQA's spatial questions, whole
benches of other pictures, where the run has them. The relation is read off top statements of
the train split. The paper chose and scored on the same statements, all of the relation: that is
here too, under a name of its own.
"""

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from feature_atlas.etl.inputs.data_sets import FURTHER
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import Warnings
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.skills import BASE, STATEMENTS
from feature_atlas.etl.stages.features.top_samples import relation_of
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study

SCORED = "vsr-test"
MIN_PICTURES = 2
"""About which an evaluation must be: its intervals resample pictures."""


class EvaluationSet(NamedTuple):
    """Yes/no questions on which an intervention is scored."""

    name: str
    """One of `EVALUATIONS` (models/ablation/answer_effect.py)."""
    relation: str | None
    """VSR's relation that it is about, or None."""
    numbers: tuple[int, ...]
    """Local numbers of the samples, as in the run's table `sample`."""

    def first(self, n: int) -> "EvaluationSet":
        """Only the first of its questions."""
        return self._replace(numbers=self.numbers[:n])


def evaluation_sets(
    study: Study, said: Warnings, layer: int, features: list[int]
) -> list[tuple[EvaluationSet, list[int]]]:
    """Every set on which these features of a layer are scored, each with those it concerns."""
    config, sets = study.config.ablation, []
    for of_relation, chosen in relation_sets(study, layer, features, [SCORED]):
        assert of_relation.relation is not None
        if can_be_scored(study, said, of_relation):
            sets.append((of_relation, chosen))
            sets.append((other_relations(study, of_relation.relation, config.n_other), chosen))
    if config.replicate_paper:
        for of_relation, chosen in relation_sets(study, layer, features, [STATEMENTS, SCORED]):
            sets.append((of_relation._replace(name="vsr_paper"), chosen))
    sets.append((yes_no_questions(study, config.n_vqa), features))
    sets += [(bench, features) for bench in further_benches(study, config.n_further)]
    return [pair for pair in sets if can_be_scored(study, said, pair[0])]


def can_be_scored(study: Study, said: Warnings, evaluation: EvaluationSet) -> bool:
    """Whether it is about pictures enough for an interval; a warning where it is not."""
    n, n_pictures = len(evaluation.numbers), len(set(images_of(study, evaluation).tolist()))
    if n_pictures < MIN_PICTURES:
        about = "" if evaluation.relation is None else f" of relation {evaluation.relation!r}"
        said.warn(
            f"nothing was scored on {evaluation.name}{about}: {n} questions about {n_pictures} "
            f"pictures, and an interval needs {MIN_PICTURES} pictures"
        )
    return n_pictures >= MIN_PICTURES


def relation_sets(
    study: Study, layer: int, features: list[int], splits: Iterable[str]
) -> list[tuple[EvaluationSet, list[int]]]:
    """Statements of some splits about each feature's relation, with the features that share it.

    A split need not have any.
    """
    by_relation: dict[str, list[int]] = {}
    for f in features:
        relation = relation_of(study, Feature(layer, f))
        if relation is not None:
            by_relation.setdefault(relation, []).append(f)
    return [(statements_of(study, name, splits), chosen) for name, chosen in by_relation.items()]


def statements_of(study: Study, relation: str, splits: Iterable[str]) -> EvaluationSet:
    """Every statement of some splits about a relation."""
    numbers = [
        study.first_number[split] + row
        for split in splits
        for row, sample in enumerate(study.samples[split])
        if sample.relation == relation
    ]
    return EvaluationSet("vsr_relation", relation, tuple(numbers))


def other_relations(study: Study, relation: str, n: int) -> EvaluationSet:
    """Test statements about any relation but one, drawn at random."""
    rows = [i for i, s in enumerate(study.samples[SCORED]) if s.relation != relation]
    return EvaluationSet("vsr_other", relation, _drawn(study, SCORED, rows, n))


def all_relations(study: Study, n: int) -> EvaluationSet:
    """Test statements about whatever relation, drawn at random."""
    rows = list(range(len(study.samples[SCORED])))
    return EvaluationSet("vsr_all", None, _drawn(study, SCORED, rows, n))


def yes_no_questions(study: Study, n: int) -> EvaluationSet:
    """Questions of VQAv2 that are answered yes or no, drawn at random."""
    rows = [
        i
        for i, s in enumerate(study.samples[BASE])
        if s.answer_type == "yes/no" and s.answer in ("yes", "no")
    ]
    return EvaluationSet("vqa_yes_no", None, _drawn(study, BASE, rows, n))


def further_benches(study: Study, n: int) -> list[EvaluationSet]:
    """Questions of every other bench of the run, of all its relations, drawn at random."""
    sets = []
    for name, split in FURTHER.items():
        if split in study.samples:
            rows = list(range(len(study.samples[split])))
            sets.append(EvaluationSet(name, None, _drawn(study, split, rows, n)))
    return sets


def _drawn(study: Study, split: str, rows: list[int], n: int) -> tuple[int, ...]:
    drawn = sorted(Random(study.config.seed).sample(rows, min(n, len(rows))))
    return tuple(study.first_number[split] + row for row in drawn)


def questions_of(study: Study, evaluation: EvaluationSet) -> list[Sample]:
    """The questions themselves, in the order of `numbers`."""
    return [sample_of(study, number) for number in evaluation.numbers]


def labels_of(study: Study, evaluation: EvaluationSet) -> Bool[np.ndarray, " sample"]:
    """Whether yes is right."""
    return np.array([s.answer == "yes" for s in questions_of(study, evaluation)])


def images_of(study: Study, evaluation: EvaluationSet) -> Int[np.ndarray, " sample"]:
    """Number of each question's picture: the clusters of the bootstrap."""
    of_split = {split: numbers.numpy() for split, numbers in study.image_numbers.items()}
    every = np.concatenate([of_split[split] for split in study.first_number])
    return every[list(evaluation.numbers)]
