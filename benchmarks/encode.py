"""Statistics of one layer against the floor, the encoder's matrix product alone.

Beside it: what a user would do today, SAELens' dense encode followed by dense sums.
"""

import torch
from clock import medians, print_ratios

from feature_atlas.firing_shift import FiringCounts
from feature_atlas.sae import TopKSae, encode, folded
from feature_atlas.visual_energy import EnergySums
from feature_atlas.vlm import Role

N_TOKENS, D_MODEL, D_SAE, K = 2048, 512, 16_384, 50


def main() -> None:
    """Print the ratios."""
    torch.manual_seed(0)
    sae = TopKSae(
        w_enc=torch.randn(D_MODEL, D_SAE),
        b_enc=torch.zeros(D_SAE),
        w_dec=torch.randn(D_SAE, D_MODEL),
        b_dec=torch.zeros(D_MODEL),
        k=K,
        scale=1.0,
    )
    residual = torch.randn(N_TOKENS, D_MODEL)
    roles = torch.full((N_TOKENS,), int(Role.QUESTION))
    question = torch.arange(N_TOKENS) // 16
    dense = _sae_lens(sae)

    def ours() -> None:
        codes = encode(sae, residual)
        EnergySums.empty(D_SAE).add(codes, roles)
        FiringCounts.empty(D_SAE).add(codes, question)

    def todays() -> None:
        with torch.no_grad():
            acts = dense.encode(residual)
            acts.square().sum(0), (acts > 0).sum(0)
            (acts > 0).view(-1, 16, D_SAE).any(1).sum(0)

    contenders = {
        "matrix product alone": lambda: residual @ sae.w_enc,
        "encode (product + top-k)": lambda: encode(sae, residual),
        "encode + energies + firing counts": ours,
        "SAELens dense encode + dense sums": todays,
    }
    title = f"{N_TOKENS} tokens, {D_MODEL} -> {D_SAE} features, k = {K}"
    print_ratios(title, medians(contenders), "matrix product alone")


def _sae_lens(sae: TopKSae):
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    theirs = TopKSAE(TopKSAEConfig(d_in=D_MODEL, d_sae=D_SAE, k=K, apply_b_dec_to_input=False))
    theirs.load_state_dict(folded(sae))
    return theirs


if __name__ == "__main__":
    main()
