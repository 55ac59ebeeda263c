"""Sizes of a packed Paillier sum, and which may not exist."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Final

from blindsight.core.errors import InaccurateParametersError, InsecureParametersError, ParameterError
from blindsight.core.matching import Wire
from blindsight.core.summing import check_shape, users_bytes, wire_integers

TAG_MODULUS: Final = (1 << 61) - 1
LEAST_MODULUS: Final = 2048
"""NIST SP 800-57: 112 bits of security at 2048, 128 at 3072, by the best known factoring."""


def check_modulus(modulus_bits: int, exponent_bits: int) -> None:
    """Raise `InsecureParametersError` for a short key or a short exponent."""
    if type(modulus_bits) is not int or type(exponent_bits) is not int:
        raise ParameterError("Lengths of keys and exponents are integers.")
    if modulus_bits < LEAST_MODULUS:
        raise InsecureParametersError(
            f"A Paillier modulus of {modulus_bits} bits can be factored; take 3072, at least {LEAST_MODULUS}."
        )
    if modulus_bits > 8192 or modulus_bits % 64:
        raise ParameterError("A Paillier modulus has at most 8192 bits, in steps of 64.")
    if not modulus_bits // 2 <= exponent_bits <= modulus_bits or exponent_bits % 8:
        raise InsecureParametersError(
            "Exponents have half as many bits as the modulus or more, in whole bytes; take "
            f"{modulus_bits // 2}."
        )


def check_guard(users: int, guard_bits: int) -> None:
    """Raise `InaccurateParametersError` unless sums of so many users cannot run into the next slot."""
    if type(guard_bits) is not int or not 1 <= guard_bits <= 32:
        raise ParameterError("There are 1 to 32 guard bits.")
    if users > 1 << guard_bits:
        raise InaccurateParametersError(
            f"{guard_bits} guard bits are for {1 << guard_bits} users, not for {users}; take "
            f"{guard_bits_for(users)}."
        )


def guard_bits_for(users: int) -> int:
    """The fewest that suffice."""
    return max(1, (users - 1).bit_length())


@dataclass(frozen=True, slots=True)
class Params:
    """A parameter set; `of` fills in what follows from the rest.

    Attributes:
        weights: integers in an update.
        users: most users of a round.
        minimum: fewest users whose sum is opened.
        bits: of one integer, 2 to 32.
        guard_bits: room for carries above each integer, for that many users.
        modulus_bits: of n; 2048 or more.
        exponent_bits: of the randomiser's exponent; half of ``modulus_bits`` or more.
    """

    weights: int
    users: int
    minimum: int
    bits: int
    guard_bits: int
    modulus_bits: int
    exponent_bits: int

    scheme: ClassVar[str] = "paillier"

    def __post_init__(self) -> None:
        check_shape(self.weights, self.users, self.minimum, self.bits)
        check_modulus(self.modulus_bits, self.exponent_bits)
        check_guard(self.users, self.guard_bits)
        if self.slot_bits > 45:
            raise ParameterError("An integer and its guard bits have at most 45 bits together.")

    @classmethod
    def of(
        cls, weights: int, users: int, *, minimum: int = 2, bits: int = 20, modulus_bits: int = 3072
    ) -> Params:
        """With exponents of half the modulus and as few guard bits as suffice."""
        return cls(weights, users, minimum, bits, guard_bits_for(users), modulus_bits, modulus_bits // 2)

    @property
    def slot_bits(self) -> int:
        """Bits that one weight takes in a plaintext."""
        return self.bits + self.guard_bits

    @property
    def tag_bits(self) -> int:
        """Bits that a tag takes: it lies above the slots."""
        return 61 + self.guard_bits

    @property
    def slots(self) -> int:
        """Weights in one plaintext, which stays below n."""
        return (self.modulus_bits - 1 - self.tag_bits) // self.slot_bits

    @property
    def groups(self) -> int:
        """Ciphertexts of an update."""
        return -(-self.weights // self.slots)

    @property
    def ciphertext_bytes(self) -> int:
        return self.modulus_bits // 4

    @property
    def update_bytes(self) -> int:
        """Length of an update's body."""
        return self.groups * self.ciphertext_bytes

    @property
    def largest_total(self) -> int:
        return users_bytes(self) + self.update_bytes

    def wire(self) -> dict[str, int | str]:
        return {"scheme": self.scheme, **asdict(self)}

    @classmethod
    def from_wire(cls, wire: Wire) -> Params:
        """Parse what `wire` wrote."""
        return cls(**wire_integers(wire, [field.name for field in fields(cls)], cls.scheme))
