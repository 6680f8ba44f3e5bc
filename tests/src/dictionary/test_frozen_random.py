"""Random dictionaries fire as often as they are told to, on tokens around any mean."""

import pytest
import torch

from feature_atlas.dictionary.frozen_random import frozen_random
from feature_atlas.dictionary.gate import Gate, Threshold, TopK
from feature_atlas.dictionary.reconstruction import reconstruction
from feature_atlas.dictionary.sae import Sae, encode

D_MODEL, D_SAE, K = 24, 150, 8


def base(gate: Gate) -> Sae:
    rows = torch.randn(D_SAE, D_MODEL)
    return Sae(3 * rows.T, torch.randn(D_SAE), rows, torch.randn(D_MODEL), gate, scale=0.5)


def tokens() -> torch.Tensor:
    return torch.randn(400, D_MODEL) + 20 * torch.randn(D_MODEL)


@pytest.mark.parametrize(
    ("gate", "l0"),
    [(TopK(K), 8), (TopK(K), 5.25), (Threshold(torch.ones(D_SAE)), 5.25), (TopK(K, False), 2)],
)
def test_as_many_features_fire_as_of_the_trained_dictionary(gate: Gate, l0: float):
    residual = tokens()

    drawn = frozen_random(base(gate), residual, l0, seed=3)

    assert reconstruction(drawn, residual).l0 == pytest.approx(l0, rel=0.002)
    assert (drawn.gate == gate) if isinstance(gate, TopK) else isinstance(drawn.gate, Threshold)
    torch.testing.assert_close(drawn.w_dec.norm(dim=1), torch.ones(D_SAE))
    fired = encode(drawn, residual)
    used = fired.indices[fired.values > 0].unique()
    assert len(used) > D_SAE / 2, "not the same few on every token, though their mean is large"


def test_what_fires_is_as_long_as_its_projection_in_the_mean():
    residual = tokens()
    drawn = frozen_random(base(TopK(K)), residual, 5.25, seed=3)
    fired = encode(drawn, residual)

    centred = 0.5 * (residual - residual.mean(0))
    projection = torch.einsum("td,tkd->tk", centred, drawn.w_dec[fired.indices])

    is_on = fired.values > 0
    assert float(fired.values[is_on].mean()) == pytest.approx(
        float(projection[is_on].mean()), rel=1e-3
    )
    assert (projection[is_on] > 0).all()


def test_it_knows_nothing_of_the_base_and_is_drawn_again_from_its_seed():
    residual, like = tokens(), base(TopK(K))

    one, same, other = (frozen_random(like, residual, 8, seed) for seed in (1, 1, 2))

    assert torch.equal(one.w_dec, same.w_dec)
    assert not torch.equal(one.w_dec, other.w_dec)
    cosine = torch.nn.functional.cosine_similarity(one.w_dec, like.w_dec)
    assert cosine.abs().mean() < 2 / D_MODEL**0.5
    torch.testing.assert_close(one.b_dec, 0.5 * residual.mean(0))
    torch.testing.assert_close(one.w_enc, one.w_dec.T)  # of TopK and all k: no level, no gain
