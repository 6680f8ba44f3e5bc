"""The gate of a dictionary: which pre-activations become activations (paper 3.2).

    g = z W_enc + b_enc                    z the normalised residual, d_f row f of W_dec
    TopK(k)                 a = relu(top_k(g |d|))       as Llama Scope trained
    TopK(k, sees_norms=no)  a = relu(top_k(g)) |d|       as most others do
    Threshold(theta)        a = g |d| where g > theta, else 0; theta = 0 is a ReLU

Every a_f is the length of what the feature adds to the reconstruction of z, whatever the gate
compares. A decoder bias that a release takes off its input needs no gate of its own: it is folded
into b_enc, exactly (`sae_lens_form`).
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes, chosen
from feature_atlas.dictionary.top_k import top_k


class TopK(NamedTuple):
    """The k largest of a token fire, where they are above 0."""

    k: int
    """How many features at most fire on a token."""
    sees_norms: bool = True
    """Whether the largest are sought after the decoder norms are multiplied in, or before."""

    def of(self, compared: Float[Tensor, "token d_sae"]) -> SparseCodes:
        """What fires, with the values that were compared."""
        values, indices = top_k(compared, self.k)
        return SparseCodes(values.relu_(), indices)

    def to(self, device: torch.device | str) -> "TopK":
        """Nothing to move."""
        return self


class Threshold(NamedTuple):
    """Whatever is above its feature's threshold fires: another number of features each token."""

    theta: Float[Tensor, " d_sae"]
    """In units of the pre-activation g, of the normalised space; >= 0."""

    @property
    def sees_norms(self) -> bool:
        """No: multiplied by the same norm, g and theta compare alike."""
        return False

    def of(self, compared: Float[Tensor, "token d_sae"]) -> SparseCodes:
        """What fires, with the values that were compared; NaN fires, so that it is noticed."""
        return chosen(compared, ~(compared <= self.theta))

    def to(self, device: torch.device | str) -> "Threshold":
        """The same thresholds on another device."""
        return Threshold(self.theta.to(device))


Gate = TopK | Threshold

Thresholds = Literal["frozen", "batch_topk"]
"""What training does with thresholds: nothing, or as SAELens' BatchTopK trainer does."""


def kind(gate: Gate) -> str:
    """The gate in a word, as the atlas calls it."""
    if isinstance(gate, TopK):
        return "topk" if gate.sees_norms else "topk_before_norms"
    return "threshold" if bool((gate.theta > 0).any()) else "relu"


def gate_facts(gates: Sequence[Gate]) -> dict[str, object]:
    """What the atlas keeps of the gates of its layers, which are of one kind."""
    first = gates[0]
    if isinstance(first, TopK):
        return {"gate": kind(first), "k": first.k, "threshold": None}
    medians = [float(gate.theta.median()) for gate in gates if isinstance(gate, Threshold)]
    return {"gate": kind(first), "k": None, "threshold": medians}


def require_one_kind(gates: Mapping[int, Gate]) -> None:
    """Layers with other gates, or another k, cannot be compared."""
    kinds = {layer: f"{kind(g)} {getattr(g, 'k', '')}".strip() for layer, g in gates.items()}
    if len(set(kinds.values())) > 1:
        said = "; ".join(f"layer {layer}: {name}" for layer, name in kinds.items())
        raise ValueError(f"base SAEs with different gates ({said}): expected one for all layers.")
