import pytest
import torch

from feature_atlas.adapt import adapt, reconstruction, starting_point
from feature_atlas.sae import TopKSae, random_sae


def a_base(d_model: int = 8, d_sae: int = 32, k: int = 4, scale: float = 1.5) -> TopKSae:
    zeros = TopKSae(
        torch.zeros(d_model, d_sae),
        torch.zeros(d_sae),
        torch.zeros(d_sae, d_model),
        torch.zeros(d_model),
        k,
        scale,
    )
    base = random_sae(zeros, seed=3)
    return base._replace(b_enc=torch.where(torch.arange(d_sae) < 5, -1e3, 0.0))  # 5 never fire


def a_stream(scale: float, seed: int, d_model: int = 8):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(3, d_model, generator=torch.Generator().manual_seed(9))
    while True:
        yield {"0": scale * torch.randn(64, 3, generator=generator) @ mixing}


def adapted(n_tokens: int = 2560, learning_rate: float = 1e-2):
    base = a_base()
    held_out = next(a_stream(1.0, seed=1))["0"]
    return base, adapt(
        {0: base},
        a_stream(base.scale, seed=0),
        held_out={0: held_out},
        n_tokens=n_tokens,
        batch_size=64,
        learning_rate=learning_rate,
        n_evaluations=4,
        buffer_size=256,
    )


def test_fvu_and_l0_are_those_of_the_definition_in_float64():
    sae, x = a_base(), torch.randn(100, 8)
    from feature_atlas.sae import decode, encode

    rebuilt = decode(sae, encode(sae, x)).double()
    error = (x.double() - rebuilt).square().sum()
    variance = (x.double() - x.double().mean(0)).square().sum()

    found = reconstruction(sae, x, chunk=7)

    assert found.fvu == pytest.approx(float(error / variance))
    assert found.l0 == pytest.approx(float((encode(sae, x).values > 0).sum(1).double().mean()))


def test_training_lowers_the_held_out_error():
    _, result = adapted()

    assert result.curve[0].tokens_seen == 0
    assert result.curve[-1].tokens_seen == 2560
    assert result.curve[-1].fvu < 0.7 * result.curve[0].fvu


def test_a_feature_that_never_fires_is_exactly_as_it_was():
    base, result = adapted()
    never = result.n_firings[0] == 0

    assert never[:5].all()
    assert torch.equal(result.saes[0].w_dec[never], base.w_dec[never])


def test_firings_add_up_to_the_tokens_that_trained():
    _, result = adapted(learning_rate=1e-12)

    codes_per_token = result.n_firings[0].sum() / 2560

    assert 0 < codes_per_token <= 4


def test_the_same_seed_gives_the_same_dictionary():
    first, second = adapted()[1], adapted()[1]

    assert torch.equal(first.saes[0].w_dec, second.saes[0].w_dec)
    assert first.curve == second.curve


def test_a_stream_that_ends_too_soon_is_named():
    base = a_base()
    short = iter([next(a_stream(1.0, 0)) for _ in range(3)])

    with pytest.raises(RuntimeError, match="stream ended at step"):
        adapt(
            {0: base},
            short,
            held_out={0: torch.randn(10, 8)},
            n_tokens=640,
            batch_size=64,
            learning_rate=1e-3,
            buffer_size=128,
        )


def test_only_the_random_regime_starts_from_elsewhere():
    base = a_base()

    assert starting_point("text", base, seed=0) is base
    assert not torch.equal(starting_point("random", base, seed=0).w_dec, base.w_dec)
    with pytest.raises(ValueError, match="expected one of"):
        starting_point("audio", base, seed=0)
