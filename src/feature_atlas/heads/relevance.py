"""Relevance instead of gradients: RelP, which sees through saturation (beside paper 5.2, C).

Relevance patching (Jafari et al. 2025) is attribution patching whose backward pass follows the
rules of layer-wise relevance propagation:

    norm         y = g x s(x)        s held fixed: what a token is divided by explains nothing
    activation   y = x (act(x) / x)  the ratio held fixed: an activation scales its input
    product      y = a b             half of the relevance to each factor
    attention    z = pattern v       the pattern held fixed
    linear       y = W x + b         as it is; a bias keeps what is its own

Every rule writes an output as a sum of its inputs, each times a fixed coefficient c, so relevance
is conserved: where there are no biases, sum over x of x . c(x) = J_f in every layer, which a
gradient gives for linear models alone. With these coefficients in the place of dJ_f/dx the scores
of `head_attribution` are RelP's, forward passes and swaps being the same. A pattern held fixed
gives queries and keys none: their q and k are 0, and `qk_fix` is what RelP says of them, the change
of the pattern times its coefficient.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from feature_atlas.vlm.head_probe import at_least_float32, probed_heads
from feature_atlas.vlm.residual_stream import decoder_layers

# A norm must be its input times a gain and one number per token; bfloat16 rounds to 1 in 256.
_MAX_MISFIT = 0.02
# An activation at 0 takes the ratio of an input so near.
_NEAR_ZERO = 1e-6


@contextmanager
def relevance_rules(model: PreTrainedModel) -> Iterator[None]:
    """Let gradients of what runs within be relevance coefficients; no output changes, to rounding.

    A model with parts that no rule is known for is refused.
    """
    with ExitStack() as undone:
        undone.enter_context(probed_heads(model, _frozen_pattern))
        for block in decoder_layers(model):
            products = _products(block)
            for module in _parts(block):
                hook = _half if module in products else _rule(module, block)
                if hook is not None:
                    undone.callback(module.register_forward_hook(hook).remove)
        yield


_Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]


def _frozen_pattern(part: str, _layer: int, tensor: Tensor) -> Tensor:
    return tensor.detach() if part == "pattern" else tensor


def _parts(block: nn.Module) -> Iterator[nn.Module]:
    """What a layer is made of, without what these are made of in turn."""
    yield from (module for module in block.modules() if not list(module.children()))


def _rule(module: nn.Module, block: nn.Module) -> _Hook | None:
    """How gradients pass a module; None: as they do by themselves."""
    if isinstance(module, nn.Linear | nn.Identity | nn.Dropout):
        return None
    if "Norm" in type(module).__name__:
        return _fixed_scale
    if "Rotary" in type(module).__name__:
        return None  # of queries and keys, to which nothing goes
    if not list(module.parameters()):
        return _fixed_ratio
    raise ValueError(
        f"{type(block).__name__} has a part {type(module).__name__} that no rule of relevance is "
        "known for: expected linear maps, norms, activations and softmax attention. Take relp out "
        "of head_attribution.rules; other estimates need none."
    )


def _products(block: nn.Module) -> list[nn.Module]:
    """Linear maps whose input is a gate times something: as many numbers twice make it."""
    found = []
    for module in block.modules():
        maps = [part for part in module.children() if isinstance(part, nn.Linear)]
        if len(maps) < 2 or module is block.self_attn:
            continue
        down = maps[-1]
        n_made = sum(part.out_features for part in maps[:-1])
        if n_made == 2 * down.in_features:
            found.append(down)
        elif n_made != down.in_features:
            raise ValueError(
                f"{type(module).__name__} makes {n_made} numbers of which its last map takes "
                f"{down.in_features}: expected as many, or twice as many where one half gates the "
                "other. Take relp out of head_attribution.rules."
            )
    return found


def _half(_map: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Half of the coefficient goes back: each factor of the product before takes it whole."""
    return output / 2 + (output / 2).detach()


def _fixed_ratio(activation: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """output = input * ratio, the ratio fixed."""
    x = given[0]
    with torch.no_grad():
        apart = torch.where(x.abs() < _NEAR_ZERO, torch.full_like(x, _NEAR_ZERO), x)
        ratio = activation.forward(apart) / apart
    return _as(output, x * ratio)


def _fixed_scale(norm: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """output = gain * input * scale, less its mean for LayerNorm; the scale fixed."""
    x = given[0].to(at_least_float32(given[0]))
    if isinstance(norm, nn.LayerNorm):
        x = x - x.mean(-1, keepdim=True)
    with torch.no_grad():
        gain, bias = _gain_and_bias(norm, x)
        made = output.to(x.dtype) - bias
        unscaled = gain * x
        length = unscaled.square().sum(-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        scale = (made * unscaled).sum(-1, keepdim=True) / length
        _require_scaled(norm, made, scale * unscaled)
    return _as(output, x * (gain * scale))


def _gain_and_bias(norm: nn.Module, like: Float[Tensor, "*rest d"]) -> tuple[Tensor, Tensor]:
    """What a norm multiplies with and what it adds."""
    none = torch.zeros(like.shape[-1], dtype=like.dtype, device=like.device)
    if isinstance(norm, nn.LayerNorm):
        gain = norm.weight if norm.elementwise_affine else none + 1
        return gain.to(like.dtype), none if norm.bias is None else norm.bias.to(like.dtype)
    return norm.forward(none + 1).to(like.dtype), none


def _require_scaled(norm: nn.Module, made: Tensor, by_scale: Tensor) -> None:
    misfit = (made - by_scale).norm() / made.norm().clamp_min(torch.finfo(made.dtype).tiny)
    if not misfit <= _MAX_MISFIT:
        raise ValueError(
            f"{type(norm).__name__} does more than scale each token by a number of its own (it "
            f"differs from that by {float(misfit):.0%}): its relevance is not known. Take relp out "
            "of head_attribution.rules."
        )


def _as(output: Tensor, linear: Tensor) -> Tensor:
    """The output's numbers with the gradient of what is linear in the input."""
    linear = linear.to(output.dtype)
    return linear + (output - linear).detach()
