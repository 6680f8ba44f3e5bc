import io
from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from made_up.training import mixed, trained, untrained
from sae_lens.config import SAETrainerConfig
from sae_lens.training.mixing_buffer import mixing_buffer
from sae_lens.training.sae_trainer import SAETrainer

from feature_atlas.dictionary.adapt import REGIME_ROLES, starting_point
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae, random_sae
from feature_atlas.dictionary.sae_lens_form import to_training_sae
from feature_atlas.dictionary.training import Adaptation, TrainingPlan
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


def start(regime: str, layer: int = 0) -> Sae:
    return starting_point(regime, a_base(layer), seed=1)


def adapted(regime: str, layer: int = 0, plan: TrainingPlan = PLAN) -> Adaptation:
    judging = next(passes(seed=77))
    return trained(regime, start(regime, layer), passes(), judging, plan, layer)


def same(one: Adaptation, other: Adaptation) -> bool:
    """Whether two adaptations are equal to the last bit."""
    tensors = zip(one.sae[:4], other.sae[:4], strict=True)
    return (
        all(torch.equal(mine, theirs) for mine, theirs in tensors)
        and torch.equal(one.losses, other.losses)
        and torch.equal(one.n_firings, other.n_firings)
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
        to_training_sae(start(regime, layer)),
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


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("regime", ["text", "image", "random"])
def test_losses_and_weights_are_those_of_sae_lens_trainer_on_the_same_tokens(regime, layer):
    result = adapted(regime, layer)

    losses, decoder = sae_lens_alone(regime, layer)
    assert len(losses) == 40
    assert result.losses.tolist() == losses
    assert torch.equal(result.sae.w_dec, decoder)


def test_training_lowers_the_held_out_error_on_the_roles_that_train():
    result = adapted("text", plan=PLAN._replace(n_tokens=2560))

    curve = [p for p in result.curve if p.role == "all"]
    assert [p.tokens_seen for p in curve][:2] == [0, 32]
    assert curve[-1].tokens_seen == 2560
    assert curve[-1].fvu < 0.7 * curve[0].fvu
    assert curve[0].learning_rate == pytest.approx(1e-2 / 4)  # the first of four warm-up steps
    assert max(p.learning_rate for p in curve) == pytest.approx(1e-2)


def test_every_point_of_the_curve_has_a_row_for_each_role_that_varies():
    result = adapted("image")

    first = [(p.role, p.n_tokens) for p in result.curve if p.tokens_seen == 0]
    # every BOS is the same
    assert first == [("all", 54), ("image", 54), ("question", 24), ("header", 6)]
    at = {(p.tokens_seen, p.role): p.fvu for p in result.curve}
    assert at[0, "all"] == at[0, "image"]
    assert len(at) == len(result.curve)


@pytest.mark.parametrize("regime", ["text", "full"])
def test_a_feature_that_never_fires_is_exactly_as_it_was(regime: str):
    result, base = adapted(regime), a_base(0)

    never = result.n_firings == 0
    assert never[:5].all()
    assert torch.equal(result.sae.w_dec[never], base.w_dec[never])
    assert torch.equal(result.sae.w_enc[:, never], base.w_enc[:, never])
    assert not torch.equal(result.sae.w_dec[~never], base.w_dec[~never])


def test_firings_are_counted_exactly():
    # nothing moves: every batch meets the base
    result = adapted("full", plan=PLAN._replace(learning_rate=1e-30))

    # k features at most on each of 1280 tokens, and a k-th that is below 0 does not fire
    assert 0.5 * 4 * 1280 < result.n_firings.sum() <= 4 * 1280
    assert result.n_firings.dtype == torch.int64


def test_counts_do_not_stop_where_float32_does():
    training = untrained("text", start("text"), next(passes(77)), PLAN)
    training.n_firings += 2**24

    result = training.run(mixed(passes(), TEXT_ROLES, PLAN))

    assert torch.equal(result.n_firings, adapted("text").n_firings + 2**24)


@pytest.mark.parametrize("n_steps", [0, 1, 5, 17, 33])
def test_a_restored_training_goes_on_to_the_same_bits(n_steps: int):
    judging = next(passes(7))
    whole = trained("full", start("full"), passes(), judging, PLAN)
    begun = untrained("full", start("full"), judging, PLAN)
    for batch in islice(mixed(passes(), REGIME_ROLES["full"], PLAN), n_steps):
        begun.step(batch)
    kept = io.BytesIO()
    torch.save(begun.state(), kept)
    kept.seek(0)

    resumed = untrained("full", start("full"), judging, PLAN)
    resumed.restore(torch.load(kept, weights_only=True))
    assert resumed.n_steps == n_steps
    left = islice(mixed(passes(), REGIME_ROLES["full"], PLAN), n_steps, None)

    assert same(resumed.run(left), whole)


def test_tokens_that_end_too_soon_are_named():
    short = islice(passes(), 12)

    with pytest.raises(
        RuntimeError, match=r"regime text, layer 0: the tokens ended at step \d+ of"
    ):
        trained("text", start("text"), short, next(passes(7)), PLAN)


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
