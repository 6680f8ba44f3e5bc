"""A dictionary written in bfloat16: what rounding turns, by its bound, and the same gate again."""

import pytest
import torch

from feature_atlas.dictionary.gate import Gate, Threshold, TopK
from feature_atlas.dictionary.reconstruction import reconstruction
from feature_atlas.dictionary.sae import Sae, encode, random_sae
from feature_atlas.etl.inputs.saes import load_sae, save_sae
from feature_atlas.features.decoder_cosine import decoder_cosine

D_MODEL, D_SAE, SCALE = 64, 512, 1.7


def an_sae(gate: Gate, seed: int = 0) -> Sae:
    random = torch.Generator().manual_seed(seed)
    empty = torch.zeros(D_MODEL, D_SAE), torch.zeros(D_SAE)
    blank = Sae(*empty, torch.zeros(D_SAE, D_MODEL), torch.zeros(D_MODEL), TopK(8), SCALE)
    made = random_sae(blank, seed)
    lengths = 0.5 + torch.rand(D_SAE, 1, generator=random)
    bias = 0.1 * torch.randn(D_SAE, generator=random)
    return made._replace(w_dec=made.w_dec * lengths, b_enc=bias, gate=gate)


@pytest.fixture(params=[TopK(8), TopK(8, sees_norms=False), Threshold(torch.full((D_SAE,), 0.8))])
def original(request: pytest.FixtureRequest) -> Sae:
    return an_sae(request.param)


@pytest.fixture
def read_again(original: Sae, tmp_path) -> Sae:
    said = {"model_name": "m", "hook_name": "blocks.0.hook_resid_post"}
    save_sae(original, tmp_path / "sae", said, "bfloat16")
    return load_sae(tmp_path / "sae")


def test_it_takes_half_the_room_and_has_the_same_gate(original: Sae, read_again: Sae, tmp_path):
    (file,) = (tmp_path / "sae").glob("*.safetensors")

    assert file.stat().st_size < 1.05 * 2 * 2 * D_MODEL * D_SAE
    assert type(read_again.gate) is type(original.gate)
    if isinstance(original.gate, TopK):
        assert read_again.gate == original.gate
    assert read_again.scale == SCALE


def test_a_row_is_turned_by_less_than_its_bound(original: Sae, read_again: Sae):
    """A number is off by 2^-8 of itself at most, and so is a row: cosines are above 1 - 2^-17."""
    own = decoder_cosine(original.w_dec, read_again.w_dec)
    base = an_sae(TopK(8), seed=1)
    before, after = (decoder_cosine(base.w_dec, sae.w_dec) for sae in (original, read_again))

    assert (own > 1 - 2**-17 - 1e-7).all()
    assert (own < 1).any()
    assert (before - after).abs().max() < 2**-8
    assert (before - after).abs().mean() < 2**-8 / D_MODEL**0.5


def test_sae_lens_reads_the_same_codes_from_it(read_again: Sae, tmp_path):
    from sae_lens import SAE

    theirs = SAE.load_from_disk(tmp_path / "sae")
    residual = torch.randn(50, D_MODEL)

    codes = encode(read_again, residual)

    dense = torch.zeros(50, D_SAE).scatter_add(1, codes.indices, codes.values)
    found = theirs.to(dtype=torch.float32).encode(residual)
    if not getattr(theirs.cfg, "rescale_acts_by_decoder_norm", False):
        found = found * theirs.W_dec.float().norm(dim=-1)  # there activations are before the norms
    torch.testing.assert_close(found * SCALE, dense, atol=1e-4, rtol=1e-3)


def test_the_error_that_it_leaves_is_hardly_another(original: Sae, read_again: Sae):
    residual = torch.randn(2000, D_MODEL) / SCALE

    before, after = (reconstruction(sae, residual) for sae in (original, read_again))

    assert after.fvu == pytest.approx(before.fvu, rel=2e-3)
    assert after.l0 == pytest.approx(before.l0, rel=1e-2)
