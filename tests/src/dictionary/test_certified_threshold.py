"""Certified codes of threshold gates against float64, on kind and on hostile weights and tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_atlas.dictionary.certified_threshold import CertifiedThreshold
from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.gate import Threshold, TopK
from feature_atlas.dictionary.sae import Encoder, Sae

D_MODEL, D_SAE = 64, 512


def some_sae(theta: float = 20.0) -> Sae:
    return Sae(
        torch.randn(D_MODEL, D_SAE),
        torch.randn(D_SAE),
        torch.randn(D_SAE, D_MODEL),
        torch.randn(D_MODEL),
        Threshold(theta + torch.rand(D_SAE)),
        scale=1.3,
    )


def dense(codes: SparseCodes) -> torch.Tensor:
    return torch.zeros(len(codes.values), D_SAE).scatter_add(1, codes.indices, codes.values)


def as_they_are(sae: Sae, x: torch.Tensor) -> None:
    pass


def relu(sae: Sae, x: torch.Tensor) -> None:
    sae.gate.theta.zero_()


def rows_of_many_orders(sae: Sae, x: torch.Tensor) -> None:
    factor = 10 ** (8 * torch.rand(D_SAE) - 4)
    for column in (sae.w_enc, sae.b_enc, sae.gate.theta):
        column.mul_(factor)


def huge_row(sae: Sae, x: torch.Tensor) -> None:
    sae.w_enc[:, torch.randint(D_SAE, ())] *= 1e6


def zero_rows(sae: Sae, x: torch.Tensor) -> None:
    sae.w_enc[:, torch.rand(D_SAE) < 0.9] = 0
    sae.gate.theta.zero_()


def large_tokens(sae: Sae, x: torch.Tensor) -> None:
    x.mul_(10 ** (8 * torch.rand(len(x), 1) - 4))


def tokens_next_to_nothing(sae: Sae, x: torch.Tensor) -> None:
    x.mul_(1e-38)
    sae.b_enc.zero_()
    sae.gate.theta.zero_()


def thresholds_of_some_tokens(sae: Sae, x: torch.Tensor) -> None:
    """Every feature's threshold is its own pre-activation on one of the tokens."""
    pre = sae.scale * x @ sae.w_enc + sae.b_enc
    sae.gate.theta.copy_(pre[torch.randint(len(x), (D_SAE,)), torch.arange(D_SAE)].clamp_min(0))


KINDS = [
    as_they_are,
    relu,
    rows_of_many_orders,
    huge_row,
    zero_rows,
    large_tokens,
    tokens_next_to_nothing,
    thresholds_of_some_tokens,
]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(0, 2**32))
def test_what_float64_says_fires_or_is_silent_by_more_than_float32_sees_is_so(kind, other, seed):
    torch.manual_seed(seed)
    sae, x = some_sae(), torch.randn(40, D_MODEL)
    kind(sae, x), other(sae, x)
    encoder = CertifiedThreshold.of(sae)
    weight, bias = encoder.exact.weight.double(), encoder.exact.bias.double()
    gates, theta = x.double() @ weight + bias, sae.gate.theta.double()
    sizes = x.double().abs() @ weight.abs() + bias.abs()
    error = (D_MODEL + 2) * 2.0**-24 * sizes + 1e-35

    found = dense(encoder.encode(x)).double() > 0

    assert found[gates - error > theta].all()
    assert not found[gates + error <= theta].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_codes_are_those_of_the_float32_encoder(kind):
    torch.manual_seed(3)
    sae, x = some_sae(), torch.randn(200, D_MODEL)
    kind(sae, x)

    ours = dense(CertifiedThreshold.of(sae).encode(x))

    exact = dense(Encoder.of(sae).encode(x))
    agree = (ours > 0) == (exact > 0)
    assert agree.double().mean() > 0.995
    both = (ours > 0) & (exact > 0)
    torch.testing.assert_close(ours[both], exact[both], rtol=1e-4, atol=1e-3)


def test_few_features_are_candidates_and_no_token_is_left_over():
    encoder, x = CertifiedThreshold.of(some_sae()), torch.randn(300, D_MODEL)
    fired = encoder.encode(x).values > 0

    n_open = encoder.candidates(x).sum()

    assert fired.sum() < n_open < 3 * fired.sum()
    assert (int(encoder.tokens), int(encoder.fallbacks)) == (300, 0)


def test_a_token_on_which_much_fires_is_left_to_the_float32_product():
    sae, x = some_sae(), torch.randn(20, D_MODEL)
    x[4] *= 50
    encoder = CertifiedThreshold.of(sae)

    codes = encoder.encode(x)

    assert int(encoder.fallbacks) == 1
    torch.testing.assert_close(dense(codes), dense(Encoder.of(sae).encode(x)), rtol=1e-4, atol=1e-3)


def test_nan_is_not_passed_over():
    encoder, x = CertifiedThreshold.of(some_sae()), torch.randn(5, D_MODEL)
    x[2] = torch.nan

    assert dense(encoder.encode(x))[2].isnan().any()


def test_a_residual_of_another_width_and_another_gate_are_refused():
    with pytest.raises(ValueError, match="residual of width 7, SAE of width 64"):
        CertifiedThreshold.of(some_sae()).encode(torch.randn(3, 7))
    with pytest.raises(TypeError, match="TopK is certified by"):
        CertifiedThreshold.of(some_sae()._replace(gate=TopK(3)))
