"""1:1 without rotations and without evaluation keys, on the side without the secret key.

Subtract and square as Yang et al. do (section 4.3). Their sum over the slots, which they and
`blindsight.schemes.ckks.pairs` reach by rotations, is there already: the constant coefficient of
a polynomial is the mean of its slots. So the server cuts that one coefficient out of the
squared ciphertext, and nothing has to be rotated, relinearised or rescaled; ring and modulus
shrink to half and a third. The client gets the squared distance and no other coefficient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blindsight.core.errors import InaccurateParametersError, MalformedError, ParameterError
from blindsight.core.matching import Wire
from blindsight.schemes.seal.library import Context, context, guarded
from blindsight.schemes.seal.packing import packed_bytes, unpacked
from blindsight.schemes.seal.params import CERTAIN, SEED_BYTES, SIGMA, primes_below, require_secure

ANSWER_BYTES = 5
"""Bytes of a number in an answer: numbers are modulo 2^40."""

_ROOM = 512
"""An honest squared distance is below this part of the modulus, so that a made-up one shows."""


@dataclass(frozen=True, slots=True)
class DistanceParams:
    """Parameters of 1:1 comparisons by the constant coefficient.

    Attributes:
        dimension: coordinates of a vector, 2 to half the degree.
        degree: of the ring.
        bits: of the one prime.
        largest_distance: between two vectors; 2 for vectors of norm 1.
        error_limit: the largest error of a squared distance that the caller can bear.

    Raises:
        InsecureParametersError: below 128 bits by the table.
        InaccurateParametersError: the error of a squared distance exceeds the limit.
        ParameterError: a value that is no parameter at all.

    """

    dimension: int = 128
    degree: int = 2048
    bits: int = 54
    largest_distance: float = 2.0
    error_limit: float = 1e-3
    modulus: int = field(init=False)

    def __post_init__(self) -> None:
        numbers = (self.dimension, self.degree, self.bits)
        if not all(type(number) is int and number > 0 for number in numbers) or not 20 <= self.bits < 60:
            raise ParameterError(
                "Parameters of comparisons are positive integers; the prime has 20 to 59 bits."
            )
        reals = (self.largest_distance, self.error_limit)
        if not all(isinstance(real, (int, float)) for real in reals) or not (
            0 < self.largest_distance < 1e6 and 0 < self.error_limit < math.inf
        ):
            raise ParameterError("The largest distance and the limit of its error are positive numbers.")
        object.__setattr__(self, "modulus", primes_below(2**self.bits, self.degree, 1)[0])
        require_secure(self.degree, self.primes, 0)
        if not 2 <= self.dimension <= self.degree // 2:
            raise ParameterError(f"At this degree a vector has 2 to {self.degree // 2} coordinates.")
        if self.error > self.error_limit:
            raise InaccurateParametersError(
                f"Squared distances could be wrong by {self.error:.2g}, over the limit of "
                f"{self.error_limit:.2g}; use a larger prime."
            )

    @property
    def primes(self) -> tuple[int, ...]:
        """The modulus, as SEAL wants it."""
        return (self.modulus,)

    @property
    def copies(self) -> int:
        """How often a vector stands in the slots."""
        return self.degree // 2 // self.dimension

    @property
    def unit(self) -> float:
        """What a squared distance of 1 is in the constant coefficient, as a part of the modulus."""
        return 1 / (_ROOM * self.largest_distance**2)

    @property
    def scale(self) -> float:
        """The scale that vectors are encoded with."""
        return math.sqrt(self.unit * self.modulus * (self.degree // 2) / self.copies)

    @property
    def error(self) -> float:
        """What no squared distance's error exceeds, but for 2^-60 (specification, section 7.2)."""
        n, unit = self.degree, self.unit * self.modulus
        fresh = math.sqrt(2) * math.hypot(SIGMA, 1 / math.sqrt(12))
        products = 2 * self.largest_distance * fresh / math.sqrt(unit)
        squares = fresh**2 * math.sqrt(2 * n) / unit
        rounding = 1.2 * n * math.sqrt(8 / 9 / 12) / (self.unit * 2 ** (8 * ANSWER_BYTES))
        return CERTAIN * math.hypot(products, squares, rounding)

    @property
    def context(self) -> Context:
        """SEAL's context, of one prime and without any evaluation key."""
        return context("ckks", self.degree, self.primes, 0)

    @property
    def vector_bytes(self) -> int:
        """Size of a protected vector: one polynomial, and the seed of the other."""
        return packed_bytes(self.primes) * self.degree + SEED_BYTES

    @property
    def answer_bytes(self) -> int:
        """Size of an answer: one coefficient, and two polynomials."""
        return ANSWER_BYTES * (1 + 2 * self.degree)

    # -- as it travels -------------------------------------------------------------------------------

    def wire(self) -> dict[str, int | str]:
        """Flat, real numbers in hexadecimal."""
        return {
            "dimension": self.dimension,
            "degree": self.degree,
            "bits": self.bits,
            "largest_distance": float(self.largest_distance).hex(),
            "error_limit": float(self.error_limit).hex(),
        }

    @classmethod
    def from_wire(cls, wire: Wire) -> DistanceParams:
        """Parse what `wire` wrote; `MalformedError` where it did not."""
        names = ("dimension", "degree", "bits", "largest_distance", "error_limit")
        if set(wire) != set(names):
            raise MalformedError(f"Parameters of comparisons have the fields {', '.join(sorted(names))}.")
        fields: dict[str, Any] = dict(wire)
        try:
            for name in names[3:]:
                fields[name] = float.fromhex(str(fields[name])[:64])
        except (ValueError, OverflowError) as error:
            raise MalformedError("A real number among the parameters is not in hexadecimal.") from error
        return cls(**fields)


def compare_wire(wire: Wire, one: bytes, other: bytes) -> bytes:
    """`compare`, under parameters as they travel."""
    return compare(DistanceParams.from_wire(wire), one, other)


def compare(params: DistanceParams, one: bytes, other: bytes) -> bytes:
    """The squared Euclidean distance of two protected vectors, protected. No key is needed."""
    evaluator = params.context.evaluator
    total, second = vector_ciphertext(params, one), vector_ciphertext(params, other)
    with guarded("These vectors cannot be compared: they were made up, or are one ciphertext twice."):
        evaluator.sub_inplace(total, second)
        evaluator.square_inplace(total)
        evaluator.transform_from_ntt_inplace(total)
    residues = params.context.residues(total, 3, 1)[:, 0]
    # Nothing but one coefficient of the first polynomial leaves: the others would tell more.
    numbers = np.concatenate([residues[0, :1], residues[1], residues[2]])
    rounded = np.rint(numbers * (2.0 ** (8 * ANSWER_BYTES) / params.modulus)).astype("<u8")
    return rounded.view(np.uint8).reshape(-1, 8)[:, :ANSWER_BYTES].tobytes()


def vector_ciphertext(params: DistanceParams, data: bytes) -> Any:
    """SEAL's object of a protected vector; `MalformedError` where it is none."""
    if len(data) != params.vector_bytes:
        raise MalformedError(f"A protected vector of these parameters has {params.vector_bytes} bytes.")
    residues = unpacked(np.frombuffer(data[:-SEED_BYTES], np.uint8), 1, params.primes, params.degree)
    # SEAL's own account of scales would refuse the square, whose other coefficients may wrap.
    return params.context.ciphertext(residues, 1.0, data[-SEED_BYTES:])
