"""Tokens at both ends against a float64 product that is sorted whole."""

import numpy as np
import pytest
import torch

from feature_atlas.features import logit_effect as stage
from feature_atlas.features.logit_effect import logit_effect
from feature_atlas.vlm.unembedding import Unembedding


def test_both_ends_are_those_of_the_sorted_effects_whatever_the_block(monkeypatch) -> None:
    monkeypatch.setattr(stage, "LOGITS_AT_ONCE", 3 * 40)
    decoder, weight = torch.randn(11, 6) * 5, torch.randn(40, 6)

    found = logit_effect(decoder, Unembedding(weight), n=4)

    for feature in range(11):
        row = decoder[feature].double().numpy()
        effects = weight.double().numpy() @ row / np.sqrt(row @ row)
        order = effects.argsort()
        assert found.top.token[feature].tolist() == order[::-1][:4].tolist()
        assert found.bottom.token[feature].tolist() == order[:4].tolist()
        np.testing.assert_allclose(found.top.effect[feature], effects[order[::-1][:4]], atol=1e-5)
        np.testing.assert_allclose(found.bottom.effect[feature], effects[order[:4]], atol=1e-5)


def test_a_small_vocabulary_gives_all_and_another_models_is_refused() -> None:
    assert logit_effect(torch.randn(2, 6), Unembedding(torch.randn(3, 6))).top.token.shape == (2, 3)
    with pytest.raises(
        ValueError, match="decoder rows of 6 numbers, unembedding of 3 tokens and 5"
    ):
        logit_effect(torch.randn(2, 6), Unembedding(torch.randn(3, 5)))
