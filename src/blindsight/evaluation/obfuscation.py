"""The planner for q, which W. Koch's thesis leaves open (section 3.4).

Wanted is the smallest q with P[whole path reconstructed in T observations] < α, for the best tracker
(`evaluation.tracking`), whichever camera the followed person starts at, and for every number of
people that may be there. Where the number of people is not known, a tracker that knows it is at
least as good, so that the worst number bounds every prior on the numbers given.

Facts that the search rests on:

- max(q + 1, v) is a function of max(q, v): no tracker gets better by a larger q. Hence bisection.
- With q ≥ people every camera always shows q faces, and what is left is the most probable path
  where nothing is seen, `blind_guess`: no q gets below it.
- A q is accepted when for every start and number of people the probability is known exactly to be
  below α or its upper confidence bound is. One bad start is enough for a refusal, so the
  starts need no correction; the at most 1 + ⌈log2(Q + 1)⌉ values of q that are tried share the error.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from blindsight.core.errors import UsageError
from blindsight.evaluation.betting import lower_bound, upper_bound
from blindsight.evaluation.movement import Chain
from blindsight.evaluation.obfuscation_study import Study
from blindsight.evaluation.tracking import blind_guess
from blindsight.evaluation.tracking_exact import exact

MAX_PEOPLE = 1000
MAX_HORIZON = 200
_BATCH = 50
_SUMMED = 2e5
"""Joint paths up to which a figure is summed and not sampled; about a second."""
_FAR = 2000

Progress = Callable[[str, int, int], None]
"""Called with what is being tried, the worlds done for it and the most there may be."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the planner.

    Attributes:
        people: (fewest, most) people before the cameras, 1 to 1000.
        horizon: T, observations a path has, 2 to 200.
        alpha: α, in (0, 1).
        max_q: largest q to consider; the most people where None, above which nothing changes.
        samples: most worlds for one start, number of people and q.
        confidence: that an accepted q keeps below α, in [0.5, 1).
        hidden: others followed jointly; as many as can be afforded where None.

    Raises:
        UsageError: a value outside its range.
    """

    people: tuple[int, int]
    horizon: int
    alpha: float
    max_q: int | None = None
    samples: int = 2000
    confidence: float = 0.95
    hidden: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.people[0] <= self.people[1] <= MAX_PEOPLE:
            raise UsageError(f"There are 1 to {MAX_PEOPLE} people; a range is written 2-6.")
        if not 2 <= self.horizon <= MAX_HORIZON:
            raise UsageError(f"The horizon is 2 to {MAX_HORIZON} observations.")
        if not 0.0 < self.alpha < 1.0:
            raise UsageError("Alpha lies between 0 and 1.")
        if self.max_q is not None and self.max_q < 0:
            raise UsageError("The largest q to consider is not negative.")
        if self.samples < _BATCH:
            raise UsageError(f"Fewer than {_BATCH} worlds say nothing; 2,000 is usual.")
        if not 0.5 <= self.confidence < 1.0:
            raise UsageError("The confidence lies between 0.5 and 1; 0.95 is usual.")
        if self.hidden is not None and self.hidden < 0:
            raise UsageError("The people followed jointly are not fewer than none.")

    @property
    def largest(self) -> int:
        """Largest q that is tried."""
        return self.people[1] if self.max_q is None else min(self.max_q, self.people[1])

    @property
    def error(self) -> float:
        """Probability with which one q's bound may be wrong."""
        halvings = math.ceil(math.log2(self.largest + 1))
        sampled_first = self.largest < self.people[1]  # else the first that is tried is exact
        return (1.0 - self.confidence) / (halvings + sampled_first)


@dataclass(frozen=True, slots=True)
class Figure:
    """P[whole path reconstructed] for one start, number of people, q and T.

    Attributes:
        method: ``summed`` over all that can happen; ``unseen`` where the counts say nothing; ``sampled``:
            mean over worlds of the best tracker's own probability; ``bounded``: the same for a tracker
            that knows more than the real one, or with searches cut short: an upper bound.
        mean: the figure or its estimate.
        low, high: what the real tracker's lies between with the confidence asked for; equal where exact.
        worlds: simulated.
    """

    people: int
    start: int
    q: int
    horizon: int
    method: str
    mean: float
    low: float
    high: float
    worlds: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found for one q: the worst figure, and whether it suffices.

    ``verdict`` is ``kept`` (below α), ``broken`` (α or above) or ``undecided`` (the samples, or a tracker
    that knows more than the real one, do not tell).
    A trial stops at the first start that is not kept.
    """

    q: int
    verdict: str
    worst: Figure


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer.

    Attributes:
        question: as asked.
        q: the smallest that was accepted; None where none was.
        trials: what was tried, by q.
        floor: the worst start's most probable path where nothing is seen.
        floor_start: that camera.
        horizon_needed: the smallest T at which the floor is below α; None if there is none to 2,000.
    """

    question: Question
    q: int | None
    trials: tuple[Trial, ...]
    floor: float
    floor_start: int
    horizon_needed: int | None


def plan(study: Study, question: Question, progress: Progress = lambda what, done, of: None) -> Plan:
    """Find the smallest q; the study is saved whatever happens."""
    starts = range(study.graph.cameras)
    floors = [blind_guess(study.chain, start, question.horizon) for start in starts]
    worst = max(starts, key=floors.__getitem__)
    trials: list[Trial] = []
    accepted: int | None = None
    try:
        low, high = 0, question.largest
        first = judge(study, question, high, progress)
        trials.append(first)
        if first.verdict == "kept":
            accepted = high
            while low < accepted:
                middle = (low + accepted) // 2
                trials.append(judge(study, question, middle, progress))
                if trials[-1].verdict == "kept":
                    accepted = middle
                else:
                    low = middle + 1
    finally:
        study.save()
    needed = None if floors[worst] < question.alpha else _horizon_needed(study.chain, question.alpha)
    trials.sort(key=lambda trial: trial.q)
    return Plan(question, accepted, tuple(trials), floors[worst], worst, needed or None)


def judge(study: Study, question: Question, q: int, progress: Progress) -> Trial:
    """Try one q at every start and every number of people, the likeliest to fail first."""
    starts = sorted(
        range(study.graph.cameras), key=lambda start: -blind_guess(study.chain, start, question.horizon)
    )
    worst: Figure | None = None
    fewest, most = question.people
    # Up to q people look alike, and are the same as none seen: one of these numbers stands for all.
    numbers = [n for n in range(fewest, most + 1) if n > q] or [most]
    if fewest <= q < most:
        numbers.insert(0, fewest)
    for people, start in itertools.product(numbers, starts):
        label = f"q = {q}, {people} people, from camera {start}"

        def told(done: int, label: str = label) -> None:
            progress(label, done, question.samples)

        found = figure(study, question, people, start, q, told)
        if worst is None or found.high > worst.high:
            worst = found
        if found.high >= question.alpha:
            return Trial(q, "broken" if found.low >= question.alpha else "undecided", found)
    assert worst is not None
    return Trial(q, "kept", worst)


def figure(
    study: Study,
    question: Question,
    people: int,
    start: int,
    q: int,
    told: Callable[[int], None] = lambda done: None,
    *,
    worlds: int | None = None,
) -> Figure:
    """One figure, exact where it can be, else sampled until it is clear on which side of α it lies.

    With ``worlds`` so many are sampled whatever they say, as for a drawing.
    """
    horizon, alpha, error = question.horizon, question.alpha, question.error
    most = question.samples if worlds is None else worlds
    floor = blind_guess(study.chain, start, horizon)
    if people <= q:
        return Figure(people, start, q, horizon, "unseen", floor, floor, floor, 0)
    sums = summed(study, people, start, q, horizon)
    if sums is not None:
        return Figure(people, start, q, horizon, "summed", sums, sums, sums, 0)
    cell = study.cell(people, start, q, horizon, question.hidden)
    done = 0
    low, high = floor, 1.0
    while True:
        done = min(done + _BATCH, most)
        answers = study.extend(cell, done)
        told(done)
        values = answers.values[:done]
        if done == most or worlds is None:
            high = upper_bound(values, error, most)
            low = max(floor, lower_bound(values, error, most))
            # A bound that is not below alpha will not get there by more worlds either.
            if done == most or high < alpha or low >= alpha:
                break
        if done % (10 * _BATCH) == 0:
            study.save()
    whole = cell.hidden == people - 1 and not answers.cut
    mean = math.fsum(values) / done
    if not whole:  # an upper bound says nothing about how bad the real tracker is
        return Figure(people, start, q, horizon, "bounded", mean, floor, high, done)
    return Figure(people, start, q, horizon, "sampled", mean, low, high, done)


def summed(study: Study, people: int, start: int, q: int, horizon: int) -> float | None:
    """The exact figure, others starting anywhere; None where there is too much to sum."""
    cameras = study.graph.cameras
    most_ways = _ways(study.chain, horizon)
    placings = math.comb(cameras + people - 2, people - 1)
    if people > 4 or placings * most_ways**people > _SUMMED:
        return None
    total = 0.0
    for others in itertools.combinations_with_replacement(range(cameras), people - 1):
        orders = math.factorial(people - 1)
        for same in Counter(others).values():
            orders //= math.factorial(same)
        weight = orders / cameras ** (people - 1)
        total += weight * exact(study.chain, start, others, q, horizon).best
    return min(1.0, total)


def _ways(chain: Chain, horizon: int) -> float:
    """How many paths the person with the most has."""
    ways = (chain.first > 0).astype(float)
    for _ in range(horizon - 2):
        ways = ways @ (chain.step > 0)
    return float(ways.sum(axis=1).max())


def _horizon_needed(chain: Chain, alpha: float) -> int | None:
    """The smallest T at which even the worst start's blind guess is below α."""
    best = chain.first
    for horizon in range(2, _FAR + 1):
        if best.max() < alpha:
            return horizon
        best = (best[:, :, None] * chain.step[None]).max(axis=1)
    return None
