"""Rows of the table localisation: do top heads look at what is asked, and others not (5.2, C)."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from feature_atlas.etl.inputs.instances import coco_id
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.heads.attention_map import Map
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study
from feature_atlas.heads.localisation import KINDS, Located, compare


class Pair(NamedTuple):
    """One feature on one sample."""

    feature: Feature
    """Whose heads."""
    located: Located
    """What they look at, and which picture it was."""


def located_pairs(study: Study, feature: Feature, maps: Sequence[Map]) -> Iterator[Pair]:
    """The samples of a feature on which it is known what is asked about."""
    for number, of_sample in groupby(maps, key=lambda one: one.sample):
        kept = list(of_sample)
        scores = {
            kind: [one.on_objects for one in kept if one.kind == kind and one.on_objects]
            for kind in KINDS
        }
        if all(scores.values()):
            # by COCO's id: one picture has other names in other data sets
            yield Pair(feature, Located(coco_id(sample_of(study, number).image), scores))


def localisation_columns(pairs: Sequence[Pair], seed: int) -> dict[str, object] | None:
    """A row per kind of head and difference; None for fewer than two pictures."""
    rows = compare([pair.located for pair in pairs], seed=seed)
    if not rows:
        return None
    n = len(rows)
    numbers = {
        name: np.array([getattr(row, name) for row in rows], np.float32)
        for name in ("share", "share_low", "share_high", "lift", "lift_low", "lift_high")
    }
    return {
        "comparison": [row.what for row in rows],
        "n_pairs": np.full(n, len(pairs), np.int64),
        "n_features": np.full(n, len({pair.feature for pair in pairs}), np.int64),
        "n_images": np.full(n, len({pair.located.picture for pair in pairs}), np.int64),
        **numbers,
    }
