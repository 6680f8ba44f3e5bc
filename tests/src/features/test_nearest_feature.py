"""Nearest features against all cosines in float64, computed row by row."""

import numpy as np
import torch

from feature_atlas.features import nearest_feature
from feature_atlas.features.nearest_feature import nearest_features


def cosines_of(decoder: torch.Tensor) -> np.ndarray:
    rows = decoder.double().numpy()
    norms = np.array([np.sqrt(row @ row) for row in rows])
    return np.array([[a @ b / (m * n) for b, n in zip(rows, norms, strict=True)]
                     for a, m in zip(rows, norms, strict=True)])  # fmt: skip


def test_the_nearest_are_those_with_the_largest_cosines_whatever_the_block(monkeypatch) -> None:
    monkeypatch.setattr(nearest_feature, "ROWS_AT_ONCE", 7)
    decoder = torch.randn(50, 6) * torch.rand(50, 1) * 10
    decoder[20] = -3 * decoder[4]  # opposite, not near
    decoder[31] = 0.5 * decoder[4]

    found = nearest_features(decoder, 8)

    expected = cosines_of(decoder)
    np.fill_diagonal(expected, -np.inf)
    order = np.argsort(-expected, axis=1)[:, :8]
    assert (found.feature.numpy() == order).mean() > 0.99  # float32 may swap a near tie
    best = np.take_along_axis(expected, order, axis=1)
    np.testing.assert_allclose(found.cosine, best, atol=1e-6)
    assert found.feature[4, 0] == 31
    assert found.cosine.max() <= 1


def test_a_small_dictionary_gives_all_others_and_a_dead_row_is_near_to_none() -> None:
    decoder = torch.eye(4)
    decoder[2] = 0

    found = nearest_features(decoder, 8)

    assert found.feature.shape == (4, 3)
    assert [sorted(row) for row in found.feature.tolist()] == [
        [1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2],
    ]  # fmt: skip
    assert not found.cosine.any()
