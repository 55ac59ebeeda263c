"""How small an error rate a number of comparisons can speak of.

ISO/IEC 19795-1:2006, Annex B, gives two rules, both for independent comparisons:

- *Rule of 3*: where N comparisons show no error, the true rate lies below 3/N with 95 %
  confidence. A rate below 3/N is beyond what N comparisons can establish at all.
- *Rule of 30* (Doddington): only from 30 errors on does the true rate lie within ±30 % of the
  observed one with 90 % confidence.

Cross-comparisons of a few people are not independent, so the number of pairs flatters; the
rules are the least that must hold, not a promise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from blindsight.core.errors import UsageError


class Rule(IntEnum):
    """How many errors are to be expected before a rate is spoken of."""

    OF_3 = 3
    OF_30 = 30


class TooFewComparisonsError(UsageError):
    """An error rate that the number of comparisons cannot support.

    Attributes:
        needed: how many comparisons would support it.
    """

    code: ClassVar[str] = "too-few-comparisons"

    def __init__(self, message: str, needed: int = 0) -> None:
        super().__init__(message)
        self.needed = needed


def comparisons_needed(rate: float, rule: Rule = Rule.OF_3) -> int:
    """How many comparisons the rule asks for before an error rate in (0, 1] is spoken of."""
    require_rate(rate, "An error rate")
    return math.ceil(round(rule / rate, 6))


def smallest_rate(comparisons: int, rule: Rule = Rule.OF_3) -> float:
    """The smallest error rate that so many comparisons support, at most 1."""
    if comparisons < 1:
        raise UsageError("At least one comparison is needed to speak of an error rate.")
    return min(1.0, rule / comparisons)


def require_rate(rate: float, what: str) -> None:
    """Raise `UsageError` unless the rate lies in (0, 1]."""
    if not 0.0 < rate <= 1.0:
        raise UsageError(f"{what} lies above 0 and is at most 1; {rate!r} does not.")


def among_acquired(rate: float, fta: float) -> float:
    """The rate among acquired samples that is ``rate`` among all attempts, at most 1.

    Rounded up in the twelfth figure, so that a division does not lose the point that is meant.
    """
    if fta == 0.0:
        return rate
    return min(1.0, rate / (1.0 - fta) * (1.0 + 1e-12)) if fta < 1.0 else 1.0


def require_support(rate: float, comparisons: int, what: str, rule: Rule = Rule.OF_3) -> None:
    """Raise `TooFewComparisonsError` unless ``comparisons`` of this kind support the rate.

    Args:
        rate: wanted, in (0, 1].
        comparisons: there are so many.
        what: their kind, in the plural: "impostor pairs".
        rule: see `Rule`.
    """
    needed = comparisons_needed(rate, rule)
    if comparisons < needed:
        raise TooFewComparisonsError(
            f"A rate of {rate:g} needs at least {needed:,} {what} by the rule of {int(rule)}, "
            f"and there are {comparisons:,}; compare more, or ask for a larger rate.",
            needed,
        )


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval. NaN on both sides where the figure is not defined."""

    low: float
    high: float
    confidence: float = 0.95

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def without_error(interval: Interval, rate: float, units: int) -> Interval:
    """Open an interval that resampling leaves empty because nothing, or everything, went wrong.

    Every resample of a sample without an error has no error either. The bound in its place is
    the rule of 3 in its exact form: with n independent units, 1 − (1 − confidence)^(1/n).
    """
    if units < 1:
        return interval
    bound = -math.expm1(math.log1p(-interval.confidence) / units)
    if rate == 0.0:
        return Interval(0.0, max(interval.high, bound), interval.confidence)
    if rate == 1.0:
        return Interval(min(interval.low, 1.0 - bound), 1.0, interval.confidence)
    return interval
