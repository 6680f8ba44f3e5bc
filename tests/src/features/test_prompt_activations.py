"""What fires on a prompt, by hand."""

import math

import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.prompt_activations import (
    UsualStrength,
    on_every_token,
    peaks,
    strongest_of_tokens,
    times_usual,
    usual_strength,
)

CODES = SparseCodes(  # an image token, then one of text; the last place is silent
    torch.tensor([[2.0, 6.0, 1.0], [3.0, 4.0, 0.0]]), torch.tensor([[0, 1, 2], [1, 0, 0]])
)
IS_IMAGE = torch.tensor([True, False])


def test_usual_is_the_root_mean_square_of_firings() -> None:
    # 3 and 5 on two of ten tokens: mean square over all ten 3.4, over the two 17
    usual = usual_strength(torch.tensor([3.4, 0.0]), 10, torch.tensor([2, 0]))

    assert math.isclose(usual[0], math.sqrt(17), rel_tol=1e-6)
    assert usual[1].isnan()


def test_an_activation_is_held_against_tokens_of_its_kind() -> None:
    nan = math.nan
    usual = UsualStrength(torch.tensor([4.0, 2.0, nan]), torch.tensor([1.0, 12.0, 1.0]))

    found = times_usual(CODES, IS_IMAGE, usual).values

    assert found[0, :2].tolist() == [0.5, 3.0]
    assert found[0, 2].isnan()  # never seen on a picture
    assert found[1].tolist() == [0.25, 4.0, 0.0]


def test_the_strongest_come_first_and_what_is_not_known_last() -> None:
    unknown = CODES._replace(values=CODES.values.where(CODES.values != 6, torch.nan))

    assert strongest_of_tokens(CODES, 2).tolist() == [[1, 0], [1, 0]]
    assert strongest_of_tokens(unknown, 2)[0].tolist() == [0, 2]
    assert strongest_of_tokens(CODES, 9).shape == (2, 3)


def test_peaks_are_over_the_tokens_of_a_part() -> None:
    assert peaks(CODES, IS_IMAGE, 4).tolist() == [2, 6, 1, 0]
    assert peaks(CODES, ~IS_IMAGE, 4).tolist() == [4, 3, 0, 0]


def test_features_are_laid_on_every_token() -> None:
    unknown = CODES._replace(values=CODES.values.where(CODES.values != 6, torch.nan))

    assert on_every_token(CODES, torch.tensor([0, 3])).tolist() == [[2, 4], [0, 0]]
    assert on_every_token(unknown, torch.tensor([0])).tolist() == [[2, 4]]
