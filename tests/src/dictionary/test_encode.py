"""Folded weights and the blockwise top-k against formulas in float64 and torch.topk."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_atlas.dictionary import sae as sae_module
from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Encoder, Sae, encode
from feature_atlas.dictionary.top_k import top_k


def some_sae(d_model: int = 24, d_sae: int = 256, k: int = 5) -> Sae:
    return Sae(
        w_enc=torch.randn(d_model, d_sae),
        b_enc=torch.randn(d_sae) * 0.1,
        w_dec=torch.randn(d_sae, d_model) * torch.rand(d_sae, 1).add(0.5),
        b_dec=torch.randn(d_model),
        gate=TopK(k),
        scale=2.5,
    )


def gates(sae: Sae, x: torch.Tensor) -> torch.Tensor:
    pre = (sae.scale * x.double()) @ sae.w_enc.double() + sae.b_enc.double()
    return pre * sae.w_dec.double().norm(dim=1)


def dense(codes: SparseCodes) -> torch.Tensor:
    return torch.zeros(len(codes.values), 256).scatter(1, codes.indices, codes.values)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5), st.integers(1, 600), st.data())
def test_the_largest_values_are_those_of_torch_for_any_width_and_k(n_rows, n, data):
    k = data.draw(st.integers(1, n))
    values = torch.randn(n_rows, n)

    found = top_k(values, k)

    expected = values.topk(k)
    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.indices, expected.indices)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 600), st.data())
def test_among_equal_values_each_place_is_named_once(n, data):
    k = data.draw(st.integers(1, n))
    values = torch.randint(0, 3, (4, n)).float()

    found = top_k(values, k)

    assert torch.equal(found.values, values.topk(k).values)
    assert torch.equal(values.gather(1, found.indices), found.values)
    assert all(len(row.unique()) == k for row in found.indices)


def test_a_value_that_is_not_a_number_is_found():
    values = torch.zeros(1, 256)
    values[0, 77] = float("nan")

    found = top_k(values, 2)

    assert found.values[0].isnan().tolist() == [True, False]
    assert found.indices[0, 0] == 77


def test_values_in_bfloat16_are_ranked_too():
    values = torch.randn(8, 512).bfloat16()

    assert torch.equal(top_k(values, 20).values, values.topk(20).values)


def test_the_folded_weights_give_the_gates_of_the_formula():
    sae, x = some_sae(), torch.randn(60, 24)
    expected = gates(sae, x).topk(sae.gate.k)

    codes = Encoder.of(sae).encode(x)

    torch.testing.assert_close(codes.values.double(), expected.values, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(gates(sae, x).gather(1, codes.indices), expected.values)


def test_encoding_once_is_encoding_with_the_encoder():
    sae, x = some_sae(), torch.randn(60, 24)

    assert all(map(torch.equal, encode(sae, x), Encoder.of(sae).encode(x)))


def test_codes_do_not_depend_on_the_block_a_token_is_in(monkeypatch):
    encoder, x = Encoder.of(some_sae()), torch.randn(50, 24)
    whole = dense(encoder.encode(x))

    monkeypatch.setattr(sae_module, "tokens_per_block", lambda _: 7)

    torch.testing.assert_close(dense(encoder.encode(x)), whole)


def test_fewer_positive_gates_than_places_leave_silent_places():
    sae = some_sae()._replace(b_enc=torch.full((256,), -1e6))
    sae.b_enc[[3, 200]] = 1e6

    codes = Encoder.of(sae).encode(torch.randn(10, 24))

    assert ((codes.values > 0).sum(1) == 2).all()
    assert codes.indices[:, :2].sort().values.tolist() == [[3, 200]] * 10


def test_no_tokens_give_no_codes():
    codes = Encoder.of(some_sae()).encode(torch.randn(0, 24))

    assert codes.values.shape == codes.indices.shape == (0, 5)


def test_residuals_in_bfloat16_are_encoded_in_float32():
    encoder, x = Encoder.of(some_sae()), torch.randn(20, 24).bfloat16()

    assert all(map(torch.equal, encoder.encode(x), encoder.encode(x.float())))


def test_a_residual_of_another_model_is_refused():
    with pytest.raises(ValueError, match="residual of width 7, SAE of width 24: this SAE belongs"):
        Encoder.of(some_sae()).encode(torch.randn(3, 7))
