import pytest
import torch
from random_sae import some_sae

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.gate import Threshold, TopK, kind
from feature_atlas.dictionary.sae import (
    Encoder,
    Sae,
    decode,
    encode,
    random_sae,
    without_decoder_bias,
)


def test_a_code_worked_by_hand():
    sae = Sae(
        w_enc=torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
        b_enc=torch.tensor([0.0, 1.0, 0.0]),
        w_dec=torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        b_dec=torch.zeros(2),
        gate=TopK(1),
        scale=2.0,
    )
    # z = 2 x = [3, 4]; gates: 3 * 2 = 6, (4 + 1) * 1 = 5, -3 * sqrt(2) < 0
    codes = encode(sae, torch.tensor([[1.5, 2.0]]))

    assert codes.indices.tolist() == [[0]]
    assert codes.values.tolist() == [[6.0]]
    # contribution 6 along (1, 0), back to raw units: / 2
    assert decode(sae, codes).tolist() == [[3.0, 0.0]]


def test_the_gate_is_that_of_the_formula_in_float64():
    sae, x = some_sae(), torch.randn(50, 12)
    pre = (sae.scale * x.double()) @ sae.w_enc.double() + sae.b_enc.double()
    norm = sae.w_dec.double().norm(dim=1)
    gate = pre * norm
    dense = torch.zeros_like(gate)
    top = gate.topk(sae.gate.k, dim=1)
    dense.scatter_(1, top.indices, top.values.clamp_min(0))
    expected = (dense @ (sae.w_dec.double() / norm[:, None]) + sae.b_dec.double()) / sae.scale

    torch.testing.assert_close(decode(sae, encode(sae, x)).double(), expected, rtol=1e-4, atol=1e-4)


def test_a_residual_of_another_width_is_refused():
    with pytest.raises(ValueError, match="residual of width 7, SAE of width 12"):
        encode(some_sae(), torch.randn(3, 7))


def test_the_random_dictionary_is_the_same_for_the_same_seed_only():
    sae = some_sae()

    assert torch.equal(random_sae(sae, 1).w_dec, random_sae(sae, 1).w_dec)
    assert not torch.equal(random_sae(sae, 1).w_dec, random_sae(sae, 2).w_dec)


def dense(codes: SparseCodes, d_sae: int = 40) -> torch.Tensor:
    return torch.zeros(len(codes.values), d_sae).scatter_add(1, codes.indices, codes.values)


def thresholds(sae: Sae, theta: torch.Tensor) -> Sae:
    return sae._replace(gate=Threshold(theta))


def pre_activations(sae: Sae, x: torch.Tensor) -> torch.Tensor:
    return (sae.scale * x.double()) @ sae.w_enc.double() + sae.b_enc.double()


@pytest.mark.parametrize(
    "theta", [torch.rand(40) * 3, torch.full((40,), 1.5), torch.zeros(40), torch.full((40,), 1e9)]
)
def test_a_threshold_fires_what_is_above_it_as_long_as_it_writes(theta):
    sae, x = thresholds(some_sae(), theta), torch.randn(50, 12)
    pre = pre_activations(sae, x)
    expected = torch.where(pre > theta, pre, 0) * sae.w_dec.double().norm(dim=1)
    # float32 may see a sum this near its threshold on either side of it
    clear = (pre - theta).abs() > 1e-4

    found = dense(encode(sae, x)).double()

    assert clear.double().mean() > 0.99
    # a sum of terms that cancel is as exact as its terms, not as itself
    torch.testing.assert_close(found[clear], expected[clear], rtol=1e-5, atol=1e-4)


def test_topk_before_norms_chooses_by_pre_activations_and_is_as_long_as_it_writes():
    sae, x = some_sae()._replace(gate=TopK(5, sees_norms=False)), torch.randn(50, 12)
    pre = pre_activations(sae, x)
    top = pre.topk(5, dim=1)
    kept = torch.zeros_like(pre).scatter_(1, top.indices, top.values.clamp_min(0))

    found = dense(encode(sae, x)).double()

    expected = kept * sae.w_dec.double().norm(dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert not torch.equal(found > 0, dense(encode(some_sae(), x)) > 0)


def test_what_equals_its_threshold_is_silent():
    sae = Sae(torch.eye(2), torch.zeros(2), 3 * torch.eye(2), torch.zeros(2), TopK(1), scale=1.0)
    sae = thresholds(sae, torch.tensor([0.5, 0.0]))

    codes = encode(sae, torch.tensor([[0.5, 0.0], [0.75, 0.25], [-1.0, -1.0]]))

    assert dense(codes, 2).tolist() == [[0, 0], [2.25, 0.75], [0, 0]]


def test_a_code_is_as_wide_as_the_token_with_most_features():
    sae = Sae(torch.eye(3), torch.zeros(3), torch.eye(3), torch.zeros(3), TopK(1), scale=1.0)
    sae = thresholds(sae, torch.zeros(3))

    codes = encode(sae, torch.tensor([[0.0, 2.0, 0.0], [0.0, 1.0, 3.0]]))

    assert codes.values.tolist() == [[2, 0], [1, 3]]
    assert codes.indices[codes.values > 0].tolist() == [1, 1, 2]
    assert decode(sae, codes).tolist() == [[0, 2, 0], [0, 1, 3]]


def test_no_tokens_and_tokens_on_which_nothing_fires_have_codes():
    sae = thresholds(some_sae(), torch.full((40,), 1e9))

    assert encode(sae, torch.randn(0, 12)).values.shape == (0, 1)
    assert encode(sae, torch.randn(3, 12)).values.tolist() == [[0], [0], [0]]


def test_blocks_of_tokens_are_joined_to_one_width(monkeypatch):
    sae, x = thresholds(some_sae(), torch.full((40,), 2.0)), torch.randn(50, 12)
    whole = encode(sae, x)
    monkeypatch.setattr("feature_atlas.dictionary.sae.tokens_per_block", lambda _: 7)

    in_blocks = encode(sae, x)

    torch.testing.assert_close(dense(in_blocks), dense(whole))
    assert in_blocks.values.shape == whole.values.shape


def test_decoding_in_pieces_is_decoding_at_once(monkeypatch):
    sae, x = thresholds(some_sae(), torch.zeros(40)), torch.randn(50, 12)
    codes = encode(sae, x)
    at_once = decode(sae, codes)
    monkeypatch.setattr("feature_atlas.dictionary.sae._tokens_per_decode", lambda *_: 3)

    torch.testing.assert_close(decode(sae, codes), at_once)


def test_nan_reaches_the_codes_of_a_threshold_where_it_is_refused_later():
    sae, x = thresholds(some_sae(), torch.ones(40)), torch.randn(3, 12)
    x[1, 4] = float("nan")

    codes = encode(sae, x)

    assert codes.values[1].isnan().any()
    assert codes.values[[0, 2]].isfinite().all()


def test_a_decoder_bias_is_taken_off_the_input_by_the_encoders_bias():
    sae, x = thresholds(some_sae(), torch.ones(40)), torch.randn(20, 12)
    less = without_decoder_bias(sae.w_enc, sae.b_enc, sae.b_dec)

    found = Encoder.of(sae._replace(b_enc=less)).encode(x)

    expected = Encoder.of(sae).encode(x - sae.b_dec / sae.scale)
    torch.testing.assert_close(dense(found), dense(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("gate", "called"),
    [
        (TopK(3), "topk"),
        (TopK(3, sees_norms=False), "topk_before_norms"),
        (Threshold(torch.tensor([0.0, 0.1])), "threshold"),
        (Threshold(torch.zeros(2)), "relu"),
    ],
)
def test_a_gate_has_a_name(gate, called):
    assert kind(gate) == called


def test_the_random_dictionary_of_a_threshold_fires_about_as_its_base_does():
    base = Sae(
        torch.randn(64, 400), -torch.rand(400), torch.randn(400, 64), torch.zeros(64), TopK(1), 1.0
    )
    base, x = thresholds(base, torch.full((400,), 8.0)), torch.randn(500, 64)

    random = random_sae(base, 1)

    n_fired = [float((encode(sae, x).values > 0).sum()) / 500 for sae in (base, random)]
    assert n_fired[0] > 10
    assert n_fired[1] == pytest.approx(n_fired[0], rel=0.2)
