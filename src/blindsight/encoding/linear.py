"""Quantised features as a scheme protects them: exact squared distances by an inner product.

Seed 000 compares g-bit integers q by D = sum (q_i - q'_i)^2. With u = q - 2^(g-1), which lies
between -2^(g-1) and 2^(g-1) - 1 and changes no difference,

    D = |p|^2 - s,    s = 2 <x, p> - |x|^2

for a template x and a probe p. |p|^2 is known to the client, and s is an inner product of N + 2
integers once |x|^2 is written as high * B + low with |low| <= B / 2:

    template (x, high, low)        probe (2 p, -B, -1)

Nothing is rounded after the quantisation, so that an exact scheme gives D itself. Splitting
|x|^2 keeps a template about as long as its features; the noise of a scheme grows with it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import DimensionError, MalformedError, ParameterError
from blindsight.core.types import F32, I64, AnyArray, Probes, Templates
from blindsight.encoding.fixed_point import Metric
from blindsight.encoding.quantise import Quantiser

KIND = "linear"
MOST_BITS = 10
"""Ten bits of 4096 coordinates still fit the words that scores are computed in."""


@dataclass(frozen=True, slots=True)
class LinearEncoding:
    """A gallery of linearly quantised features; see `blindsight.encoding.fixed_point.Encoding`.

    Attributes:
        dimension: N, 16 to 4096.
        bits: g, 1 to 10.
        limit: c, the largest absolute value of a coordinate, rounded up to single precision, which
            is what features arrive in.

    Raises:
        ParameterError: a value outside its range.

    """

    dimension: int
    bits: int
    limit: float

    def __post_init__(self) -> None:
        Quantiser(self.bits, self.dimension, self.limit)
        if not 16 <= self.dimension <= 4096:
            raise ParameterError(f"Vectors have 16 to 4096 coordinates, not {self.dimension}.")
        if self.bits > MOST_BITS:
            raise ParameterError(f"Galleries of quantised features have 1 to {MOST_BITS} bits.")
        single = np.float32(self.limit)
        if float(single) < self.limit:
            single = np.nextafter(single, np.float32(np.inf))
        object.__setattr__(self, "limit", float(single))

    @classmethod
    def of(cls, quantiser: Quantiser) -> LinearEncoding:
        """The encoding of a gallery whose features this quantiser makes integers of."""
        return cls(quantiser.dimension, quantiser.bits, quantiser.limit)

    @property
    def quantiser(self) -> Quantiser:
        return Quantiser(self.bits, self.dimension, self.limit)

    # -- bounds that parameter sets are built on ---------------------------------------------

    @property
    def width(self) -> int:
        """Integers in an encoded vector."""
        return self.dimension + 2

    @property
    def _longest(self) -> int:
        """Largest squared norm of the centred integers: N 4^(g-1)."""
        return self.dimension << (2 * self.bits - 2)

    @property
    def _base(self) -> int:
        """B, the smallest power of two that no norm is over."""
        return 1 << ((self._longest - 1).bit_length() + 1) // 2

    @property
    def template_norm(self) -> int:
        """Largest norm of an encoded template."""
        high = self._longest // self._base + 1
        return math.isqrt(self._longest + high**2 + (self._base // 2) ** 2) + 1

    @property
    def probe_norm(self) -> int:
        """Largest norm of an encoded probe."""
        return math.isqrt(4 * self._longest + self._base**2 + 1) + 1

    @property
    def score_bound(self) -> int:
        """Largest absolute s: 3/4 N 4^g, so that twice of it is over seed 000's bound N 4^g."""
        return 3 * self._longest

    # -- vectors to integers -------------------------------------------------------------------

    def templates(self, vectors: ArrayLike) -> Templates:
        """Encode gallery vectors, (m, dimension) or (dimension,).

        Raises:
            DimensionError: another dimension.
            VectorError: NaN, infinity, or a value outside the quantiser's range.

        """
        centred = self._centred(vectors)
        squared = (centred * centred).sum(axis=1)
        high = (squared + self._base // 2) // self._base
        columns = np.column_stack([centred, high, squared - high * self._base])
        return Templates(columns.astype(np.int32), self.encoding_id)

    def probes(self, vectors: ArrayLike) -> Probes:
        """Encode probe vectors; arguments and errors as in `templates`."""
        centred = self._centred(vectors)
        last = np.broadcast_to(np.array([-self._base, -1]), (len(centred), 2))
        return Probes(np.column_stack([2 * centred, last]).astype(np.int32), self.encoding_id)

    def check(self, vectors: ArrayLike, first: int = 0) -> None:
        """Raise what `templates` would; ``first`` is the number of the first vector in messages."""
        self._quantised(vectors, first)

    def _centred(self, vectors: ArrayLike) -> I64:
        return self._quantised(vectors, 0) - (1 << (self.bits - 1))

    def _quantised(self, vectors: ArrayLike, first: int) -> I64:
        array = np.asarray(vectors, dtype=np.float64)
        array = array[np.newaxis] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] != self.dimension:
            raise DimensionError(
                f"This gallery holds vectors of {self.dimension} coordinates, not an array of shape "
                f"{array.shape}."
            )
        return self.quantiser.quantise(array, first=first).astype(np.int64)

    # -- integers to scores --------------------------------------------------------------------

    def squared_distances(self, raw: AnyArray, probes: Probes) -> I64:
        """D of probes (m) and rows from their scores (m, rows): int64, 0 to N (2^g - 1)^2."""
        points = probes.values[:, : self.dimension].astype(np.int64) // 2
        lengths = (points * points).sum(axis=1)[:, np.newaxis]
        return np.asarray(lengths - np.rint(raw).astype(np.int64))

    def scores(self, raw: AnyArray, probes: Probes) -> F32:
        """Distances in the features' own units: float32 (m, rows)."""
        squared = np.maximum(self.squared_distances(raw, probes), 0)  # empty rows have any score
        return np.asarray(self.quantiser.distances(squared), dtype=np.float32)

    @property
    def metric(self) -> Metric:
        return "euclidean"

    @property
    def larger_is_closer(self) -> bool:
        """Scores are distances."""
        return False

    @property
    def radius(self) -> float:
        """Largest norm of a vector whose coordinates are all within the limit and alike in size."""
        return self.limit * math.sqrt(self.dimension)

    @property
    def score_unit(self) -> float:
        """What one integer of a score is, of a squared distance."""
        return self.quantiser.step**2

    # -- as it is stored -------------------------------------------------------------------------

    def fields(self) -> dict[str, Any]:
        """Flat and plain, for a sealed record."""
        return {"kind": KIND, "dimension": self.dimension, "bits": self.bits, "limit": self.limit}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> LinearEncoding:
        """Parse what `fields` gave; raises `MalformedError`."""
        kinds = {"kind": str, "dimension": int, "bits": int, "limit": float}
        if set(fields) != set(kinds) or any(type(fields[name]) is not kind for name, kind in kinds.items()):
            raise MalformedError("The stored encoding is not one of this version.")
        return cls(fields["dimension"], fields["bits"], fields["limit"])

    @property
    def encoding_id(self) -> str:
        canonical = json.dumps(self.fields(), sort_keys=True).encode()
        return "linear-" + hashlib.sha256(canonical).hexdigest()[:16]
