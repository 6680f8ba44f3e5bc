"""Edits of a layer's text positions, against plain formulas in float64."""

import pytest
import torch
from torch import Tensor

from feature_atlas.ablation.intervention import (
    Edit,
    addition,
    directional,
    orthonormal_basis,
    scaled,
    span_removal,
    subtraction,
    to_mean,
)
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Encoder, Sae, decode, encode

D_MODEL = 24


def hidden_and_text(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(3, 7, D_MODEL, generator=generator)
    return hidden, torch.arange(7).expand(3, 7) >= 4


def unit_rows(n: int, seed: int = 1) -> Tensor:
    rows = torch.randn(n, D_MODEL, generator=torch.Generator().manual_seed(seed))
    return rows / rows.norm(dim=-1, keepdim=True)


def small_sae(seed: int = 2) -> Sae:
    generator = torch.Generator().manual_seed(seed)
    return Sae(
        torch.randn(D_MODEL, 40, generator=generator),
        torch.randn(40, generator=generator) / 10,
        3 * torch.randn(40, D_MODEL, generator=generator),
        torch.zeros(D_MODEL),
        gate=TopK(5),
        scale=2.5,
    )


def edits() -> dict[str, Edit]:
    v, sae = unit_rows(1)[0], small_sae()
    hidden, is_text = hidden_and_text()
    fires = int(encode(sae, hidden[is_text]).indices[0, 0])  # on the first token at least
    return {
        "directional": directional(v),
        "scaled": scaled(v, 1.7),
        "to_mean": to_mean(v, 0.4),
        "subtraction": subtraction(sae, Encoder.of(sae), fires),
        "span_removal": span_removal(unit_rows(4)),
        "addition": addition(v, 2.0),
    }


@pytest.mark.parametrize("name", edits())
def test_an_edit_returns_a_new_tensor_with_images_bit_identical(name: str) -> None:
    hidden, is_text = hidden_and_text()
    before = hidden.clone()

    edited = edits()[name](hidden, is_text)

    assert torch.equal(hidden, before)
    assert torch.equal(edited[~is_text], hidden[~is_text])
    assert not torch.equal(edited[is_text], hidden[is_text])


def test_a_direction_is_gone_or_at_its_mean() -> None:
    (hidden, is_text), v = hidden_and_text(), unit_rows(1)[0]

    gone = directional(v)(hidden, is_text)[is_text] @ v
    at_mean = to_mean(v, 0.4)(hidden, is_text)[is_text] @ v

    assert gone.abs().max() < 1e-6 * hidden.norm(dim=-1).min()
    torch.testing.assert_close(at_mean, torch.full_like(at_mean, 0.4), atol=1e-5, rtol=0)


def test_the_mean_as_mean_leaves_the_mean_alone() -> None:
    (hidden, is_text), v = hidden_and_text(), unit_rows(1)[0]
    mean = hidden[is_text].mean(0)

    edited = to_mean(v, float(mean @ v))(hidden, is_text)[is_text]

    torch.testing.assert_close(edited.mean(0), mean, atol=1e-5, rtol=1e-4)


def test_subtracting_a_feature_takes_what_it_adds_to_the_reconstruction() -> None:
    (hidden, is_text), sae = hidden_and_text(), small_sae()
    y = hidden[is_text]
    codes = encode(sae, y)
    feature = int(codes.indices[0, 0])  # fires on the first token at least
    without = codes._replace(values=torch.where(codes.indices == feature, 0, codes.values))

    edited = subtraction(sae, Encoder.of(sae), feature)(hidden, is_text)[is_text]

    torch.testing.assert_close(y - edited, decode(sae, codes) - decode(sae, without))
    is_silent = ~((codes.indices == feature) & (codes.values > 0)).any(-1)
    assert is_silent.any()
    assert torch.equal(edited[is_silent], y[is_silent])


def test_a_span_is_projected_out_as_least_squares_says() -> None:
    (hidden, is_text), rows = hidden_and_text(), unit_rows(4)

    edited = span_removal(rows)(hidden, is_text)[is_text]

    y, basis = hidden[is_text].double(), rows.double().T
    residual = y - (basis @ torch.linalg.lstsq(basis, y.T).solution).T
    torch.testing.assert_close(edited.double(), residual, atol=1e-5, rtol=1e-4)
    assert (edited @ rows.T).abs().max() < 1e-5


def test_one_after_another_is_not_the_span_unless_they_are_orthogonal() -> None:
    hidden, is_text = hidden_and_text()
    v, w = unit_rows(2)

    in_turn = directional(w)(directional(v)(hidden, is_text), is_text)[is_text]

    assert (in_turn @ v).abs().max() > 0.01  # some of v came back
    together = span_removal(torch.stack([v, w]))(hidden, is_text)[is_text]
    assert (together @ v).abs().max() < 1e-5


def test_zero_rows_and_repeats_add_nothing_to_a_span() -> None:
    rows = unit_rows(3)

    basis = orthonormal_basis(torch.cat([rows, rows[:2], torch.zeros(1, D_MODEL)]))

    assert len(basis) == 3
    torch.testing.assert_close(basis @ basis.T, torch.eye(3), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="no directions"):
        orthonormal_basis(rows[:0])


def test_nothing_added_and_a_zero_direction_change_no_bit() -> None:
    (hidden, is_text), v = hidden_and_text(), unit_rows(1)[0]

    assert torch.equal(addition(v, 0.0)(hidden, is_text), hidden)
    assert torch.equal(directional(torch.zeros(D_MODEL))(hidden, is_text), hidden)
    assert torch.equal(span_removal(torch.zeros(2, D_MODEL))(hidden, is_text), hidden)


def test_what_is_added_is_as_long_as_said_and_can_be_taken_away_again() -> None:
    (hidden, is_text), v = hidden_and_text(), unit_rows(1)[0]

    added = addition(v, 3.0)(hidden, is_text)

    torch.testing.assert_close((added - hidden)[is_text].norm(dim=-1), torch.full((9,), 3.0))
    torch.testing.assert_close(addition(v, -3.0)(added, is_text), hidden, atol=1e-5, rtol=1e-4)


def test_a_direction_of_another_length_is_refused() -> None:
    for make in (directional, lambda v: to_mean(v, 0), lambda v: addition(v, 1)):
        with pytest.raises(ValueError, match="direction of length 2, expected 1"):
            make(2 * unit_rows(1)[0])
