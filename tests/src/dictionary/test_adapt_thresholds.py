"""Dictionaries with thresholds, adapted: thresholds frozen, or BatchTopK's one."""

from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from made_up.training import mixed, trained, untrained

from feature_atlas.dictionary.adapt import starting_point
from feature_atlas.dictionary.gate import Threshold, TopK
from feature_atlas.dictionary.reconstruction import reconstruction
from feature_atlas.dictionary.sae import Sae, random_sae
from feature_atlas.dictionary.training import Adaptation, TrainingPlan
from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

D_MODEL, D_SAE, N_DEAD, SCALE = 8, 32, 5, 1.5
MIXING = torch.randn(3, D_MODEL, generator=torch.Generator().manual_seed(9))
PLAN = TrainingPlan(
    n_tokens=3200,
    batch_size=32,
    learning_rate=1e-2,
    n_evaluations=4,
    n_held_out=400,
    buffer_size=128,
)


def a_base(theta: torch.Tensor | float) -> Sae:
    """Five features never fire."""
    empty = (torch.zeros(D_MODEL, D_SAE), torch.zeros(D_SAE), torch.zeros(D_SAE, D_MODEL))
    base = random_sae(Sae(*empty, torch.zeros(D_MODEL), TopK(1), SCALE), seed=3)
    gate = Threshold(torch.as_tensor(theta).expand(D_SAE).clone())
    return base._replace(
        b_enc=torch.where(torch.arange(D_SAE) < N_DEAD, -1e3, 0.0),
        w_dec=1.3 * base.w_dec,
        gate=gate,
    )


def passes(seed: int = 0) -> Iterator[Tokens]:
    random = torch.Generator().manual_seed(seed)
    roles = torch.tensor([Role.BOS, *[Role.IMAGE] * 4, *[Role.QUESTION] * 8] * 6)
    while True:
        x = torch.randn(len(roles), 3, generator=random) @ MIXING
        x += 0.1 * torch.randn(len(roles), D_MODEL, generator=random)
        yield Tokens({0: x}, roles, torch.arange(len(roles)) // 13)


def adapted(base: Sae, regime: str = "text", **changed: object) -> Adaptation:
    start, plan = starting_point(regime, base, seed=1), PLAN._replace(**changed)
    return trained(regime, start, passes(), next(passes(seed=77)), plan)


def text(seed: int) -> torch.Tensor:
    return next(passes(seed)).only(TEXT_ROLES).residuals[0]


def test_frozen_thresholds_stay_and_the_rest_learns():
    base = a_base(torch.rand(D_SAE) + 0.5)

    result = adapted(base)

    assert torch.equal(result.sae.gate.theta, base.gate.theta)
    before, after = (reconstruction(sae, text(5)).fvu for sae in (base, result.sae))
    assert after < 0.5 * before


def test_under_frozen_thresholds_what_never_fires_is_exactly_as_it_was():
    base = a_base(0.8)

    result = adapted(base)

    is_dead = result.n_firings == 0
    assert is_dead[:N_DEAD].all()
    for mine, start in zip(result.sae[:3], base[:3], strict=True):
        dimension = 1 if mine.shape[0] == D_MODEL else 0
        dead = is_dead.nonzero().flatten()
        assert torch.equal(mine.index_select(dimension, dead), start.index_select(dimension, dead))


def test_batchtopk_keeps_how_many_fire_and_lets_the_one_threshold_follow():
    base = a_base(0.8)

    result = adapted(base, thresholds="batch_topk", n_tokens=32_000)

    l0 = [point.l0 for point in result.curve if point.role == "all"]
    theta = result.sae.gate.theta
    assert l0[-1] == pytest.approx(l0[0], rel=0.25)
    assert torch.equal(theta, theta[:1].expand(D_SAE))
    assert theta[0] != 0.8


def test_batchtopk_is_refused_where_features_have_thresholds_of_their_own():
    with pytest.raises(ValueError, match=r"thresholds of their own: set adapt\.thresholds to fro"):
        adapted(a_base(torch.rand(D_SAE)), thresholds="batch_topk")


def test_the_random_regime_fires_under_the_same_thresholds():
    base = a_base(0.8)

    result = adapted(base, "random")

    assert torch.equal(result.sae.gate.theta, base.gate.theta)
    assert result.curve[0].l0 > 1
    assert result.curve[-1].fvu < result.curve[0].fvu


@pytest.mark.parametrize("thresholds", ["frozen", "batch_topk"])
def test_a_training_that_goes_on_ends_as_one_that_never_stopped(thresholds):
    start, plan = a_base(0.8), PLAN._replace(thresholds=thresholds)
    judging = next(passes(seed=77))
    first = untrained("text", start, judging, plan)
    for batch in islice(mixed(passes(), TEXT_ROLES, plan), 20):
        first.step(batch)
    second = untrained("text", start, judging, plan)
    second.restore(first.state())
    found = second.run(islice(mixed(passes(), TEXT_ROLES, plan), 20, None))

    whole = trained("text", start, passes(), judging, plan)

    for mine, other in zip(found.sae[:4], whole.sae[:4], strict=True):
        assert torch.equal(mine, other)
    assert torch.equal(found.sae.gate.theta, whole.sae.gate.theta)
    assert found.curve == whole.curve
