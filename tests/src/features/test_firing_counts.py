"""Counts of several splits and of bootstrap replicates, against dense codes and one by one."""

import pytest
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.firing_counts import (
    FiringCounts,
    ReplicateCounts,
    SplitCounts,
    question_firings,
)
from feature_atlas.statistics.bootstrap_weights import poisson_weights

D_SAE, K, N_QUESTIONS, N_SPLITS, N_REPLICATES = 11, 3, 40, 4, 7


def random_codes(n_tokens: int) -> SparseCodes:
    indices = torch.rand(n_tokens, D_SAE).topk(K).indices
    return SparseCodes(torch.randn(n_tokens, K).relu(), indices)


@pytest.fixture
def batch() -> tuple[SparseCodes, torch.Tensor]:
    return random_codes(300), torch.randint(-1, N_QUESTIONS, (300,)).sort().values


@pytest.fixture
def member() -> torch.Tensor:
    """Four overlapping splits, of which one is empty."""
    chosen = torch.rand(N_QUESTIONS, N_SPLITS) < 0.4
    chosen[:, 0], chosen[:, 1] = True, False
    return chosen


def dense(codes: SparseCodes) -> torch.Tensor:
    return torch.zeros(len(codes.values), D_SAE).scatter(1, codes.indices, codes.values) > 0


def test_a_batch_by_question_by_hand() -> None:
    codes = SparseCodes(torch.tensor([[1.0, 2.0], [1.0, 0.0], [5.0, 1.0], [1.0, 1.0]]),
                        torch.tensor([[0, 1], [0, 2], [1, 0], [2, 1]]))  # fmt: skip

    fired = question_firings(codes, torch.tensor([70, 70, 80, -1]))

    assert fired.rows.tolist() == [70, 80]
    assert fired.n_tokens.tolist() == [2, 1]
    triples = zip(fired.feature.tolist(), fired.question.tolist(), fired.n_fired, strict=True)
    assert list(triples) == [(0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 1)]


def test_every_split_has_the_counts_of_its_own_questions(batch, member) -> None:
    codes, question = batch
    counts = SplitCounts.empty(D_SAE, N_SPLITS)
    fired = question_firings(codes, question)
    counts.add(fired, member[fired.rows])

    for split in range(N_SPLITS):
        alone = FiringCounts.empty(D_SAE)
        is_in = (question >= 0) & member[question.clamp_min(0), split]
        alone.add(codes, torch.where(is_in, question, -1))
        assert all(torch.equal(a, b) for a, b in zip(counts.split(split), alone, strict=True))
        assert torch.equal(alone.tokens_fired, dense(codes)[is_in].sum(0))


def test_a_replicate_counts_an_image_as_often_as_it_was_drawn(batch) -> None:
    codes, question = batch
    images = torch.randint(0, 9, (N_QUESTIONS,))
    weights = poisson_weights(images, N_REPLICATES, seed=3)
    counts = ReplicateCounts.empty(D_SAE, N_REPLICATES)
    fired = question_firings(codes, question)
    counts.add(fired, weights[fired.rows])

    of_token = weights.long()[question.clamp_min(0)] * (question >= 0)[:, None]
    assert torch.equal(counts.tokens, of_token.sum(0))
    assert torch.equal(counts.tokens_fired.long(), dense(codes).long().T @ of_token)


def test_batches_and_their_order_make_no_difference(batch, member) -> None:
    codes, question = batch
    weights = poisson_weights(torch.arange(N_QUESTIONS), N_REPLICATES, seed=0)

    def gathered(n_at_once: int):
        splits = SplitCounts.empty(D_SAE, N_SPLITS)
        replicates = ReplicateCounts.empty(D_SAE, N_REPLICATES)
        for first in torch.arange(0, N_QUESTIONS, n_at_once).flip(0):
            rows = ((question >= first) & (question < first + n_at_once)).nonzero()[:, 0].flip(0)
            fired = question_firings(
                SparseCodes(codes.values[rows], codes.indices[rows]), question[rows]
            )
            splits.add(fired, member[fired.rows])
            replicates.add(fired, weights[fired.rows])
        return [*splits, *replicates]

    whole = gathered(N_QUESTIONS)
    for n_at_once in (1, 7):
        assert all(torch.equal(a, b) for a, b in zip(gathered(n_at_once), whole, strict=True))


def test_a_batch_in_which_nothing_is_counted_changes_nothing(member) -> None:
    silent = SparseCodes(torch.zeros(5, K), torch.zeros(5, K, dtype=torch.int64))
    for question in (torch.full((5,), -1), torch.arange(5)):
        splits, replicates = SplitCounts.empty(D_SAE, N_SPLITS), ReplicateCounts.empty(D_SAE, 2)
        fired = question_firings(silent, question)
        splits.add(fired, member[fired.rows])
        replicates.add(fired, torch.ones(len(fired.rows), 2, dtype=torch.int8))

        n_seen = int((question >= 0).sum())
        assert (splits.tokens_fired.any(), replicates.tokens_fired.any()) == (False, False)
        assert (splits.questions[0], replicates.tokens.tolist()) == (n_seen, [n_seen] * 2)
