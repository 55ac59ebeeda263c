"""Parameter sets of `bfv`: frozen, and impossible to construct where insecure or wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from blindsight.core.errors import InaccurateParametersError, ParameterError
from blindsight.core.primes import is_prime
from blindsight.schemes.seal.params import CERTAIN, CHECKS, SIGMA, SealParams, primes_below

_DEGREE = 4096

MOST_PROBES = 16
"""Probes in a message; a block still holds 255 templates then, more than it may have canaries."""


@dataclass(frozen=True, slots=True)
class Params(SealParams):
    """One parameter set of the `bfv` scheme.

    Attributes:
        plain: the plaintext modulus: a prime, 1 modulo twice the degree, so that there is a slot
            for every row, and over twice the largest score, so that none wraps.
        batch: probes that one message carries, 1 to 16. A block then has every template as
            often, so that it holds as many times fewer.

    Raises:
        InsecureParametersError: below 128 bits by the table.
        InaccurateParametersError: a score could wrap around the plaintext modulus, or the noise
            of an answer could reach it.
        ParameterError: a value that is no parameter at all.

    """

    plain: int
    batch: int = 1

    scheme: ClassVar[str] = "bfv"

    def __post_init__(self) -> None:
        self._check_shared()
        if type(self.plain) is not int or not 2 * self.degree < self.plain < 2**31:
            raise ParameterError("The plaintext modulus is a prime below 2^31, over twice the degree.")
        if type(self.batch) is not int or not 1 <= self.batch <= MOST_PROBES:
            raise ParameterError(f"One message carries 1 to {MOST_PROBES} probes.")
        if self.plain % (2 * self.degree) != 1 or not is_prime(self.plain):
            raise ParameterError(f"The plaintext modulus is a prime that is 1 modulo {2 * self.degree}.")
        if self.plain in (*self.primes, self.special):
            raise ParameterError("The plaintext modulus is no prime of the ciphertext modulus.")
        if 2 * self.score_bound >= self.plain:
            raise InaccurateParametersError(
                f"Scores up to {self.score_bound} would wrap around a plaintext modulus of {self.plain}; "
                "use fewer bits or a larger modulus."
            )
        if max(self.template_norm, self.probe_norm) >= self.plain // 2:
            raise InaccurateParametersError(
                "Coordinates would wrap around the plaintext modulus; use fewer bits."
            )
        if self.answer_primes == 0:
            raise InaccurateParametersError(
                "The noise of a score would reach its value; use a smaller plaintext modulus or a larger "
                "ciphertext modulus."
            )

    @property
    def noise(self) -> float:
        """Standard deviation of the error of a sum of products, as a part of the modulus.

        Specification, section 5: the product of one side's error with the other side's
        overflow, the errors against the messages of both sides (a message of several probes is no
        constant), relinearisation and rounding.
        """
        n, t, q = self.degree, self.plain, self.modulus
        overflow = math.sqrt((1 + n * 2 / 3) / 3)
        each = math.hypot(
            math.sqrt(2) * t * SIGMA * math.sqrt(n) * overflow,
            SIGMA * t * math.sqrt(2 * n / 12),
            0.3 * n,
        )
        fixed = SIGMA * math.hypot(self.probe_norm, math.sqrt(CHECKS) * t / 2)
        largest = max(self.primes)
        relin = math.hypot(
            SIGMA * math.sqrt(n * len(self.primes) / 3) * largest / self.special,
            math.sqrt((1 + n * 2 / 3) / 12),
        )
        return math.hypot(math.sqrt(self.ciphertexts) * each, fixed, relin) / q

    def _fits(self, primes: int) -> bool:
        """Whether an answer with this many primes decrypts to the right integers, always."""
        modulus = math.prod(self.primes[:primes])
        rounding = math.sqrt((1 + self.degree * 2 / 3) / 12) / modulus if primes < len(self.primes) else 0.0
        return CERTAIN * math.hypot(self.noise, rounding) < 1 / (2 * self.plain)

    @property
    def answer_primes(self) -> int:
        """The fewest primes that an answer can be switched down to; 0 where there is no way."""
        return next((k for k in range(1, len(self.primes) + 1) if self._fits(k)), 0)

    @property
    def largest_error(self) -> float:
        """Scores are exact."""
        return 0.0

    @classmethod
    def integers(
        cls, width: int, *, template_norm: int, probe_norm: int, score_bound: int, batch: int = 1
    ) -> Params:
        """The smallest set that gives integer inner products back: two primes, or three.

        Two suffice for a plaintext modulus of up to 21 bits at 128 coordinates.
        """
        plain = plain_modulus(_DEGREE, 2 * max(score_bound, template_norm, probe_norm))
        first = primes_below(2**31, _DEGREE, 1)
        two = (*first, *primes_below(2**32, _DEGREE, 2)[:1]), primes_below(2**32, _DEGREE, 2)[1]
        three = (*first, *primes_below(2**25, _DEGREE, 2)), primes_below(2**28, _DEGREE, 1)[0]
        bounds = (template_norm, probe_norm, score_bound)
        try:
            return cls(width, _DEGREE, *two, *bounds, plain, batch)
        except InaccurateParametersError:
            return cls(width, _DEGREE, *three, *bounds, plain, batch)


def plain_modulus(degree: int, over: int) -> int:
    """The smallest prime over a bound that is 1 modulo twice the degree: one slot for each row."""
    candidate = max(over // (2 * degree), 1) * 2 * degree + 1
    while candidate <= over or not is_prime(candidate):
        candidate += 2 * degree
    return candidate
