"""What breaks when a feature is removed: directional ablation (paper 5.3, D).

    y <- y - (y . v) v      at text positions after decoder layer L; image positions stay the same

v is the feature's unit decoder direction. The answer to a yes/no question is read from the logits
at the last token of the prompt, over every way the tokenizer can begin it:

    margin = logsumexp(yes logits) - logsumexp(no logits),     yes when above 0

Many directions of one layer share all that none of them changes. Under causal attention that is
the model up to L, and above L the keys and values of everything before the first text token: the
picture is read once, and each direction costs only the text tokens of the layers above L.

Beside the feature stand controls of the same layer that fire as often and whose direction the
residual holds as much of: the paper's uniformly random features are mostly silent, so that
removing them cannot show anything.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import expit
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from feature_atlas.head_attribution import probed_heads
from feature_atlas.uncertainty import clustered_bootstrap, mcnemar_exact
from feature_atlas.vlm import logits, residuals, text_model

# Largest relative disagreement of shared computation and plain forward pass; bfloat16 needs it.
TOLERANCE = 0.05


class AnswerIds(NamedTuple):
    """First tokens of the two answers."""

    yes: list[int]
    """Ids of "yes", "Yes", " yes", ... as far as the tokenizer has them as one token."""
    no: list[int]
    """Likewise for "no"."""


class AblatedMargins(NamedTuple):
    """Yes-no margins of every sample, in logits, without and with each ablation."""

    before: Float[Tensor, " sample"]
    """Nothing removed."""
    after: Float[Tensor, "direction sample"]
    """One direction removed."""
    removed_norm: Float[Tensor, " direction"]
    """Mean over text tokens of |y - y'| / |y|: how much was removed, 0 to 1."""


class Controls(NamedTuple):
    """Features to ablate beside the one in question."""

    features: list[int]
    """Drawn at random, in the order drawn; fewer than asked for if the layer has no more."""
    tolerance: float
    """Largest ratio, less 1, at which firing rate and projection were called equal."""
    is_widened: bool
    """Whether that is more than was asked for, since too few matched."""


class AblationEffect(NamedTuple):
    """Paired outcome of one ablation: columns of table ablation. Shares, not percentage points."""

    n_samples: int
    """Questions answered with and without the ablation."""
    accuracy_before: float
    """Share right."""
    accuracy_after: float
    """Share right with the direction removed."""
    delta_accuracy: float
    """After minus before; negative is worse."""
    delta_low: float
    """Lower end of its 95 % interval, resampling images."""
    delta_high: float
    """Upper end."""
    right_to_wrong: int
    """Answers that the ablation spoiled."""
    wrong_to_right: int
    """Answers that it mended."""
    mcnemar_p: float
    """Exact two-sided McNemar test of the two counts above."""
    probability_delta: float
    """Mean change of the probability of the right answer."""
    margin_delta: float
    """Mean change of the margin towards the right answer, in logits; moves before answers flip."""
    yes_rate_before: float
    """Share answered yes."""
    yes_rate_after: float
    """A change of accuracy with a large change here may be a yes bias."""
    balanced_accuracy_before: float
    """Mean of the shares right among true yes and true no."""
    balanced_accuracy_after: float
    """Likewise with the direction removed; a yes bias leaves it near 1/2."""


# ---------------------------------------------------------------- the intervention


def ablate_direction(
    hidden: Float[Tensor, "batch token d_model"],
    direction: Float[Tensor, " d_model"],
    text_mask: Bool[Tensor, "batch token"],
) -> Float[Tensor, "batch token d_model"]:
    """A new tensor: orthogonal to the unit direction at text positions, bit-identical elsewhere."""
    _require_unit(direction)
    v = direction.to(hidden)
    removed = torch.einsum("btd,d->bt", hidden, v).unsqueeze(-1) * v
    return torch.where(text_mask.unsqueeze(-1), hidden - removed, hidden)


def ablation_of(
    direction: Float[Tensor, " d_model"], text_mask: Bool[Tensor, "batch token"]
) -> Callable[[Tensor], Tensor]:
    """The same as an edit for ``vlm.edit_residual``."""
    return lambda hidden: ablate_direction(hidden, direction, text_mask)


def mean_projection(
    residual: Float[Tensor, "token d_model"], directions: Float[Tensor, "feature d_model"]
) -> Float[Tensor, " feature"]:
    """Mean |y . v| of each direction over tokens: how much of the residual its ablation takes."""
    return (residual.float() @ directions.float().T).abs().mean(0)


def _require_unit(direction: Float[Tensor, " d_model"]) -> None:
    """Unit, or zero (a dead decoder row), which removes nothing."""
    norm = float(direction.norm())
    if norm != 0 and abs(norm - 1) > 1e-3:
        raise ValueError(
            f"direction of length {norm:.4g}, expected 1: pass a row of sae.unit_directions(sae)."
        )


# ---------------------------------------------------------------- reading the answer


def yes_no_ids(tokenizer: PreTrainedTokenizerBase, yes: str = "yes", no: str = "no") -> AnswerIds:
    """Every single token that begins either answer, in any case, with or without a space before."""
    ids = AnswerIds(_surface_ids(tokenizer, yes), _surface_ids(tokenizer, no))
    if not ids.yes or not ids.no or set(ids.yes) & set(ids.no):
        raise ValueError(
            f"answers {yes!r} -> {ids.yes} and {no!r} -> {ids.no}: expected at least one token "
            "for each and none for both; choose answers that this tokenizer writes as one token."
        )
    return ids


def _surface_ids(tokenizer: PreTrainedTokenizerBase, word: str) -> list[int]:
    cased = (word.lower(), word.capitalize(), word.upper())
    forms = [space + form for form in cased for space in ("", " ")]
    encoded = [tokenizer(form, add_special_tokens=False)["input_ids"] for form in forms]
    return sorted({ids[0] for ids in encoded if len(ids) == 1} - {tokenizer.unk_token_id})


def yes_no_margin(
    last_logits: Float[Tensor, "batch vocabulary"], answers: AnswerIds
) -> Float[Tensor, " batch"]:
    """logsumexp(yes) - logsumexp(no); above 0 is yes, and its sigmoid the probability of yes."""
    scores = last_logits.to(torch.promote_types(last_logits.dtype, torch.float32))
    return scores[:, answers.yes].logsumexp(-1) - scores[:, answers.no].logsumexp(-1)


# ---------------------------------------------------------------- many directions, one clean run


def ablated_margins(
    model: PreTrainedModel,
    inputs_embeds: Float[Tensor, "sample token d_model"],
    attention_mask: Int[Tensor, "sample token"],
    text_mask: Bool[Tensor, "sample token"],
    layer: int,
    directions: Float[Tensor, "direction d_model"],
    answers: AnswerIds,
    *,
    batch: int = 64,
) -> AblatedMargins:
    """Margins of all samples with each direction removed after ``layer``, on text positions.

    Equal, up to rounding, to one hooked forward pass per direction; the first sample of each call
    is checked against a plain forward pass: a text model may do more than run its blocks.
    """
    before, after, removed = [], [], []
    with torch.no_grad():
        for start in range(0, len(inputs_embeds), batch):
            chosen = slice(start, start + batch)
            text = text_mask[chosen]
            clean = _read_clean(model, inputs_embeds[chosen], attention_mask[chosen], text, layer)
            margin = yes_no_margin(_logits_above(model, clean, clean.residual), answers)
            if start == 0:
                plain = yes_no_margin(logits(model, inputs_embeds[:1], attention_mask[:1]), answers)
                _require_equal(float(margin[0]), float(plain), layer)
            before.append(margin)
            ablated = [
                _ablate_clean(model, clean, direction, text, answers) for direction in directions
            ]
            after.append(torch.stack([margins for margins, _ in ablated]))
            removed.append(torch.stack([share for _, share in ablated]))
    n_text = text_mask.sum().clamp_min(1)
    return AblatedMargins(
        torch.cat(before), torch.cat(after, 1), torch.stack(removed).sum(0) / n_text
    )


class _CleanRun(NamedTuple):
    """One batch read up to the layer, and its constant beginning read to the end."""

    layer: int
    residual: Float[Tensor, "batch token d_model"]
    """Output of the layer."""
    attention_mask: Int[Tensor, "batch token"]
    start: int
    """First text token of any sample: nothing before it can change."""
    past: dict[tuple[str, int], Float[Tensor, "batch head past d_head"]]
    """("k" or "v", layer) of the tokens before ``start``, in the layers above."""


def _read_clean(
    model: PreTrainedModel,
    inputs_embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
    text_mask: Bool[Tensor, "batch token"],
    layer: int,
) -> _CleanRun:
    residual = residuals(model, inputs_embeds, attention_mask, [layer])[layer]
    start = int(text_mask.any(0).int().argmax())
    past: dict[tuple[str, int], Tensor] = {}

    def remember(part: str, at: int, tensor: Tensor) -> Tensor:
        if part in ("k", "v"):
            past[part, at] = tensor
        return tensor

    if start > 0:
        with _start_above(model, layer), probed_heads(model, remember):
            text_model(model)(
                inputs_embeds=residual[:, :start],
                attention_mask=attention_mask[:, :start],
                use_cache=False,
            )
    return _CleanRun(layer, residual, attention_mask, start, past)


def _ablate_clean(
    model: PreTrainedModel,
    clean: _CleanRun,
    direction: Float[Tensor, " d_model"],
    text_mask: Bool[Tensor, "batch token"],
    answers: AnswerIds,
) -> tuple[Float[Tensor, " batch"], Float[Tensor, ""]]:
    """Margins, and |dy| / |y| summed over the text tokens."""
    ablated = ablate_direction(clean.residual, direction, text_mask)
    lengths = clean.residual.float().norm(dim=-1).clamp_min(1e-12)
    removed = (ablated - clean.residual).float().norm(dim=-1) / lengths
    return yes_no_margin(_logits_above(model, clean, ablated), answers), removed[text_mask].sum()


def _logits_above(
    model: PreTrainedModel, clean: _CleanRun, hidden: Float[Tensor, "batch token d_model"]
) -> Float[Tensor, "batch vocabulary"]:
    """Logits at the last token when ``hidden`` leaves the layer; runs only what it can change."""

    def recall(part: str, at: int, tensor: Tensor) -> Tensor:
        earlier = clean.past.get((part, at))
        return tensor if earlier is None else torch.cat([earlier, tensor], dim=2)

    n_tokens = hidden.shape[1]
    with _start_above(model, clean.layer), probed_heads(model, recall):
        top = text_model(model)(
            inputs_embeds=hidden[:, clean.start :],
            attention_mask=_causal_bias(clean.attention_mask, clean.start, hidden.dtype),
            position_ids=torch.arange(clean.start, n_tokens, device=hidden.device).unsqueeze(0),
            use_cache=False,
        ).last_hidden_state
    last = clean.attention_mask.sum(1) - 1 - clean.start
    return model.get_output_embeddings()(top[torch.arange(len(top)), last])


def _causal_bias(
    attention_mask: Int[Tensor, "batch token"], start: int, dtype: torch.dtype
) -> Float[Tensor, "batch 1 query token"]:
    """0 where the query tokens from ``start`` on may look, hugely negative elsewhere."""
    token = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    may_look = (token <= token[start:, None]) & attention_mask.bool()[:, None, None]
    bias = torch.zeros(may_look.shape, dtype=dtype, device=attention_mask.device)
    return bias.masked_fill(~may_look, torch.finfo(dtype).min)


@contextmanager
def _start_above(model: PreTrainedModel, layer: int) -> Iterator[None]:
    """Let the text model begin after ``layer``: its input is then that layer's output."""
    decoder = cast(Any, text_model(model))
    layers, n_layers = decoder.layers, decoder.config.num_hidden_layers
    decoder.layers = layers[layer + 1 :]
    decoder.config.num_hidden_layers = n_layers - layer - 1
    try:
        yield
    finally:
        decoder.layers = layers
        decoder.config.num_hidden_layers = n_layers


def _require_equal(shared: float, plain: float, layer: int) -> None:
    if not abs(shared - plain) <= TOLERANCE * (1 + abs(plain)):  # a NaN fails
        raise ValueError(
            f"restarted after layer {layer} the first sample has margin {shared:.4g}, a plain "
            f"forward pass gives {plain:.4g}: this text model does more than run its blocks on "
            "embeddings. Use vlm.edit_residual with ablation.ablation_of instead."
        )


# ---------------------------------------------------------------- controls


def matched_controls(
    firing_rate: Float[np.ndarray, " feature"],
    projection: Float[np.ndarray, " feature"],
    feature: int,
    *,
    n: int = 20,
    seed: int = 0,
    tolerance: float = 0.25,
    exclude: Collection[int] = (),
) -> Controls:
    """n features of the layer whose firing rate and mean |y . v| are those of ``feature``, nearly.

    A ratio of either, the larger over the smaller, may be up to 1 + tolerance; the tolerance
    doubles until n match or every living feature does. ``tolerance=math.inf``: any living feature,
    the paper's control.
    """
    rate, size = np.asarray(firing_rate, float), np.asarray(projection, float)
    if rate.shape != size.shape or not 0 <= feature < len(rate):
        raise ValueError(
            f"firing rates of {list(rate.shape)} features, projections of {list(size.shape)}, "
            f"feature {feature}: expected one of each per feature of the layer, it among them."
        )
    living = (rate > 0) & (size > 0)
    if not living[feature]:
        raise ValueError(f"feature {feature} never fires here, so nothing can be matched to it.")
    allowed = living & ~np.isin(np.arange(len(rate)), [feature, *exclude])
    distance = np.full(len(rate), np.inf)
    distance[allowed] = (
        np.maximum(_ratio(rate[allowed], rate[feature]), _ratio(size[allowed], size[feature])) - 1
    )
    asked = tolerance
    while (distance <= tolerance).sum() < min(n, allowed.sum()):
        tolerance *= 2
    pool = np.flatnonzero(allowed & (distance <= tolerance))
    drawn = np.random.default_rng(seed).permutation(pool)[:n]
    return Controls(drawn.tolist(), tolerance, is_widened=tolerance > asked)


def _ratio(values: Float[np.ndarray, " feature"], value: float) -> Float[np.ndarray, " feature"]:
    """The larger over the smaller: 1 when equal."""
    return np.maximum(values / value, value / values)


# ---------------------------------------------------------------- the effect


def ablation_effects(
    label: Bool[np.ndarray, " sample"],
    margin_before: Float[np.ndarray, " sample"],
    margins_after: Float[np.ndarray, "direction sample"],
    image_ids: Int[np.ndarray, " sample"],
    *,
    seed: int = 0,
    n_draws: int = 10_000,
) -> list[AblationEffect]:
    """The effect of each ablation on the same samples, with the same resampled images for all."""
    label, before, after, images = _checked(label, margin_before, margins_after, image_ids)
    was_right, is_right = (before > 0) == label, (after > 0) == label
    flips = is_right.astype(float) - was_right
    interval = clustered_bootstrap(flips.T, images, n_draws=n_draws, seed=seed)
    return [
        _effect(label, before, after[i], float(interval.low[i]), float(interval.high[i]))
        for i in range(len(after))
    ]


def ablation_effect(
    label: Bool[np.ndarray, " sample"],
    margin_before: Float[np.ndarray, " sample"],
    margin_after: Float[np.ndarray, " sample"],
    image_ids: Int[np.ndarray, " sample"],
    *,
    seed: int = 0,
    n_draws: int = 10_000,
) -> AblationEffect:
    """The effect of one ablation."""
    after = np.asarray(margin_after)[None]
    return ablation_effects(label, margin_before, after, image_ids, seed=seed, n_draws=n_draws)[0]


def _effect(
    label: Bool[np.ndarray, " sample"],
    before: Float[np.ndarray, " sample"],
    after: Float[np.ndarray, " sample"],
    low: float,
    high: float,
) -> AblationEffect:
    was_yes, is_yes = before > 0, after > 0
    was_right, is_right = was_yes == label, is_yes == label
    spoiled, mended = int((was_right & ~is_right).sum()), int((~was_right & is_right).sum())
    towards_truth = np.where(label, 1.0, -1.0)
    return AblationEffect(
        n_samples=len(label),
        accuracy_before=float(was_right.mean()),
        accuracy_after=float(is_right.mean()),
        delta_accuracy=(mended - spoiled) / len(label),
        delta_low=low,
        delta_high=high,
        right_to_wrong=spoiled,
        wrong_to_right=mended,
        mcnemar_p=float(mcnemar_exact(spoiled, mended)),
        probability_delta=float(
            (expit(towards_truth * after) - expit(towards_truth * before)).mean()
        ),
        margin_delta=float((towards_truth * (after - before)).mean()),
        yes_rate_before=float(was_yes.mean()),
        yes_rate_after=float(is_yes.mean()),
        balanced_accuracy_before=balanced_accuracy(was_right, label),
        balanced_accuracy_after=balanced_accuracy(is_right, label),
    )


def balanced_accuracy(
    is_right: Bool[np.ndarray, " sample"], label: Bool[np.ndarray, " sample"]
) -> float:
    """Mean of the shares right among true yes and among true no; of one kind only: its share."""
    shares = [is_right[label == kind].mean() for kind in (True, False) if (label == kind).any()]
    return float(np.mean(shares))


def _checked(
    label: np.ndarray, before: np.ndarray, after: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """As arrays of agreeing shapes and finite numbers."""
    label, images = np.asarray(label).astype(bool), np.asarray(images)
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    n = len(label)
    if n == 0 or before.shape != (n,) or after.shape[1:] != (n,) or images.shape != (n,):
        raise ValueError(
            f"{n} labels, margins before {list(before.shape)}, after {list(after.shape)}, image "
            f"ids {list(images.shape)}: expected one of each per sample, after as [direction, "
            "sample]."
        )
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("margins hold NaN or inf: the logits overflow; run the model in bfloat16.")
    return label, before, after, images
