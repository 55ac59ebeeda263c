"""Bounds of a mean by betting: valid for every sample size and whenever one stops.

I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024,
section 4. Who believes that the mean of values in [0, 1] is at least m is bet against: the capital
K(m) = Π (1 + λ_i (m − x_i)), its stakes λ_i in [0, 1) fixed before x_i is seen, is a non-negative
supermartingale under that belief, so that it ever reaches 1/δ with probability at most δ (Ville).
The upper bound is the least m at which it has. Values of little variance make it tight, which
intervals for counts of successes do not see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from blindsight.evaluation.movement import F64

_CAP = 0.98
_HALVINGS = 40


def upper_bound(values: Sequence[float] | F64, error: float, planned: int) -> float:
    """A number that the mean exceeds with probability at most ``error``.

    Args:
        values: independent, of one mean, in [0, 1], in the order in which they came.
        error: δ, in (0, 1).
        planned: how many values there will be at most; it only tunes the stakes.
    """
    x = np.asarray(values, np.float64)
    if len(x) == 0:
        return 1.0
    if x.min() < 0.0 or x.max() > 1.0:
        raise ValueError("The bound holds for values from 0 to 1.")
    stakes = _stakes(x, error, planned)
    goal, low, high = math.log(1 / error), 0.0, 1.0
    if float(np.log1p(stakes * (1.0 - x)).sum()) < goal:
        return 1.0
    for _ in range(_HALVINGS):  # the capital rises with m, since the stakes do not depend on it
        middle = (low + high) / 2
        if float(np.log1p(stakes * (middle - x)).sum()) >= goal:
            high = middle
        else:
            low = middle
    return high


def lower_bound(values: Sequence[float] | F64, error: float, planned: int) -> float:
    """A number that the mean falls below with probability at most ``error``; as `upper_bound`."""
    return 1.0 - upper_bound(1.0 - np.asarray(values, np.float64), error, planned)


def _stakes(x: F64, error: float, planned: int) -> F64:
    """λ_i from the values before i: √(2 ln(1/δ) / (planned · variance)), at most the cap."""
    count = np.arange(1, len(x) + 1)
    means = (0.5 + np.cumsum(x)) / (1 + count)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (1 + count)
    before = np.concatenate([[0.25], variances[:-1]])
    return np.minimum(_CAP, np.sqrt(2 * math.log(1 / error) / (max(planned, 1) * before)))
