"""Samples by their local number, under which the run's tables refer to them."""

from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.study import Study


def sample_of(study: Study, number: int) -> Sample:
    """The sample with a local number."""
    split = split_of(study, number)
    return study.samples[split][number - study.first_number[split]]


def split_of(study: Study, number: int) -> str:
    """The data set and split that a local number is of."""
    for split, samples in study.samples.items():
        if 0 <= number - study.first_number[split] < len(samples):
            return split
    n = sum(map(len, study.samples.values()))
    raise ValueError(f"no sample {number}: expected 0 to {n - 1}.")
