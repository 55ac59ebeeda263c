"""The one curve below all others: both kinds of error at every threshold.

A `Curve` knows positives that should not be (impostors that match) and negatives that should
not be (genuine ones that do not). In verification their rates are FMR and FNMR; in open-set
identification FPIR and FNIR (ISO/IEC 19795-1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blindsight.core.errors import UsageError
from blindsight.core.types import I64
from blindsight.evaluation.scores import F64

Figure = Callable[["Curve"], float]
"""Something that is read off a curve: an AUC, an error rate at a threshold."""


@dataclass(frozen=True, slots=True)
class EqualError:
    """Where the two error rates meet.

    The operating points are joined by straight lines, as a ROC with ties has to be; ``rate``
    is where that line crosses equality. ``threshold`` is that of the observed point at which
    the two rates differ least, and ``positive`` and ``negative`` are the rates there.
    """

    rate: float
    threshold: float
    positive: float
    negative: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and what was observed at it."""

    threshold: float
    positive: float
    negative: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Counts of both errors at every distinct score, from the strictest threshold to the loosest.

    A score at the threshold is a match. The first point refuses everything; its threshold is
    infinite. Between two neighbouring scores nothing changes, so these points are all there is.

    Attributes:
        thresholds: float64 (p,), in the metric's units, strictest first.
        positives: int64 (p,), impostors that match; starts at 0, never falls.
        negatives: int64 (p,), genuine ones that do not; never rises.
        impostors: how many there are.
        genuines: how many there are.
        larger_is_closer: whether thresholds are smallest similarities or largest distances.
    """

    thresholds: F64
    positives: I64
    negatives: I64
    impostors: int
    genuines: int
    larger_is_closer: bool

    @classmethod
    def of(cls, genuine: F64, impostor: F64, *, larger_is_closer: bool) -> Curve:
        """Count, by sorting once: O((n + m) log (n + m)).

        A genuine score infinitely far off stands for a search that finds its mate at no
        threshold.
        """
        sign = 1.0 if larger_is_closer else -1.0
        ours, theirs = np.sort(sign * genuine), np.sort(sign * impostor)
        keys = np.unique(np.concatenate([ours, theirs]))[::-1]
        keys = keys[np.isfinite(keys)]
        passed = len(theirs) - np.searchsorted(theirs, keys, "left")
        failed = np.searchsorted(ours, keys, "left")
        return cls(
            sign * np.concatenate([[np.inf], keys]),
            np.concatenate([[0], passed]).astype(np.int64),
            np.concatenate([[len(ours)], failed]).astype(np.int64),
            len(theirs),
            len(ours),
            larger_is_closer,
        )

    def __len__(self) -> int:
        return len(self.thresholds)

    @property
    def positive_rate(self) -> F64:
        """FMR or FPIR, float64 (p,)."""
        return self.positives / self.impostors

    @property
    def negative_rate(self) -> F64:
        """FNMR or FNIR, float64 (p,)."""
        return self.negatives / self.genuines

    @property
    def strictness(self) -> F64:
        """Thresholds turned so that larger is stricter, float64 (p,), falling."""
        return self.thresholds if self.larger_is_closer else -self.thresholds

    def at(self, thresholds: ArrayLike) -> tuple[F64, F64]:
        """Both rates at any thresholds, exactly; not only at observed ones."""
        wanted = np.asarray(thresholds, np.float64)
        if np.isnan(wanted).any():
            raise UsageError("A threshold is a number.")
        wanted = wanted if self.larger_is_closer else -wanted
        rows = np.searchsorted(-self.strictness, -wanted, "right") - 1
        return self.positives[rows] / self.impostors, self.negatives[rows] / self.genuines

    def auc(self) -> float:
        """Area under the ROC: the Mann–Whitney probability, a tie counting one half.

        Whole numbers to the last division, so that it is exact.
        """
        hits = self.genuines - self.negatives
        # Genuine ones that match nowhere are in no term: they lose to everybody.
        twice = int(np.diff(self.positives) @ (hits[1:] + hits[:-1]))
        return twice / (2 * self.impostors * self.genuines)

    def equal_error(self) -> EqualError:
        """Where the two rates are equal; see `EqualError` for the convention."""
        positive, negative = self.positive_rate, self.negative_rate
        # Compared as whole numbers, so that equality is not lost in rounding.
        gap = self.positives * self.genuines - self.negatives * self.impostors
        after = int(np.argmax(gap >= 0))
        below, above = int(gap[after - 1]), int(gap[after])
        share = -below / (above - below)
        rate = float(positive[after - 1] + share * (positive[after] - positive[after - 1]))
        nearest = after if abs(above) <= abs(below) or after == 1 else after - 1
        return EqualError(
            rate, float(self.thresholds[nearest]), float(positive[nearest]), float(negative[nearest])
        )

    def row_at_positive(self, rate: float) -> int:
        """The loosest point whose rate of false positives is at most this."""
        return int(np.searchsorted(self.positive_rate, rate, "right")) - 1

    def negative_at(self, rate: float) -> float:
        """FNMR (FNIR) at the loosest threshold with at most this FMR (FPIR)."""
        return float(self.negatives[self.row_at_positive(rate)] / self.genuines)

    def point_at_positive(self, rate: float) -> OperatingPoint:
        """The loosest threshold with at most this rate of false positives.

        It is put halfway between the last score that matches and the next one that does not,
        so that rounding a score, or the threshold, cannot carry one across the other.
        """
        row = self.row_at_positive(rate)
        strictness = self.strictness
        if row + 1 >= len(self):
            limit = float(strictness[row])
        elif row == 0:
            limit = math.nextafter(float(strictness[1]), math.inf)
        else:
            loose, strict = float(strictness[row + 1]), float(strictness[row])
            limit = loose / 2 + strict / 2
            limit = limit if loose < limit <= strict else strict
        return OperatingPoint(
            limit if self.larger_is_closer else -limit,
            float(self.positives[row] / self.impostors),
            float(self.negatives[row] / self.genuines),
        )

    def rows(self, limit: int, keep: ArrayLike = ()) -> NDArray[np.intp]:
        """At most about ``limit`` points that stand for all: dense where few errors remain.

        Half of them are evenly spread, half evenly on a logarithmic scale of either error.
        The points that decide at the thresholds in ``keep`` are always among them.
        """
        if len(self) <= limit:
            return np.arange(len(self))
        part = max(2, limit // 4)
        chosen: list[Any] = [[0, len(self) - 1]]
        for counts, total in ((self.positives, self.impostors), (self.negatives[::-1], self.genuines)):
            wanted = np.concatenate([np.geomspace(1, total, part), np.linspace(0, total, part)])
            found = np.minimum(np.searchsorted(counts, wanted, "left"), len(self) - 1)
            chosen.append(found if counts is self.positives else len(self) - 1 - found)
        kept = np.asarray(keep, np.float64)
        kept = kept if self.larger_is_closer else -kept
        chosen.append(np.searchsorted(-self.strictness, -kept, "right") - 1)
        return np.unique(np.concatenate(chosen)).astype(np.intp)

    def thinned(self, limit: int) -> Curve:
        """The curve at the points of `rows`, for drawing."""
        rows = self.rows(limit)
        return Curve(
            self.thresholds[rows],
            self.positives[rows],
            self.negatives[rows],
            self.impostors,
            self.genuines,
            self.larger_is_closer,
        )
