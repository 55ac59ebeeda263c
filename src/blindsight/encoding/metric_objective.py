"""The objective of large-margin nearest neighbours and its gradient (JMLR 10, 207-244).

With target neighbours j of i, impostors l of another label than i, and d(a, b) the squared
distance ‖L(a - b)‖² (Eqs. 11 to 13):

    pull   Σ_ij d(i, j)
    push   Σ_ij Σ_l [1 + d(i, j) - d(i, l)]_+
    value  (1 - mu) pull + mu push

The value is a weighted sum of squared distances plus constants, and so the gradient in M is
the same sum of outer products (Eq. 18); that in L is twice L times it. Only active impostors,
those inside the margin, take part. NumPy alone; a block of rows of the distance matrix at a
time, so that memory stays at ``_BLOCK`` rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Numbers = NDArray[np.int64]

_BLOCK = 512


def target_neighbors(points: F64, numbers: Numbers, count: int) -> Numbers:
    """For every sample its nearest others of the same class, by Euclidean distance (§3.1).

    Args:
        points: (samples, features), finite.
        numbers: class of each sample, (samples,).
        count: how many; a class of c samples gives at most c - 1 to each.

    Returns:
        int64 (pairs, 2): sample, target neighbour; ordered by sample, nearest first. A sample
        alone in its class is in none.

    """
    found: list[Numbers] = []
    for number in np.unique(numbers):
        members = np.flatnonzero(numbers == number)
        k = min(count, len(members) - 1)
        if k == 0:
            continue
        own = points[members] - points[members].mean(axis=0)
        distances = squared_distances(own, own)
        np.fill_diagonal(distances, np.inf)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
        found.append(np.column_stack([np.repeat(members, k), members[nearest].ravel()]))
    if not found:
        return np.empty((0, 2), dtype=np.int64)
    pairs = np.concatenate(found)
    return np.asarray(pairs[np.argsort(pairs[:, 0], kind="stable")])


def squared_distances(a: F64, b: F64) -> F64:
    """Squared Euclidean distances, (rows of a, rows of b), not negative."""
    lengths = np.einsum("ij,ij->i", a, a)[:, np.newaxis] + np.einsum("ij,ij->i", b, b)
    return np.asarray(np.maximum(lengths - 2.0 * (a @ b.T), 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The objective for fixed samples and target neighbours.

    Attributes:
        points: (samples, features).
        numbers: class of each sample, (samples,).
        targets: (pairs, 2) from `target_neighbors`.
        mu: weight of the push, 0 to 1.

    """

    points: F64
    numbers: Numbers
    targets: Numbers
    mu: float

    def terms(self, components: F64) -> tuple[float, float]:
        """Pull and push at L, (components, features), each without its weight."""
        return self._sum(components)[:2]

    def __call__(self, components: F64) -> tuple[float, F64]:
        """Value and gradient at L; the gradient has L's shape."""
        pull, push, outer = self._sum(components, gradient=True)
        return (1.0 - self.mu) * pull + self.mu * push, 2.0 * components @ outer

    def _sum(self, components: F64, *, gradient: bool = False) -> tuple[float, float, Any]:
        """Pull, push, and the weighted sum of outer products where it is wanted."""
        points = self.points
        mapped = points @ components.T
        first, second = self.targets.T
        between = mapped[first] - mapped[second]
        pulled = np.einsum("ij,ij->i", between, between)
        weights = np.full(len(pulled), 1.0 - self.mu)
        push = 0.0
        outer = np.zeros((points.shape[1], points.shape[1])) if gradient else None
        mass = np.zeros(len(points))  # what each sample weighs as an impostor of others
        bounds = np.searchsorted(first, np.arange(0, len(points) + _BLOCK, _BLOCK))
        for at, (start, stop) in enumerate(pairwise(bounds)):
            if start == stop:
                continue
            low, high = at * _BLOCK, min((at + 1) * _BLOCK, len(points))
            distances = squared_distances(mapped[low:high], mapped)
            distances[self.numbers[low:high, np.newaxis] == self.numbers] = np.inf
            active = np.zeros_like(distances)
            for pairs in _one_a_row(first, start, stop):
                rows = first[pairs] - low
                slack = (1.0 + pulled[pairs])[:, np.newaxis] - distances[rows]
                inside = slack > 0.0
                push += float(slack[inside].sum())
                active[rows] += inside
                weights[pairs] += self.mu * inside.sum(axis=1)
            if outer is not None:
                here, own = points[low:high], active.sum(axis=1)
                cross = here.T @ (active @ points)
                outer -= self.mu * ((here.T * own) @ here - cross - cross.T)
                mass += active.sum(axis=0)
        if outer is not None:
            outer -= self.mu * ((points.T * mass) @ points)
            apart = points[first] - points[second]
            outer += (apart.T * weights) @ apart
        return float(pulled.sum()), push, outer


def _one_a_row(first: Numbers, start: int, stop: int) -> list[Numbers]:
    """Pairs start to stop in groups in which every sample occurs at most once."""
    pairs = np.arange(start, stop)
    run = pairs - np.searchsorted(first, first[pairs])  # the how manyeth pair of its sample
    return [pairs[run == k] for k in range(int(run.max()) + 1)]
