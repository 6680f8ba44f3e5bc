"""Directions that labels give: rivals of features, which were found without (beside paper 5.3).

x is the mean residual of a statement's text tokens; some statements are of the kind in question:

    diff_mean   v = mean of x where yes - mean of x where no          (AxBench, Wu et al. 2025)
    probe       v = w of a logistic regression on z = (x - mean) / s

        minimise  |w|^2 / 2 + C sum log(1 + exp(-y (w . z + b)))      y = 1 or -1, C = 1

s is one number, the root of the mean variance of a dimension: w stays in the residual's own space,
and the residual's unit does not matter. In float64; both of length 1 and towards yes.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

Method = Literal["diff_mean", "probe"]
METHODS: tuple[Method, ...] = ("diff_mean", "probe")


def supervised_direction(
    method: Method,
    x: Float[np.ndarray, "statement d_model"],
    is_yes: Bool[np.ndarray, " statement"],
) -> Float[np.ndarray, " d_model"]:
    """Of length 1; zero, which removes nothing, where nothing tells the two kinds apart."""
    find = difference_of_means if method == "diff_mean" else probe_weights
    found = find(x, is_yes)
    length = np.linalg.norm(found)
    return found / length if length > 0 else found


def difference_of_means(
    x: Float[np.ndarray, "statement d_model"], is_yes: Bool[np.ndarray, " statement"]
) -> Float[np.ndarray, " d_model"]:
    """From the mean of the others to the mean of those that are yes."""
    x, is_yes = _both_kinds(x, is_yes)
    difference: Float[np.ndarray, " d_model"] = x[is_yes].mean(0) - x[~is_yes].mean(0)
    return difference


def probe_weights(
    x: Float[np.ndarray, "statement d_model"],
    is_yes: Bool[np.ndarray, " statement"],
    c: float = 1.0,
) -> Float[np.ndarray, " d_model"]:
    """w of the logistic regression; `c` weighs the statements against the length of w."""
    x, is_yes = _both_kinds(x, is_yes)
    centred = x - x.mean(0)
    spread = np.sqrt(np.square(centred).mean())
    if spread == 0:
        return np.zeros(x.shape[1])
    z, y = centred / spread, np.where(is_yes, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = weights[:-1], weights[-1]
        margin = y * (z @ w + b)
        pull = -c * y * expit(-margin)
        value = w @ w / 2 + c * np.logaddexp(0, -margin).sum()
        return value, np.append(w + z.T @ pull, pull.sum())

    start = np.zeros(x.shape[1] + 1)
    options = {"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-14, "gtol": 1e-8}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    weights: Float[np.ndarray, " d_model"] = found.x[:-1]
    return weights


def area_under_curve(
    score: Float[np.ndarray, " statement"], is_yes: Bool[np.ndarray, " statement"]
) -> float | None:
    """The chance that a yes scores above a no, ties half; None where one of them is missing."""
    n_yes, n_no = int(is_yes.sum()), int((~is_yes).sum())
    if n_yes == 0 or n_no == 0:
        return None
    above = rankdata(score)[is_yes].sum() - n_yes * (n_yes + 1) / 2
    return float(above / (n_yes * n_no))


def _both_kinds(x: np.ndarray, is_yes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, is_yes = np.asarray(x, np.float64), np.asarray(is_yes, bool)
    if is_yes.shape != x.shape[:1] or is_yes.all() or not is_yes.any():
        raise ValueError(
            f"{len(x)} statements, {is_yes.size} labels, {int(is_yes.sum())} of them yes: expected "
            "a label for each statement, and both kinds."
        )
    return x, is_yes
