"""Excess rotation: how much further a feature turned than refitting alone turns one (paper 4.2).

Adam moves every feature that fires, so a low cosine alone proves nothing. The null is the same base
dictionary trained on the same base model's plain text for as many steps (`refit`): there features
turned for no reason but training. What fires rarely turns by noise, what fires often by signal, so
a feature is compared with refit features of its layer that fired about as often:

1. Rotation is log(1 - cosine): a ratio of rotations is a difference.
2. Its median at a number of firings is that of the `NEIGHBOURS` refit features nearest in
   log(1 + firings), once the line through them is taken off; so is the distance from the median to
   the ninetieth percentile, the null's spread there.
3. A feature's score is its distance from that median, in spreads.
4. p is the share of refit features, of all layers, with at least that score, with the +1
   correction; q is Benjamini-Hochberg over all features of all layers.

These are locally weighted conformal p values (Lei et al. 2018), with which Benjamini-Hochberg holds
its rate (Bates et al. 2023). The choice of 4 is one between reach and trust. The neighbours' own
share cannot fall below 1 / (NEIGHBOURS + 1), which no correction over a million features accepts;
all layers' scores reach 1 / (refit features + 1), so that about 1 / q (20 at 5 %) features that
turned beyond every refit feature are found, however large the dictionary, and every refit feature
that turned as far asks for as many more: with 2 % of 4,096 turned nothing was found in three of
1,500 simulated worlds, and 98 % of them in most. A Pareto tail fitted to the scores would reach
further, but in worlds without any turned feature it found one in a fifth of them instead of a
twentieth, and where 2 % of the null were outliers it lost nearly all.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtri

from feature_atlas.statistics.uncertainty import benjamini_hochberg

NEIGHBOURS = 200
"""Refit features that say how far features turn that fire as often: 20 lie beyond their tenth."""

FEWEST = 20
"""Refit features of a layer that must have fired; fewer are no distribution."""

_HIGH = 0.9  # the percentile that spreads are measured to
_ROUNDING = 2.0**-24  # of a float32 cosine near 1: rotations below it cannot be told apart


class Rotation(NamedTuple):
    """How far the features of one regime turned, and how often they were trained."""

    cosine: Float[np.ndarray, "layer d_sae"]
    """Decoder cosine before and after, -1 to 1; exactly 1 where the feature never fired."""
    n_firings: Int[np.ndarray, "layer d_sae"]
    """Training tokens on which the feature fired, and so was updated."""


class ExcessRotation(NamedTuple):
    """One regime against the refit null. Features that never fired: cosine 1, excess 0, p 1."""

    null_cosine: Float32[np.ndarray, "layer d_sae"]
    """Median cosine of refit features of the layer that fired as often."""
    excess: Float32[np.ndarray, "layer d_sae"]
    """`null_cosine` less the feature's own: above 0, it turned further than refitting explains."""
    p_value: Float64[np.ndarray, "layer d_sae"]
    """Chance that a refit feature which fired as often turns at least as far."""
    q_value: Float64[np.ndarray, "layer d_sae"]
    """Benjamini-Hochberg over all features of all layers of the regime."""


def excess_rotation(turned: Rotation, refit: Rotation) -> ExcessRotation:
    """Compare every feature with refit features of its layer that fired about as often.

    Both have the same layers in the same order. Deterministic.
    """
    _require_alike(turned=turned, refit=refit)
    nulls = [_null_of(layer) for layer in _layers(refit)]
    null_scores = np.sort(_scores(nulls, refit)[refit.n_firings > 0])
    at_least = len(null_scores) - np.searchsorted(null_scores, _scores(nulls, turned), side="left")
    p_value = (at_least + 1) / (len(null_scores) + 1)
    null_cosine = np.stack(
        [_null_cosine(*pair) for pair in zip(nulls, turned.n_firings, strict=True)]
    )
    excess = null_cosine - turned.cosine.astype(np.float32)
    return ExcessRotation(null_cosine, excess, p_value, benjamini_hochberg(p_value))


def turned_further(
    turned: Rotation, control: Rotation, refit: Rotation, *, confidence: float = 0.95
) -> Bool[np.ndarray, "layer d_sae"]:
    """Which features turned further than the same feature did under a control regime.

    Both are scored against the refit null at their own numbers of firings. The difference must
    exceed the null's own noise, the difference of two refit features that fired equally often: with
    this confidence it stays below sqrt(2) normal deviates, of which a spread is the ninetieth
    percentile (0.95: 1.8 spreads). A feature that never fired under the control turned further if
    it fired at all; one that never fired did not.
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence must lie in [0.5, 1), got {confidence}; usual is 0.95.")
    _require_alike(turned=turned, control=control, refit=refit)
    nulls = [_null_of(layer) for layer in _layers(refit)]
    tolerance = np.sqrt(2) * ndtri(confidence) / ndtri(_HIGH)
    return _scores(nulls, turned) > _scores(nulls, control) + tolerance


class _Null(NamedTuple):
    """How far refit features of one layer turned, as a curve over the number of firings."""

    at: Float64[np.ndarray, " knot"]
    """log(1 + firings), increasing."""
    middle: Float64[np.ndarray, " knot"]
    """Median log rotation."""
    spread: Float64[np.ndarray, " knot"]
    """From the median to the ninetieth percentile; above 0."""


def _null_of(refit: Rotation) -> _Null:
    """The null of one layer, from the refit features that fired."""
    fired = refit.n_firings > 0
    cosine, n_firings = refit.cosine[fired], refit.n_firings[fired]
    order = np.argsort(n_firings, kind="stable")
    return _curve(np.log1p(n_firings[order]), _log_rotation(cosine[order]))


def _curve(
    log_firings: Float64[np.ndarray, " fired"], log_rotation: Float64[np.ndarray, " fired"]
) -> _Null:
    """Median and spread in windows of `NEIGHBOURS` that overlap by three quarters.

    A window spans a range of firings; the line through it is taken off, so that the trend within is
    not taken for spread, and is followed to the outermost feature at either end.
    """
    width = min(NEIGHBOURS, len(log_firings))
    n_windows = 1 + 4 * (len(log_firings) - width) // width
    starts = np.linspace(0, len(log_firings) - width, n_windows).astype(int)
    x = sliding_window_view(log_firings, width)[starts]
    y = sliding_window_view(log_rotation, width)[starts]
    at = x.mean(1)
    x = x - at[:, None]
    slope = (x * y).sum(1) / np.maximum((x**2).sum(1), 1e-9)
    middle, high = np.quantile(y - slope[:, None] * x, (0.5, _HIGH), axis=1)
    # a null of equal cosines has no spread but that of rounding
    spread = np.maximum(high - middle, _ROUNDING / np.exp(middle))
    ends = log_firings[[0, -1]]
    lines = middle[[0, -1]] + slope[[0, -1]] * (ends - at[[0, -1]])
    return _merged(
        np.concatenate([ends[:1], at, ends[1:]]),
        np.concatenate([lines[:1], middle, lines[1:]]),
        np.concatenate([spread[:1], spread, spread[-1:]]),
    )


def _merged(at: np.ndarray, middle: np.ndarray, spread: np.ndarray) -> _Null:
    """One knot per number of firings: many features fired once, so windows may coincide."""
    knots, of_window = np.unique(at, return_inverse=True)
    n = np.bincount(of_window)
    return _Null(knots, np.bincount(of_window, middle) / n, np.bincount(of_window, spread) / n)


def _scores(nulls: Sequence[_Null], turned: Rotation) -> Float64[np.ndarray, "layer d_sae"]:
    """Distance from the null's median in its spreads; minus infinity if it never fired."""
    return np.stack([_score(*pair) for pair in zip(nulls, _layers(turned), strict=True)])


def _score(null: _Null, turned: Rotation) -> Float64[np.ndarray, " d_sae"]:
    at = np.log1p(turned.n_firings)
    middle, spread = (np.interp(at, null.at, y) for y in (null.middle, null.spread))
    score = (_log_rotation(turned.cosine) - middle) / spread
    return np.where(turned.n_firings > 0, score, -np.inf)


def _null_cosine(
    null: _Null, n_firings: Int[np.ndarray, " d_sae"]
) -> Float32[np.ndarray, " d_sae"]:
    """The null's median as a cosine; 1 where nothing fired."""
    middle = np.interp(np.log1p(n_firings), null.at, null.middle)
    cosine = np.clip(1 + _ROUNDING - np.exp(middle), -1, 1)
    return np.where(n_firings > 0, cosine, 1).astype(np.float32)


def _log_rotation(cosine: np.ndarray) -> Float64[np.ndarray, " feature"]:
    return np.log(1 - cosine.astype(np.float64) + _ROUNDING)


def _layers(rotation: Rotation) -> Iterator[Rotation]:
    """Layer by layer, each [d_sae]."""
    return (Rotation(*columns) for columns in zip(*rotation, strict=True))


def _require_alike(**rotations: Rotation) -> None:
    """Refuse other shapes, what is not a cosine, and turns without firing."""
    shapes = {f"{n}.{f}": v.shape for n, r in rotations.items() for f, v in r._asdict().items()}
    if len(set(shapes.values())) > 1 or len(rotations["refit"].cosine.shape) != 2:
        raise ValueError(
            f"shapes are {shapes}: pass all as [layer, d_sae], with the same layers in one order."
        )
    for name, rotation in rotations.items():
        is_cosine = (rotation.cosine >= -1) & (rotation.cosine <= 1)  # a NaN fails both
        _refuse(name, rotation, ~is_cosine, "a cosine is a number from -1 to 1")
        _refuse(name, rotation, rotation.n_firings < 0, "firings are counted from 0")
        _refuse(
            name,
            rotation,
            (rotation.n_firings == 0) & (rotation.cosine < 1),
            "a feature that never fired cannot have turned: cosines and firings are of different "
            "trainings, or the training began anew",
        )
    fired = (rotations["refit"].n_firings > 0).sum(1)
    if (fired < FEWEST).any():
        i = int(fired.argmin())
        raise ValueError(
            f"only {fired[i]} refit features of layer number {i} (from 0) fired in training: a "
            f"null needs {FEWEST} or more. Train the refit regime on more tokens of base text."
        )


def _refuse(name: str, rotation: Rotation, is_bad: np.ndarray, what: str) -> None:
    if is_bad.any():
        i, f = np.argwhere(is_bad)[0]
        raise ValueError(
            f"{name}: feature {f} of layer number {i} (from 0) has cosine {rotation.cosine[i, f]} "
            f"and {rotation.n_firings[i, f]} firings ({is_bad.sum()} features are like it): {what}."
        )
