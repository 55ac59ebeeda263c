"""Weights to the integers that a private sum adds up, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import DimensionError, ParameterError, VectorError
from blindsight.core.types import I64

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """``bits`` bits with the sign, ``fraction`` of them behind the point.

    The default reaches from -32 to 32 in steps of 6.1e-5.
    """

    bits: int = 20
    fraction: int = 14

    def __post_init__(self) -> None:
        if not (type(self.bits) is type(self.fraction) is int and 2 <= self.bits <= 32):
            raise ParameterError("A fixed-point number has 2 to 32 bits.")
        if not 0 <= self.fraction < self.bits:
            raise ParameterError("Fewer bits are behind the point than there are.")

    @property
    def largest(self) -> float:
        """The largest weight."""
        return ((1 << (self.bits - 1)) - 1) / (1 << self.fraction)

    def integers(self, weights: F64) -> I64:
        """Rounded to the nearest step, int64 of the same shape. Zeros stay zeros.

        Raises `VectorError` for NaN, infinity, or a weight outside the range: none is clipped.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.rint(np.asarray(weights, np.float64) * (1 << self.fraction))
        most = (1 << (self.bits - 1)) - 1
        if not (np.abs(scaled) <= most).all():
            raise VectorError(
                f"A weight is not a number or lies outside the fixed-point range of ±{self.largest:g}; "
                "regularise more, or put fewer bits behind the point."
            )
        return scaled.astype(np.int64)

    def mean(self, total: I64, count: int) -> F64:
        """The mean of ``count`` updates from their sum, float64."""
        if count < 1 or np.asarray(total).dtype.kind not in "iu":
            raise DimensionError("A mean is of at least one update, from a sum of integers.")
        return np.asarray(total, np.float64) / ((1 << self.fraction) * count)
