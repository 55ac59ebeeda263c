"""Parameter sets of `ckks`: frozen, and impossible to construct where insecure or inaccurate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from blindsight.core.errors import InaccurateParametersError, ParameterError
from blindsight.schemes.seal.params import CERTAIN, CERTAIN_SWITCH, CHECKS, SIGMA, SealParams, primes_below

_DEGREE = 4096

PROBE_CHECK = 8
"""A probe's check values lie between this part of its norm and twice it: they add noise to scores."""


@dataclass(frozen=True, slots=True)
class Params(SealParams):
    """One parameter set of the `ckks` scheme.

    Attributes:
        template_bits: logarithm of the scale that templates are encoded with.
        probe_bits: the same for probes.
        noise_limit: the standard deviation of a score's error that the caller can bear, in
            units of the integer inner product.

    Raises:
        InsecureParametersError: below 128 bits by the table.
        InaccurateParametersError: a score could wrap around the modulus, its error exceeds the
            limit, or a template would not be read back exactly.
        ParameterError: a value that is no parameter at all.

    """

    template_bits: int
    probe_bits: int
    noise_limit: float

    scheme: ClassVar[str] = "ckks"

    def __post_init__(self) -> None:
        self._check_shared()
        for bits in (self.template_bits, self.probe_bits):
            if type(bits) is not int or not 1 <= bits <= 50:
                raise ParameterError("The scales of CKKS have 1 to 50 bits.")
        if not (isinstance(self.noise_limit, float) and 0 < self.noise_limit < math.inf):
            raise ParameterError("The noise limit is a positive number.")
        largest = math.sqrt(2) * (self.largest_score + self.largest_error)
        if largest * self.unit >= self.modulus / 2 or largest * self.answer_scale >= self.primes[0] / 2:
            raise InaccurateParametersError(
                "The largest score would wrap around the modulus; lower the scales of CKKS or its encoding."
            )
        if self.noise > self.noise_limit:
            raise InaccurateParametersError(
                f"Scores would carry noise of standard deviation {self.noise:.3g}, over the limit of "
                f"{self.noise_limit:.3g}; use a larger modulus and scales, or bear more."
            )
        if CERTAIN * self._slot(SIGMA) / 2**self.template_bits >= 0.5:
            raise InaccurateParametersError("Templates could not be read back exactly; raise their scale.")

    def _slot(self, coefficient: float) -> float:
        """What an error of each coefficient is in the real or the imaginary part of a slot."""
        return coefficient * math.sqrt(self.degree / 2)

    @property
    def unit(self) -> int:
        """What an integer inner product is multiplied by before the switch."""
        return int(2 ** (self.template_bits + self.probe_bits))

    @property
    def answer_scale(self) -> float:
        """What it is multiplied by in an answer."""
        scale = float(self.unit)
        for prime in self.primes[:0:-1]:
            scale /= prime
        return scale

    @property
    def largest_score(self) -> int:
        """The largest inner product, of check rows too."""
        return max(self.score_bound, self.template_norm * self.probe_norm // (PROBE_CHECK // 2) + 1)

    @property
    def noise(self) -> float:
        """Standard deviation of a score's error, in units of the integer inner product."""
        return math.hypot(self._products_noise, self._switch_noise)

    @property
    def _products_noise(self) -> float:
        """Its part before the switch (specification, section 5): the templates' error against the
        probe and its check values, the probe's error against the two templates of a slot, one
        against the other, and relinearisation.
        """
        error = self._slot(math.hypot(SIGMA, 1 / math.sqrt(12)))  # and the encoder's rounding
        probe = self.probe_norm * math.sqrt(1 + CHECKS * 7 / 12 * 4 / PROBE_CHECK**2)
        gallery = error * 2**self.probe_bits * probe
        probes = self._slot(SIGMA) * 2**self.template_bits * self.template_norm * math.sqrt(2)
        both = error * self._slot(SIGMA) * math.sqrt(2 * self.ciphertexts)
        digits = self.degree * len(self.primes) / 3
        relin = self._slot(SIGMA * math.sqrt(digits) * max(self.primes) / self.special)
        return math.hypot(gallery, probes, both, relin) / self.unit

    @property
    def _switch_noise(self) -> float:
        """Its part from rounding when primes are switched away."""
        return self._slot(math.sqrt((1 + self.degree * 2 / 3) / 12)) / self.answer_scale

    @property
    def largest_error(self) -> float:
        """What no score's error exceeds but with a probability below 2^-63."""
        return CERTAIN * self._products_noise + CERTAIN_SWITCH * self._switch_noise

    @classmethod
    def approximate(
        cls, width: int, *, template_norm: int, probe_norm: int, score_bound: int, noise_limit: float
    ) -> Params:
        """Two primes of 31 and 30 bits; the scales that use them up, errors of both sides balanced."""
        primes = (*primes_below(2**31, _DEGREE, 1), *primes_below(2**30, _DEGREE, 1))
        special = primes_below(2**31, _DEGREE, 2)[1]
        largest = max(score_bound, template_norm * probe_norm // (PROBE_CHECK // 2) + 1)
        room = math.floor(math.log2(math.prod(primes) / 2 / (1.001 * math.sqrt(2) * largest)))
        balance = math.log2(math.sqrt(2) * template_norm / probe_norm)
        probe_bits = min(max(round((room + balance) / 2), 1), room - 1)
        return cls(
            width, _DEGREE, primes, special, template_norm, probe_norm, score_bound,
            room - probe_bits, probe_bits, noise_limit,
        )  # fmt: skip
