"""Which effect a set of paired answers could have shown (paper 5.3 prints deltas without it).

Of n answers a share psi changes, and delta = P(right to wrong) - P(wrong to right). The exact
McNemar test sees only the M ~ Binomial(n, psi) answers that changed, X of them the rarer way:

    power(delta) = sum over m of P(M = m) P(the test of X ~ Binomial(m, (psi - delta) / 2 psi)
                                            is below alpha)
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import bdtr, bdtrik, gammaln, xlog1py, xlogy

_STEPS = 30  # halvings of the interval: to 1e-9


def mcnemar_power(n: int, discordance: float, delta: float, *, alpha: float = 0.05) -> float:
    """Chance that the exact two-sided McNemar test of n pairs is below ``alpha``.

    ``discordance`` is the share of answers that change, ``delta`` the net share, 0 to discordance.
    """
    if not 0 <= delta <= discordance <= 1 or n < 1:
        raise ValueError(
            f"n {n}, discordance {discordance}, delta {delta}: expected n of 1 or more, and "
            "0 <= delta <= discordance <= 1 (no more can change one way than change)."
        )
    if discordance == 0:
        return 0.0
    changed = _likely_counts(n, discordance)
    limit = _critical(changed, alpha)
    rarer = (discordance - delta) / (2 * discordance)
    is_possible = limit >= 0
    k, m = limit[is_possible], changed[is_possible]
    rejected = bdtr(k, m, rarer) + bdtr(k, m, 1 - rarer)
    return float(np.sum(_probability(changed, n, discordance)[is_possible] * rejected))


@lru_cache(maxsize=4096)
def detectable_delta(
    n: int, n_changed: int, *, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """Smallest net share of n answers whose loss the test would find with the stated power.

    As many answers change as did here, ``n_changed`` of them, or as many as are lost if that is
    more. None: so few answers cannot show any effect.
    """
    if not 0 <= n_changed <= n:
        raise ValueError(f"{n_changed} of {n} answers changed: expected 0 to {n}.")

    def reached(delta: float) -> bool:
        return mcnemar_power(n, max(n_changed / n, delta), delta, alpha=alpha) >= power

    if n < 1 or not reached(1.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _likely_counts(n: int, share: float) -> Int64[np.ndarray, " count"]:
    """All counts that Binomial(n, share) takes with any chance to speak of."""
    reach = 8 * np.sqrt(n * share * (1 - share)) + 10
    return np.arange(max(0, int(n * share - reach)), min(n, int(n * share + reach)) + 1)


def _critical(changed: Int64[np.ndarray, " count"], alpha: float) -> Int64[np.ndarray, " count"]:
    """Largest count of the rarer change at which 2 P(X <= k) <= alpha; -1: there is none."""
    few = 2 * bdtr(0, changed, 0.5) > alpha
    k = np.floor(bdtrik(alpha / 2, changed, 0.5, where=~few, out=np.zeros(len(changed))))
    k -= 2 * bdtr(k, changed, 0.5) > alpha  # a rounding above
    return np.where(few, -1, k).astype(np.int64)


def _probability(
    counts: Int64[np.ndarray, " count"], n: int, share: float
) -> Float64[np.ndarray, " count"]:
    """P(M = m) of Binomial(n, share)."""
    ways = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    return np.exp(ways + xlogy(counts, share) + xlog1py(n - counts, -share))
