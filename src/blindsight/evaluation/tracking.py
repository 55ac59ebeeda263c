"""The best tracker: how sure the most probable path of one person is, given what the parties count.

*The event* (thesis, section 3.4): a chosen person's whole path over the observations t = 0 … T − 1 is
reconstructed, every camera of it right. Naming cameras is easier than naming which of several
shares at a camera is the person's, so what holds for this event holds for the thesis' identities.

*What the tracker knows*: the graph, the probabilities, how many people there are, where each of
them was at t = 0 and which of them is followed, and w = max(q, v) for all cameras and all T steps
before it has to answer. The thesis' tracker decides at each step by arg max with what it saw so far;
the one here decides at the end and so is never worse: no tracker with this knowledge names the
path with a larger probability than max over paths of P[path | w].

*How it is found*. A joint forward filter over (state of the followed, states of the others) gives
P[w]; a backward pass gives, for each joint state, the probability of the best continuation of
someone who is told the others' states, which is an upper bound for someone who is not; a
best-first search over prefixes of the path with this bound finds the maximum. With S states and r
others the passes take O(T · r · S^(r+2)) operations, and a prefix O(r · S^(r+1)).

*Where that is too much*, a genie tells the tracker the whole paths of all others but r. Knowing more, it
is an upper bound for every tracker. The search stops after `PREFIXES` prefixes and then returns
its bound, which is one, too; `Answer.exact` says when neither happened.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import UsageError
from blindsight.core.types import I64
from blindsight.evaluation.movement import F64, Chain

PREFIXES = 4000
"""Prefixes that a search expands before it answers with its bound."""

_WORK = 1e7
"""Operations that the passes of one world may take; some milliseconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the tracker makes of one world.

    Attributes:
        path: the most probable cameras, t = 0 … T − 1; empty where the search was stopped.
        probability: of that path given what the tracker saw; an upper bound where not ``exact``.
        exact: the search ended.
    """

    path: tuple[int, ...]
    probability: float
    exact: bool


def affordable(chain: Chain, horizon: int, others: int) -> int:
    """How many of the others the passes can follow jointly; the genie tells the rest."""
    r = 0
    while r < others and horizon * (r + 1) * float(chain.states) ** (r + 3) <= _WORK:
        r += 1
    return r


class Tracker:
    """The tracker of one graph, with ``hidden`` people followed jointly.

    Args:
        chain: the movement model.
        hidden: r, others whose paths the tracker is not told.
    """

    def __init__(self, chain: Chain, hidden: int) -> None:
        self.chain = chain
        self.hidden = hidden
        self._here = _headcounts(chain.camera.tobytes(), chain.cameras, hidden)
        possible = chain.step > 0
        self._next = [np.flatnonzero(row) for row in possible]

    def answer(
        self, start: int, hidden: Sequence[int], told: I64, seen: I64, q: int, *, prefixes: int = PREFIXES
    ) -> Answer:
        """The most probable path of the person who was at ``start``.

        Args:
            start: camera of the followed at t = 0.
            hidden: cameras of the r others at t = 0 whose paths are not told.
            told: int64 (T, C), the others whose paths are told, as counts.
            seen: int64 (T, C), max(q, v).
            q: what cameras fill up to.
            prefixes: see `PREFIXES`.

        Raises:
            UsageError: what was seen is impossible.
        """
        horizon = len(seen)
        if len(hidden) != self.hidden or told.shape != seen.shape:
            raise UsageError("The tracker was made for another number of people or steps.")
        if horizon == 1:
            return Answer((start,), 1.0, True)
        fits = self._fits(told, seen, q)
        chain, shape = self.chain, (chain_states := self.chain.states,) * self.hidden
        others = np.ones(())
        for at in hidden:
            others = np.multiply.outer(others, chain.first[at])
        # The filter; dividing by P[w_t | before] makes everything after it relative to P[w].
        joint = np.multiply.outer(chain.first[start], others)
        for t in range(1, horizon):
            if t > 1:
                joint = _forward(joint, chain.step, self.hidden + 1)
            joint = joint * fits[t].reshape((chain_states, *shape))
            evidence = joint.sum()
            if evidence <= 0.0:
                raise UsageError("These counts cannot come from this graph and these people.")
            joint /= evidence
            fits[t] /= evidence
        bounds = self._bounds(fits, shape)
        return self._search(start, others, [fit.reshape((-1, *shape)) for fit in fits], bounds, prefixes)

    def _fits(self, told: I64, seen: I64, q: int) -> list[F64]:
        """For each t, by state of the followed and the hidden: 1.0 where the counts agree, (S, S^r)."""
        fits = []
        for told_now, seen_now in zip(told, seen, strict=True):
            high = seen_now - told_now
            low = np.where(seen_now > q, high, 0)
            alone = (self._here >= low) & (self._here <= high)
            beside = (self._here + 1 >= low) & (self._here + 1 <= high)
            wrong = (~alone).sum(axis=1)
            at = ((wrong[:, np.newaxis] - ~alone) == 0) & beside
            fits.append(at.T[self.chain.camera].astype(np.float64))
        return fits

    def _bounds(self, fits: list[F64], shape: tuple[int, ...]) -> list[F64]:
        """For each t the best continuation by joint state, (S, S^r); see the module."""
        states, step = self.chain.states, self.chain.step
        bounds = [np.ones((states, *shape))]
        for t in range(len(fits) - 1, 1, -1):
            after = fits[t].reshape((states, *shape)) * bounds[-1]
            for _ in range(self.hidden):
                after = np.tensordot(after, step, axes=([1], [1]))
            best = np.empty_like(after)
            for state, following in enumerate(self._next):
                weights = step[state, following].reshape((-1, *(1 for _ in shape)))
                best[state] = (weights * after[following]).max(axis=0)
            bounds.append(best)
        return [np.empty(0), *reversed(bounds)]

    def _search(self, start: int, others: F64, fits: list[F64], bounds: list[F64], prefixes: int) -> Answer:
        chain, last = self.chain, len(fits) - 1
        order = itertools.count()
        heap: list[tuple[float, int, int, int, F64, tuple[int, ...]]] = []

        def offer(t: int, state: int, mass: F64, path: tuple[int, ...]) -> None:
            mass = mass * fits[t][state]
            bound = float((mass * bounds[t][state]).sum())
            if bound > 0.0:
                camera = int(chain.camera[state])
                heapq.heappush(heap, (-bound, next(order), t, state, mass, (*path, camera)))

        for root in np.flatnonzero(chain.first[start]).tolist():
            offer(1, root, chain.first[start, root] * others, (start,))
        for expanded in itertools.count():
            bound, _, t, state, mass, path = heapq.heappop(heap)
            if t == last:
                return Answer(path, min(1.0, -bound), True)
            if expanded == prefixes:
                return Answer((), min(1.0, -bound), False)
            mass = _forward(mass, chain.step, self.hidden)
            for following in self._next[state].tolist():
                offer(t + 1, following, chain.step[state, following] * mass, path)
        raise AssertionError("unreachable")


def blind_guess(chain: Chain, start: int, horizon: int) -> float:
    """The most probable path's probability where nothing is seen: what no q can go below."""
    if horizon == 1:
        return 1.0
    best = chain.first[start]
    for _ in range(horizon - 2):
        best = (best[:, np.newaxis] * chain.step).max(axis=0)
    return float(best.max())


def _forward(mass: F64, step: F64, axes: int) -> F64:
    """One step of each of the first ``axes`` axes; they come back in their order."""
    for _ in range(axes):
        mass = np.tensordot(mass, step, axes=([0], [0]))
    return mass


@lru_cache(maxsize=8)
def _headcounts(camera: bytes, cameras: int, people: int) -> NDArray[np.int16]:
    """How many of ``people`` are before each camera, for all S^people joint states: int16 (S^people, C)."""
    own = np.eye(cameras, dtype=np.int16)[np.frombuffer(camera, np.int64)]
    counts = np.zeros((1, cameras), np.int16)
    for _ in range(people):
        counts = (counts[:, np.newaxis] + own[np.newaxis]).reshape(-1, cameras)
    return counts
