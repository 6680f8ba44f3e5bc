"""Many questions about one scene in one sequence, each seeing exactly what it would see alone.

A sequence is `prefix | block 1 | block 2 | ...`: the prefix is `<bos> <user>` and the scene, a
block is one question with its answer. A block attends to the prefix and to itself, causally, and
its positions go on right after the prefix. So training on ten questions costs one scene, and a
question is in the same situation as in a prompt of its own.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PREFIX, PADDING = 0, -1


class Piece(NamedTuple):
    """Consecutive tokens with one loss weight each; the last n_answer are the answer."""

    tokens: list[int]
    weights: list[float]
    n_answer: int = 0


class Packed(NamedTuple):
    """A batch of packed sequences, padded on the right."""

    tokens: Int[Tensor, "batch token"]
    positions: Int[Tensor, "batch token"]
    """Restart after the prefix in each block."""
    block: Int[Tensor, "batch token"]
    """0 in the prefix, 1, 2, ... in the blocks, -1 in padding."""
    weights: Float[Tensor, "batch token"]
    """How much predicting this token from the one before counts; 0 where there is no such one."""
    is_answer: Bool[Tensor, "batch token"]
    """Whether a token is part of an answer, its `<eos>` included."""


def pack(sequences: list[tuple[Piece, list[Piece]]], length: int) -> Packed:
    """Lay (prefix, blocks) side by side up to `length`; blocks that do not fit are left out."""
    tokens = np.zeros((len(sequences), length), dtype=np.int64)
    positions = np.zeros_like(tokens)
    block = np.full_like(tokens, PADDING)
    weights = np.zeros(tokens.shape, dtype=np.float32)
    is_answer = np.zeros(tokens.shape, dtype=bool)
    for row, (prefix, blocks) in enumerate(sequences):
        start = 0
        for number, piece in enumerate([prefix, *blocks]):
            end = start + len(piece.tokens)
            if end > length:
                break
            first = 0 if number == PREFIX else len(prefix.tokens)
            tokens[row, start:end] = piece.tokens
            positions[row, start:end] = np.arange(first, first + len(piece.tokens))
            block[row, start:end] = number
            weights[row, start + 1 : end] = piece.weights[1:]
            is_answer[row, end - piece.n_answer : end] = True
            start = end
    arrays = (tokens, positions, block, weights, is_answer)
    return Packed(*map(torch.from_numpy, arrays))


def block_mask(block: Int[Tensor, "batch token"]) -> Bool[Tensor, "batch 1 query key"]:
    """True where a query may look: back, at the prefix and at its own block."""
    query, key = block[:, :, None], block[:, None, :]
    n_tokens = block.shape[1]
    backwards = torch.ones(n_tokens, n_tokens, dtype=torch.bool).tril()
    return ((key == query) | (key == PREFIX))[:, None] & backwards
