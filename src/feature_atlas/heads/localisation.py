"""Whether a head looks at what the question asks about (paper 5.2, C.2, which judges by eye).

    share = attention on patches of the asked objects / attention on all patches
    area  = number of those patches / number of all patches
    lift  = share / area

Lift 1 is a head that looks anywhere alike, however much it looks at the picture at all. A sample
counts if its question names its objects unambiguously: every object word in it, of a known
vocabulary, names exactly one object in the picture.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from feature_atlas.heads.plural import plurals
from feature_atlas.statistics.uncertainty import clustered_bootstrap
from feature_atlas.vlm.processor_geometry import Box, Geometry

KINDS = ("top", "bottom", "random")
CONTRASTS = (("top", "bottom"), ("top", "random"))
MIN_COVER = 0.01
"""Share of a patch that an object must cover: less is rounding."""


class OnObjects(NamedTuple):
    """How much of what a head sees in the picture is the asked objects."""

    share: float
    """Of its attention to the picture, 0 to 1."""
    area: float
    """Of the picture's patches, above 0, at most 1."""

    @property
    def lift(self) -> float:
        """How many times as much as a head that looks anywhere alike."""
        return self.share / self.area


class Located(NamedTuple):
    """Scores of one feature on one sample, one entry per head of each kind."""

    picture: object
    """What tells pictures apart: samples of one picture are not independent."""
    scores: Mapping[str, Sequence[OnObjects]]
    """By kind of head."""


class Compared(NamedTuple):
    """A kind of head, or the difference between two, over all features and samples."""

    what: str
    """``top``, ``bottom``, ``random``, ``top - bottom`` or ``top - random``."""
    share: float
    """Mean over pairs of feature and sample; of a difference, paired."""
    share_low: float
    """Lower end of its 95 % interval, bootstrap over pictures."""
    share_high: float
    """Upper end."""
    lift: float
    """As share."""
    lift_low: float
    """As share."""
    lift_high: float
    """As share."""


def named_objects(
    question: str, in_picture: Sequence[str], vocabulary: Collection[str]
) -> list[int] | None:
    """Places in ``in_picture`` of the objects that a question names; None: it is not clear which.

    ``in_picture`` has the name of each object; an object may stand there under several names. The
    longest name counts: "hot dog" names no dog. It is not clear when the question names nothing
    known, or uses a plural (also "knives", "people"), or a name that fits no object in the picture
    or more than one.
    """
    names = {name.casefold() for name in vocabulary}
    several = {plural for name in names for plural in plurals(name)} - names
    if not names:
        return None
    longest_first = sorted(names | several, key=lambda word: (-len(word), word))
    pattern = rf"\b({'|'.join(map(re.escape, longest_first))})\b"
    words = re.findall(pattern, question.casefold())
    here = [name.casefold() for name in in_picture]
    count = Counter(here)
    if not words or any(word in several or count[word] != 1 for word in words):
        return None
    return sorted({here.index(word) for word in words})


def object_patches(
    objects: Sequence[Box], seen: Geometry, rows: int, columns: int
) -> Bool[np.ndarray, "row column"]:
    """Patches that some object covers; boxes in pixels of the upright picture."""
    across = np.linspace(0, seen.width, columns + 1)
    down = np.linspace(0, seen.height, rows + 1)
    covered = np.zeros((rows, columns), bool)
    for box in objects:
        x = np.array([box.left, box.right]) * seen.scale_x + seen.offset_x
        y = np.array([box.top, box.bottom]) * seen.scale_y + seen.offset_y
        covered |= np.outer(_covered(y, down), _covered(x, across)) >= MIN_COVER
    return covered


def _covered(
    ends: Float[np.ndarray, " 2"], edges: Float[np.ndarray, " edge"]
) -> Float[np.ndarray, " patch"]:
    """Share of each patch of a line that lies between two ends."""
    low, high = np.clip(edges[:-1], *ends), np.clip(edges[1:], *ends)
    share: Float[np.ndarray, " patch"] = (high - low) / np.diff(edges)
    return share


def on_objects(
    weights: Float[np.ndarray, " patch"], patches: Bool[np.ndarray, "row column"]
) -> OnObjects | None:
    """Share and area of the asked objects; None where none is seen, or nothing is looked at."""
    total = float(weights.sum(dtype=np.float64))
    if not patches.any() or total <= 0:
        return None
    share = float(weights[patches.ravel()].sum(dtype=np.float64)) / total
    return OnObjects(share, float(patches.mean()))


def compare(located: Sequence[Located], *, n_draws: int = 10_000, seed: int = 0) -> list[Compared]:
    """Each kind of head, and top minus the others, with intervals; nothing for under two pictures.

    A pair of feature and sample counts with the mean over its heads of a kind; it must have heads
    of every kind. Whole pictures are resampled, the same for all rows; features are as they are.
    """
    pairs = [one for one in located if all(one.scores.get(kind) for kind in KINDS)]
    pictures = np.unique([str(one.picture) for one in pairs], return_inverse=True)[1]
    if len(set(pictures.tolist())) < 2:
        return []
    by_kind = np.array([[_means(one.scores[kind]) for kind in KINDS] for one in pairs])
    place = {kind: number for number, kind in enumerate(KINDS)}
    differences = [by_kind[:, place[a]] - by_kind[:, place[b]] for a, b in CONTRASTS]
    values = np.stack([*by_kind.swapaxes(0, 1), *differences], axis=1)
    low, high = clustered_bootstrap(values, pictures, n_draws=n_draws, seed=seed)
    ends = np.stack([values.mean(0), low, high], axis=-1)
    names = [*KINDS, *(f"{a} - {b}" for a, b in CONTRASTS)]
    return [Compared(name, *map(float, row.ravel())) for name, row in zip(names, ends, strict=True)]


def _means(scores: Sequence[OnObjects]) -> tuple[float, float]:
    """Share and lift, mean over heads."""
    n = len(scores)
    return sum(s.share for s in scores) / n, sum(s.lift for s in scores) / n
