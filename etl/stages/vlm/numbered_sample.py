"""Samples by their local number, under which the run's tables refer to them."""

from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.study import Study


def sample_of(study: Study, number: int) -> Sample:
    """The sample with a local number."""
    for split, samples in study.samples.items():
        row = number - study.first_number[split]
        if 0 <= row < len(samples):
            return samples[row]
    n = sum(map(len, study.samples.values()))
    raise ValueError(f"no sample {number}: expected 0 to {n - 1}.")
