"""Which candidates matter, judged on the training statements only (paper 5.3).

The paper ablates what survives the neutral prompts. A feature that works out a relation need not
fire when no relation is asked, so candidates are also screened by what their removal does. The
winners are scored on other statements about other pictures: no selection effect is left.
"""

import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from feature_atlas.etl.chosen import by_layer_of
from feature_atlas.etl.evaluation import Evaluation, questions_of, relation_sets
from feature_atlas.etl.harvest import STATEMENTS
from feature_atlas.etl.margins import margins_of
from feature_atlas.etl.neutral_prompt import Feature
from feature_atlas.etl.study import Study


def screened(study: Study, candidates: list[Feature]) -> list[Feature]:
    """Candidates by accuracy lost on training statements of their relation, the largest first.

    Features whose removal costs nothing are left out.
    """
    lost: dict[Feature, float] = {}
    layers = by_layer_of(candidates)
    for layer, numbers in track(layers.items(), "screening candidates"):
        for evaluation, features in relation_sets(study, layer, numbers, STATEMENTS):
            few = evaluation._replace(rows=evaluation.rows[: study.config.ablation.n_screen])
            drops = _accuracy_lost(study, layer, features, few)
            lost |= {Feature(layer, f): float(d) for f, d in zip(features, drops, strict=True)}
    return sorted((f for f in lost if lost[f] > 0), key=lambda f: -lost[f])


def _accuracy_lost(
    study: Study, layer: int, features: list[int], evaluation: Evaluation
) -> Float[Tensor, " feature"]:
    margins = margins_of(study, layer, features, evaluation)
    label = torch.tensor([s.answer == "yes" for s in questions_of(study, evaluation)])
    before = ((margins.before > 0) == label).double().mean()
    return before - ((margins.after > 0) == label).double().mean(1)
