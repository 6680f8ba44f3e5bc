"""A dictionary that explains its data well by construction, with each usual mistake planted."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from feature_atlas.dictionary import gate_mistake
from feature_atlas.dictionary.gate import Threshold, TopK
from feature_atlas.dictionary.gate_check import (
    Bounds,
    GateQuality,
    GateSums,
    Stated,
    add_tokens,
    bounds_of,
    out_of_bounds,
)
from feature_atlas.dictionary.gate_mistake import diagnose
from feature_atlas.dictionary.sae import Sae, decode, encode

D_MODEL, D_SAE, K, SCALE = 64, 48, 6, 0.2
N_DOCUMENTS, LENGTH = 60, 20  # each document: BOS, then 19 tokens
SINK = 40.0  # of a BOS, in units of other tokens' length


class Case(NamedTuple):
    """A dictionary as it was read, what it was read on, and what its release says."""

    sae: Sae
    residual: Tensor
    place: Tensor
    stated: Stated = Stated()


def good(n_active: Tensor | int = K, sink_at: tuple[int, ...] = (0,)) -> Case:
    """Orthogonal directions of any length, a large bias, a few features a token, a little noise."""
    directions = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL)).Q
    unit, sink = directions[:D_SAE], directions[-1]
    n = N_DOCUMENTS * LENGTH
    rank = torch.rand(n, D_SAE).argsort(1).argsort(1)
    wanted = n_active if isinstance(n_active, int) else n_active[torch.randint(2, (n, 1))]
    acts = torch.where(rank < wanted, torch.rand(n, D_SAE) + 1, 0.0)
    bias = torch.randn(D_MODEL)
    z = acts @ unit + bias + 0.03 * torch.randn(n, D_MODEL)
    place = torch.arange(LENGTH).repeat(N_DOCUMENTS)
    text = ~torch.isin(place, torch.tensor(sink_at))
    size = D_MODEL**0.5 / z[text].norm(dim=-1).mean()
    z, bias = size * z, size * bias
    z[~text] = SINK * D_MODEL**0.5 * sink
    norm = torch.rand(D_SAE, 1) * 4 + 0.3
    sae = Sae(
        w_enc=(unit / norm).T,
        b_enc=-(unit / norm) @ bias,
        w_dec=unit * norm,
        b_dec=bias,
        gate=TopK(K),
        scale=SCALE,
    )
    return Case(sae, z / SCALE, place)


def bounds(case: Case, **changed: float) -> Bounds:
    asked = {"max_fvu": 0.05, "max_fvu_ratio": 1.5, "max_dead": 0.5}
    asked |= {"l0_tolerance": 0.2, "norm_tolerance": 0.2} | changed
    return bounds_of(case.sae, case.stated, **asked)


def measure(case: Case) -> GateQuality:
    sums = GateSums.empty(D_MODEL, len(case.sae.w_dec))
    add_tokens(sums, case.sae, case.residual[case.place >= 1])
    return sums.quality()


def not_scaled() -> Case:
    case = good()
    return case._replace(sae=case.sae._replace(scale=1.0))


def scale_squared() -> Case:
    case = good()
    return case._replace(sae=case.sae._replace(scale=SCALE**2))


def scale_of_another_layer() -> Case:
    case = good()
    return case._replace(sae=case.sae._replace(scale=1.6 * SCALE))


def folded_and_scaled_again() -> Case:
    case = good()
    sae = case.sae
    raw = {"w_enc": sae.w_enc * SCALE, "w_dec": sae.w_dec / SCALE, "b_dec": sae.b_dec / SCALE}
    return case._replace(sae=sae._replace(**raw))


def unfolded_read_as_raw() -> Case:
    case = good()
    sae = case.sae
    return case._replace(sae=sae._replace(b_enc=sae.b_enc * SCALE, b_dec=sae.b_dec * SCALE))


def gate_without_norms() -> Case:
    """Twenty features with a constant, small input and long decoder rows: chosen by length only."""
    case = good()
    sae, n = case.sae, 20
    long = 300 * torch.nn.functional.normalize(torch.randn(n, D_MODEL), dim=-1)
    return case._replace(
        sae=sae._replace(
            w_enc=torch.cat([sae.w_enc, torch.zeros(D_MODEL, n)], 1),
            b_enc=torch.cat([sae.b_enc, torch.full((n,), 0.01)]),
            w_dec=torch.cat([sae.w_dec, long]),
        )
    )


def bias_not_subtracted() -> Case:
    case = good()
    return case._replace(sae=case.sae._replace(b_enc=torch.zeros(D_SAE)))


def threshold_read_as_topk() -> Case:
    """Two features fire on a token, or sixteen."""
    return good(torch.tensor([2, 16]))._replace(stated=Stated(l0=9.0))


def k_too_small() -> Case:
    return good(2 * K)._replace(stated=Stated(l0=2.0 * K))


def release_counted_bos() -> Case:
    """Its scale and its FVU are those of all tokens, and it has a feature for BOS."""
    case = good()
    length = case.residual.norm(dim=-1)
    scale = float(D_MODEL**0.5 / length.mean())
    to_units = scale / SCALE
    sae = case.sae
    sink = case.residual[0] / case.residual[0].norm()
    return Case(
        sae._replace(
            w_enc=torch.cat([sae.w_enc, sink[:, None]], 1),
            b_enc=torch.cat([sae.b_enc * to_units, -5 * torch.ones(1)]),
            w_dec=torch.cat([sae.w_dec, sink[None]]),
            b_dec=sae.b_dec * to_units,
            scale=scale,
        ),
        case.residual,
        case.place,
        Stated(fvu=4e-3),
    )


def bos_twice() -> Case:
    return good(sink_at=(0, 1))


def with_thresholds(n_active: int = K) -> Case:
    """Where features fire they do so from 1 to 2: a quarter of the most is a threshold."""
    case = good(n_active)
    pre = SCALE * case.residual[case.place >= 1] @ case.sae.w_enc + case.sae.b_enc
    theta = 0.25 * pre.amax(0)
    return case._replace(sae=case.sae._replace(gate=Threshold(theta)), stated=Stated(l0=n_active))


def thresholds_compared_with_norms() -> Case:
    case = with_thresholds()
    theta = case.sae.gate.theta * case.sae.w_dec.norm(dim=-1)
    return case._replace(sae=case.sae._replace(gate=Threshold(theta)))


def thresholds_without_the_bias() -> Case:
    case = with_thresholds()
    return case._replace(sae=case.sae._replace(b_enc=torch.zeros(D_SAE)))


def thresholds_of_raw_units() -> Case:
    case = with_thresholds()
    return case._replace(sae=case.sae.with_biases_times(SCALE))


def topk_read_as_thresholds() -> Case:
    case = with_thresholds()
    gate = Threshold(torch.full((D_SAE,), 1e-4))
    return case._replace(sae=case.sae._replace(gate=gate))


PLANTED = {
    thresholds_compared_with_norms: gate_mistake.NO_NORM,
    thresholds_without_the_bias: gate_mistake.BIAS,
    thresholds_of_raw_units: gate_mistake.UNFOLDED,
    topk_read_as_thresholds: gate_mistake.TOPK,
    not_scaled: gate_mistake.NOT_SCALED,
    scale_squared: gate_mistake.SQUARED,
    scale_of_another_layer: gate_mistake.OTHER_SCALE,
    folded_and_scaled_again: gate_mistake.SCALED_TWICE,
    unfolded_read_as_raw: gate_mistake.UNFOLDED,
    gate_without_norms: gate_mistake.NO_NORM,
    bias_not_subtracted: gate_mistake.BIAS,
    threshold_read_as_topk: gate_mistake.THRESHOLD,
    k_too_small: gate_mistake.WRONG_K.format(K, 2 * K),
    release_counted_bos: gate_mistake.BOS_STATED,
    bos_twice: gate_mistake.BOS_COUNTED,
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_mistake_is_noticed_and_named(plant):
    case = plant()

    noticed = out_of_bounds(measure(case), bounds(case))
    fits = diagnose(case.sae, case.residual, case.place, bounds(case), case.stated)

    assert noticed
    assert fits[0].mistake.startswith(PLANTED[plant])
    assert not out_of_bounds(fits[0].quality, bounds(case))


def test_a_dictionary_that_is_read_rightly_passes():
    case = good()

    quality = measure(case)

    assert out_of_bounds(quality, bounds(case)) == []
    assert quality.l0 == pytest.approx(K, abs=0.01)
    assert quality.mean_norm == pytest.approx(8, rel=1e-5)
    assert quality.fvu < 0.01


def test_thresholds_that_are_read_rightly_pass_with_and_without_a_stated_l0():
    case = with_thresholds()
    quality = measure(case)

    assert quality.l0 == pytest.approx(K, rel=0.1)
    assert out_of_bounds(quality, bounds(case)) == []
    unstated = case._replace(stated=Stated())
    assert out_of_bounds(quality, bounds(unstated)) == []
    assert bounds(unstated).l0 == (0, D_SAE)


def test_no_mistake_explains_the_dictionary_of_another_model():
    case, other = good(), good()
    case = case._replace(sae=other.sae)

    assert out_of_bounds(measure(case), bounds(case))
    assert diagnose(case.sae, case.residual, case.place, bounds(case), case.stated) == []


def test_the_numbers_are_those_of_the_formula_in_float64():
    sae = good().sae
    x = torch.randn(500, D_MODEL)
    z = SCALE * x.double().numpy()
    w_dec, w_enc = sae.w_dec.double().numpy(), sae.w_enc.double().numpy()
    norm = np.linalg.norm(w_dec, axis=1)
    gate = (z @ w_enc + sae.b_enc.double().numpy()) * norm
    kept = np.where(gate >= np.sort(gate, 1)[:, -K, None], np.maximum(gate, 0), 0)
    rebuilt = (kept @ (w_dec / norm[:, None]) + sae.b_dec.double().numpy()) / SCALE
    raw = x.double().numpy()
    fvu = np.square(raw - rebuilt).sum() / np.square(raw - raw.mean(0)).sum()

    quality = measure(Case(sae, x, torch.ones(500)))

    assert quality.fvu == pytest.approx(fvu, rel=1e-5)
    assert quality.l0 == pytest.approx((kept > 0).sum() / 500)
    assert quality.share_dead == pytest.approx((kept == 0).all(0).mean())
    assert quality.mean_norm == pytest.approx(np.linalg.norm(z, axis=1).mean(), rel=1e-6)
    assert quality.n_tokens == 500


def test_the_fvu_is_saelens_explained_variance():
    from sae_lens.evals import ExplainedVarianceCalculator

    case = good()
    counted = case.residual[case.place >= 1]
    theirs = ExplainedVarianceCalculator()
    for part in counted.split(100):
        theirs.add_batch(decode(case.sae, encode(case.sae, part)), part)

    assert 1 - measure(case).fvu == pytest.approx(theirs.compute(), abs=1e-6)


def test_documents_of_one_token_can_be_diagnosed():
    case = not_scaled()
    short = case.place <= 1

    fits = diagnose(case.sae, case.residual[short], case.place[short], bounds(case), case.stated)

    assert fits[0].mistake.startswith(gate_mistake.NOT_SCALED)


def test_tokens_may_come_in_any_pieces():
    case = good()
    whole = measure(case)
    counted = case.residual[case.place >= 1]
    sums = GateSums.empty(D_MODEL, D_SAE)
    for part in counted.split(97):
        add_tokens(sums, case.sae, part)

    assert sums.quality() == pytest.approx(whole, rel=1e-9)


def test_identical_tokens_have_no_fvu():
    sums = GateSums.empty(D_MODEL, D_SAE)
    add_tokens(sums, good().sae, torch.zeros(5, D_MODEL))

    with pytest.raises(ValueError, match="5 tokens without variance"):
        sums.quality()


def test_a_stated_number_takes_the_place_of_a_default():
    case = good()._replace(stated=Stated(l0=10, fvu=0.02))

    asked = bounds(case, max_fvu=0.9)

    assert asked.l0 == pytest.approx((8, 12))
    assert asked.fvu == pytest.approx((0, 0.03))
    assert asked.mean_norm == pytest.approx((6.4, 9.6))


def test_a_complaint_says_what_came_and_what_was_expected():
    quality = GateQuality(l0=2, fvu=float("nan"), share_dead=0.1, mean_norm=8, n_tokens=10)

    said = out_of_bounds(quality, bounds(good()))

    assert said == ["l0 2, expected 4.8 to 7.2", "fvu nan, expected 0 to 0.05"]
