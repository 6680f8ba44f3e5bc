"""Certified codes against gates in float64, on kind and on hostile weights and tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_atlas.dictionary.bfloat16_bound import before_rounding
from feature_atlas.dictionary.certified import CertifiedEncoder
from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Encoder, Sae

D_MODEL, D_SAE, K = 64, 768, 8


def some_sae() -> Sae:
    return Sae(
        w_enc=torch.randn(D_MODEL, D_SAE),
        b_enc=torch.randn(D_SAE),
        w_dec=torch.randn(D_SAE, D_MODEL) * torch.rand(D_SAE, 1).add(0.5),
        b_dec=torch.randn(D_MODEL),
        gate=TopK(K),
        scale=2.5,
    )


def gates(encoder: CertifiedEncoder, x: torch.Tensor) -> torch.Tensor:
    """In float64: the real numbers, as far as float32 can see."""
    return x.double() @ encoder.exact.weight.double() + encoder.exact.bias.double()


def float32_error(encoder: CertifiedEncoder, x: torch.Tensor) -> torch.Tensor:
    """No float32 product is further from the gates: (d + 2) 2^-24 of the sizes added."""
    sizes = x.double().abs() @ encoder.exact.weight.double().abs()
    return (D_MODEL + 2) * 2.0**-24 * (sizes + encoder.exact.bias.double().abs()) + 1e-35


def dense(codes: SparseCodes) -> torch.Tensor:
    return torch.zeros(len(codes.values), D_SAE).scatter(1, codes.indices, codes.values)


def huge_row(sae: Sae, x: torch.Tensor) -> None:
    sae.w_enc[:, torch.randint(D_SAE, ())] *= 1e6


def row_scales_of_many_orders(sae: Sae, x: torch.Tensor) -> None:
    sae.w_enc.mul_(10 ** (8 * torch.rand(D_SAE) - 4))


def zero_rows(sae: Sae, x: torch.Tensor) -> None:
    sae.w_enc[:, torch.rand(D_SAE) < 0.995] = 0
    sae.b_enc.clamp_(max=0)


def near_ties(sae: Sae, x: torch.Tensor) -> None:
    group = torch.randint(D_SAE // 40, (D_SAE,))
    sae.w_enc.copy_(sae.w_enc[:, group] + 1e-4 * torch.randn(D_MODEL, D_SAE))
    sae.w_dec.div_(sae.w_dec.norm(dim=1, keepdim=True))
    sae.b_enc.zero_()


def large_tokens(sae: Sae, x: torch.Tensor) -> None:
    x.mul_(10 ** (12 * torch.rand(len(x), 1) - 6))


def massive_channels(sae: Sae, x: torch.Tensor) -> None:
    x[:, :2] += 1000


def large_biases(sae: Sae, x: torch.Tensor) -> None:
    sae.b_enc.mul_(1e4)


def tokens_next_to_nothing(sae: Sae, x: torch.Tensor) -> None:
    x.mul_(1e-38)


def roundings_that_add_up(sae: Sae, x: torch.Tensor) -> None:
    """All that is left of a token's first half is what bfloat16 rounds away."""
    x[:, : D_MODEL // 2], x[:, D_MODEL // 2 :] = 1 + 2.0**-8 - 2.0**-20, -1
    sae.w_enc.fill_(1)
    sae.w_dec.zero_()[:, 0] = 1
    sae.b_enc.zero_()


def sums_that_cancel(sae: Sae, x: torch.Tensor) -> None:
    """Beside two large numbers float32 forgets small ones, how many depends on the order."""
    x.fill_(32)
    first, second = torch.randperm(D_MODEL)[:2]
    x[:, first], x[:, second] = 2.0**30, -(2.0**30)
    sae.w_enc.fill_(1)
    sae.w_dec.zero_()[:, 0] = 1
    sae.b_enc.zero_()


def as_they_are(sae: Sae, x: torch.Tensor) -> None:
    pass


KINDS = [
    as_they_are,
    huge_row,
    row_scales_of_many_orders,
    zero_rows,
    near_ties,
    large_tokens,
    massive_channels,
    large_biases,
    tokens_next_to_nothing,
    roundings_that_add_up,
    sums_that_cancel,
]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(0, 2**32))
def test_no_gate_in_real_numbers_or_float32_is_above_its_bound(kind, another, seed):
    torch.manual_seed(seed)
    sae, x = some_sae(), torch.randn(40, D_MODEL)
    kind(sae, x), another(sae, x)
    encoder = CertifiedEncoder.of(sae)
    can_fire = (encoder.length > 0) | (encoder.exact.bias > 0)

    bounds = encoder.bounds(x).double()

    most = (bounds + bounds.abs() / 255 + 1e-35)[:, can_fire]  # before it was rounded
    assert (most >= gates(encoder, x)[:, can_fire]).all()
    float32 = x @ encoder.exact.weight + encoder.exact.bias
    assert (most >= float32[:, can_fire]).all()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(0, 2**32))
def test_k_features_are_at_least_as_active_as_the_candidates_prove(kind, another, seed):
    torch.manual_seed(seed)
    sae, x = some_sae(), torch.randn(40, D_MODEL)
    kind(sae, x), another(sae, x)
    encoder = CertifiedEncoder.of(sae)
    candidates = gates(encoder, x).topk(4 * K).indices

    proved = encoder.proved(x, candidates, encoder.gates(x, candidates)).double()

    assert (proved <= gates(encoder, x).topk(K).values[:, -1]).all()
    float32 = x @ encoder.exact.weight + encoder.exact.bias
    assert (proved <= float32.topk(K).values[:, -1]).all()


def test_no_number_that_bfloat16_rounds_is_above_what_it_may_have_been():
    numbers = torch.randn(100_000) * 10 ** (60 * torch.rand(100_000) - 30)

    assert (before_rounding(numbers.bfloat16().float()) >= numbers).all()


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
    st.sampled_from([K + 1, 2 * K, 4 * K, 8 * K]),
    st.integers(0, 2**32),
)
def test_codes_are_those_of_float32_wherever_float32_can_tell(kind, another, n_candidates, seed):
    torch.manual_seed(seed)
    sae, x = some_sae(), torch.randn(40, D_MODEL)
    kind(sae, x), another(sae, x)
    encoder = CertifiedEncoder.of(sae, n_candidates)
    exact, error = gates(encoder, x), float32_error(encoder, x)
    lowest, highest = exact - error, exact + error

    codes = encoder.encode(x)

    is_chosen = torch.zeros_like(exact, dtype=torch.bool).scatter(1, codes.indices, True)
    assert (is_chosen.sum(1) == K).all()
    weakest = highest.gather(1, codes.indices).amin(1).clamp_min(0)
    assert (lowest.masked_fill(is_chosen, -torch.inf).amax(1) <= weakest).all()
    wrong = codes.values - exact.gather(1, codes.indices).clamp_min(0)
    assert (wrong.abs() <= error.gather(1, codes.indices)).all()

    is_top = torch.zeros_like(is_chosen).scatter(1, exact.topk(K).indices, True)
    rest = highest.masked_fill(is_top, -torch.inf).amax(1)
    is_clear = lowest.masked_fill(~is_top, torch.inf).amin(1) > rest.clamp_min(0)
    assert torch.equal(is_chosen[is_clear], is_top[is_clear])
    float32 = dense(Encoder.of(sae).encode(x)) > 0
    assert torch.equal((dense(codes) > 0)[is_clear], float32[is_clear])


def test_kind_tokens_are_all_certified():
    encoder = CertifiedEncoder.of(some_sae(), 16 * K)

    encoder.encode(torch.randn(500, D_MODEL))

    assert (encoder.tokens, encoder.fallbacks) == (500, 0)


def test_tokens_counts_and_fallbacks_go_on_over_batches():
    encoder = CertifiedEncoder.of(some_sae(), K + 1)  # one spare place proves hardly anything

    for _ in range(3):
        encoder.encode(torch.randn(50, D_MODEL))

    assert encoder.tokens == 150
    assert 0 < encoder.fallbacks <= 150


def test_more_ties_than_candidates_go_to_the_float32_product():
    sae, x = some_sae(), torch.randn(50, D_MODEL)
    sae.w_enc.copy_(sae.w_enc[:, :1] + 1e-5 * torch.randn(D_MODEL, D_SAE))
    sae.w_dec.div_(sae.w_dec.norm(dim=1, keepdim=True))
    sae.b_enc.fill_(100.0)  # all features fire
    encoder = CertifiedEncoder.of(sae)

    codes = encoder.encode(x)

    assert encoder.fallbacks == 50
    assert all(map(torch.equal, codes, encoder.exact.encode(x)))


def test_one_huge_row_leaves_the_other_features_provable():
    sae, x = some_sae(), torch.randn(200, D_MODEL)
    sae.w_enc[:, 5] *= 1e6
    encoder = CertifiedEncoder.of(sae, 16 * K)

    encoder.encode(x)

    assert encoder.fallbacks == 0


def dead(sae: Sae) -> None:
    sae.w_dec[4:] = 0


def silent(sae: Sae) -> None:
    sae.w_enc[:, 4:] *= 1e-3  # all alike, but far below 0
    sae.b_enc[4:] = -1e4
    sae.w_dec.zero_()[:, 0] = 1


@pytest.mark.parametrize("most_are", [dead, silent])
def test_tokens_on_which_fewer_than_k_features_fire_are_certified(most_are):
    sae, x = some_sae(), torch.randn(100, D_MODEL)
    most_are(sae)
    encoder = CertifiedEncoder.of(sae)

    codes = encoder.encode(x)

    assert encoder.fallbacks == 0
    expected = gates(encoder, x).relu().float()
    # 64 products of size 10 are added, and 1e-6 of a sum of their sizes is 6e-4
    torch.testing.assert_close(dense(codes), expected, rtol=1e-5, atol=1e-3)


def test_rounding_that_conspires_against_a_feature_does_not_hide_it():
    # 1 + 2^-8 less a little is rounded down to 1, in the token and in feature 0: its gate is
    # 32 (a a - 1) = 0.2504, in bfloat16 0; the next 20 have 0.2426, and 0.117 in bfloat16
    a, half = 1 + 2.0**-8 - 2.0**-20, D_MODEL // 2
    w_enc = torch.ones(D_MODEL, D_SAE)
    w_enc[:half, 0] = a
    w_enc[:15, 1:] = 1 + 2.0**-7
    b_enc = torch.full((D_SAE,), -100.0)
    b_enc[:21] = 0
    w_dec = torch.eye(D_SAE, D_MODEL)
    w_dec[D_MODEL:, 0] = 1
    sae = Sae(w_enc, b_enc, w_dec, torch.zeros(D_MODEL), TopK(K), scale=1.0)
    x = torch.tensor([[a] * half + [-1.0] * half])
    encoder = CertifiedEncoder.of(sae)

    codes = encoder.encode(x)

    rounded = (x.bfloat16() @ encoder.exact.weight.bfloat16())[0, :21]
    assert rounded.argmin() == 0
    assert codes.indices[0, 0] == 0
    assert codes.values[0, :2].tolist() == pytest.approx([0.2504, 0.2426], abs=1e-4)
    assert encoder.fallbacks == 0


def test_tokens_that_are_not_finite_are_left_to_the_float32_product():
    encoder, x = CertifiedEncoder.of(some_sae()), torch.randn(6, D_MODEL)
    x[1, 3], x[4, 0] = float("nan"), float("inf")

    codes = encoder.encode(x)

    assert encoder.fallbacks >= 2
    assert not codes.values[[1, 4]].isfinite().all(dim=1).any()
    assert codes.values[[0, 2, 3, 5]].isfinite().all()


def test_no_tokens_give_no_codes():
    codes = CertifiedEncoder.of(some_sae()).encode(torch.randn(0, D_MODEL))

    assert codes.values.shape == codes.indices.shape == (0, K)


def test_a_token_has_the_same_code_in_any_batch():
    encoder, x = CertifiedEncoder.of(some_sae()), torch.randn(64, D_MODEL)
    together = dense(encoder.encode(x))
    alone = torch.cat([dense(encoder.encode(token[None])) for token in x])

    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-3)


def test_too_few_or_too_many_candidates_are_refused():
    with pytest.raises(ValueError, match="8 candidates for the 8 largest of 768 features"):
        CertifiedEncoder.of(some_sae(), K)
    with pytest.raises(ValueError, match="expected more than 8 and at most 768"):
        CertifiedEncoder.of(some_sae(), D_SAE + 1)


def test_a_residual_of_another_model_is_refused():
    with pytest.raises(ValueError, match="residual of width 7, SAE of width 64"):
        CertifiedEncoder.of(some_sae()).encode(torch.randn(3, 7))


def test_products_with_rounded_operands_are_refused():
    encoder = CertifiedEncoder.of(some_sae())
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(ValueError, match="precision 'high', expected 'highest'"):
            encoder.encode(torch.randn(3, D_MODEL))
    finally:
        torch.set_float32_matmul_precision("highest")
