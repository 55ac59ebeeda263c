"""1:1 figures of ISO/IEC 19795-1: FMR, FNMR, FAR, FRR, ROC, AUC, EER, TAR at a FAR.

FMR and FNMR are of *comparisons*: samples that were acquired. FAR and FRR are of *transactions*,
here of one attempt each, failures included::

    FAR  = FMR · (1 − FTA)
    FRR  = FTA + FNMR · (1 − FTA)
    GFAR = FAR · (1 − FTE)
    GFRR = FTE + FRR · (1 − FTE)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import UsageError
from blindsight.evaluation.curve import Curve, EqualError, Figure, OperatingPoint
from blindsight.evaluation.evidence import (
    Interval,
    Rule,
    among_acquired,
    require_rate,
    require_support,
    without_error,
)
from blindsight.evaluation.resampling import curve_intervals
from blindsight.evaluation.scores import F64, Comparisons


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its confidence interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Roc:
    """Receiver operating characteristic, points from the strictest threshold to the loosest.

    Attributes:
        far: float64 (p,), share of impostor attempts accepted; rises.
        tar: float64 (p,), 1 − FRR; rises.
        thresholds: float64 (p,), in the metric's units; the first is infinite.
    """

    far: F64
    tar: F64
    thresholds: F64


@dataclass(frozen=True, slots=True)
class VerificationSummary:
    """The figures of a report, with intervals.

    ``tar_at_far`` has those of the wanted rates that the pairs support; ``unsupported`` the rest.
    """

    auc: Estimate
    eer: Estimate
    eer_threshold: float
    tar_at_far: Mapping[float, Estimate]
    unsupported: tuple[float, ...]
    genuine_pairs: int
    impostor_pairs: int
    fta: float
    fte: float


class Verification:
    """The figures of one set of comparisons, sorted once. Immutable."""

    __slots__ = ("comparisons", "curve")

    def __init__(self, comparisons: Comparisons) -> None:
        self.comparisons = comparisons
        self.curve = Curve.of(
            comparisons.genuine, comparisons.impostor, larger_is_closer=comparisons.larger_is_closer
        )

    @property
    def fta(self) -> float:
        """Failure to acquire, over all attempts."""
        return self.comparisons.failures_to_acquire.rate

    @property
    def fte(self) -> float:
        """Failure to enroll, over all people."""
        return self.comparisons.failures_to_enroll.rate

    # -- at a threshold ------------------------------------------------------------------------

    def fmr(self, thresholds: ArrayLike) -> F64:
        """False match rate: share of impostor pairs at, or closer than, each threshold."""
        return self.curve.at(thresholds)[0]

    def fnmr(self, thresholds: ArrayLike) -> F64:
        """False non-match rate: share of genuine pairs farther than each threshold."""
        return self.curve.at(thresholds)[1]

    def far(self, thresholds: ArrayLike) -> F64:
        """False accept rate: as `fmr`, of all attempts."""
        return self.fmr(thresholds) * (1.0 - self.fta)

    def frr(self, thresholds: ArrayLike) -> F64:
        """False reject rate: as `fnmr`, of all attempts; a failure to acquire is a rejection."""
        return self.fta + self.fnmr(thresholds) * (1.0 - self.fta)

    def gfar(self, thresholds: ArrayLike) -> F64:
        """Generalised FAR: of all people, enrolled or not; nobody is taken for who is not enrolled."""
        return self.far(thresholds) * (1.0 - self.fte)

    def gfrr(self, thresholds: ArrayLike) -> F64:
        """Generalised FRR: of all people; who could not be enrolled is rejected."""
        return self.fte + self.frr(thresholds) * (1.0 - self.fte)

    # -- over all thresholds -------------------------------------------------------------------

    def roc(self) -> Roc:
        """TAR over FAR, failures to acquire included."""
        curve = self.curve
        got = 1.0 - self.fta
        tar = (curve.genuines - curve.negatives) / curve.genuines
        return Roc(curve.positive_rate * got, tar * got, curve.thresholds)

    def auc(self) -> float:
        """Area under the ROC of the comparisons; exact Mann–Whitney, a tie counting one half."""
        return self.curve.auc()

    def eer(self) -> EqualError:
        """Where FMR and FNMR meet; `EqualError` states the interpolation."""
        return self.curve.equal_error()

    # -- at a rate -----------------------------------------------------------------------------

    def threshold_at_fmr(self, fmr: float, rule: Rule = Rule.OF_3) -> OperatingPoint:
        """The loosest threshold with at most this FMR, and the FMR and FNMR observed there.

        Raises:
            TooFewComparisonsError: an FMR that the impostor pairs cannot support; says how
                many could.
            UsageError: an FMR outside (0, 1].
        """
        require_support(fmr, self.curve.impostors, "impostor pairs", rule)
        return self.curve.point_at_positive(fmr)

    def tar_at_far(self, far: float, rule: Rule = Rule.OF_3) -> float:
        """1 − FRR at the loosest threshold with at most this FAR, failures to acquire included.

        Raises:
            TooFewComparisonsError: as `threshold_at_fmr`.
            UsageError: a FAR outside (0, 1].
        """
        return self._tar(self.curve, self._fmr_of(far, rule))

    def _fmr_of(self, far: float, rule: Rule) -> float:
        require_rate(far, "A false accept rate")
        fmr = among_acquired(far, self.fta)
        require_support(fmr, self.curve.impostors, "impostor pairs", rule)
        return fmr

    def _tar(self, curve: Curve, fmr: float) -> float:
        matched = curve.genuines - int(curve.negatives[curve.row_at_positive(fmr)])
        return matched / curve.genuines * (1.0 - self.fta)

    # -- with intervals ------------------------------------------------------------------------

    def intervals(
        self,
        figures: Mapping[str, Figure],
        *,
        keep: tuple[float, ...] = (),
        replicates: int = 1000,
        confidence: float = 0.95,
        _generator: np.random.Generator | None = None,
    ) -> dict[str, Interval]:
        """Bootstrap intervals of anything read off the curve; see `curve_intervals`."""
        return curve_intervals(
            self.curve,
            self.comparisons,
            figures,
            keep=keep,
            replicates=replicates,
            confidence=confidence,
            _generator=_generator,
        )

    def rates_with_intervals(
        self,
        thresholds: Sequence[float],
        *,
        replicates: int = 1000,
        confidence: float = 0.95,
        _generator: np.random.Generator | None = None,
    ) -> list[tuple[Estimate, Estimate]]:
        """FMR and FNMR at each threshold. Where no error was seen, the rule of 3 is the bound."""
        limits = tuple(float(threshold) for threshold in thresholds)

        def rate(threshold: float, kind: int) -> Figure:
            return lambda curve: float(curve.at(threshold)[kind])

        found = self.intervals(
            {f"{row} {kind}": rate(limit, kind) for row, limit in enumerate(limits) for kind in (0, 1)},
            keep=limits,
            replicates=replicates,
            confidence=confidence,
            _generator=_generator,
        )
        people, pairs = self._units()
        estimates = []
        for row, limit in enumerate(limits):
            fmr, fnmr = (float(rate) for rate in self.curve.at(limit))
            estimates.append(
                (
                    Estimate(fmr, without_error(found[f"{row} 0"], fmr, pairs)),
                    Estimate(fnmr, without_error(found[f"{row} 1"], fnmr, people)),
                )
            )
        return estimates

    def summary(
        self,
        fars: Sequence[float] = (1e-2, 1e-3, 1e-4),
        *,
        replicates: int = 1000,
        confidence: float = 0.95,
        rule: Rule = Rule.OF_3,
        _generator: np.random.Generator | None = None,
    ) -> VerificationSummary:
        """AUC, EER and TAR at each FAR that the pairs support, from one set of resamples."""
        supported, unsupported = {}, []
        for far in fars:
            try:
                supported[far] = self._fmr_of(far, rule)
            except UsageError:
                require_rate(far, "A false accept rate")
                unsupported.append(far)

        def tar(fmr: float) -> Figure:
            return lambda curve: self._tar(curve, fmr)

        figures: dict[str, Figure] = {"auc": Curve.auc, "eer": lambda curve: curve.equal_error().rate}
        figures |= {f"tar {far!r}": tar(fmr) for far, fmr in supported.items()}
        found = self.intervals(figures, replicates=replicates, confidence=confidence, _generator=_generator)
        people, _ = self._units()
        eer = self.eer()
        tars = {}
        for far, fmr in supported.items():
            value = self._tar(self.curve, fmr)
            interval = found[f"tar {far!r}"]
            if self.fta == 0.0:
                interval = without_error(interval, value, people)
            tars[far] = Estimate(value, interval)
        return VerificationSummary(
            Estimate(self.auc(), found["auc"]),
            Estimate(eer.rate, found["eer"]),
            eer.threshold,
            tars,
            tuple(unsupported),
            self.curve.genuines,
            self.curve.impostors,
            self.fta,
            self.fte,
        )

    def _units(self) -> tuple[int, int]:
        """Independent units at best: people with genuine pairs, and distinct pairs of people."""
        one, two = self.comparisons.genuine_subjects, self.comparisons.impostor_subjects
        if one is None or two is None:
            return self.curve.genuines, self.curve.impostors
        people = 1 + int(two.max())
        pairs = np.unique(two.min(axis=1) * people + two.max(axis=1))
        return len(np.unique(one)), len(pairs)
