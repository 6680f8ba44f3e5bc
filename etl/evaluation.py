"""Yes/no questions on which ablations are scored (paper 5.3, D).

Two sets: statements of VSR's test split about a feature's own relation, and questions of VQAv2
answered yes or no. The relation is read off top statements of the train split.
"""

from random import Random
from typing import NamedTuple

import numpy as np

from feature_atlas.etl.chosen import relation_of
from feature_atlas.etl.harvest import BASE
from feature_atlas.etl.neutral_prompt import Feature
from feature_atlas.etl.samples import Sample
from feature_atlas.etl.study import Study

SCORED = "vsr-test"


class Evaluation(NamedTuple):
    """Yes/no questions on which an ablation is scored."""

    name: str
    """`vsr_relation` or `vqa_yes_no`."""
    relation: str | None
    """VSR's relation, or None."""
    rows: list[int]
    """Rows of the split."""
    split: str
    """Where they come from."""


def evaluations_of(
    study: Study, layer: int, features: list[int]
) -> list[tuple[Evaluation, list[int]]]:
    """The relation sets of these features, each with the features it concerns, and VQA yes/no."""
    sets = relation_sets(study, layer, features, SCORED)
    return [*sets, (_vqa_yes_no(study), features)]


def relation_sets(
    study: Study, layer: int, features: list[int], split: str
) -> list[tuple[Evaluation, list[int]]]:
    """Statements of a split about each feature's relation, with the features that share it."""
    by_relation: dict[str, list[int]] = {}
    for f in features:
        relation = relation_of(study, Feature(layer, f))
        if relation is not None:
            by_relation.setdefault(relation, []).append(f)
    sets = []
    for relation, chosen in by_relation.items():
        rows = [i for i, s in enumerate(study.samples[split]) if s.relation == relation]
        if rows:
            sets.append((Evaluation("vsr_relation", relation, rows, split), chosen))
    return sets


def _vqa_yes_no(study: Study) -> Evaluation:
    is_yes_no = [
        s.answer_type == "yes/no" and s.answer in ("yes", "no") for s in study.samples[BASE]
    ]
    rows = np.flatnonzero(is_yes_no).tolist()
    n = min(study.config.ablation.n_vqa, len(rows))
    drawn = sorted(Random(study.config.seed).sample(rows, n))
    return Evaluation("vqa_yes_no", None, drawn, BASE)


def questions_of(study: Study, evaluation: Evaluation) -> list[Sample]:
    """The questions themselves, in the order of `rows`."""
    return [study.samples[evaluation.split][row] for row in evaluation.rows]
