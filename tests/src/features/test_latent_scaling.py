"""Latent scaling against numpy's least squares."""

import numpy as np
import pytest
import torch
from torch import Tensor

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae, encode
from feature_atlas.features.latent_scaling import (
    LatentScaling,
    Reader,
    ScalingSums,
    is_shrunk,
    latent_scaling,
)

D_MODEL, D_SAE, N = 12, 20, 400


def random_sae(seed: int) -> Sae:
    draw = torch.Generator().manual_seed(seed)
    w_dec = torch.randn(D_SAE, D_MODEL, generator=draw)
    w_enc = torch.randn(D_MODEL, D_SAE, generator=draw)
    b_dec = torch.randn(D_MODEL, generator=draw)
    return Sae(w_enc, torch.zeros(D_SAE), w_dec, b_dec, TopK(4), 2.5)


def read(n: int = N, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Residuals of two models on the same tokens, and which of them are of pictures."""
    draw = torch.Generator().manual_seed(seed)
    of_base = torch.randn(n, D_MODEL, generator=draw)
    of_vlm = of_base + 0.5 * torch.randn(n, D_MODEL, generator=draw)
    return of_base, of_vlm, torch.randint(2, (n,), generator=draw)


def summed(base: Sae, vlm: Sae, *tokens: Tensor) -> ScalingSums:
    sums = ScalingSums.empty(D_SAE)
    of_base, of_vlm, group = tokens
    sums.add(Reader.of(base), of_base, Reader.of(vlm), of_vlm, group)
    return sums


def dense(sae: Sae, residual: Tensor) -> np.ndarray:
    codes = encode(sae, residual)
    return torch.zeros(len(residual), D_SAE).scatter_add(1, codes.indices, codes.values).numpy()


def fitted(base: Sae, own: Sae, of_base: Tensor, of_own: Tensor, f: int) -> float:
    """beta of feature f by numpy: one column, a row per token and dimension."""
    a, mine = dense(base, of_base), dense(own, of_own)
    fires = a[:, f] > 0
    unit = (own.w_dec / own.w_dec.norm(dim=1, keepdim=True)).numpy()
    others = np.delete(mine, f, 1) @ np.delete(unit, f, 0)
    y = own.scale * of_own.numpy() - own.b_dec.numpy() - others
    column = np.einsum("t,d->td", a[fires, f], unit[f]).reshape(-1, 1)
    return float(np.linalg.lstsq(column, y[fires].reshape(-1), rcond=None)[0][0])


def test_beta_is_numpys_least_squares_in_each_model_and_group() -> None:
    base, vlm = random_sae(1), random_sae(2)
    of_base, of_vlm, group = read()

    found = latent_scaling(summed(base, vlm, of_base, of_vlm, group))

    for number in (0, 1):
        here = (of_base[group == number], of_vlm[group == number])
        for f in range(D_SAE):
            if not (dense(base, here[0])[:, f] > 0).any():
                assert found.scale[number, f].isnan()
                continue
            of_base_model = fitted(base, base, here[0], here[0], f)
            of_the_vlm = fitted(base, vlm, *here, f)
            assert float(found.base[number, f]) == pytest.approx(of_base_model, abs=1e-4)
            assert float(found.vlm[number, f]) == pytest.approx(of_the_vlm, abs=1e-4)


def test_a_part_that_is_written_half_as_strongly_has_half_the_scale_wherever_it_points() -> None:
    """Orthogonal features, no noise: halved, turned, kept, gone."""
    eye = torch.eye(8)
    base = Sae(eye, torch.zeros(8), eye.clone(), torch.zeros(8), TopK(2), 1.0)
    turned = eye[[0, 5, 2, 3, 4, 1, 6, 7]]
    vlm = base._replace(w_enc=turned.T.contiguous(), w_dec=turned)
    a = 1 + torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    of_base = torch.cat([torch.diag_embed(a).reshape(-1, 4), torch.zeros(200, 4)], 1)
    strength = torch.tensor([0.5, 1.0, 1.0, 0.0])
    of_vlm = (torch.diag_embed(a * strength).reshape(-1, 4)) @ turned[:4]

    found = latent_scaling(summed(base, vlm, of_base, of_vlm, torch.zeros(200).long()))

    assert found.scale[0, :4].tolist() == pytest.approx([0.5, 1.0, 1.0, 0.0])
    assert found.base[0, :4].tolist() == pytest.approx([1.0] * 4)
    assert found.standard_error[0, :4].tolist() == pytest.approx([0.0] * 4, abs=1e-6)
    assert found.scale[1].isnan().all()  # no token of a picture


def test_the_standard_error_is_that_of_a_regression_through_the_origin() -> None:
    base, vlm = random_sae(1), random_sae(2)
    of_base, of_vlm, _ = read()
    found = latent_scaling(summed(base, vlm, of_base, of_vlm, torch.zeros(N).long()))
    f = int(found.base[0].nan_to_num().argmax())

    a = dense(base, of_base)[:, f]
    codes = encode(vlm, of_vlm)
    at_f = torch.full((N, 1), f)
    y = Reader.of(vlm).parts(of_vlm, codes, at_f)[:, 0].double().numpy()[a > 0]
    a = a[a > 0].astype(float)
    beta = (a @ y) / (a @ a)
    expected = np.sqrt(((y - beta * a) ** 2).sum() / (len(a) - 1) / (a @ a))
    assert float(found.standard_error[0, f] * found.base[0, f]) == pytest.approx(expected, rel=1e-4)


def test_shrunk_is_what_lies_below_the_limit_with_its_interval() -> None:
    scale = torch.tensor([[0.5, 0.7, 0.7, 1.0, torch.nan]])
    error = torch.tensor([[0.1, 0.01, 0.1, 0.0, torch.nan]])

    found = is_shrunk(LatentScaling(scale, scale, scale, error))

    assert found.tolist() == [[True, True, False, False, False]]


def test_shards_add_up_and_other_tokens_are_refused() -> None:
    base, vlm = random_sae(1), random_sae(2)
    of_base, of_vlm, group = read()
    whole = summed(base, vlm, of_base, of_vlm, group)

    first = summed(base, vlm, of_base[:150], of_vlm[:150], group[:150])
    first.merge(summed(base, vlm, of_base[150:], of_vlm[150:], group[150:]))

    for mine, expected in zip(first, whole, strict=True):
        torch.testing.assert_close(mine, expected)
    with pytest.raises(ValueError, match="400 residuals of the base model, 399 of the VLM"):
        summed(base, vlm, of_base, of_vlm[:-1], group)
