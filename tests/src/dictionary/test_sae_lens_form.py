"""Every gate that SAELens has: its own encode, before and after it is read, trained and written."""

import pytest
import torch
from random_sae import clear_of_ties, some_sae

from feature_atlas.dictionary.gate import Threshold, TopK
from feature_atlas.dictionary.sae import Sae, decode, encode, unit_directions
from feature_atlas.dictionary.sae_lens_form import (
    folded,
    from_sae_lens,
    from_training_sae,
    to_sae_lens,
    to_training_sae,
)


def test_encoding_is_that_of_saelens_training_sae_in_the_normalised_space():
    sae = some_sae()
    x = clear_of_ties(sae, torch.randn(50, 12))
    theirs = to_training_sae(sae).encode(sae.scale * x)
    ours = torch.zeros_like(theirs).scatter_(1, encode(sae, x).indices, encode(sae, x).values)

    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_folded_sae_is_read_by_saelens_with_the_same_reconstruction(tmp_path):
    from sae_lens import SAE
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    sae = some_sae()
    x = clear_of_ties(sae, torch.randn(30, 12))
    exported = TopKSAE(
        TopKSAEConfig(
            d_in=12, d_sae=40, k=5, apply_b_dec_to_input=False, normalize_activations="none"
        )
    )
    exported.load_state_dict(folded(sae))
    exported.save_model(tmp_path)

    loaded = SAE.load_from_disk(tmp_path)

    torch.testing.assert_close(loaded(x), decode(sae, encode(sae, x)), rtol=1e-4, atol=1e-4)


def test_reading_a_folded_sae_back_gives_the_same_codes(tmp_path):
    from sae_lens import SAE
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    sae = some_sae()
    x = clear_of_ties(sae, torch.randn(30, 12))
    exported = TopKSAE(TopKSAEConfig(d_in=12, d_sae=40, k=5, apply_b_dec_to_input=False))
    exported.load_state_dict(folded(sae))
    exported.save_model(tmp_path)

    back = from_sae_lens(SAE.load_from_disk(tmp_path), scale=sae.scale)

    values = encode(sae, x).values
    torch.testing.assert_close(encode(back, x).values, values, rtol=1e-4, atol=1e-4)
    assert torch.equal(encode(back, x).indices, encode(sae, x).indices)
    torch.testing.assert_close(unit_directions(back), unit_directions(sae))


def test_training_weights_come_back_unchanged():
    sae = some_sae()

    back = from_training_sae(to_training_sae(sae), sae.scale)

    assert all(torch.equal(a, b) for a, b in zip(back[:4], sae[:4], strict=True))


def llama_scope(sae: Sae, threshold: torch.Tensor):
    """Llama Scope as SAELens reads it: a threshold, and the scale folded in by SAELens itself."""
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    d_model, d_sae = sae.w_enc.shape
    said = SAEMetadata(dataset_path="cerebras/SlimPajama-627B")
    other = JumpReLUSAE(
        JumpReLUSAEConfig(d_in=d_model, d_sae=d_sae, apply_b_dec_to_input=False, metadata=said)
    )
    weights = {"W_enc": sae.w_enc, "b_enc": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    other.load_state_dict({n: t.clone() for n, t in weights.items()} | {"threshold": threshold})
    other.fold_activation_norm_scaling_factor(sae.scale)
    return other


def test_llama_scope_as_saelens_reads_it_is_the_topk_sae_it_was_in_training():
    sae = some_sae()

    back = from_sae_lens(llama_scope(sae, torch.full((40,), 0.7)), sae.scale, k=5)

    for found, expected in zip(back[:4], sae[:4], strict=True):
        torch.testing.assert_close(found, expected)
    assert (back.gate.k, back.scale) == (5, sae.scale)


def test_llama_scope_without_its_k_is_refused():
    sae = some_sae()

    with pytest.raises(ValueError, match=r"without its k: set sae\.k"):
        from_sae_lens(llama_scope(sae, torch.ones(40)), sae.scale)


def topk(**settings: object):
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    return TopKSAE(TopKSAEConfig(**{"d_in": 4, "d_sae": 8, "k": 3} | settings))


def test_another_k_than_that_of_training_is_refused():
    with pytest.raises(
        ValueError, match=r"k is 5, and the SAE was trained with 3: set sae\.k to 3"
    ):
        from_sae_lens(topk(apply_b_dec_to_input=False), scale=1.0, k=5)


def in_units(codes, sae: Sae) -> torch.Tensor:
    """Dense activations in raw units: what SAELens' encode gives where decoder rows are unit."""
    dense = torch.zeros(len(codes.values), len(sae.w_dec))
    return dense.scatter_add(1, codes.indices, codes.values) / sae.scale


def jumprelu(**settings: object):
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    return JumpReLUSAE(JumpReLUSAEConfig(**{"d_in": 12, "d_sae": 40} | settings))


def standard(**settings: object):
    from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig

    return StandardSAE(StandardSAEConfig(**{"d_in": 12, "d_sae": 40} | settings))


def filled(sae, theta: torch.Tensor | float = 0.5):
    """Random weights with decoder rows of any length."""
    for name, weight in sae.named_parameters():
        weight.data = torch.randn_like(weight)
        if name == "threshold":
            weight.data = torch.as_tensor(theta).expand(40).clone()
    return sae


MADE = {
    "topk": lambda **s: filled(topk(d_in=12, d_sae=40, k=5, **s)),
    "topk, norms seen": lambda **s: filled(
        topk(d_in=12, d_sae=40, k=5, rescale_acts_by_decoder_norm=True, **s)
    ),
    "one threshold": lambda **s: filled(jumprelu(**s), 1.5),
    "thresholds": lambda **s: filled(jumprelu(**s), 4 * torch.rand(40)),
    "thresholds below 0": lambda **s: filled(jumprelu(**s), torch.randn(40)),
    "relu": lambda **s: filled(standard(**s)),
}


@pytest.mark.parametrize("bias_first", [False, True])
@pytest.mark.parametrize("made", MADE)
def test_a_gate_fires_what_saelens_fires_and_rebuilds_what_it_rebuilds(made, bias_first):
    theirs, x = MADE[made](apply_b_dec_to_input=bias_first), torch.randn(60, 12)

    ours = from_sae_lens(theirs, scale=2.5)

    norm = 1.0 if "seen" in made else theirs.W_dec.norm(dim=-1)
    codes = encode(ours, x)
    torch.testing.assert_close(in_units(codes, ours), theirs.encode(x) * norm, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(decode(ours, codes), theirs(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("made", MADE)
def test_weights_of_the_normalised_space_are_taken_as_they_are(made):
    theirs = MADE[made](normalize_activations="expected_average_only_in")
    x, scale = torch.randn(60, 12), 2.5

    ours = from_sae_lens(theirs, scale)

    codes = encode(ours, x)
    torch.testing.assert_close(decode(ours, codes) * scale, theirs(x * scale), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("made", MADE)
def test_an_sae_of_any_gate_is_written_and_read_again(made, tmp_path):
    from sae_lens import SAE
    from sae_lens.saes.sae import SAEMetadata

    sae, x = from_sae_lens(MADE[made](), scale=2.5), torch.randn(60, 12)

    to_sae_lens(sae, SAEMetadata()).save_model(tmp_path)
    theirs = SAE.load_from_disk(tmp_path)
    again = from_sae_lens(theirs, scale=2.5)

    expected = decode(sae, encode(sae, x))
    torch.testing.assert_close(decode(again, encode(again, x)), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(theirs(x), expected, rtol=1e-4, atol=1e-4)
    assert again.gate._fields == sae.gate._fields


@pytest.mark.parametrize("made", MADE)
def test_training_starts_from_the_gate_and_gives_it_back(made):
    sae, x = from_sae_lens(MADE[made](), scale=2.5), torch.randn(60, 12)

    trainable = to_training_sae(sae)
    back = from_training_sae(trainable, sae.scale)

    theirs = trainable.decode(trainable.encode(sae.scale * x)) / sae.scale
    torch.testing.assert_close(decode(sae, encode(sae, x)), theirs, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(back[:4], sae[:4], strict=True))
    for mine, other in zip(back.gate, sae.gate, strict=True):
        assert torch.equal(torch.as_tensor(mine), torch.as_tensor(other))


def test_k_is_refused_where_thresholds_decide():
    from sae_lens.saes.sae import SAEMetadata

    trained = SAEMetadata(training_architecture="batchtopk")

    with pytest.raises(ValueError, match=r"k is 50.*\(batchtopk\).*leave sae\.k out"):
        from_sae_lens(filled(jumprelu(metadata=trained)), scale=1.0, k=50)


@pytest.mark.parametrize("stated", ["layer_norm", "constant_norm_rescale", "covariance_whitening"])
def test_a_scale_of_each_tokens_own_is_refused(stated):
    with pytest.raises(ValueError, match=f"normalize_activations='{stated}', expected 'none'"):
        from_sae_lens(filled(jumprelu(normalize_activations=stated)), scale=1.0)


def test_another_architecture_is_refused_with_what_is_read():
    from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig

    with pytest.raises(ValueError, match="architecture 'gated', expected one of topk, jumprelu"):
        from_sae_lens(GatedSAE(GatedSAEConfig(d_in=4, d_sae=8)), scale=1.0)


def test_frozen_thresholds_do_not_move_while_the_rest_trains():
    sae = from_sae_lens(MADE["thresholds"](), scale=1.0)
    trainable = to_training_sae(sae)
    x = torch.randn(200, 12)

    optimizer = torch.optim.Adam(trainable.parameters(), lr=1e-2)
    (trainable(x) - x).square().sum().backward()
    optimizer.step()

    back = from_training_sae(trainable, 1.0)
    assert isinstance(back.gate, Threshold)
    assert torch.equal(back.gate.theta, sae.gate.theta)
    assert not torch.equal(back.w_enc, sae.w_enc)


def test_unit_rows_make_no_difference_between_the_topk_gates():
    theirs = MADE["topk"]()
    theirs.W_dec.data = torch.nn.functional.normalize(theirs.W_dec.data, dim=-1)

    assert from_sae_lens(theirs, scale=1.0).gate == TopK(5, sees_norms=True)
