"""Whether the processor crops the pictures of a run: a warning that stays with it."""

from collections import Counter
from collections.abc import Sequence

from transformers import ProcessorMixin

from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.vlm.cropping import share_lost
from feature_atlas.vlm.measured_geometry import UnknownGeometryError, tiles
from feature_atlas.vlm.processor_geometry import seen_box

NOTICED = 0.01
"""Share of a picture that rounding may take; more is a crop."""
N_SIZES = 50
"""Sizes of pictures that are looked at, the commonest; one takes up to a few seconds."""


def warn_of_cropping(
    output: StageOutput, processor: ProcessorMixin, sizes: Sequence[tuple[int, int]]
) -> None:
    """Say which share of the pictures (width, height) loses something, and how much at most."""
    common = dict(Counter(sizes).most_common(N_SIZES))
    try:
        lost = {size: _share_lost(processor, size) for size in common}
    except UnknownGeometryError as error:
        output.warn(f"it is not known whether the image processor crops pictures: {error}")
        return
    cropped = {size: share for size, share in lost.items() if share > NOTICED}
    if cropped:
        n_cropped, n = sum(common[size] for size in cropped), sum(common.values())
        output.warn(
            f"the image processor crops {n_cropped / n:.0%} of the pictures "
            f"({n_cropped} of {n}), of one {max(cropped.values()):.0%} of its area: what lies at "
            "the edges is not seen, left and right most of all. Use a processor that pads "
            "(do_pad), as the model was trained with, or say why not."
        )


def _share_lost(processor: ProcessorMixin, size: tuple[int, int]) -> float:
    """Of a picture of one size, measured."""
    seen = tiles(processor, *size).seen
    return share_lost([seen_box(tile) for tile in seen if tile is not None], *size)
