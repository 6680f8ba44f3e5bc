"""Which features the costly stages look at, and their top samples (paper 4.3, 5)."""

from itertools import zip_longest

from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import read_rows
from feature_atlas.etl.stages.features.harvest_sums import read_sums
from feature_atlas.etl.stages.features.neutral_prompt import Feature, candidates_of, survivors_of
from feature_atlas.etl.study import Study


def chosen_features(study: Study, max_features: int) -> list[Feature]:
    """What the costly stages look at: ablated features, then survivors, then other candidates."""
    others = [f for skill in study.config.harvest.skills for f in candidates_of(study, skill)]
    return list(dict.fromkeys([*studied_features(study), *others]))[:max_features]


def studied_features(study: Study) -> list[Feature]:
    """Ablated features, and survivors of every skill, taking turns between skills."""
    rows = read_rows(study.run, "ablation", "ablation")
    ablated = [Feature(r["layer"], r["feature"]) for r in rows if r["control_no"] == 0]
    ranked = [survivors_of(study, skill) for skill in study.config.harvest.skills]
    turns = [f for turn in zip_longest(*ranked) for f in turn if f is not None]
    return list(dict.fromkeys([*ablated, *turns]))


def top_samples(study: Study, feature: Feature, source: str, n: int) -> list[int]:
    """Local numbers of the samples on which a feature is most active, best first."""
    top = read_sums(study, feature.layer).examples[source].samples[feature.feature, :n]
    return [int(number) for number in top[top >= 0]]


def sample_of(study: Study, number: int) -> Sample:
    """The sample with a local number."""
    for split, samples in study.samples.items():
        row = number - study.first_number[split]
        if 0 <= row < len(samples):
            return samples[row]
    n = sum(map(len, study.samples.values()))
    raise ValueError(f"no sample {number}: expected 0 to {n - 1}.")


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


def by_layer_of(features: list[Feature]) -> dict[int, list[int]]:
    """Feature numbers grouped by layer, in order."""
    grouped: dict[int, list[int]] = {}
    for layer, feature in features:
        grouped.setdefault(layer, []).append(feature)
    return grouped
