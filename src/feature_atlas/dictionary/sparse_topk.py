"""A training step of a TopK dictionary that multiplies with the k active rows alone (paper 4.1).

    z W_enc + b_enc      every feature, for every token: one dense product, kept for no gradient
    a                    of the k largest alone, relu
    z' = sum_f a_f d_f + b_dec       k rows of W_dec for a token

Of the five products of SAELens' own step (encode, decode, and the gradients of both) this leaves
one: 2 * d_model * d_sae operations for each token instead of 10. Decoder norms decide which
features are the largest; in the reconstruction they cancel, and so they do in its gradient. The
sums over tokens are those of an embedding bag, whose gradient PyTorch sorts by row: the same bytes
each time, on a GPU too.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.topk_sae import TopKTrainingSAE
from torch import Tensor

from feature_atlas.dictionary.top_k import top_k
from feature_atlas.statistics.ordered_sum import add_in_order


class SparseTopK(TopKTrainingSAE):
    """SAELens' training SAE; its auxiliary loss is off."""

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """Reconstruct a batch from its k active features."""
        z = step_input.sae_in
        sees_norms = self.cfg.rescale_acts_by_decoder_norm
        norm = self.W_dec.detach().norm(dim=-1) if sees_norms else None
        values, indices = _Active.apply(z, self.W_enc, self.b_enc, norm, self.cfg.k)
        out = F.embedding_bag(indices, self.W_dec, per_sample_weights=values, mode="sum")
        out = out + self.b_dec
        loss = self.mse_loss_fn(out, z).sum(dim=-1).mean()
        acts = _sparse(values.detach(), indices, len(self.b_enc))
        return TrainStepOutput(
            sae_in=z, sae_out=out, feature_acts=acts, hidden_pre=acts, loss=loss,
            losses={"mse_loss": loss},
        )  # fmt: skip


class _Active(torch.autograd.Function):
    """Activations of the k largest features, before the norms, and which these are."""

    @staticmethod
    def forward(
        context: Any,
        z: Float[Tensor, "token d_model"],
        w_enc: Float[Tensor, "d_model d_sae"],
        b_enc: Float[Tensor, " d_sae"],
        norm: Float[Tensor, " d_sae"] | None,
        k: int,
    ) -> tuple[Float[Tensor, "token k"], Int[Tensor, "token k"]]:
        compared = torch.addmm(b_enc, z, w_enc)
        if norm is not None:
            compared *= norm
        values, indices = top_k(compared, k)
        values = values.relu()
        if norm is not None:
            values = values / norm[indices]
        context.save_for_backward(z, values, indices)
        context.d_sae = len(b_enc)
        context.mark_non_differentiable(indices)
        return values, indices

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        z, values, indices = context.saved_tensors
        of_values = gradients[0] * (values > 0)
        of_bias = z.new_zeros(context.d_sae)
        add_in_order(of_bias, indices.flatten(), of_values.flatten())
        of_columns = summed_rows(of_values, indices, z, context.d_sae)
        return None, of_columns.T, of_bias, None, None


def summed_rows(
    weights: Float[Tensor, "token k"],
    indices: Int[Tensor, "token k"],
    rows: Float[Tensor, "token d_model"],
    n: int,
) -> Float[Tensor, "n d_model"]:
    """Row f is the sum over tokens of the weight of f times the token's row.

    It is the gradient of an embedding bag of any embedding with these weights.
    """
    with torch.enable_grad():
        embedding = rows.new_zeros(1).expand(n, rows.shape[1]).requires_grad_()
        bag = F.embedding_bag(indices, embedding, per_sample_weights=weights, mode="sum")
    (gradient,) = torch.autograd.grad(bag, embedding, rows)
    return gradient


def _sparse(
    values: Float[Tensor, "token k"], indices: Int[Tensor, "token k"], d_sae: int
) -> Float[Tensor, "token d_sae"]:
    """As SAELens has sparse activations."""
    tokens = torch.arange(len(values), device=values.device)[:, None].expand_as(indices)
    places = torch.stack([tokens.flatten(), indices.flatten()])
    return torch.sparse_coo_tensor(
        places, values.flatten(), (len(values), d_sae), check_invariants=False
    )
