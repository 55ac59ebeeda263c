"""Linear quantisation to g bits, whose squared distances a ring of integers holds exactly.

Seed 000, "Protecting Personal Information using Homomorphic Encryption for Person
Re-identification", §II-C. With limit c (1 in the paper) and a value x in [-c, c]:

    q(x) = floor((x / c + 1) (2^g - 1) / 2 + 1/2)      0 ≤ q ≤ 2^g - 1
    x'   = c (2 q / (2^g - 1) - 1)                     |x - x'| ≤ c / (2^g - 1)

All 2^g levels are used, the outer two being -c and c themselves; the grid is symmetric about
zero, and halves round up. One bit is the sign. Values outside the range are refused, because
a silent clip moves a template; a caller who means it says ``clip=True``.

Two integers differ by at most 2^g - 1, so that a squared distance is at most
N (2^g - 1)^2 < N 2^{2g}. The paper's condition N 2^{2g} < p therefore keeps it below p: the
distance in Z_p is the distance in the integers. In real units, with step s = 2c / (2^g - 1)
and D the squared integer distance, s √D is within s √N of the distance of the real vectors
(each vector moves by at most s √N / 2, triangle inequality), and s² D within
s √N (2 s √D + s √N) of its square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blindsight.core.errors import DimensionError, InaccurateParametersError, ParameterError, VectorError
from blindsight.core.types import I32, I64

F64 = NDArray[np.float64]

MAX_BITS = 16

_PARTS = tuple(float(part) for part in np.linspace(0.1, 1.0, 46))
"""Parts of the largest absolute value that `Quantiser.fitted` tries as its limit."""


@dataclass(frozen=True, slots=True)
class Quantiser:
    """Real vectors to vectors of g-bit integers; the module says exactly how.

    Attributes:
        bits: g, 1 to 16.
        dimension: N, coordinates of a vector, 1 to 4096.
        limit: c, the largest absolute value of a coordinate; 1 in the paper.
        modulus: p of the plaintext ring that will hold the distances; None where there is none
            yet, and then whoever chooses it calls `require_modulus`.

    Raises:
        ParameterError: a value outside its range.
        InaccurateParametersError: N 2^{2g} is not below the modulus.

    """

    bits: int
    dimension: int
    limit: float = 1.0
    modulus: int | None = None

    def __post_init__(self) -> None:
        if not all(type(n) is int for n in (self.bits, self.dimension)):
            raise ParameterError("The bits and the dimension of a quantiser are integers.")
        if type(self.limit) not in (int, float) or not 1e-12 <= self.limit <= 1e12:
            raise ParameterError("The quantiser's limit is a number between 10^-12 and 10^12.")
        object.__setattr__(self, "limit", float(self.limit))
        if not 1 <= self.bits <= MAX_BITS:
            raise ParameterError(f"A quantiser has 1 to {MAX_BITS} bits, not {self.bits}.")
        if not 1 <= self.dimension <= 4096:
            raise ParameterError(f"Vectors have 1 to 4096 coordinates, not {self.dimension}.")
        if self.modulus is not None:
            self.require_modulus(self.modulus)

    @classmethod
    def spanning(cls, bits: int, values: ArrayLike, *, modulus: int | None = None) -> Self:
        """A quantiser whose limit is the largest absolute value of training vectors (m, N).

        Values of other vectors can lie outside; whoever then clips says so. The limit scales
        all distances alike, so that ranks do not depend on it.
        """
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 2 or array.size == 0:
            raise DimensionError("A limit is found from an array of shape (vectors, coordinates).")
        if not np.isfinite(array).all() or not array.any():
            raise VectorError("A limit is found from finite vectors that are not all zero.")
        return cls(bits, array.shape[1], float(np.abs(array).max()), modulus)

    @classmethod
    def fitted(cls, bits: int, values: ArrayLike, *, modulus: int | None = None) -> Self:
        """A quantiser whose limit errs least on training vectors (m, N), in the mean square.

        With few bits a finer step is worth more than the rare values outside, which are clipped:
        a fifth to a half of the largest value, where 16 bits take nearly all of it.
        """
        widest = cls.spanning(bits, values, modulus=modulus)
        array = np.asarray(values, dtype=np.float64)
        tried = [cls(bits, widest.dimension, widest.limit * part, modulus) for part in _PARTS]
        errors = [float(np.mean((one.restore(one.quantise(array, clip=True)) - array) ** 2)) for one in tried]
        return tried[int(np.argmin(errors))]

    # -- bounds ----------------------------------------------------------------------------------

    @property
    def levels(self) -> int:
        """Values that an integer takes: 2^g, from 0."""
        return 1 << self.bits

    @property
    def step(self) -> float:
        """Distance of two neighbouring levels in real units."""
        return 2.0 * self.limit / (self.levels - 1)

    @property
    def bound(self) -> int:
        """N 2^{2g}: larger than any squared distance of two quantised vectors."""
        return self.dimension << (2 * self.bits)

    @property
    def largest_distance(self) -> int:
        """Largest squared distance of two quantised vectors: N (2^g - 1)^2."""
        return self.dimension * (self.levels - 1) ** 2

    @property
    def largest_error(self) -> float:
        """How far `distances` can be from the distance of the real vectors: step √N."""
        return self.step * math.sqrt(self.dimension)

    def require_modulus(self, p: int) -> None:
        """Raise `InaccurateParametersError` unless N 2^{2g} < p (seed 000 §II-C)."""
        if type(p) is not int or p <= self.bound:
            raise InaccurateParametersError(
                f"Squared distances of {self.dimension} coordinates of {self.bits} bits need a plaintext "
                f"modulus above {self.bound}; choose a larger prime or fewer bits."
            )

    # -- values to integers ------------------------------------------------------------------------

    def quantise(self, values: ArrayLike, *, clip: bool = False, first: int = 0) -> I32:
        """Real vectors (m, N) or (N,) to int32 of the same shape, 0 to 2^g - 1.

        Args:
            clip: move values outside [-limit, limit] to its nearer end instead of refusing them.
            first: the number of the first vector in messages.

        Raises:
            DimensionError: another dimension.
            VectorError: NaN, infinity, or a value outside the range.

        """
        array = np.asarray(values, dtype=np.float64)
        if array.ndim not in (1, 2) or array.shape[-1] != self.dimension:
            raise DimensionError(
                f"This quantiser takes vectors of {self.dimension} coordinates, not an array of shape "
                f"{array.shape}."
            )
        if not np.isfinite(array).all():
            where = int(np.flatnonzero(~np.isfinite(np.atleast_2d(array)).all(axis=1))[0])
            raise VectorError(f"Vector {first + where} has a NaN or an infinity in it.")
        if clip:
            array = np.clip(array, -self.limit, self.limit)
        elif array.size and np.abs(array).max() > self.limit:
            where = int(np.flatnonzero((np.abs(np.atleast_2d(array)) > self.limit).any(axis=1))[0])
            raise VectorError(
                f"Vector {first + where} has a value outside [-{self.limit:.4g}, {self.limit:.4g}]; scale "
                "the metric or the limit, or ask for clipping."
            )
        scaled = np.floor((array / self.limit + 1.0) * ((self.levels - 1) / 2) + 0.5)
        return np.asarray(scaled, dtype=np.int32)

    def restore(self, integers: ArrayLike) -> F64:
        """The real values that integers stand for, each within step / 2 of what was quantised."""
        array = self._integers(integers)
        return np.asarray(self.limit * (2.0 * array / (self.levels - 1) - 1.0))

    # -- distances -----------------------------------------------------------------------------------

    def squared_distances(self, probes: ArrayLike, gallery: ArrayLike) -> I64:
        """Exact squared distances of quantised vectors (m, N) and (n, N): int64 (m, n).

        What a scheme of exact integers must reproduce to the bit; see `largest_distance`.
        """
        one, other = (np.atleast_2d(self._integers(side)) for side in (probes, gallery))
        # Below 2^53 all along, so that the fast product of doubles is exact: 4096 * 2^32 = 2^44.
        a, b = one.astype(np.float64), other.astype(np.float64)
        lengths = (a * a).sum(axis=1)[:, np.newaxis] + (b * b).sum(axis=1)
        return np.asarray(lengths - 2.0 * (a @ b.T), dtype=np.int64)

    def distances(self, squared: ArrayLike) -> F64:
        """Squared integer distances as distances in real units, within `largest_error`."""
        return np.asarray(self.step * np.sqrt(np.asarray(squared, dtype=np.float64)))

    def _integers(self, integers: ArrayLike) -> I64:
        array = np.asarray(integers)
        if array.ndim not in (1, 2) or array.shape[-1] != self.dimension:
            raise DimensionError(f"Quantised vectors here have {self.dimension} coordinates.")
        if array.dtype.kind not in "iu" or (
            array.size and not (array.min() >= 0 and array.max() < self.levels)
        ):
            raise VectorError(f"Quantised values are integers from 0 to {self.levels - 1}.")
        return array.astype(np.int64)
