"""Parameter sets: frozen, and impossible to construct where insecure or inaccurate."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

import numpy as np

from blindsight.core.errors import (
    InaccurateParametersError,
    InsecureParametersError,
    MalformedError,
    ParameterError,
)
from blindsight.core.matching import Wire
from blindsight.core.types import I32

RING_BITS = 64
LEAST_SECURITY = 40


@dataclass(frozen=True, slots=True)
class Params:
    """One parameter set of the `spdz2k` scheme with dealt randomness.

    Attributes:
        dimension: coordinates of a face, 2 to 4096.
        scale: integers a unit of an embedding, 1 to 65535.
        norm: largest Euclidean norm of a face or an entry, as integers.
        value_bits: k: bits of Z_{2^64} that carry a signed value, 8 to 24.

    Raises:
        InsecureParametersError: less than 40 bits of statistical security.
        InaccurateParametersError: a distance could leave the value bits.
        ParameterError: a value that is no parameter at all.

    """

    dimension: int
    scale: int
    norm: int
    value_bits: int

    def __post_init__(self) -> None:
        if not all(type(n) is int for n in (self.dimension, self.scale, self.norm, self.value_bits)):
            raise ParameterError("Two-party parameters are integers.")
        if not 2 <= self.dimension <= 4096:
            raise ParameterError(f"Faces have 2 to 4096 coordinates, not {self.dimension}.")
        if not 1 <= self.scale <= 65535:
            raise ParameterError(f"The scale is 1 to 65535, not {self.scale}.")
        if not 8 <= self.value_bits < RING_BITS:
            raise ParameterError(f"Values have 8 to 24 bits, not {self.value_bits}.")
        if self.security_bits < LEAST_SECURITY:
            raise InsecureParametersError(
                f"{self.value_bits} value bits leave {self.security_bits} bits of statistical security, less "
                f"than {LEAST_SECURITY}; lower the scale and take at most {RING_BITS - LEAST_SECURITY}."
            )
        if not (self.norm >= 1 and 4 * self.norm**2 < 2 ** (self.value_bits - 1)):
            raise InaccurateParametersError(
                f"Distances between vectors of norm {self.norm} do not fit {self.value_bits} signed bits; "
                "lower the scale or take more value bits."
            )

    @property
    def security_bits(self) -> int:
        """s: a cheating party is accepted with probability at most 2^-(s+1) in a session."""
        return RING_BITS - self.value_bits

    @property
    def levels(self) -> int:
        """Input bits of the comparison function."""
        return self.value_bits - 1

    @property
    def largest_threshold(self) -> int:
        """The largest squared integer distance that may count as a match's bound."""
        return int(2 ** (self.value_bits - 1)) - 1 - self.norm**2

    @property
    def dummy(self) -> int:
        """What stands for |x|² in an input that matches nothing: `largest_threshold`, as it happens."""
        return self.largest_threshold

    def within(self, vectors: I32) -> bool:
        """Whether no row is longer than ``norm``: in floating point, as int64 could wrap."""
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        return not len(vectors) or bool(squares.max() <= self.norm**2)

    def threshold(self, squared_distance: float) -> int:
        """The integer threshold for a squared distance in the embedder's units."""
        if not (math.isfinite(squared_distance) and squared_distance > 0):
            raise ParameterError("The threshold is a positive squared distance.")
        threshold = round(squared_distance * self.scale**2)
        if not 0 < threshold <= self.largest_threshold:
            raise ParameterError("The threshold is out of range at this scale; change one of the two.")
        return threshold

    # -- as it travels ------------------------------------------------------------------------

    def wire(self) -> dict[str, int | str]:
        """Flat: the fields themselves."""
        return dict(asdict(self))

    @classmethod
    def from_wire(cls, wire: Wire) -> Params:
        """Parse what `wire` wrote; `MalformedError` where it did not."""
        if set(wire) != set(cls.__slots__):
            raise MalformedError(f"Two-party parameters have the fields {', '.join(sorted(cls.__slots__))}.")
        return cls(**wire)  # type: ignore[arg-type]

    @property
    def params_id(self) -> str:
        canonical = json.dumps(self.wire(), sort_keys=True).encode()
        return "spdz2k-" + hashlib.sha256(canonical).hexdigest()[:16]

    # -- named sets -----------------------------------------------------------------------------

    @classmethod
    def for_radius(cls, dimension: int, *, radius: float = 1.0, value_bits: int = 24) -> Params:
        """The largest scale at which vectors of norm up to ``radius`` fit ``value_bits``.

        Rounding a vector of d coordinates lengthens it by at most sqrt(d)/2.
        """
        if not (isinstance(dimension, int) and 2 <= dimension <= 4096):
            raise ParameterError(f"Faces have 2 to 4096 coordinates, not {dimension}.")
        if not (math.isfinite(radius) and radius > 0):
            raise ParameterError("The radius is a positive number.")
        largest = math.isqrt(2 ** (max(8, min(value_bits, RING_BITS)) - 3) - 1)
        scale = min(65535, math.floor((largest - math.sqrt(dimension) / 2) / radius))
        return cls(dimension, max(scale, 1), largest, value_bits)
