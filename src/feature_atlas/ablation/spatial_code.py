"""A linear code of where a named object is: the competing explanation of a spatial feature.

VLMs bind an object's place to its name, linearly (spatial IDs, arXiv 2601.12626). h is the residual
at the last token of a name, p = (x, y) where the object is, both less their means over objects that
are named in the same place of their sentence:

    code    U = orthonormal rows that span cov(h, x) and cov(h, y)
    erased  h - h U'U

What is erased has no covariance with p, so that no linear readout of it beats the mean (Belrose et
al. 2023), on the objects that U was made of. On others R^2 of a readout says what is left. How much
of a feature of direction v is the code:

    code share       |U v|^2                      2 / d_model by chance
    outside          v - U'U v, of length 1       removed in the place of v
    remaining        (effect of U and v - effect of U) / effect of v
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from feature_atlas.statistics.uncertainty import clustered_ratio

RIDGES = tuple(10.0**power for power in range(-6, 4))
"""Times the mean square of h: penalties tried."""


class Objects(NamedTuple):
    """Named objects: what the model makes of the name, and where they are."""

    h: Float[np.ndarray, "object d_model"]
    """Residual at the last token of the name."""
    p: Float[np.ndarray, "object 2"]
    """Centre of its box, as shares of the picture's width and height."""
    order: Int[np.ndarray, " object"]
    """0: named first in its sentence, 1: second, and so on."""

    def only(self, kept: Bool[np.ndarray, " object"]) -> "Objects":
        """Some of them."""
        return Objects(*(part[kept] for part in self))

    def centred(self) -> "Objects":
        """Less the means over objects of the same order, in float64."""
        h, p = self.h.astype(np.float64), self.p.astype(np.float64)
        for place in np.unique(self.order):
            at = self.order == place
            h[at] -= h[at].mean(0)
            p[at] -= p[at].mean(0)
        return Objects(h, p, self.order)


class Remaining(NamedTuple):
    """Which share of an effect is left, by a paired bootstrap over pictures."""

    share: float
    """1: all of it, 0: nothing."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""


def position_code(objects: Objects) -> Float[np.ndarray, "rank d_model"]:
    """U: at most two rows, fewer where a coordinate or all residuals are the same."""
    one = objects.centred()
    covariance = one.p.T @ one.h / len(one.h)
    _, sizes, rows = np.linalg.svd(covariance, full_matrices=False)
    code: Float[np.ndarray, "rank d_model"] = rows[sizes > 1e-9 * max(sizes.max(), 1e-12)]
    return code


def erased(objects: Objects, code: Float[np.ndarray, "rank d_model"]) -> Objects:
    """Without what lies in the code."""
    return objects._replace(h=objects.h - objects.h @ code.T @ code)


def code_share(
    direction: Float[np.ndarray, " d_model"], code: Float[np.ndarray, "rank d_model"]
) -> float:
    """Of the squared length of a direction, what lies in the code."""
    return float(np.square(code @ direction).sum() / np.square(direction).sum())


def outside(
    direction: Float[np.ndarray, " d_model"], code: Float[np.ndarray, "rank d_model"]
) -> Float[np.ndarray, " d_model"]:
    """What of a direction is orthogonal to the code, of length 1; zero if it lies in the code."""
    rest = direction - code.T @ (code @ direction)
    length = np.linalg.norm(rest)
    return rest / length if length > 1e-6 * np.linalg.norm(direction) else np.zeros_like(rest)


def readout_r2(train: Objects, unseen: Objects) -> tuple[float, float]:
    """R^2 of x and of y, read by ridge regression from objects that it was not fitted on.

    1: exactly; 0: as well as their mean; below 0: worse. The penalty is the one with the smallest
    leave-one-out error on the training objects.
    """
    one, other = train.centred(), unseen.centred()
    u, sizes, rows = np.linalg.svd(one.h, full_matrices=False)
    unit, along = np.square(one.h).mean(), u.T @ one.p

    def shrink(ridge: float) -> np.ndarray:
        kept: np.ndarray = sizes**2 / (sizes**2 + ridge * unit * len(one.h) + 1e-300)
        return kept

    def left_out(ridge: float) -> float:
        leverage = 1 / len(u) + np.square(u) @ shrink(ridge)
        wrong = one.p - u @ (shrink(ridge)[:, None] * along)
        return float(np.square(wrong / np.maximum(1 - leverage, 1e-9)[:, None]).sum())

    kept = shrink(min(RIDGES, key=left_out))
    inverse = np.divide(kept, sizes, out=np.zeros_like(sizes), where=sizes > 1e-9 * sizes.max())
    found = other.h @ (rows.T @ (inverse[:, None] * along))
    left, whole = np.square(other.p - found).sum(0), np.square(other.p).sum(0)
    r2_x, r2_y = (float(1 - a / b) if b > 0 else 0.0 for a, b in zip(left, whole, strict=True))
    return r2_x, r2_y


def remaining(
    part: Float[np.ndarray, " sample"],
    whole: Float[np.ndarray, " sample"],
    image_ids: Int[np.ndarray, " sample"],
    *,
    seed: int = 0,
    n_draws: int = 10_000,
) -> Remaining | None:
    """mean(part) / mean(whole) of changes of the same answers.

    None where the interval of mean(whole) has 0 in it: there is no effect to have a share of.
    """
    found = clustered_ratio(part, whole, image_ids, seed=seed, n_draws=n_draws)
    return None if found is None else Remaining(float(part.mean() / whole.mean()), *found)
