"""What a direction adds to the logits, in every family: against the model's own last steps.

The referee is the model's own norm and head, run on a residual and on one a little further along
the direction. Along a direction that leaves the norm's divisor as it is, the difference is the
direct effect; soft caps are taken off. Norms compute in float32 whatever comes, so that a step much
smaller would drown in rounding.
"""

import pytest
import torch
from families import TRIED, WIDTH, family

from feature_atlas.vlm.residual_stream import unembed
from feature_atlas.vlm.unembedding import unembedding

STEP = 0.02


def without(direction: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """What is left of a direction beside others, by Gram and Schmidt."""
    for other in others:
        direction = direction - (direction @ other) / (other @ other) * other
    return direction / direction.norm()


@torch.no_grad()
@pytest.mark.parametrize("name", TRIED)
def test_effects_are_the_models_own_change_of_logits(name: str) -> None:
    model = family(name).model
    n_tokens = model.get_output_embeddings().weight.shape[0] - 2
    residual = torch.randn(WIDTH, dtype=torch.float64)
    residual -= residual.mean()  # a LayerNorm's divisor is the deviation from it
    residual /= residual.square().mean().sqrt()
    direction = without(torch.randn(WIDTH, dtype=torch.float64), torch.ones(WIDTH).double())
    direction = without(direction, residual)

    found = unembedding(model, n_tokens).effects(direction.float()[None])[0].double()

    model.double()
    model.config.get_text_config().final_logit_softcapping = None  # monotone, and behind
    there, back = (
        unembed(model, (residual + step * direction)[None])[0, :n_tokens] for step in (STEP, -STEP)
    )
    slope = (there - back) / (2 * STEP)
    expected = slope - slope.mean()
    assert (found - expected).abs().max() < 2e-4 * expected.abs().max()
