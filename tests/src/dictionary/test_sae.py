import pytest
import torch

from feature_atlas.dictionary.sae import (
    TopKSae,
    decode,
    encode,
    folded,
    from_sae_lens,
    from_training_sae,
    random_sae,
    to_training_sae,
    unit_directions,
)


def some_sae(scale: float = 2.5, d_model: int = 12, d_sae: int = 40, k: int = 5) -> TopKSae:
    return TopKSae(
        w_enc=torch.randn(d_model, d_sae),
        b_enc=torch.randn(d_sae) * 0.1,
        w_dec=torch.randn(d_sae, d_model) * torch.rand(d_sae, 1).add(0.5),
        b_dec=torch.randn(d_model) * 0.1,
        k=k,
        scale=scale,
    )


def test_a_code_worked_by_hand():
    sae = TopKSae(
        w_enc=torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
        b_enc=torch.tensor([0.0, 1.0, 0.0]),
        w_dec=torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        b_dec=torch.zeros(2),
        k=1,
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
    top = gate.topk(sae.k, dim=1)
    dense.scatter_(1, top.indices, top.values.clamp_min(0))
    expected = (dense @ (sae.w_dec.double() / norm[:, None]) + sae.b_dec.double()) / sae.scale

    torch.testing.assert_close(decode(sae, encode(sae, x)).double(), expected, rtol=1e-4, atol=1e-5)


def test_encoding_is_that_of_saelens_training_sae_in_the_normalised_space():
    sae, x = some_sae(), torch.randn(50, 12)
    theirs = to_training_sae(sae).encode(sae.scale * x)
    ours = torch.zeros_like(theirs).scatter_(1, encode(sae, x).indices, encode(sae, x).values)

    torch.testing.assert_close(ours, theirs)


def test_the_folded_sae_is_read_by_saelens_with_the_same_reconstruction(tmp_path):
    from sae_lens import SAE
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    sae, x = some_sae(), torch.randn(30, 12)
    exported = TopKSAE(
        TopKSAEConfig(
            d_in=12, d_sae=40, k=5, apply_b_dec_to_input=False, normalize_activations="none"
        )
    )
    exported.load_state_dict(folded(sae))
    exported.save_model(tmp_path)

    loaded = SAE.load_from_disk(tmp_path)

    torch.testing.assert_close(loaded(x), decode(sae, encode(sae, x)), rtol=1e-4, atol=1e-5)


def test_reading_a_folded_sae_back_gives_the_same_codes(tmp_path):
    from sae_lens import SAE
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    sae, x = some_sae(), torch.randn(30, 12)
    exported = TopKSAE(TopKSAEConfig(d_in=12, d_sae=40, k=5, apply_b_dec_to_input=False))
    exported.load_state_dict(folded(sae))
    exported.save_model(tmp_path)

    back = from_sae_lens(SAE.load_from_disk(tmp_path), scale=sae.scale)

    torch.testing.assert_close(encode(back, x).values, encode(sae, x).values)
    assert torch.equal(encode(back, x).indices, encode(sae, x).indices)
    torch.testing.assert_close(unit_directions(back), unit_directions(sae))


def test_training_weights_come_back_unchanged():
    sae = some_sae()

    back = from_training_sae(to_training_sae(sae), sae.scale)

    assert all(torch.equal(a, b) for a, b in zip(back[:4], sae[:4], strict=True))


def jumprelu(sae: TopKSae, threshold: torch.Tensor):
    """Llama Scope as SAELens reads it: a threshold, and the scale folded in by SAELens itself."""
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    d_model, d_sae = sae.w_enc.shape
    other = JumpReLUSAE(JumpReLUSAEConfig(d_in=d_model, d_sae=d_sae, apply_b_dec_to_input=False))
    weights = {"W_enc": sae.w_enc, "b_enc": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    other.load_state_dict({n: t.clone() for n, t in weights.items()} | {"threshold": threshold})
    other.fold_activation_norm_scaling_factor(sae.scale)
    return other


def test_a_jumprelu_sae_with_one_threshold_is_the_topk_sae_it_was_in_training():
    sae = some_sae()

    back = from_sae_lens(jumprelu(sae, torch.full((40,), 0.7)), sae.scale, k=5)

    for found, expected in zip(back[:4], sae[:4], strict=True):
        torch.testing.assert_close(found, expected)
    assert (back.k, back.scale) == (5, sae.scale)


def test_a_jumprelu_sae_with_thresholds_of_its_own_is_refused():
    sae = some_sae()

    with pytest.raises(ValueError, match="thresholds of their own"):
        from_sae_lens(jumprelu(sae, torch.rand(40)), sae.scale, k=5)


def test_a_jumprelu_sae_without_its_k_is_refused():
    sae = some_sae()

    with pytest.raises(ValueError, match=r"without its k: set sae\.k"):
        from_sae_lens(jumprelu(sae, torch.ones(40)), sae.scale)


def test_another_architecture_is_refused_with_what_to_use():
    from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig

    other = StandardSAE(StandardSAEConfig(d_in=4, d_sae=8, apply_b_dec_to_input=False))

    with pytest.raises(ValueError, match=r"architecture 'standard', expected 'topk'.*TopK release"):
        from_sae_lens(other, scale=1.0)


def topk(**settings: object):
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    return TopKSAE(TopKSAEConfig(**{"d_in": 4, "d_sae": 8, "k": 3} | settings))


def test_another_k_than_that_of_training_is_refused():
    with pytest.raises(
        ValueError, match=r"k is 5, and the SAE was trained with 3: set sae\.k to 3"
    ):
        from_sae_lens(topk(apply_b_dec_to_input=False), scale=1.0, k=5)


@pytest.mark.parametrize(
    "settings",
    [
        {"apply_b_dec_to_input": True},
        {"apply_b_dec_to_input": False, "normalize_activations": "expected_average_only_in"},
    ],
)
def test_a_bias_or_a_scale_that_is_applied_to_the_input_is_refused(settings):
    with pytest.raises(ValueError, match="load the final, folded checkpoint"):
        from_sae_lens(topk(**settings), scale=1.0)


def test_free_decoder_norms_that_the_gate_ignores_are_refused():
    sae = topk(apply_b_dec_to_input=False)
    sae.W_dec.data *= 2

    with pytest.raises(ValueError, match="free decoder norms whose gate ignores them"):
        from_sae_lens(sae, scale=1.0)


def test_a_residual_of_another_width_is_refused():
    with pytest.raises(ValueError, match="residual of width 7, SAE of width 12"):
        encode(some_sae(), torch.randn(3, 7))


def test_the_random_dictionary_is_the_same_for_the_same_seed_only():
    sae = some_sae()

    assert torch.equal(random_sae(sae, 1).w_dec, random_sae(sae, 1).w_dec)
    assert not torch.equal(random_sae(sae, 1).w_dec, random_sae(sae, 2).w_dec)
