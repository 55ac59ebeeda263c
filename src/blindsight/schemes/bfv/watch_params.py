"""Parameters of an encrypted probe against a plaintext gallery: secure, exact, and flooded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from blindsight.core.errors import InaccurateParametersError, InsecureParametersError, ParameterError
from blindsight.core.matching import Wire
from blindsight.core.primes import is_prime
from blindsight.schemes.bfv.params import plain_modulus
from blindsight.schemes.seal.library import Context, context
from blindsight.schemes.seal.packing import packed_bytes
from blindsight.schemes.seal.params import (
    CERTAIN,
    SEED_BYTES,
    SIGMA,
    parsed_fields,
    primes_below,
    require_secure,
    travelling,
    wire_name,
)

LEAST_FLOOD = 40
"""An answer's distribution is within 2^-40 of one that depends on the scores alone, or closer."""

_DEGREE = 8192


@dataclass(frozen=True, slots=True)
class WatchParams:
    """One parameter set of plaintext galleries. Specification: bfv.md, section 9.

    Attributes:
        width: integers in a template, 16 to 4096.
        degree: of the ring; half of it is the rows of a block.
        primes: the modulus of fresh ciphertexts, two primes; the last is switched away.
        special: the prime of rotations.
        plain: the plaintext modulus, a prime that is 1 modulo twice the degree.
        template_norm: largest Euclidean norm of a template, as integers.
        probe_norm: largest Euclidean norm of a probe.
        score_bound: largest absolute inner product of the two.
        flood_bits: minus the logarithm of the statistical distance between an answer and what
            the scores alone determine; at least 40.

    Raises:
        InsecureParametersError: below 128 bits by the table, or flooded with less than 40 bits.
        InaccurateParametersError: a score could wrap, or there is no room for the flood.
        ParameterError: a value that is no parameter at all.

    """

    width: int
    degree: int
    primes: tuple[int, ...]
    special: int
    plain: int
    template_norm: int
    probe_norm: int
    score_bound: int
    flood_bits: int = LEAST_FLOOD

    scheme: ClassVar[str] = "bfv_watch"

    def __post_init__(self) -> None:
        bounds = (self.template_norm, self.probe_norm, self.score_bound)
        numbers = (self.width, self.degree, self.special, self.plain, self.flood_bits, *bounds)
        if type(self.primes) is not tuple or len(self.primes) != 2:
            raise ParameterError("The modulus is two primes and a special one.")
        if not all(type(number) is int and 0 < number < 2**60 for number in (*numbers, *self.primes)):
            raise ParameterError("Parameters of a plaintext gallery are positive integers below 2^60.")
        require_secure(self.degree, self.primes, self.special)
        if not 16 <= self.width <= 4096 or self.half > self.rows:
            raise ParameterError("Templates have 16 to 4096 integers, and at most as many as the degree.")
        if self.plain % (2 * self.degree) != 1 or self.plain >= 2**31 or not is_prime(self.plain):
            raise ParameterError(
                f"The plaintext modulus is a prime below 2^31 that is 1 modulo {2 * self.degree}."
            )
        if self.flood_bits < LEAST_FLOOD:
            raise InsecureParametersError(
                f"A flood of {self.flood_bits} bits could show the client more than scores; it takes "
                f"{LEAST_FLOOD} or more."
            )
        if 2 * max(bounds) >= self.plain:
            raise InaccurateParametersError(
                f"Scores up to {max(bounds)} would wrap around a plaintext modulus of {self.plain}; use "
                "fewer bits or a larger modulus."
            )
        if self.room < 1:
            raise InaccurateParametersError(
                f"A flood of {self.flood_bits} bits would drown the scores themselves; use larger primes or "
                "fewer bits."
            )

    @classmethod
    def integers(
        cls,
        width: int,
        *,
        template_norm: int,
        probe_norm: int,
        score_bound: int,
        flood_bits: int = LEAST_FLOOD,
    ) -> WatchParams:
        """The smallest set that gives integer inner products back, flooded."""
        bounds = (template_norm, probe_norm, score_bound)
        plain = plain_modulus(_DEGREE, 2 * max(bounds))
        special = primes_below(2**60, _DEGREE, 1)[0]
        for first, second in ((56, 48), (56, 56), (59, 59)) if plain < 2**31 else ():
            primes = primes_below(2**first, _DEGREE, 2)
            pair = (primes[0], primes_below(2**second, _DEGREE, 1)[0] if second != first else primes[1])
            try:
                return cls(width, _DEGREE, pair, special, plain, *bounds, flood_bits)
            except InaccurateParametersError:
                continue
        raise InaccurateParametersError("Scores of so many bits leave no room for the flood; use fewer bits.")

    # -- layout ----------------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """Templates in a block, and in an answer."""
        return self.degree // 2

    @property
    def half(self) -> int:
        """Coordinates that lie in each of the two rows of slots: a power of two."""
        return max(1, (1 << (self.width - 1).bit_length()) // 2)

    @property
    def baby(self) -> int:
        """Turns of the probe that all blocks share: a power of two."""
        return 1 << (self.half.bit_length() // 2)

    @property
    def giant(self) -> int:
        """Turns that a block needs for itself, the exchange of the two rows included."""
        return self.half // self.baby

    @property
    def elements(self) -> tuple[int, ...]:
        """Galois elements of the rotation keys: by one, by `baby`, and the exchange of rows."""
        turn = pow(3, self.baby, 2 * self.degree)
        return (3, turn, 2 * self.degree - 1) if self.giant > 1 else (3, 2 * self.degree - 1)

    # -- noise and flood ---------------------------------------------------------------------------

    @property
    def modulus(self) -> int:
        """The modulus of fresh ciphertexts."""
        return math.prod(self.primes)

    @property
    def noise(self) -> float:
        """No coefficient of a block's sum has an error of a larger standard deviation, whatever the
        templates are: every coefficient of an encoded template counted as half the plaintext modulus.
        """
        n, k = self.degree, len(self.primes)
        turn = math.hypot(
            SIGMA * math.sqrt(n * k) / math.sqrt(3) * max(self.primes) / self.special * math.sqrt(2),
            math.sqrt((1 + n * 2 / 3) / 12),
        )
        probe = math.hypot(SIGMA, 1 / math.sqrt(12), turn * math.sqrt(self.baby - 1))
        products = math.sqrt(2 * self.half * n) * self.plain / 2 * probe
        return math.hypot(products, turn * math.sqrt(2 * self.giant))

    @property
    def flood_width(self) -> int:
        """Bits of the flood: each coefficient gets an integer uniform in [-2^bits, 2^bits).

        The distance between it and itself shifted by an error is at most |error| / 2^(bits + 1)
        a coefficient, and an error's expected size at most its standard deviation.
        """
        return math.ceil(math.log2(self.degree * self.noise) + self.flood_bits - 1)

    @property
    def answer_bits(self) -> tuple[int, int]:
        """Bits of a number in an answer's two polynomials, once it is switched to a power of two."""
        return self.plain.bit_length() + 3, self.plain.bit_length() + 9

    @property
    def room(self) -> float:
        """What part of it a score's margin is over all that lies on it; below 1, scores would be wrong."""
        first, second = self.answer_bits
        flooded = (2.0**self.flood_width + CERTAIN * self.noise) / self.modulus
        steps = 1 / 2.0**second + 1 / self.primes[0]
        rounding = 0.5 / 2.0**first + CERTAIN * math.sqrt((1 + self.degree * 2 / 3) / 12) * steps
        return 1 / (2 * self.plain) / (flooded + rounding)

    # -- sizes -------------------------------------------------------------------------------------

    @property
    def context(self) -> Context:
        """SEAL's context."""
        return context("bfv", self.degree, self.primes, self.special, self.plain)

    @property
    def probe_bytes(self) -> int:
        """Size of a probe: one polynomial, and the seed of the other."""
        return packed_bytes(self.primes) * self.degree + SEED_BYTES

    @property
    def answer_bytes(self) -> int:
        """Size of an answer for one block of `rows` templates."""
        return self.degree * sum(self.answer_bits) // 8

    @property
    def key_bytes(self) -> int:
        """Size of what is sent once: a public key, and the rotation keys."""
        one = packed_bytes((*self.primes, self.special)) * self.degree
        return 2 * one + len(self.elements) * len(self.primes) * (one + SEED_BYTES)

    # -- as it travels -------------------------------------------------------------------------------

    def wire(self) -> dict[str, int | str]:
        """Flat, the primes joined by a comma."""
        return travelling(self)

    @classmethod
    def from_wire(cls, wire: Wire) -> WatchParams:
        """Parse what `wire` wrote; `MalformedError` where it did not."""
        return parsed_fields(cls, wire)

    @property
    def params_id(self) -> str:
        return wire_name(self.scheme, self.wire())
