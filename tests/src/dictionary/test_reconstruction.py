import pytest
import torch
from sae_lens.evals import ExplainedVarianceCalculator

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.reconstruction import (
    held_out,
    held_out_parts,
    reconstruction,
    reconstructions,
)
from feature_atlas.dictionary.sae import Sae, decode, encode
from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.token_roles import Role

TEXT = (Role.QUESTION, Role.HEADER)


def a_sae(d_model: int = 8, d_sae: int = 32, k: int = 4) -> Sae:
    return Sae(
        torch.randn(d_model, d_sae),
        torch.randn(d_sae),
        torch.randn(d_sae, d_model),
        torch.randn(d_model),
        TopK(k),
        1.5,
    )


def tokens_of(roles: list[Role], n_layers: int = 1) -> Tokens:
    n = len(roles)
    numbers = torch.tensor(roles)
    residuals = {layer: 3 + torch.randn(n, 8) for layer in range(n_layers)}
    for x in residuals.values():
        x[numbers == Role.BOS] = 100.0  # every BOS is the same
    return Tokens(residuals, numbers, torch.arange(n))


def test_fvu_and_l0_are_those_of_the_definition_in_float64():
    sae, x = a_sae(), torch.randn(100, 8)
    codes = encode(sae, x)
    error = (x.double() - decode(sae, codes).double()).square().sum()
    variance = (x.double() - x.double().mean(0)).square().sum()

    found = reconstruction(sae, x, chunk=7)

    assert found.fvu == pytest.approx(float(error / variance))
    assert found.l0 == pytest.approx(float((codes.values > 0).sum(1).double().mean()))
    assert found.n_tokens == 100


@pytest.mark.parametrize("offset", [0.0, 30.0])  # a mean far from 0 must not cost digits
def test_fvu_is_one_minus_the_explained_variance_of_sae_lens(offset: float):
    sae = a_sae()
    sae = sae._replace(b_dec=sae.b_dec + offset * sae.scale)
    x = decode(sae, encode(sae, torch.randn(500, 8))) + torch.randn(500, 8).cumsum(0) / 10
    theirs = ExplainedVarianceCalculator()
    for part in x.split(70):
        # in float32 theirs loses the digits: it subtracts the mean's square from the squares' mean
        theirs.add_batch(decode(sae, encode(sae, part)).double(), part.double())

    ours = reconstruction(sae, x, chunk=70)  # other chunks round otherwise, and a tie may fall so

    assert 1 - ours.fvu == pytest.approx(theirs.compute(), abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_tokens_have_no_fvu(dtype: torch.dtype):
    equal = torch.randn(8).expand(20, 8).to(dtype)
    rounding = 1 + torch.finfo(dtype).eps * torch.randint(-1, 2, (20, 1)).to(dtype)

    for tokens in (equal, equal * rounding):
        with pytest.raises(ValueError, match="20 tokens without variance"):
            reconstruction(a_sae(), tokens)


def test_sets_are_judged_as_if_alone():
    roles = [Role.BOS, *[Role.IMAGE] * 5, *[Role.QUESTION] * 3, Role.HEADER] * 9
    sae, tokens = a_sae(), tokens_of(roles, n_layers=2)

    held = held_out(tokens.residuals[1], tokens.roles, [TEXT], n_tokens=30)
    found = reconstructions(sae, held)

    x = tokens.residuals[1]
    for members in (TEXT, (Role.IMAGE,), (Role.QUESTION,), (Role.HEADER,)):
        first = x[torch.isin(tokens.roles, torch.tensor(members))][:30]
        assert found[members].fvu == pytest.approx(reconstruction(sae, first).fvu)
        assert found[members].l0 == pytest.approx(reconstruction(sae, first).l0)
        assert found[members].n_tokens == len(first)
    assert found[TEXT].n_tokens == 30
    assert found[(Role.HEADER,)].n_tokens == 9
    assert len(held.residual) < 30 + 30 + 9 + 30  # no token is kept twice


def test_a_role_without_variance_has_no_number_but_a_regime_without_is_refused():
    tokens = tokens_of([Role.BOS, Role.QUESTION, Role.QUESTION] * 4)

    x, of_token = tokens.residuals[0], tokens.roles
    assert (Role.BOS,) not in held_out(x, of_token, [TEXT], 10).members
    with pytest.raises(ValueError, match=r" roles image, on which a regime trains"):
        held_out(x, of_token, [(Role.IMAGE,)], 10)
    with pytest.raises(ValueError, match=r" roles bos"):
        held_out(x, of_token, [(Role.BOS,)], 10)


def test_held_out_tokens_are_the_first_of_every_set_and_no_more_are_run():
    roles = [Role.BOS, *[Role.IMAGE] * 5, Role.QUESTION, Role.QUESTION, Role.HEADER]
    parts = [tokens_of(roles) for _ in range(20)]
    n_run = 0

    def passes():
        nonlocal n_run
        for part in parts:
            n_run += 1
            yield part

    kept = list(held_out_parts(passes(), [TEXT, (Role.IMAGE,)], n_tokens=12))

    assert n_run == 4  # three question or header tokens in each
    of_token = torch.cat([part.roles for part in kept])
    assert of_token.bincount().tolist() == [4, 0, 12, 8, 0, 4]
    everything = torch.cat([part.residuals[0] for part in parts])
    is_text = torch.isin(torch.tensor(roles * 20), torch.tensor(TEXT))
    x = torch.cat([part.residuals[0] for part in kept])
    ours = held_out(x, of_token, [TEXT], 12)
    assert torch.equal(ours.residual[ours.members[TEXT]], everything[is_text][:12])


def test_no_held_out_prompts_are_named():
    with pytest.raises(ValueError, match="no held-out prompts"):
        list(held_out_parts(iter([]), [TEXT], 5))
