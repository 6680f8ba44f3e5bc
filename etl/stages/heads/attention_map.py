"""One head's attention on one picture: its weights, and where its patches lie (paper 5.2, C.2)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from feature_atlas.etl.stages.vlm.token_places import tokens_of
from feature_atlas.etl.study import Study
from feature_atlas.heads.localisation import OnObjects, object_patches, on_objects
from feature_atlas.heads.overlay import ImageAttention, image_attention
from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.head_probe import Head
from feature_atlas.vlm.processor_geometry import Box, seen_box
from feature_atlas.vlm.token_grid import TokenGrid
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch, Role


class Place(NamedTuple):
    """How patches lie on a picture."""

    tokens: TokenGrid
    """How the weights of image tokens become those of patches."""
    objects: np.ndarray | None
    """Which patches show what is asked about, [row, column]; None: not known."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.tokens.shape

    @property
    def box(self) -> Box:
        """What the patches cover of the picture, in its pixels."""
        return seen_box(self.tokens.seen)


class Map(NamedTuple):
    """One head's attention on one sample."""

    sample: int
    """Local number."""
    kind: str
    """Why the head is shown: top, bottom, random."""
    head: Head
    """Layer and head."""
    weights: np.ndarray
    """One per patch, row by row."""
    place: Place
    """Where the patches lie."""

    @property
    def on_objects(self) -> OnObjects | None:
        """How much of it is on what is asked about, where that is known."""
        objects = self.place.objects
        return None if objects is None else on_objects(self.weights, objects)


def place_of(study: Study, size: tuple[int, int], objects: Sequence[Box] | None = None) -> Place:
    """Where the patches of a picture (width, height) lie, as its processor was seen to cut it.

    An UnknownGeometryError says why that cannot be known.
    """
    tokens = tokens_of(study, size)
    patches = None if objects is None else object_patches(objects, tokens.seen, *tokens.shape)
    return Place(tokens, patches)


def batch_attention(study: Study, batch: PromptBatch, heads: Sequence[Head]) -> ImageAttention:
    """Attention of some heads from all text of each prompt to its picture."""
    model = study.vlm.model
    is_text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES, device=batch.roles.device))
    is_image = batch.roles == Role.IMAGE
    return image_attention(model, decoder_inputs(model, batch), is_text, is_image, heads)


def map_columns(maps: Sequence[Map]) -> dict[str, object]:
    """What the tables overlay and custom_overlay have in common."""
    boxes = np.array([one.place.box for one in maps], np.float32)
    return {
        "head_layer": np.array([one.head[0] for one in maps], np.int16),
        "head": np.array([one.head[1] for one in maps], np.int16),
        "kind": [one.kind for one in maps],
        "grid_rows": np.array([one.place.grid[0] for one in maps], np.int16),
        "grid_columns": np.array([one.place.grid[1] for one in maps], np.int16),
        "weights": [one.weights for one in maps],
        "image_mass": np.array([one.weights.sum() for one in maps], np.float32),
        **{f"seen_{edge}": boxes[:, number] for number, edge in enumerate(Box._fields)},
    }
