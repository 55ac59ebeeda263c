"""The tracker's success probability without sampling, for small instances.

`evaluation.tracking` answers for one world; what a planner needs is the mean over worlds. Here it is
summed over every sequence of observations that can occur:

    P[whole path reconstructed] = Σ_w max_path P[path, w]

A node of the tree of observations holds, for every path of the followed person that agrees with
them, the masses of the joint states of the others. The time is proportional to the pairs of a path
and an observation sequence that agrees with it, times S^r for the r others: up to (degree + 1)^(T(r+1)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsight.core.types import I64
from blindsight.evaluation.movement import F64, Chain
from blindsight.evaluation.tracking import _forward, _headcounts

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Exact:
    """Probabilities that the whole path is right, at cameras.

    Attributes:
        best: of the tracker that answers at the end with the most probable path.
        stepwise: of the thesis' tracker, which at each step fixes the most probable camera given its
            choices so far and what was seen up to then. Never above ``best``.
    """

    best: float
    stepwise: float


def exact(chain: Chain, start: int, others: Sequence[int], q: int, horizon: int) -> Exact:
    """Both trackers' probabilities for people who start at known cameras.

    Args:
        chain: the movement model.
        start: camera of the followed at t = 0.
        others: cameras of the others at t = 0.
        q: what cameras fill up to.
        horizon: T, observations.
    """
    if horizon == 1:
        return Exact(1.0, 1.0)
    masses = np.ones(())
    for at in others:
        masses = np.multiply.outer(masses, chain.first[at])
    roots: dict[Path, list[tuple[int, F64]]] = {(): []}
    roots[()] = [
        (int(state), chain.first[start, state] * masses) for state in np.flatnonzero(chain.first[start])
    ]
    tree = _Tree(chain, len(others), q, horizon)
    tree.grow(roots, (), 1)
    return Exact(tree.best, tree.stepwise)


class _Tree:
    def __init__(self, chain: Chain, others: int, q: int, horizon: int) -> None:
        self._chain, self._others, self._horizon = chain, others, horizon
        here = _headcounts(chain.camera.tobytes(), chain.cameras, others).astype(np.int64)
        seen = [np.maximum(q, here + row) for row in np.eye(chain.cameras, dtype=np.int64)]
        _, number = np.unique(np.concatenate(seen), axis=0, return_inverse=True)
        # For the followed at a camera and the others' joint state: the number of what is seen.
        self._seen: list[I64] = list(number.reshape(chain.cameras, -1))
        self._kinds = int(number.max()) + 1
        self._next: list[NDArray[np.int64]] = [np.flatnonzero(row) for row in chain.step]
        self.best = self.stepwise = 0.0

    def grow(self, moved: dict[Path, list[tuple[int, F64]]], chosen: Path | None, t: int) -> None:
        """Divide what moved at ``t`` by what is seen; ``chosen`` is the stepwise tracker's path."""
        last = t == self._horizon - 1
        likely = np.zeros(self._kinds)
        following = np.zeros(self._kinds)
        choices: list[Path | None] = [None] * self._kinds
        for path, ends in moved.items():
            for state, masses in ends:
                camera = int(self._chain.camera[state])
                sums = np.bincount(self._seen[camera], masses.ravel(), self._kinds)
                likely = np.maximum(likely, sums)
                if path == chosen:  # of equals, rounding aside, the camera with the lowest number
                    better = sums > following * (1 + 1e-12)
                    for kind in np.flatnonzero(better):
                        choices[kind] = (*path, camera)
                    following = np.where(better, sums, following)
        if last:
            self.best += float(likely.sum())
            self.stepwise += float(following.sum())
            return
        for kind in np.flatnonzero(likely):
            again: dict[Path, list[tuple[int, F64]]] = {}
            for path, ends in moved.items():
                for state, masses in ends:
                    camera = int(self._chain.camera[state])
                    kept = masses * (self._seen[camera] == kind).reshape(masses.shape)
                    if not kept.any():
                        continue
                    kept = _forward(kept, self._chain.step, self._others)
                    again[(*path, camera)] = [
                        (int(to), self._chain.step[state, to] * kept) for to in self._next[state]
                    ]
            choice = choices[kind] if following[kind] > 0 else None
            self.grow(again, choice, t + 1)
