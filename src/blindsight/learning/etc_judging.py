"""The arithmetic of judging, which training and stored models share. NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def centred(values: NDArray[Any], sums: F64, count: int, signs: F64) -> F64:
    """Chosen columns less their mean over the training images, with their sign."""
    made: F64 = signs * (count * values.astype(np.float64) - sums) / count
    return made + 0.0  # so that a zero has no sign


def gram_matrix(one: F64, two: F64, kernel: str, gamma: float) -> F64:
    """Kernel values of all pairs, float64 (len(one), len(two))."""
    products: F64 = one @ two.T
    if kernel == "linear":
        return products
    lengths = np.einsum("ij,ij->i", one, one)[:, np.newaxis] + np.einsum("ij,ij->i", two, two)
    near: F64 = np.exp(-gamma * np.maximum(lengths - 2.0 * products, 0.0))
    return near


def decisions(X: F64, vectors: F64, dual: F64, intercept: F64, kernel: str, gamma: float) -> F64:
    """Decision values, float64 (samples, machines)."""
    values: F64 = gram_matrix(X, vectors, kernel, gamma) @ dual.T + intercept
    return values
