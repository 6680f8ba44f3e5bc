"""Heads laid over pictures that processors pad, crop and cut into tiles: real ones, tiny models."""

from types import SimpleNamespace

import numpy as np
import pytest
from families import QUESTIONS, SUFFIX, family
from PIL import Image
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from feature_atlas.etl.stages.heads.attention_map import batch_attention, place_of
from feature_atlas.etl.stages.heads.overlay import overlaid_pictures
from feature_atlas.vlm.processor_geometry import Box
from feature_atlas.vlm.token_roles import encode_prompts


class OfAFamily(SimpleNamespace):
    """What stages need to know of a study to lay a head over a picture."""

    __hash__ = object.__hash__

    def __init__(self, name: str, **image_processor: object) -> None:
        vlm = family(name)
        for part, other in image_processor.items():
            setattr(vlm.processor, part, other)
        config = SimpleNamespace(device="cpu", vlm=SimpleNamespace(suffix=SUFFIX))
        super().__init__(vlm=vlm, config=config, batch_size=2)


SQUARE = {"height": 28, "width": 28}
PADS = LlavaImageProcessorPil(size=SQUARE, crop_size=SQUARE, do_pad=True)


@pytest.mark.parametrize(
    ("study", "grid", "box", "cells"),
    [
        (OfAFamily("llava"), (2, 2), (32, 0, 96, 64), []),
        (OfAFamily("llava", image_processor=PADS), (2, 2), (0, -32, 128, 96), [[0, 0]]),
        # 56 x 28, a tile each for left and right; tokens of the whole are twice as wide
        (OfAFamily("internvl"), (2, 4), (0, 0, 128, 64), [[0, 0]]),
    ],
    ids=["centre crop", "pad", "tiles"],
)
def test_places_on_an_oblong_picture(study, grid, box, cells) -> None:
    place = place_of(study, (128, 64), [Box(4, 4, 28, 28)])  # in the upper left corner

    assert place.grid == grid
    assert place.box == box
    assert np.argwhere(place.objects).tolist() == cells


def test_heads_are_laid_over_pictures_of_different_numbers_of_tiles() -> None:
    """LLaVA-NeXT: the whole (weights on halves), a grid, newlines without a place."""
    study, head = OfAFamily("llava_next"), (1, 2)
    sizes = [(60, 60), (30, 120)]
    pictures = [Image.effect_noise(size, 80).convert("RGB") for size in sizes]
    batch = encode_prompts(study.vlm.processor, QUESTIONS, pictures, suffix=SUFFIX)

    attention = batch_attention(study, batch, [head])

    square, tall = (weights[0].numpy() for weights in attention.weights)
    assert (len(square), len(tall)) == (4 + 4 * 5, 4 + 4 * 3)
    grid = square[4:].reshape(4, 5)[:, :4]
    cells = np.kron(square[:4].reshape(2, 2), np.ones((2, 2))) / 4 + grid
    laid = place_of(study, sizes[0]).tokens.laid(square).reshape(4, 4)
    np.testing.assert_allclose(laid, cells, atol=0.01 * cells.max())
    for picture, shown in zip(
        pictures, overlaid_pictures(study, QUESTIONS, pictures, head), strict=True
    ):
        assert shown is not None
        assert shown.size == picture.size
