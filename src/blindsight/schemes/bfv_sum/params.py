"""Moduli of a BFV sum, and which may not exist."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import ClassVar, Final

from blindsight.core.errors import ParameterError
from blindsight.core.matching import Wire
from blindsight.core.summing import check_shape, users_bytes, wire_integers
from blindsight.kernels.packing import packed_bytes
from blindsight.schemes.bfv.params import plain_modulus
from blindsight.schemes.paillier.params import check_guard, guard_bits_for
from blindsight.schemes.seal.params import CERTAIN, primes_below, require_secure

DEGREE: Final = 4096
_LARGEST_PLAIN: Final = 55
_LEAST_PLAIN: Final = 40
"""Bits of the plaintext modulus: a tag is forged with probability 2^-40 at most."""


@dataclass(frozen=True, slots=True)
class Moduli:
    """The moduli that a parameter set comes to.

    Attributes:
        plain: t, a prime.
        primes: of ciphertexts, each of ``prime_bits`` bits.
        special: of key generation; dropped before a ciphertext leaves.
    """

    plain: int
    primes: tuple[int, ...]
    prime_bits: int
    special: int


@dataclass(frozen=True, slots=True)
class Params:
    """A parameter set; the moduli follow from it.

    Attributes:
        weights, users, minimum, bits, guard_bits: as of `paillier`.
    """

    weights: int
    users: int
    minimum: int
    bits: int
    guard_bits: int

    scheme: ClassVar[str] = "bfv"

    def __post_init__(self) -> None:
        check_shape(self.weights, self.users, self.minimum, self.bits)
        check_guard(self.users, self.guard_bits)
        if self.slot_bits > 45:
            raise ParameterError("An integer and its guard bits have at most 45 bits together.")
        found = self.moduli
        require_secure(DEGREE, found.primes, found.special)

    @classmethod
    def of(cls, weights: int, users: int, *, minimum: int = 2, bits: int = 20) -> Params:
        """With as few guard bits as suffice."""
        return cls(weights, users, minimum, bits, guard_bits_for(users))

    @property
    def slot_bits(self) -> int:
        """Bits of one weight with its room for carries."""
        return self.bits + self.guard_bits

    @property
    def in_slot(self) -> int:
        """Weights that share a slot."""
        return max(1, _LARGEST_PLAIN // self.slot_bits)

    @property
    def slots(self) -> int:
        """Weights in one ciphertext; its last slot holds the tag."""
        return (DEGREE - 1) * self.in_slot

    @property
    def groups(self) -> int:
        """Ciphertexts of an update."""
        return -(-self.weights // self.slots)

    @property
    def moduli(self) -> Moduli:
        return _moduli(max(self.in_slot * self.slot_bits, _LEAST_PLAIN), self.users)

    @property
    def polynomial_bytes(self) -> int:
        """One polynomial modulo one prime."""
        return packed_bytes(DEGREE, self.moduli.prime_bits)

    @property
    def update_bytes(self) -> int:
        """Length of an update's body."""
        return self.groups * 2 * len(self.moduli.primes) * self.polynomial_bytes

    @property
    def key_bytes(self) -> int:
        """Length of the public key: two polynomials modulo all primes, 32-bit words."""
        return 2 * (len(self.moduli.primes) + 1) * DEGREE * 4

    @property
    def largest_total(self) -> int:
        return users_bytes(self) + self.update_bytes

    def wire(self) -> dict[str, int | str]:
        return {"scheme": self.scheme, **asdict(self)}

    @classmethod
    def from_wire(cls, wire: Wire) -> Params:
        """Parse what `wire` wrote."""
        return cls(**wire_integers(wire, [field.name for field in fields(cls)], cls.scheme))


def noise(users: int) -> float:
    """Largest error of a coefficient of a sum, in units of Q/t's numerator (specification, section 8).

    Each update brings the rounding from the special prime, ``r_0 + r_1 s`` with ternary s, and the
    rounding of its plaintext.
    """
    return CERTAIN * math.sqrt(users * (1 + 2 * DEGREE / 3) / 12) + users / 2


@lru_cache(maxsize=64)
def _moduli(plain_bits: int, users: int) -> Moduli:
    plain = plain_modulus(DEGREE, 1 << plain_bits)
    least = 2 * plain * (noise(users) + 1)
    count = -(-math.ceil(math.log2(least)) // 31)
    for bits in range(20, 33):
        primes = primes_below(1 << bits, DEGREE, count)
        if math.prod(primes) > least:
            special = next(p for p in primes_below(1 << 32, DEGREE, 4) if p not in primes)
            return Moduli(plain, primes, bits, special)
    raise ParameterError("There are no moduli for so many users and bits.")
