"""1:1 as Yang et al. compute it (section 4.3), on the side without the secret key.

Subtract, square, relinearise, then sum the coordinates by rotations; the square root is the
client's. Where the paper rotates 127 times by one, seven rotations by 1, 2, 4 … 64 do the
same for 128 coordinates, and they come after the rescaling, where they are cheapest. The
paper's own loop is kept as `compare_by_single_rotations`, to be measured.

The evaluation keys (section 4.2) are sent once, in pieces, and named by their SHA-256.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from blindsight.core.errors import (
    InaccurateParametersError,
    MalformedError,
    ParameterError,
    ParamsMismatchError,
)
from blindsight.core.types import U8, AnyArray
from blindsight.schemes.seal.library import Context, context, guarded, sealapi
from blindsight.schemes.seal.packing import packed, packed_bytes, unpacked
from blindsight.schemes.seal.params import (
    CERTAIN,
    CERTAIN_SWITCH,
    SEED_BYTES,
    SIGMA,
    primes_below,
    require_secure,
)


@dataclass(frozen=True, slots=True)
class PairParams:
    """Parameters of 1:1 comparisons.

    Attributes:
        dimension: coordinates of a vector, 2 to half the degree.
        degree: of the ring.
        bits: sizes of the primes: of an answer, of what the square is rescaled by, and the special one.
        scale_bits: logarithm of the scale that vectors are encoded with.
        largest_distance: between two vectors; 2 for vectors of norm 1.
        error_limit: the largest error of a squared distance that the caller can bear.

    Raises:
        InsecureParametersError: below 128 bits by the table.
        InaccurateParametersError: a squared distance would wrap, or its error exceeds the limit.
        ParameterError: a value that is no parameter at all.

    """

    dimension: int = 128
    degree: int = 4096
    bits: tuple[int, int, int] = (36, 32, 40)
    scale_bits: int = 32
    largest_distance: float = 2.0
    error_limit: float = 1e-3
    moduli: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        if type(self.bits) is not tuple or len(self.bits) != 3:
            raise ParameterError("The bits are those of three primes.")
        numbers = (self.dimension, self.degree, self.scale_bits, *self.bits)
        if not all(type(number) is int and number > 0 for number in numbers):
            raise ParameterError("Parameters of comparisons are positive integers.")
        if not all(15 <= bits <= 60 for bits in self.bits) or self.scale_bits > 60:
            raise ParameterError("Primes have 15 to 60 bits, and scales at most 60.")
        if not (0 < self.largest_distance < 1e6 and 0 < self.error_limit < math.inf):
            raise ParameterError("The largest distance and the limit of its error are positive numbers.")
        found: list[int] = []
        for bits in self.bits:
            found.append(next(p for p in primes_below(2**bits, self.degree, 3) if p not in found))
        object.__setattr__(self, "moduli", tuple(found))
        require_secure(self.degree, self.primes, self.special)
        if not 2 <= self.dimension <= self.degree // 2:
            raise ParameterError(f"At this degree a vector has 2 to {self.degree // 2} coordinates.")
        largest = self.largest_distance**2 + self.error
        square = largest * 4.0**self.scale_bits
        if square >= math.prod(self.primes) / 2 or largest * self.scale >= self.primes[0] / 2:
            raise InaccurateParametersError("The largest distance would wrap; lower the scale.")
        if self.error > self.error_limit:
            raise InaccurateParametersError(
                f"Squared distances could be wrong by {self.error:.2g}, over the limit of "
                f"{self.error_limit:.2g}; use larger primes and a larger scale."
            )

    @property
    def primes(self) -> tuple[int, ...]:
        """The modulus of fresh ciphertexts."""
        return self.moduli[:2]

    @property
    def special(self) -> int:
        """The prime of key switching."""
        return self.moduli[2]

    @property
    def scale(self) -> float:
        """The scale of an answer."""
        return float(4.0**self.scale_bits / self.primes[1])

    @property
    def steps(self) -> tuple[int, ...]:
        """The rotations that sum all coordinates: powers of two."""
        return tuple(2**k for k in range((self.dimension - 1).bit_length()))

    @property
    def error(self) -> float:
        """What no squared distance's error exceeds, but for 2^-60 (specification, section 7)."""
        n, summed = self.degree, math.sqrt(2 ** len(self.steps))
        slot, ternary = math.sqrt(n / 2), math.sqrt((1 + n * 2 / 3) / 12)
        fresh = math.sqrt(2) * slot * math.hypot(SIGMA, 1 / math.sqrt(12)) / 2.0**self.scale_bits
        products = math.hypot(2 * self.largest_distance * fresh, summed * fresh**2)
        relin = SIGMA * math.sqrt(2 * n / 3) * max(self.primes) / self.special
        relin = slot * math.hypot(relin, ternary) * summed / 4.0**self.scale_bits
        rotation = SIGMA * math.sqrt(n / 3) * self.primes[0] / self.special * slot * summed / self.scale
        rounding = slot * ternary * math.sqrt(2) * summed / self.scale
        return CERTAIN * math.hypot(products, relin, rotation) + CERTAIN_SWITCH * rounding

    @property
    def context(self) -> Context:
        """SEAL's context."""
        return context("ckks", self.degree, self.primes, self.special)

    # -- sizes -------------------------------------------------------------------------------------

    @property
    def vector_bytes(self) -> int:
        """Size of a protected vector: one polynomial, and the seed of the other."""
        return packed_bytes(self.primes) * self.degree + SEED_BYTES

    @property
    def answer_bytes(self) -> int:
        """Size of an answer: two polynomials modulo one prime."""
        return 2 * packed_bytes(self.primes[:1]) * self.degree

    @property
    def key_bytes(self) -> int:
        """Size of all evaluation keys: one for the square, one for each rotation."""
        return (1 + len(self.steps)) * 2 * (packed_bytes(self.moduli) * self.degree + SEED_BYTES)


def element(params: PairParams, step: int) -> int:
    """SEAL's Galois element of a rotation."""
    return pow(3, step, 2 * params.degree)


# -- evaluation keys ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationKeys:
    """What squares and sums: a relinearisation key and the rotations in `PairParams.steps`. Public."""

    params: PairParams
    digest: str
    relin: Any = field(repr=False)
    galois: Any = field(repr=False)

    @classmethod
    def load(cls, params: PairParams, data: bytes) -> EvaluationKeys:
        """Parse and check; `MalformedError` for anything that is not as `PairKeyHolder` made it."""
        if len(data) != params.key_bytes:
            raise MalformedError(f"Evaluation keys of these parameters have {params.key_bytes} bytes.")
        size = params.key_bytes // (1 + len(params.steps))
        keys = [_key(params, row) for row in np.frombuffer(data, np.uint8).reshape(-1, size)]
        bodies, seeds = np.stack([body for body, _ in keys]), np.stack([seed for _, seed in keys])
        elements = [element(params, step) for step in params.steps]
        made = params.context
        relin = made.switching_keys(bodies[:1], seeds[:1])
        galois = made.switching_keys(bodies[1:], seeds[1:], elements)
        return cls(params, sha256(data).hexdigest(), relin, galois)


def _key(params: PairParams, data: U8) -> tuple[AnyArray, U8]:
    cut = len(data) - 2 * SEED_BYTES
    return unpacked(data[:cut], 2, params.moduli, params.degree), data[cut:].reshape(2, SEED_BYTES)


# -- comparing ---------------------------------------------------------------------------------------


def compare(params: PairParams, keys: EvaluationKeys, one: bytes, other: bytes) -> bytes:
    """The squared Euclidean distance of two protected vectors, protected: one relinearisation,
    one rescaling, and as many rotations as the dimension has bits.
    """
    evaluator = params.context.evaluator

    def summed(total: Any) -> None:
        turned = sealapi().Ciphertext()
        evaluator.rescale_to_next_inplace(total)
        for step in params.steps:
            evaluator.rotate_vector(total, step, keys.galois, turned)
            evaluator.add_inplace(total, turned)

    return _compared(params, keys, one, other, summed)


def compare_by_single_rotations(params: PairParams, keys: EvaluationKeys, one: bytes, other: bytes) -> bytes:
    """The paper's loop (Fig. 3): dimension − 1 rotations by one, each added. For measurements."""
    evaluator = params.context.evaluator

    def summed(total: Any) -> None:
        turned, more = sealapi().Ciphertext(), sealapi().Ciphertext()
        evaluator.rotate_vector(total, 1, keys.galois, turned)
        evaluator.add_inplace(total, turned)
        for _ in range(2, params.dimension):
            evaluator.rotate_vector(turned, 1, keys.galois, more)
            turned, more = more, turned
            evaluator.add_inplace(total, turned)
        evaluator.rescale_to_next_inplace(total)

    return _compared(params, keys, one, other, summed)


def _compared(
    params: PairParams, keys: EvaluationKeys, one: bytes, other: bytes, summed: Callable[[Any], None]
) -> bytes:
    if keys.params != params:
        raise ParamsMismatchError("These evaluation keys are of other parameters.")
    evaluator = params.context.evaluator
    total, second = vector_ciphertext(params, one), vector_ciphertext(params, other)
    with guarded("These vectors cannot be compared: they were made up, or are one ciphertext twice."):
        evaluator.sub_inplace(total, second)
        evaluator.square_inplace(total)
        evaluator.relinearize_inplace(total, keys.relin)
        summed(total)
    return packed(params.context.residues(total, 2, 1), params.moduli[:1])


def vector_ciphertext(params: PairParams, data: bytes) -> Any:
    """SEAL's object of a protected vector; `MalformedError` where it is none."""
    if len(data) != params.vector_bytes:
        raise MalformedError(f"A protected vector of these parameters has {params.vector_bytes} bytes.")
    residues = unpacked(np.frombuffer(data[:-SEED_BYTES], np.uint8), 1, params.primes, params.degree)
    return params.context.ciphertext(residues, 2.0**params.scale_bits, data[-SEED_BYTES:])
