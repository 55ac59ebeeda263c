"""1:N figures of ISO/IEC 19795-1: CMC and rank-n rates, FNIR and FPIR.

*Closed set*: every probe is of somebody enrolled; the question is at which rank. *Open set*:
strangers come too; the question is whether the threshold tells them apart. A search here means a
transaction: a probe that could not be acquired finds nobody, which is a miss of a mated search
and no false positive, so that the rate of failures to acquire is in every figure.

A tie says nothing about who comes first. The CMC counts what breaking it by lot would give on
average; at a rank limit of the open set a tie counts against the mate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import UsageError
from blindsight.core.types import I64
from blindsight.evaluation.curve import Curve, OperatingPoint
from blindsight.evaluation.evidence import (
    Interval,
    Rule,
    among_acquired,
    require_rate,
    require_support,
    without_error,
)
from blindsight.evaluation.resampling import check_bootstrap, percentiles
from blindsight.evaluation.scores import F64, Searches
from blindsight.evaluation.verification import Estimate


@dataclass(frozen=True, slots=True)
class Cmc:
    """Cumulative match characteristic: how often the mate is among the best n.

    Attributes:
        rates: float64 (subjects,), for n = 1, 2, …; never falls.
        intervals: one for each rank, or empty where none were asked for.
    """

    rates: F64
    intervals: tuple[Interval, ...] = ()


class Identification:
    """The figures of one set of searches. Immutable.

    Args:
        searches: what was found.
        rank: for the open set: among how many of the best the mate must be. 1 is what
            `Gallery.identify` decides by; None asks for no rank.

    """

    __slots__ = ("_better", "_codes", "_curve", "_mate_scores", "_mated", "_tied", "_top", "rank", "searches")

    def __init__(self, searches: Searches, *, rank: int | None = 1) -> None:
        if rank is not None and not 1 <= rank <= len(searches.gallery):
            raise UsageError("A rank is at least 1 and at most the number of enrolled subjects.")
        self.searches = searches
        self.rank = rank
        sign = 1.0 if searches.larger_is_closer else -1.0
        scores = sign * searches.scores
        mates = searches.mates
        self._mated = mates >= 0
        self._codes = searches.probe_codes
        self._top: F64 = scores[~self._mated].max(axis=1)
        rows = np.flatnonzero(self._mated)
        self._mate_scores: F64 = scores[rows, mates[rows]]
        ours = self._mate_scores[:, np.newaxis]
        self._better: I64 = (scores[rows] > ours).sum(axis=1)
        self._tied: I64 = (scores[rows] == ours).sum(axis=1) - 1
        self._curve: Curve | None = None
        if self.mated and self.non_mated:
            found = self._mate_scores
            if rank is not None:
                found = np.where(self._better + self._tied < rank, found, -np.inf)
            self._curve = Curve.of(sign * found, sign * self._top, larger_is_closer=searches.larger_is_closer)

    @property
    def mated(self) -> int:
        """Searches for somebody enrolled."""
        return int(self._mated.sum())

    @property
    def non_mated(self) -> int:
        """Searches for a stranger."""
        return len(self._mated) - self.mated

    @property
    def fta(self) -> float:
        """Failure to acquire a probe, over all attempts."""
        return self.searches.failures_to_acquire.rate

    # -- closed set ----------------------------------------------------------------------------

    def rank_rate(self, rank: int) -> float:
        """How often the mate is among the best ``rank``."""
        if not 1 <= rank <= len(self.searches.gallery):
            raise UsageError("A rank is at least 1 and at most the number of enrolled subjects.")
        return float(self.cmc().rates[rank - 1])

    def cmc(
        self,
        *,
        intervals: bool = False,
        replicates: int = 1000,
        confidence: float = 0.95,
        _generator: np.random.Generator | None = None,
    ) -> Cmc:
        """The mated searches' CMC; with bootstrap intervals over the people on the probes.

        Raises:
            UsageError: no search is mated.
        """
        if not self.mated:
            raise UsageError("No probe shows anybody enrolled; there is no rank to tell.")
        ranks = np.arange(1, len(self.searches.gallery) + 1)
        got = 1.0 - self.fta
        rates = self._hits(np.ones(self.mated), ranks) / self.mated * got
        if not intervals:
            return Cmc(rates)
        check_bootstrap(replicates, confidence)
        generator = np.random.default_rng() if _generator is None else _generator
        people, codes = np.unique(self._codes[self._mated], return_inverse=True)
        values = np.empty((replicates, len(ranks)))
        for row in values:
            weights = _drawn(len(people), generator)[codes]
            row[:] = self._hits(weights, ranks) / weights.sum() * got
        found = []
        for at, rate in enumerate(rates):
            interval = percentiles(values[:, at], confidence)
            found.append(without_error(interval, float(rate), len(people)) if got == 1.0 else interval)
        return Cmc(rates, tuple(found))

    def _hits(self, weights: F64 | I64, ranks: I64) -> F64:
        """Weighted hits at each rank: a mate tied with t others is at each of t + 1 ranks alike."""
        rises = np.zeros(len(ranks) + 1)
        share = weights / (self._tied + 1.0)
        np.add.at(rises, self._better, share)
        np.add.at(rises, self._better + self._tied + 1, -share)
        # Sums of thirds do not come out whole; ranks beyond all ties are counted, not summed.
        hits = np.cumsum(np.cumsum(rises[:-1]))
        whole = np.bincount(self._better + self._tied, weights, len(ranks)).cumsum()
        return np.maximum.accumulate(np.clip(hits, whole, float(weights.sum())))

    # -- open set ------------------------------------------------------------------------------

    @property
    def curve(self) -> Curve:
        """FPIR (false positives) and FNIR (false negatives) of probes that were acquired.

        Raises:
            UsageError: mated or non-mated searches are missing.
        """
        if self._curve is None:
            kind = "non-mated" if self.mated else "mated"
            raise UsageError(f"There is no {kind} search; an open set needs strangers and enrolled people.")
        return self._curve

    def fpir(self, thresholds: ArrayLike) -> F64:
        """False positive identification rate: strangers with any subject at the threshold."""
        return self.curve.at(thresholds)[0] * (1.0 - self.fta)

    def fnir(self, thresholds: ArrayLike) -> F64:
        """False negative identification rate: mates not found at the threshold, within the rank."""
        return self.fta + self.curve.at(thresholds)[1] * (1.0 - self.fta)

    def det(self) -> tuple[F64, F64, F64]:
        """FPIR, FNIR and threshold at every operating point, strictest first."""
        curve, got = self.curve, 1.0 - self.fta
        return curve.positive_rate * got, self.fta + curve.negative_rate * got, curve.thresholds

    def threshold_at_fpir(self, fpir: float, rule: Rule = Rule.OF_3) -> OperatingPoint:
        """The loosest threshold with at most this FPIR, and FPIR and FNIR observed there.

        Raises:
            TooFewComparisonsError: an FPIR that the non-mated searches cannot support.
            UsageError: an FPIR outside (0, 1], or no searches of a kind.
        """
        require_rate(fpir, "A false positive identification rate")
        wanted = among_acquired(fpir, self.fta)
        require_support(wanted, self.curve.impostors, "non-mated searches", rule)
        point = self.curve.point_at_positive(wanted)
        got = 1.0 - self.fta
        return OperatingPoint(point.threshold, point.positive * got, self.fta + point.negative * got)

    def rates_with_intervals(
        self,
        threshold: float,
        *,
        replicates: int = 1000,
        confidence: float = 0.95,
        _generator: np.random.Generator | None = None,
    ) -> tuple[Estimate, Estimate]:
        """FPIR and FNIR at one threshold, resampling the people on the probes.

        The gallery stays as it is: the intervals speak of other probes, not of another gallery.
        """
        check_bootstrap(replicates, confidence)
        generator = np.random.default_rng() if _generator is None else _generator
        curve, got = self.curve, 1.0 - self.fta
        sign = 1.0 if curve.larger_is_closer else -1.0
        limit = sign * threshold
        found = self._mate_scores >= limit
        if self.rank is not None:
            found &= self._better + self._tied < self.rank
        fpir, people = _proportion(self._top >= limit, self._codes[~self._mated], replicates, generator)
        fnir, mates = _proportion(~found, self._codes[self._mated], replicates, generator)
        positive, negative = float(self.fpir(threshold)), float(self.fnir(threshold))
        intervals = percentiles(fpir * got, confidence), percentiles(self.fta + fnir * got, confidence)
        if got == 1.0:
            return (
                Estimate(positive, without_error(intervals[0], positive, people)),
                Estimate(negative, without_error(intervals[1], negative, mates)),
            )
        return Estimate(positive, intervals[0]), Estimate(negative, intervals[1])

    def summary(
        self, ranks: Sequence[int] = (1, 5, 10), *, _generator: np.random.Generator | None = None
    ) -> Mapping[int, Estimate]:
        """Rank-n rates with intervals, for those ranks that the gallery has."""
        cmc = self.cmc(intervals=True, _generator=_generator)
        return {
            rank: Estimate(float(cmc.rates[rank - 1]), cmc.intervals[rank - 1])
            for rank in ranks
            if 1 <= rank <= len(cmc.rates)
        }


def expected_fpir(fmr: float, subjects: int) -> float:
    """What FMR means for a search of a gallery: 1 − (1 − FMR)^N, were comparisons independent."""
    if not 0.0 <= fmr <= 1.0 or subjects < 1:
        raise UsageError("An FMR lies within 0 and 1, and a gallery has at least one subject.")
    return float(-np.expm1(subjects * np.log1p(-fmr))) if fmr < 1.0 else 1.0


def _drawn(people: int, generator: np.random.Generator) -> I64:
    """How often each person is drawn, int64 (people,)."""
    return np.bincount(generator.integers(0, people, people), minlength=people).astype(np.int64)


def _proportion(
    happened: np.typing.NDArray[np.bool_], codes: I64, replicates: int, generator: np.random.Generator
) -> tuple[F64, int]:
    """The share of searches in which something happened, resampled by person: (replicates,)."""
    people, own = np.unique(codes, return_inverse=True)
    count = np.bincount(own, minlength=len(people))
    hits = np.bincount(own, happened, len(people))
    values = np.empty(replicates)
    for at in range(replicates):
        weights = _drawn(len(people), generator)
        values[at] = (weights @ hits) / (weights @ count)
    return values, len(people)
