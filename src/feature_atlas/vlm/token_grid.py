"""An even grid on which the weights of image tokens are laid, whatever their boxes (5.2, C.2).

Where tokens are the parts of one tile they are its cells. Otherwise the grid covers the picture,
cells are about as large as the smallest token, and

    w_cell = sum over tokens of w_token * area(token and cell) / area(token)

so that weights keep their sum; what lies in padding, or has no place in the picture, is left out.
What is no share of something, such as an activation, is averaged over the tokens that cover a cell,

    a_cell = sum of a_token * s / sum of s over tokens,   s = area(token and cell) / area(token)

so that of a view of the whole and a tile of it the finer one counts more.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from transformers import PreTrainedModel, ProcessorMixin

from feature_atlas.vlm.measured_geometry import UnknownGeometryError
from feature_atlas.vlm.processor_geometry import Geometry, grid_shape
from feature_atlas.vlm.token_boxes import Boxes, TokenBoxes, token_boxes


class Shares(NamedTuple):
    """Which share of each token's box lies in each column and each row of a grid."""

    across: Float[np.ndarray, "token column"]
    """Nothing of a token without a place."""
    down: Float[np.ndarray, "token row"]
    """Likewise."""


class TokenGrid(NamedTuple):
    """An even grid of cells on a picture of one size."""

    seen: Geometry
    """How the picture lies in what the grid covers."""
    shape: tuple[int, int]
    """Rows and columns."""
    n_tokens: int
    """Of a prompt with such a picture."""
    shares: Shares | None
    """None: tokens are the cells, row by row."""

    def laid(self, weights: Float[np.ndarray, "... token"]) -> Float[np.ndarray, "... cell"]:
        """Weights of tokens as weights of cells, row by row; they keep their sum."""
        self._require_as_many(weights)
        return weights if self.shares is None else self._spread(weights, self.shares)

    def averaged(self, values: Float[np.ndarray, "... token"]) -> Float[np.ndarray, "... cell"]:
        """Values of tokens as values of cells, row by row; 0 where no token lies."""
        self._require_as_many(values)
        if self.shares is None:
            return values
        covered = self._spread(np.ones(self.n_tokens), self.shares)
        mean = self._spread(values, self.shares) / np.where(covered > 0, covered, 1)
        return mean.astype(values.dtype)

    def _require_as_many(self, values: Float[np.ndarray, "... token"]) -> None:
        if values.shape[-1] != self.n_tokens:
            raise UnknownGeometryError(
                f"a prompt has {values.shape[-1]} image tokens, and a picture of its size was "
                f"given {self.n_tokens} when it was measured."
            )

    def _spread(
        self, weights: Float[np.ndarray, "... token"], shares: Shares
    ) -> Float[np.ndarray, "... cell"]:
        spread = np.einsum("...t,tr,tc->...rc", weights, shares.down, shares.across)
        cells: Float[np.ndarray, "... cell"] = spread.reshape(*spread.shape[:-2], -1)
        return cells.astype(weights.dtype)


def token_grid(
    model: PreTrainedModel, processor: ProcessorMixin, width: int, height: int
) -> TokenGrid:
    """The grid for pictures of one size; UnknownGeometryError where it cannot be known."""
    return grid_of(token_boxes(model, processor, width, height), width, height)


def grid_of(placed: TokenBoxes, width: int, height: int) -> TokenGrid:
    """The grid for tokens of some boxes."""
    n_tokens = len(placed.boxes)
    if placed.whole is not None:
        return TokenGrid(placed.whole, grid_shape(n_tokens, placed.whole), n_tokens, None)
    shape = _shape(placed.boxes, width, height)
    left, top, right, bottom = placed.boxes.T
    shares = Shares(_share(left, right, width, shape[1]), _share(top, bottom, height, shape[0]))
    return TokenGrid(Geometry(1, 1, 0, 0, width, height), shape, n_tokens, shares)


def _shape(boxes: Boxes, width: int, height: int) -> tuple[int, int]:
    """Rows and columns of cells as large as the smallest token, or somewhat larger or smaller."""
    sizes = (boxes[:, 2:] - boxes[:, :2])[np.isfinite(boxes).all(1)]
    if not len(sizes):
        raise UnknownGeometryError("no image token has a place in the picture.")
    across, down = sizes.min(0)
    return max(1, round(height / down)), max(1, round(width / across))


def _share(
    low: Float[np.ndarray, " token"], high: Float[np.ndarray, " token"], length: int, n_cells: int
) -> Float[np.ndarray, "token cell"]:
    edges = np.linspace(0, length, n_cells + 1)
    inside = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    share: Float[np.ndarray, "token cell"] = inside.clip(0) / (high - low)[:, None]
    return np.nan_to_num(share)
