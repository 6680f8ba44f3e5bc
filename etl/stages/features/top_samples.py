"""The samples on which a feature is most active, and the relation that they are about (paper 5)."""

from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.harvest_sums import read_sums
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study


def top_samples(study: Study, feature: Feature, source: str, n: int) -> list[int]:
    """Local numbers of the samples on which a feature is most active, best first."""
    top = read_sums(study, feature.layer).examples[source].samples[feature.feature, :n]
    return [int(number) for number in top[top >= 0]]


def relation_of(study: Study, feature: Feature) -> str | None:
    """The VSR relation most common among a feature's top statements, weighted by activation.

    None when the feature fires on no statement.
    """
    top = read_sums(study, feature.layer).examples["vsr"]
    numbers, weights = top.samples[feature.feature], top.activations[feature.feature]
    totals: dict[str, float] = {}
    for number, weight in zip(numbers.tolist(), weights.tolist(), strict=True):
        if number >= 0:
            relation = sample_of(study, number).relation or ""
            totals[relation] = totals.get(relation, 0.0) + weight
    return max(totals, key=totals.__getitem__) if totals else None
