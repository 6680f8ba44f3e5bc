"""The sparse step against the dense formula in float64, and against SAELens' own training SAE."""

from itertools import islice

import pytest
import torch
from made_up.training import mixed
from sae_lens.saes.sae import TrainStepInput
from sae_lens.saes.topk_sae import TopKTrainingSAE

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae
from feature_atlas.dictionary.sae_lens_form import to_training_sae
from feature_atlas.dictionary.sparse_topk import SparseTopK, summed_rows
from feature_atlas.dictionary.training import TrainingPlan, sae_trainer
from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.token_roles import Role

D_MODEL, D_SAE, K = 24, 160, 6
PLAN = TrainingPlan(n_tokens=1600, batch_size=64, learning_rate=1e-3, buffer_size=128)


def a_base(*, sees_norms: bool) -> Sae:
    """Rows of other lengths than 1; on some tokens fewer than k features are above 0."""
    rows = torch.randn(D_SAE, D_MODEL) / D_MODEL**0.5
    rows = rows * (0.5 + torch.rand(D_SAE, 1))
    bias = torch.full((D_SAE,), -2.5)
    bias[:5] = -1e3  # these never fire
    gate = TopK(K, sees_norms)
    return Sae(rows.T.contiguous(), bias, rows, torch.randn(D_MODEL) / 9, gate, scale=1.0)


@pytest.fixture(params=[True, False], ids=["sees norms", "before norms"])
def base(request: pytest.FixtureRequest) -> Sae:
    return a_base(sees_norms=request.param)


def step_input(z: torch.Tensor) -> TrainStepInput:
    return TrainStepInput(
        sae_in=z, coefficients={}, dead_neuron_mask=None, n_training_steps=0, is_logging_step=False
    )


def dense(base: Sae, z: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of the formula as it stands, in float64."""
    weights = {"W_enc": base.w_enc, "b_enc": base.b_enc, "W_dec": base.w_dec, "b_dec": base.b_dec}
    own = {name: value.double().requires_grad_() for name, value in weights.items()}
    pre = z.double() @ own["W_enc"] + own["b_enc"]
    norm = own["W_dec"].norm(dim=1) if base.gate.sees_norms else torch.ones(D_SAE).double()
    compared = pre * norm
    is_largest = torch.zeros_like(pre).scatter(1, compared.topk(K).indices, 1.0)
    acts = compared.relu() * is_largest
    out = (acts / norm) @ own["W_dec"] + own["b_dec"]
    loss = (out - z.double()).square().sum(1).mean()
    loss.backward()
    return loss.detach(), {name: value.grad for name, value in own.items()}


def where_float32_can_tell(base: Sae, z: torch.Tensor) -> torch.Tensor:
    """Tokens on which neither a place among the k largest nor a sign hangs on rounding."""
    compared = z.double() @ base.w_enc.double() + base.b_enc.double()
    if base.gate.sees_norms:
        compared *= base.w_dec.double().norm(dim=1)
    last, next_one = compared.topk(K + 1).values[:, -2:].relu().unbind(1)
    has_place = (last - next_one > 1e-4) | (last == 0)
    return z[has_place & (compared.abs() > 1e-5).all(1)]


def test_loss_and_every_gradient_are_those_of_the_dense_formula(base: Sae):
    z = where_float32_can_tell(base, torch.randn(200, D_MODEL))
    assert len(z) > 180
    trainable = to_training_sae(base)
    assert isinstance(trainable, SparseTopK)

    output = trainable.training_forward_pass(step_input(z))
    output.loss.backward()

    loss, gradients = dense(base, z)
    assert output.loss.item() == pytest.approx(loss.item(), rel=1e-6)
    for name, expected in gradients.items():
        found = getattr(trainable, name).grad
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)
    assert (output.feature_acts.to_dense() > 0).sum(1).min() < K, "relu has nothing to do"
    assert trainable.W_dec.grad[:5].abs().max() == 0
    assert trainable.W_enc.grad[:, :5].abs().max() == 0


def test_a_training_goes_the_way_of_sae_lens_own(base: Sae, monkeypatch):
    """Losses, firings and weights after 25 steps of either, on the same batches."""
    batches = list(islice(mixed(passes(), (Role.QUESTION,), PLAN), 25))
    ours = sae_trainer(base, PLAN)
    monkeypatch.setattr("feature_atlas.dictionary.sparse_topk.SparseTopK", TopKTrainingSAE)
    theirs = sae_trainer(base, PLAN)
    assert type(theirs.sae) is TopKTrainingSAE

    losses = [[t.step(batch).loss.item() for batch in batches] for t in (ours, theirs)]

    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert (ours.act_freq_scores - theirs.act_freq_scores).abs().sum() <= 2  # a tie may fall so
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        mine, expected = getattr(ours.sae, name), getattr(theirs.sae, name)
        torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-3)


def test_rows_are_summed_by_their_feature():
    weights = torch.tensor([[1.0, 2.0], [3.0, 0.5]])
    indices = torch.tensor([[0, 3], [3, 1]])
    rows = torch.tensor([[1.0, 0.0], [0.0, 10.0]])

    found = summed_rows(weights, indices, rows, n=5)

    assert found.tolist() == [[1, 0], [0, 5], [0, 0], [2, 30], [0, 0]]


def passes():
    while True:
        rows = torch.randn(40, D_MODEL)
        yield Tokens({0: rows}, torch.full((40,), Role.QUESTION), torch.arange(40))
