"""Cosines by hand, against float64 numpy, and exactly 1 where nothing was trained."""

import numpy as np
import pytest
import torch

from feature_atlas.features import decoder_cosine as module
from feature_atlas.features.decoder_cosine import best_base_match, decoder_cosine


def test_cosine_by_hand() -> None:
    base = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [3.0, 4.0]])
    adapted = torch.tensor([[5.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [0.0, 0.0], [4.0, 3.0]])

    # kept though longer; turned by 90 degrees; flipped; a row without a direction; 24 / 25
    torch.testing.assert_close(
        decoder_cosine(base, adapted), torch.tensor([1.0, 0.0, -1.0, 0.0, 0.96])
    )


def test_cosines_equal_float64_numpy_for_any_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    base = torch.randn(103, 1024)
    adapted = base + torch.rand(103, 1) * torch.randn(103, 1024)
    b, a = base.double().numpy(), adapted.double().numpy()
    expected = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 10)

    np.testing.assert_allclose(decoder_cosine(base, adapted), expected, atol=1e-6)


def test_a_feature_never_updated_has_cosine_exactly_one_and_none_exceeds_it() -> None:
    base = torch.randn(20_000, 16)

    assert (decoder_cosine(base, base.clone()) == 1).all()
    assert decoder_cosine(base, 3 * base).max() <= 1


def test_rows_kept_bit_for_bit_have_cosine_exactly_one_even_if_tiny_or_zero() -> None:
    base = torch.randn(3, 16)
    base[1], base[2] = base[1] * 1e-30, 0
    turned = base.clone()
    turned[0] *= 2

    for cosine in (decoder_cosine(base, turned), best_base_match(base, turned).cosine):
        assert cosine.tolist() == [1, 1, 1]
    assert decoder_cosine(base, -turned).tolist() == [-1, -1, 1]  # minus zero is zero


def test_best_match_finds_the_feature_that_another_one_became() -> None:
    base = torch.eye(4)
    adapted = base[[0, 2, 1, 3]]
    adapted[3] = torch.tensor([0.0, 0.0, 0.8, 0.6])

    match = best_base_match(base, adapted)

    assert match.feature.tolist() == [0, 2, 1, 2]
    torch.testing.assert_close(match.cosine, torch.tensor([1.0, 1.0, 1.0, 0.8]))


@pytest.mark.parametrize("d_model", [8, 4096])
def test_best_match_equals_the_full_cosine_matrix_for_any_chunk(d_model: int) -> None:
    base, adapted = torch.randn(37, d_model), torch.randn(37, d_model)
    b, a = base.double().numpy(), adapted.double().numpy()
    cosines = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))

    for chunk in (1, 10, 37, 4096):
        match = best_base_match(base, adapted, chunk)
        np.testing.assert_array_equal(match.feature, cosines.argmax(1))
        np.testing.assert_allclose(match.cosine, cosines.max(1), atol=1e-7)


def test_a_feature_with_a_twin_is_matched_with_itself() -> None:
    base = torch.randn(6, 8)
    base[5] = base[2]

    assert best_base_match(base, base.clone(), chunk=4).feature.tolist() == [0, 1, 2, 3, 4, 5]


def test_another_dictionary_is_refused_with_both_shapes() -> None:
    with pytest.raises(
        ValueError, match=r"base decoder is \[4, 8\], adapted is \[1, 8\].*fine-tuned"
    ):
        decoder_cosine(torch.ones(4, 8), torch.ones(1, 8))


def test_a_diverged_decoder_names_its_first_bad_row() -> None:
    adapted = torch.ones(4, 8)
    adapted[2, 5] = torch.nan
    for compare in (decoder_cosine, best_base_match):
        with pytest.raises(ValueError, match="adapted decoder has NaN or inf, first in row 2"):
            compare(torch.ones(4, 8), adapted)
