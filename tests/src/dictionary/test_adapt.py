import io
from collections.abc import Iterator

import pytest
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.training.mixing_buffer import mixing_buffer
from sae_lens.training.sae_trainer import SAETrainer

from feature_atlas.dictionary.adapt import REGIME_ROLES, Lockstep, adapt, starting_point, train
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.regime_trainer import Adaptation, TrainingPlan
from feature_atlas.dictionary.sae import Sae, random_sae
from feature_atlas.dictionary.sae_lens_form import to_training_sae
from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

LAYERS, SCALES = (0, 3), {0: 1.5, 3: 0.4}
MIXING = torch.randn(3, 8, generator=torch.Generator().manual_seed(9))
ROLES = torch.tensor([Role.BOS, *[Role.IMAGE] * 9, *[Role.QUESTION] * 4, Role.HEADER] * 6)
PLAN = TrainingPlan(
    n_tokens=1280,
    batch_size=32,
    learning_rate=1e-2,
    n_evaluations=4,
    n_held_out=200,
    buffer_size=128,
)


def a_base(layer: int, d_model: int = 8, d_sae: int = 32, k: int = 4) -> Sae:
    zeros = Sae(
        torch.zeros(d_model, d_sae),
        torch.zeros(d_sae),
        torch.zeros(d_sae, d_model),
        torch.zeros(d_model),
        TopK(k),
        SCALES[layer],
    )
    base = random_sae(zeros, seed=3 + layer)
    return base._replace(b_enc=torch.where(torch.arange(d_sae) < 5, -1e3, 0.0))  # 5 never fire


def a_pass(random: torch.Generator) -> Tokens:
    n = len(ROLES)
    said = torch.randn(n, 3, generator=random) @ MIXING
    residuals = {layer: said + 0.1 * torch.randn(n, 8, generator=random) for layer in LAYERS}
    for x in residuals.values():
        x[ROLES == Role.BOS] = 50.0
    return Tokens(residuals, ROLES, torch.arange(n) // 15)


def passes(seed: int = 0) -> Iterator[Tokens]:
    random = torch.Generator().manual_seed(seed)
    while True:
        yield a_pass(random)


def starts(*regimes: str, layers: tuple[int, ...] = LAYERS) -> dict[str, dict[int, Sae]]:
    return {
        regime: {layer: starting_point(regime, a_base(layer), seed=1) for layer in layers}
        for regime in regimes
    }


def adapted(*regimes: str, plan: TrainingPlan = PLAN) -> dict[str, Adaptation]:
    return adapt(starts(*regimes), passes(), held_out=next(passes(seed=77)), plan=plan)


def same(one: Adaptation, other: Adaptation) -> bool:
    """Whether two adaptations are equal to the last bit."""
    return (
        all(
            torch.equal(mine, theirs)
            for layer in one.saes
            for mine, theirs in zip(one.saes[layer][:4], other.saes[layer][:4], strict=True)
        )
        and all(torch.equal(one.losses[i], other.losses[i]) for i in one.losses)
        and all(torch.equal(one.n_firings[i], other.n_firings[i]) for i in one.n_firings)
        and one.curve == other.curve
    )


def sae_lens_alone(regime: str, layer: int) -> tuple[list[float], torch.Tensor]:
    """Losses and decoder of SAELens' own loop over the tokens of one regime and layer."""
    roles = torch.tensor(REGIME_ROLES[regime])
    n_steps = PLAN.n_tokens // PLAN.batch_size
    stream = (p.residuals[layer][torch.isin(p.roles, roles)] * SCALES[layer] for p in passes())
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=n_steps * PLAN.batch_size,
            train_batch_size_samples=PLAN.batch_size,
            lr=PLAN.learning_rate,
            lr_end=PLAN.learning_rate / 100,
            lr_warm_up_steps=n_steps // 20,
            lr_decay_steps=n_steps // 5,
        ),
        to_training_sae(starts(regime)[regime][layer]),
        mixing_buffer(PLAN.buffer_size, PLAN.batch_size, stream),
    )
    losses, step = [], trainer.step

    def recorded(batch: torch.Tensor):
        output = step(batch)
        losses.append(output.loss.item())
        return output

    trainer.step = recorded
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(PLAN.seed)
        trainer.fit()
    return losses, trainer.sae.W_dec.detach()


@pytest.mark.parametrize("regime", ["text", "image", "random"])
def test_losses_and_weights_are_those_of_sae_lens_trainer_alone_on_the_same_tokens(regime: str):
    together = adapted("text", "image", "full", "random")[regime]

    for layer in LAYERS:
        losses, decoder = sae_lens_alone(regime, layer)
        assert len(losses) == 40
        assert together.losses[layer].tolist() == losses
        assert torch.equal(together.saes[layer].w_dec, decoder)


def test_a_regime_ends_the_same_whoever_trains_beside_it():
    together = adapted("text", "image", "full", "random")

    for regime in together:
        assert same(adapted(regime)[regime], together[regime]), regime


def test_each_pass_is_run_once_and_no_more_than_the_slowest_regime_needs():
    n_run = 0

    def counted() -> Iterator[Tokens]:
        nonlocal n_run
        for tokens in passes():
            n_run += 1
            yield tokens

    def n_passes(*regimes: str) -> int:
        nonlocal n_run
        n_run = 0
        adapt(starts(*regimes), counted(), held_out=next(passes(7)), plan=PLAN)
        return n_run

    slowest = n_passes("text")  # 30 tokens a pass; images are 54

    assert n_passes("image") < slowest
    assert n_passes("text", "image", "full", "random") == slowest


def test_training_lowers_the_held_out_error_on_the_roles_that_train():
    result = adapted("text", plan=PLAN._replace(n_tokens=2560))["text"]

    curve = [p for p in result.curve if (p.layer, p.role) == (0, "all")]
    assert [p.tokens_seen for p in curve][:2] == [0, 32]
    assert curve[-1].tokens_seen == 2560
    assert curve[-1].fvu < 0.7 * curve[0].fvu
    assert curve[0].learning_rate == pytest.approx(1e-2 / 4)  # the first of four warm-up steps
    assert max(p.learning_rate for p in curve) == pytest.approx(1e-2)


def test_every_point_of_the_curve_has_a_row_for_each_role_that_varies():
    result = adapted("image")["image"]

    first = [(p.layer, p.role, p.n_tokens) for p in result.curve if p.tokens_seen == 0]
    roles = [("all", 54), ("image", 54), ("question", 24), ("header", 6)]  # every BOS is the same
    assert first == [(layer, role, n) for layer in LAYERS for role, n in roles]
    at = {(p.tokens_seen, p.layer, p.role): p.fvu for p in result.curve}
    assert at[0, 0, "all"] == at[0, 0, "image"]
    assert len(at) == len(result.curve)


def test_a_feature_that_never_fires_is_exactly_as_it_was():
    results = adapted("text", "full")

    for result in results.values():
        for layer in LAYERS:
            base, never = a_base(layer), result.n_firings[layer] == 0
            assert never[:5].all()
            assert torch.equal(result.saes[layer].w_dec[never], base.w_dec[never])
            assert torch.equal(result.saes[layer].w_enc[:, never], base.w_enc[:, never])
            assert not torch.equal(result.saes[layer].w_dec[~never], base.w_dec[~never])


def test_firings_are_counted_exactly():
    plan = PLAN._replace(learning_rate=1e-30)  # nothing moves: every batch meets the base
    result = adapted("full", plan=plan)["full"]

    # k features at most on each of 1280 tokens, and a k-th that is below 0 does not fire
    for layer in LAYERS:
        assert 0.5 * 4 * 1280 < result.n_firings[layer].sum() <= 4 * 1280
        assert result.n_firings[layer].dtype == torch.int64


def test_counts_do_not_stop_where_float32_does():
    lockstep = Lockstep(starts("text"), next(passes(7)), PLAN)
    lockstep.regimes["text"].n_firings[0] += 2**24

    train(lockstep, passes())

    alone = adapted("text")["text"].n_firings[0]
    assert torch.equal(lockstep.results()["text"].n_firings[0], alone + 2**24)


def test_a_layers_learning_rate_is_multiplied_by_its_factor():
    half = PLAN._replace(rate_factors={3: 0.5})

    scaled, halved = adapted("text", plan=half), adapted(
        "text", plan=PLAN._replace(learning_rate=PLAN.learning_rate / 2)
    )  # fmt: skip
    plain = adapted("text")

    assert torch.equal(scaled["text"].saes[0].w_dec, plain["text"].saes[0].w_dec)
    assert torch.equal(scaled["text"].saes[3].w_dec, halved["text"].saes[3].w_dec)
    assert not torch.equal(scaled["text"].saes[3].w_dec, plain["text"].saes[3].w_dec)


@pytest.mark.parametrize("n_passes", [1, 5, 17, 33])
def test_a_restored_training_goes_on_to_the_same_bits(n_passes: int):
    held_out, regimes = next(passes(7)), ("text", "image", "full", "random")
    whole = adapt(starts(*regimes), passes(), held_out=held_out, plan=PLAN)
    begun = Lockstep(starts(*regimes), held_out, PLAN)
    stream = passes()
    for _ in range(n_passes):
        begun.take(next(stream))
    kept = io.BytesIO()
    torch.save(begun.state(), kept)
    kept.seek(0)

    resumed = Lockstep(starts(*regimes), held_out, PLAN)
    resumed.restore(torch.load(kept, weights_only=True))
    assert resumed.n_passes == n_passes
    train(resumed, stream)

    for regime, result in resumed.results().items():
        assert same(result, whole[regime]), regime


def test_a_stream_that_ends_too_soon_is_named():
    random = torch.Generator().manual_seed(0)
    short = iter([a_pass(random) for _ in range(12)])

    with pytest.raises(
        RuntimeError, match=r"ended after 12 forward passes with text at step \d+ of 40, image at"
    ):
        adapt(starts("text", "image"), short, held_out=next(passes(7)), plan=PLAN)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_activations_that_are_not_finite_are_named_before_they_train(value: float):
    lockstep = Lockstep(starts("text"), next(passes(7)), PLAN)
    stream = passes()
    for _ in range(9):
        lockstep.take(next(stream))
    before = lockstep.results()["text"].saes[3].w_dec
    bad = next(stream)
    bad.residuals[3][ROLES == Role.IMAGE] = value

    with pytest.raises(
        ValueError, match=r"layer 3: .* in forward pass 9, first on a token of role image \(text at"
    ):
        lockstep.take(bad)
    assert torch.equal(lockstep.results()["text"].saes[3].w_dec, before)


def test_a_training_that_diverges_names_regime_layer_and_step():
    with pytest.raises(
        RuntimeError, match=r"regime text, layer 0: the loss .* from step \d+ of 40"
    ):
        adapted("text", plan=PLAN._replace(learning_rate=1e30))


def test_less_than_one_batch_is_refused():
    with pytest.raises(ValueError, match="n_tokens 31 is less than one batch of 32"):
        adapted("text", plan=PLAN._replace(n_tokens=31))


def test_only_the_random_regime_starts_from_elsewhere():
    base = a_base(0)

    for regime in set(REGIME_ROLES) - {"random"}:
        assert starting_point(regime, base, seed=0) is base
    assert not torch.equal(starting_point("random", base, seed=0).w_dec, base.w_dec)
    with pytest.raises(ValueError, match="expected one of"):
        starting_point("audio", base, seed=0)


def test_controls_train_on_the_same_roles_as_the_text_regime():
    assert {REGIME_ROLES[name] for name in ("text", "refit", "language", "instruct")} == {
        TEXT_ROLES
    }
