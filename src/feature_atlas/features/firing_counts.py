"""How often each feature fired in several sets of questions, in one streaming pass (4.3, A.5).

A batch of codes becomes a list of (question, feature, tokens fired on), each pair once. From that
list every number is a sparse product with a table that says which question belongs where: to the
base, to a skill, to its length-matched control, or how often to each bootstrap replicate. Counts
are whole numbers, so neither the batches nor their order make a difference.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes


class QuestionFirings(NamedTuple):
    """What fired in a batch of whole questions; one entry per question and feature that fired."""

    rows: Int[Tensor, " question"]
    """Numbers of the questions with counted tokens, rising."""
    n_tokens: Int[Tensor, " question"]
    """Counted tokens of each."""
    question: Int[Tensor, " pair"]
    """Which of them the feature fired in: a place in `rows`."""
    feature: Int[Tensor, " pair"]
    """The feature, rising."""
    n_fired: Int[Tensor, " pair"]
    """Tokens of the question on which it fired."""


def question_firings(codes: SparseCodes, question: Int[Tensor, " token"]) -> QuestionFirings:
    """Sum a batch up by question; tokens whose question is negative are passed over.

    `question` tells which tokens belong together: any numbers, those of the batch or of the data
    set. A question must not be spread over two calls, or it would be counted twice.
    """
    if question.shape != codes.values.shape[:1]:
        raise ValueError(
            f"codes of {len(codes.values)} tokens, question numbers {list(question.shape)}: "
            "pass one question number per encoded token."
        )
    is_counted = question >= 0
    rows, place, n_tokens = question[is_counted].unique(return_inverse=True, return_counts=True)
    fires = codes.values[is_counted] > 0
    n_rows = max(len(rows), 1)
    key = codes.indices[is_counted] * n_rows + place[:, None]
    pairs, n_fired = key[fires].unique(return_counts=True)
    return QuestionFirings(rows, n_tokens, pairs % n_rows, pairs // n_rows, n_fired)


class FiringCounts(NamedTuple):
    """How often each feature of one layer fired in one set of questions.

    Tensors only, and updated in place: save them and go on later from where they stand.
    """

    tokens_fired: Int[Tensor, " d_sae"]
    """Tokens on which the feature fired."""
    tokens: Int[Tensor, ""]
    """Tokens seen, firing or not."""
    questions_fired: Int[Tensor, " d_sae"]
    """Questions in which the feature fired on at least one token."""
    questions: Int[Tensor, ""]
    """Questions seen."""

    @classmethod
    def empty(cls, d_sae: int, device: torch.device | str = "cpu") -> "FiringCounts":
        """Nothing seen yet."""
        return SplitCounts.empty(d_sae, 1, device).split(0)

    def add(self, codes: SparseCodes, question: Int[Tensor, " token"]) -> None:
        """Count a batch of whole questions; tokens whose question is negative are passed over."""
        fired = question_firings(codes, question)
        self.tokens_fired.index_add_(0, fired.feature, fired.n_fired)
        self.tokens.add_(fired.n_tokens.sum())
        self.questions_fired.index_add_(0, fired.feature, torch.ones_like(fired.feature))
        self.questions.add_(len(fired.rows))

    def minus(self, part: "FiringCounts") -> "FiringCounts":
        """The counts of everything but `part`, whose questions were counted here too."""
        if part.tokens_fired.shape != self.tokens_fired.shape:
            raise ValueError(
                f"counts of {len(self.tokens_fired)} features less counts of "
                f"{len(part.tokens_fired)}: pass counts of the same dictionary."
            )
        rest = FiringCounts(*(mine - theirs for mine, theirs in zip(self, part, strict=True)))
        if any((count < 0).any() for count in rest):
            raise ValueError(
                "the part was counted more often than the whole: the skill's questions must be "
                "among those of the base set, counted in the same roles."
            )
        return rest


class SplitCounts(NamedTuple):
    """`FiringCounts` of several sets of questions that overlap as they like, counted together."""

    tokens_fired: Int[Tensor, "split d_sae"]
    """Tokens on which the feature fired."""
    tokens: Int[Tensor, " split"]
    """Tokens seen, firing or not."""
    questions_fired: Int[Tensor, "split d_sae"]
    """Questions in which the feature fired on at least one token."""
    questions: Int[Tensor, " split"]
    """Questions seen."""

    @classmethod
    def empty(cls, d_sae: int, n_splits: int, device: torch.device | str = "cpu") -> "SplitCounts":
        """Nothing seen yet."""
        per_feature = torch.zeros(n_splits, d_sae, dtype=torch.int64, device=device)
        total = torch.zeros(n_splits, dtype=torch.int64, device=device)
        return cls(per_feature, total, per_feature.clone(), total.clone())

    def add(self, fired: QuestionFirings, member: Bool[Tensor, "question split"]) -> None:
        """Count a batch; `member` says which of its questions belong to which split."""
        d_sae = self.tokens_fired.shape[1]
        belongs = member.long()
        self.tokens_fired.add_(_by_feature(fired, fired.n_fired, belongs, d_sae).T)
        self.tokens.add_((fired.n_tokens[:, None] * belongs).sum(0))
        once = torch.ones_like(fired.n_fired)
        self.questions_fired.add_(_by_feature(fired, once, belongs, d_sae).T)
        self.questions.add_(belongs.sum(0))

    def merge(self, other: "SplitCounts") -> None:
        """Count what another one counted, of other questions."""
        for mine, theirs in zip(self, other, strict=True):
            mine.add_(theirs)

    def split(self, number: int) -> FiringCounts:
        """The counts of one split, not copied."""
        return FiringCounts(*(column[number] for column in self))


class ReplicateCounts(NamedTuple):
    """Tokens of one split in each bootstrap replicate, every image as often as it was drawn.

    Tensors only, and updated in place. One layer takes 4 bytes a feature and replicate: 13 MB at
    32,768 features and 100 replicates, however long the pass.
    """

    tokens_fired: Int[Tensor, "d_sae replicate"]
    """Tokens on which the feature fired, int32."""
    tokens: Int[Tensor, " replicate"]
    """Tokens, firing or not."""

    @classmethod
    def empty(
        cls, d_sae: int, n_replicates: int, device: torch.device | str = "cpu"
    ) -> "ReplicateCounts":
        """Nothing seen yet."""
        return cls(
            torch.zeros(d_sae, n_replicates, dtype=torch.int32, device=device),
            torch.zeros(n_replicates, dtype=torch.int64, device=device),
        )

    def add(self, fired: QuestionFirings, weight: Int[Tensor, "question replicate"]) -> None:
        """Count a batch; `weight` is 0 for the questions outside of the split."""
        weight = weight.long()
        counted = _by_feature(fired, fired.n_fired, weight, len(self.tokens_fired))
        self.tokens_fired.add_(counted)
        self.tokens.add_((fired.n_tokens[:, None] * weight).sum(0))

    def merge(self, other: "ReplicateCounts") -> None:
        """Count what another one counted, of other questions in the same replicates."""
        self.tokens_fired.add_(other.tokens_fired)
        self.tokens.add_(other.tokens)

    def minus(self, part: "ReplicateCounts") -> "ReplicateCounts":
        """The counts of everything but `part`, whose questions were counted here too."""
        return ReplicateCounts(*(mine - theirs for mine, theirs in zip(self, part, strict=True)))


def _by_feature(
    fired: QuestionFirings,
    n: Int[Tensor, " pair"],
    table: Int[Tensor, "question column"],
    d_sae: int,
) -> Int[Tensor, "d_sae column"]:
    """Sum of n * table[question] over the pairs of each feature.

    A product of a sparse and a dense matrix in float32, which is exact: the sums of one batch stay
    far below 2^24.
    """
    if not len(fired.feature):
        return table.new_zeros(d_sae, table.shape[1])
    size = (d_sae, len(fired.rows))
    place = torch.stack([fired.feature, fired.question])
    sparse = torch.sparse_coo_tensor(
        place, n.float(), size, is_coalesced=True, check_invariants=False
    )
    product: Float[Tensor, "d_sae column"] = torch.sparse.mm(sparse, table.float())
    return product.round().long()
