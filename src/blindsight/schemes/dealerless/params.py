"""Sizes of rings: frozen, and impossible to construct where insecure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from blindsight.core.errors import InsecureParametersError, ParameterError

LEAST_SECURITY: Final = 40


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bits of values and of security (specification, section 2).

    Attributes:
        value_bits: k, 2 to 64: bits that carry a number.
        security_bits: s, 40 to 64: a wrong value passes a check with probability 2^(-s + log2(s + 1)).

    Raises:
        InsecureParametersError: less than 40 bits of security.
        ParameterError: what is no size at all.

    """

    value_bits: int = 24
    security_bits: int = 40

    _least: ClassVar[int] = LEAST_SECURITY

    def __post_init__(self) -> None:
        if type(self.value_bits) is not int or not 2 <= self.value_bits <= 64:
            raise ParameterError("Values have 2 to 64 bits.")
        if type(self.security_bits) is not int or self.security_bits > 64:
            raise ParameterError("Security has 40 to 64 bits.")
        if self.security_bits < self._least:
            raise InsecureParametersError(
                f"{self.security_bits} bits of statistical security are too few; take at least {self._least}."
            )

    @property
    def numbers(self) -> int:
        """Bits of the ring A."""
        return self.value_bits + self.security_bits

    @property
    def truths(self) -> int:
        """Bits of the ring B."""
        return 1 + self.security_bits

    def depth(self, ring: int, *, hidden: bool = False) -> int:
        """τ: transfers of one product in a ring of that many bits (specification, section 6).

        4s + 2k where both factors may be opened against all k + s bits of another value, 3s + 2k where what
        is opened will be hidden from bit k on by a mask of its own.
        """
        k = ring - self.security_bits
        return (3 if hidden else 4) * self.security_bits + 2 * k


class _Weak(Sizes):
    """For tests that count how often cheating succeeds. Not for anything else."""

    __slots__ = ()
    _least: ClassVar[int] = 1
