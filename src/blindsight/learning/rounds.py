"""Federated rounds as pure steps: distribute w; update it on own data; combine; again.

Yonetani et al. 2017, section 2: the aggregator distributes w, user i sends its updated w(i), and the
new w is the mean. Here between `updated` and `combined` stands a private sum of integers, whichever.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import DimensionError, RoundError
from blindsight.core.types import I64, frozen
from blindsight.learning.descent import Descent, descend, one_hot
from blindsight.learning.fixed_point import FixedPoint

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Task:
    """What is learned, agreed on by all before the first round.

    Attributes:
        classes: names of the labels, in order.
        dimension: of the features, which have norm 1 or less.
        descent: how each user updates.
        fixed: the integers of updates.
    """

    classes: tuple[str, ...]
    dimension: int
    descent: Descent = Descent()  # noqa: RUF009
    fixed: FixedPoint = FixedPoint()  # noqa: RUF009

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes) or self.dimension < 1:
            raise DimensionError("A task has at least two classes, each once, and features.")

    @property
    def weights(self) -> int:
        """Weights of a model, as one vector."""
        return self.dimension * len(self.classes)


@dataclass(frozen=True, slots=True)
class Model:
    """Weights after a round: float64 (dimension, classes), and the round's number, 0 at first."""

    weights: F64
    number: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", frozen(np.ascontiguousarray(self.weights, np.float64)))

    def scores(self, features: F64) -> F64:
        """Scores (n, classes) of features (n, dimension)."""
        return np.asarray(features @ self.weights)

    def predict(self, features: F64) -> I64:
        """The place of the best class, int64 (n,)."""
        return np.asarray(self.scores(features).argmax(axis=1))


def first_model(task: Task) -> Model:
    """Where everybody begins: zeros."""
    return Model(np.zeros((task.dimension, len(task.classes))), 0)


def updated(task: Task, model: Model, features: F64, labels: I64, seed: int) -> I64:
    """One user's step: its weights after training on its own data, as integers (task.weights,).

    Args:
        task: what is learned.
        model: what the aggregator distributed.
        features: float64 (n, dimension), at least one.
        labels: int64 (n,), places in ``task.classes``.
        seed: draws the order of the samples; need not be secret.

    Raises:
        DimensionError: features or model of another shape.
        VectorError: a weight outside the fixed-point range.
    """
    shape = (task.dimension, len(task.classes))
    if model.weights.shape != shape or features.ndim != 2 or features.shape[1:] != (task.dimension,):
        raise DimensionError(f"The task has weights of shape {shape}; features or model do not fit.")
    if len(features) < 1 or labels.shape != (len(features),) or labels.min() < 0 or labels.max() >= shape[1]:
        raise DimensionError("There is at least one sample, and each has one of the task's labels.")
    generator = np.random.default_rng((seed, model.number))
    weights = descend(model.weights, features, one_hot(labels, shape[1]), task.descent, generator)
    return task.fixed.integers(weights).reshape(-1)


def combined(task: Task, model: Model, number: int, total: I64, count: int) -> Model:
    """The new model: the mean of the updates, from their sum.

    Raises `RoundError` where the sum is not of the round after ``model``'s.
    """
    if number != model.number + 1:
        raise RoundError(f"A sum of round {number} does not follow round {model.number}; it is refused.")
    if total.shape != (task.weights,):
        raise DimensionError(f"A sum has {task.weights} weights, not shape {total.shape}.")
    return Model(task.fixed.mean(total, count).reshape(task.dimension, len(task.classes)), number)
