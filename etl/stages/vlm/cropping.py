"""Whether the processor crops the pictures of a run: a warning that stays with it."""

from collections.abc import Sequence
from typing import Any

from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.vlm.cropping import share_lost
from feature_atlas.vlm.processor_geometry import geometry

NOTICED = 0.01
"""Share of a picture that rounding may take; more is a crop."""


def warn_of_cropping(
    output: StageOutput, image_processor: Any, sizes: Sequence[tuple[int, int]]
) -> None:
    """Say which share of the pictures (width, height) loses something, and how much at most."""
    try:
        lost = [share_lost(geometry(image_processor, *size), *size) for size in sizes]
    except (ValueError, AttributeError) as error:
        output.warn(f"it is not known whether the image processor crops pictures: {error}")
        return
    cropped = [share for share in lost if share > NOTICED]
    if cropped:
        output.warn(
            f"the image processor crops {len(cropped) / len(lost):.0%} of the pictures "
            f"({len(cropped)} of {len(lost)}), of one {max(cropped):.0%} of its area: what lies at "
            "the edges is not seen, left and right most of all. Use a processor that pads "
            "(do_pad), as the model was trained with, or say why not."
        )
