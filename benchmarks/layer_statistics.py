"""Statistics of one layer against the floor, the encoder's float32 product alone.

Beside it: what a user would do today, SAELens' dense encode followed by dense sums (without top
examples). Below it: the certified encoder, and how many tokens it leaves to the float32 product.
Random weights, the widths of Llama-3.1-8B and Llama Scope 8x; on a GPU when there is one.

python benchmarks/layer_statistics.py [tokens in a batch]
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch
from clock import each_round, print_paired_ratios
from torch import Tensor

from feature_atlas.dictionary.certified import CertifiedEncoder
from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Encoder, Sae
from feature_atlas.dictionary.sae_lens_form import folded
from feature_atlas.features.example import TopExamples
from feature_atlas.features.firing_counts import FiringCounts
from feature_atlas.features.visual_energy import EnergySums
from feature_atlas.vlm.token_roles import Role

D_MODEL, D_SAE, K, N_EXAMPLES = 4096, 32_768, 50, 8
TOKENS_PER_QUESTION, QUESTIONS_PER_IMAGE = 16, 4
ROLES = (Role.QUESTION, Role.HEADER)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FLOOR = "float32 product alone"
N_CANDIDATES = (100, 125, 150, 175, 200, 250, 300)


class Batch(NamedTuple):
    """Tokens of whole questions, numbered through all batches."""

    residual: Tensor
    roles: Tensor
    question: Tensor
    image: Tensor


class Sums(NamedTuple):
    """What a layer's statistics are held in."""

    energy: EnergySums
    counts: FiringCounts
    examples: TopExamples

    @classmethod
    def empty(cls) -> "Sums":
        """Nothing seen yet."""
        return cls(
            EnergySums.empty(D_SAE, DEVICE),
            FiringCounts.empty(D_SAE, DEVICE),
            TopExamples.empty(D_SAE, N_EXAMPLES, DEVICE),
        )

    def add(self, codes: SparseCodes, batch: Batch) -> None:
        """Energies by role, firing counts by token and question, top examples."""
        self.energy.add(codes, batch.roles)
        self.counts.add(codes, batch.question)
        self.examples.add(codes, batch.question, batch.image)


def main() -> None:
    """Print ratios, the agreement with SAELens, fallbacks and memory."""
    n_tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    torch.manual_seed(0)
    sae = random_sae()
    _compare_with_sae_lens(sae, n_tokens)
    certified = CertifiedEncoder.of(sae)
    del sae
    _compare_certified(certified, n_tokens)
    _print_fallbacks(certified, n_tokens)
    del certified
    _print_memory(n_tokens)


def random_sae() -> Sae:
    """Gaussian rows; the decoder's lengths vary, and so does the gate."""
    return Sae(
        w_enc=torch.randn(D_MODEL, D_SAE, device=DEVICE),
        b_enc=torch.randn(D_SAE, device=DEVICE),
        w_dec=torch.randn(D_SAE, D_MODEL, device=DEVICE) / D_MODEL**0.5,
        b_dec=torch.zeros(D_MODEL, device=DEVICE),
        gate=TopK(K),
        scale=1.0,
    )


def batches(n_tokens: int) -> Iterator[Batch]:
    """Fresh residuals without end."""
    place = torch.arange(n_tokens, device=DEVICE)
    roles = torch.tensor(ROLES, device=DEVICE)[(place % TOKENS_PER_QUESTION >= 12).long()]
    for number in count():
        question = place // TOKENS_PER_QUESTION + number * n_tokens
        residual = torch.randn(n_tokens, D_MODEL, device=DEVICE)
        yield Batch(residual, roles, question, question // QUESTIONS_PER_IMAGE)


def _compare_with_sae_lens(sae: Sae, n_tokens: int) -> None:
    theirs, encoder = _sae_lens(sae), Encoder.of(sae)
    batch = next(batches(n_tokens))
    contenders = {
        FLOOR: lambda: batch.residual @ encoder.weight,
        "encode (scale, gate, top-k, relu)": lambda: encoder.encode(batch.residual),
        "whole statistics": _statistics(encoder.encode, n_tokens),
        "SAELens' dense encode + dense sums": lambda: _dense_sums(theirs, batch),
    }
    title = f"{n_tokens} tokens, {D_MODEL} -> {D_SAE} features, k = {K}, {DEVICE}"
    print_paired_ratios(title, each_round(_waited_for(contenders)), FLOOR)
    _print_agreement(encoder, theirs, batch)


def _compare_certified(certified: CertifiedEncoder, n_tokens: int) -> None:
    batch = next(batches(n_tokens))
    contenders = {
        FLOOR: lambda: batch.residual @ certified.exact.weight,
        "bfloat16 product alone": lambda: certified.bounds(batch.residual),
        "certified encode": lambda: certified.encode(batch.residual),
        "whole statistics, certified": _statistics(certified.encode, n_tokens),
    }
    title = f"the same, certified with {certified.n_candidates} candidates"
    print_paired_ratios(title, each_round(_waited_for(contenders)), FLOOR)
    ours, exact = certified.encode(batch.residual), certified.exact.encode(batch.residual)
    same = (ours.indices.sort().values == exact.indices.sort().values).all(1)
    off = (_sorted(ours) - _sorted(exact)).abs().max() / exact.values.max()
    print(f"  same features on {same.sum()} of {n_tokens} tokens; activations within {off:.1e}")


def _sorted(codes: SparseCodes) -> Tensor:
    return codes.values.sort(descending=True).values


def _statistics(encode: Callable[[Tensor], SparseCodes], n_tokens: int) -> Callable[[], None]:
    """One batch of a pass that goes on from call to call; other questions, the same residuals."""
    sums, stream = Sums.empty(), batches(n_tokens)
    prepared = [next(stream) for _ in range(6)]
    rounds = count()

    def one_batch() -> None:
        batch = prepared[next(rounds) % len(prepared)]
        sums.add(encode(batch.residual), batch)

    return one_batch


def _waited_for(contenders: dict[str, Callable[[], object]]) -> dict[str, Callable[[], None]]:
    """A GPU returns before it is done."""

    def waiting(run: Callable[[], object]) -> Callable[[], None]:
        def finish() -> None:
            run()
            if DEVICE == "cuda":
                torch.cuda.synchronize()

        return finish

    return {name: waiting(run) for name, run in contenders.items()}


def _sae_lens(sae: Sae):
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    config = TopKSAEConfig(d_in=D_MODEL, d_sae=D_SAE, k=K, apply_b_dec_to_input=False)
    theirs = TopKSAE(config).to(DEVICE)
    theirs.load_state_dict(folded(sae))
    return theirs


@torch.no_grad()
def _dense_sums(theirs, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    acts = theirs.encode(batch.residual)
    by_role = [acts[batch.roles == role] for role in ROLES]
    energy = torch.stack([part.square().sum(0) for part in by_role])
    fired = torch.stack([(part > 0).sum(0) for part in by_role])
    questions = (acts > 0).view(-1, TOKENS_PER_QUESTION, D_SAE).any(1).sum(0)
    return energy, fired, questions


def _print_agreement(encoder: Encoder, theirs, batch: Batch) -> None:
    sums, roles = Sums.empty(), list(ROLES)
    sums.add(encoder.encode(batch.residual), batch)
    energy, fired, questions = _dense_sums(theirs, batch)
    differ = (sums.energy.fired[roles] != fired).sum() + (
        sums.counts.questions_fired != questions
    ).sum()
    off = (sums.energy.sum_squares[roles] - energy).abs().max() / energy.max()
    print(f"  the same numbers: {int(differ)} counts differ, energies within {off:.1e}")


def _print_fallbacks(certified: CertifiedEncoder, n_tokens: int) -> None:
    print("\ntokens left to the float32 product, by number of candidates")
    residual = next(batches(n_tokens)).residual
    for n in N_CANDIDATES:
        _, is_certified = certified._replace(n_candidates=n).certify(residual)
        print(f"  {n:>4} candidates {1 - is_certified.double().mean():9.2%}")


def _print_memory(n_tokens: int) -> None:
    print(f"\npeak memory of a pass in batches of {n_tokens} tokens, weights included")
    for n_batches in (2, 8):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            megabytes = pool.apply(_peak_of_a_pass, (n_tokens, n_batches))
        print(f"  {n_batches * n_tokens:>8,} tokens {megabytes:>8,} MB")


def _peak_of_a_pass(n_tokens: int, n_batches: int) -> int:
    encoder, sums, stream = Encoder.of(random_sae()), Sums.empty(), batches(n_tokens)
    for _ in range(n_batches):
        batch = next(stream)
        sums.add(encoder.encode(batch.residual), batch)
    if DEVICE == "cuda":
        return torch.cuda.max_memory_allocated() // 2**20
    # not getrusage: its peak begins with that of the process that started this one
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) // 1024


if __name__ == "__main__":
    main()
