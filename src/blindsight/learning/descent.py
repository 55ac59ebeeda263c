"""Stochastic gradient descent for one-against-the-rest logistic classifiers, with an elastic net.

The penalty is ``alpha (l1 |W|_1 + (1 - l1)/2 |W|^2)``. Its proximal step, a soft threshold and a
shrinkage, is taken once an epoch for all steps of it together (the truncated gradient of Langford,
Li and Zhang, JMLR 2009): the noise of single steps would bring back weights that a threshold after each of
them had set to zero. What is below stays exactly zero, so ``alpha`` and ``l1`` steer how sparse an update is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import ParameterError

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Descent:
    """How weights are updated on one holder's data.

    Attributes:
        alpha: strength of the regularisation, 0 or more.
        l1: its share of the L1 norm, 0 to 1.
        rate: step size, in units of 1 / (mean squared norm of the features).
        epochs: passes over the data, 1 or more.
        batch: samples of one step, 1 or more.
    """

    alpha: float = 1e-4
    l1: float = 0.5
    rate: float = 1.0
    epochs: int = 5
    batch: int = 16

    def __post_init__(self) -> None:
        numbers = (self.alpha, self.rate)
        if not all(np.isfinite(n) and n >= 0 for n in numbers) or not 0 <= self.l1 <= 1 or not self.rate:
            raise ParameterError("Regularisation is 0 or more, its L1 share 0 to 1, the step size positive.")
        if self.epochs < 1 or self.batch < 1:
            raise ParameterError("There are at least one epoch and one sample in a batch.")


def one_hot(labels: NDArray[np.int64], classes: int) -> F64:
    """Labels 0 to classes - 1 as rows of 0 and 1: float64 (n, classes)."""
    return np.asarray(labels[:, np.newaxis] == np.arange(classes), np.float64)


def descend(
    weights: F64,
    features: F64,
    targets: F64,
    how: Descent,
    generator: np.random.Generator,
    *,
    free: int = 0,
) -> F64:
    """New weights after some epochs on one holder's data; the arguments stay as they are.

    Args:
        weights: float64 (dimension, classes), where to begin.
        features: float64 (n, dimension), finite.
        targets: float64 (n, classes), 0 or 1.
        how: the descent.
        generator: draws the order of the samples.
        free: how many of the last rows of ``weights`` are not regularised (an intercept).
    """
    out = weights.copy()
    scale = float(np.mean(np.einsum("ij,ij->i", features, features))) or 1.0
    count = len(features)
    shrunk = slice(0, len(weights) - free)
    for epoch in range(how.epochs):
        step = how.rate / scale / np.sqrt(1.0 + epoch)
        order = generator.permutation(count)
        for at in range(0, count, how.batch):
            rows = order[at : at + how.batch]
            part = features[rows]
            scores = np.clip(part @ out, -500.0, 500.0)
            errors = 1.0 / (1.0 + np.exp(-scores)) - targets[rows]
            out -= (step / len(rows)) * (part.T @ errors)
        whole = step * -(-count // how.batch) * how.alpha
        body = out[shrunk]
        thresholded = np.sign(body) * np.maximum(np.abs(body) - whole * how.l1, 0.0)
        out[shrunk] = thresholded / (1.0 + whole * (1.0 - how.l1))
    return out


def sparsity(weights: F64) -> float:
    """The share of weights that are not zero."""
    return float(np.count_nonzero(weights)) / weights.size
