"""Sizes of a sparse sum."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import ClassVar

from blindsight.core.errors import ParameterError
from blindsight.core.matching import Wire
from blindsight.core.summing import check_shape, users_bytes, wire_integers
from blindsight.schemes.paillier.params import check_guard, check_modulus, guard_bits_for

RECEIPT_BYTES = 64
"""Of an update: the SHA-256 of its body, and the user's MAC of that for the key holder."""


@dataclass(frozen=True, slots=True)
class Params:
    """A parameter set; `of` fills in what follows from the rest.

    Attributes:
        weights, users, minimum, bits, guard_bits, modulus_bits, exponent_bits: as of `paillier`.
        padded: every update has exactly so many entries, zeros among them; 0 for as many as
            there are non-zeros, as the paper has it.
        fresh: 1 for another P each round, 0 for the paper's one P.
    """

    weights: int
    users: int
    minimum: int
    bits: int
    guard_bits: int
    modulus_bits: int
    exponent_bits: int
    padded: int
    fresh: int

    scheme: ClassVar[str] = "dphe"

    def __post_init__(self) -> None:
        check_shape(self.weights, self.users, self.minimum, self.bits)
        check_modulus(self.modulus_bits, self.exponent_bits)
        check_guard(self.users, self.guard_bits)
        if self.slot_bits > 45:
            raise ParameterError("An integer and its guard bits have at most 45 bits together.")
        if type(self.padded) is not int or not 0 <= self.padded <= self.weights:
            raise ParameterError("Updates are padded to at most as many entries as there are weights.")
        if self.fresh not in (0, 1) or type(self.fresh) is not int:
            raise ParameterError("A fresh permutation each round is 1 or 0.")

    @classmethod
    def of(
        cls,
        weights: int,
        users: int,
        *,
        minimum: int = 2,
        bits: int = 20,
        modulus_bits: int = 3072,
        padded: int = 0,
        fresh: bool = True,
    ) -> Params:
        """With exponents of half the modulus and as few guard bits as suffice."""
        guard = guard_bits_for(users)
        return cls(weights, users, minimum, bits, guard, modulus_bits, modulus_bits // 2, padded, int(fresh))

    @property
    def slot_bits(self) -> int:
        """Bits of one position in a plaintext of the total."""
        return self.bits + self.guard_bits

    @property
    def slots(self) -> int:
        """Positions in one plaintext of the total; the sum of them stays below n/2 in size."""
        return (self.modulus_bits - 3) // self.slot_bits

    @property
    def ciphertext_bytes(self) -> int:
        return self.modulus_bits // 4

    def update_bytes(self, entries: int) -> int:
        """Length of the body of an update with so many entries."""
        return RECEIPT_BYTES + 4 + entries * (4 + self.ciphertext_bytes)

    @property
    def largest_total(self) -> int:
        groups = -(-self.weights // self.slots)
        receipts = users_bytes(self) + self.users * RECEIPT_BYTES
        return receipts + 4 + 4 * self.weights + groups * self.ciphertext_bytes

    def wire(self) -> dict[str, int | str]:
        return {"scheme": self.scheme, **asdict(self)}

    @classmethod
    def from_wire(cls, wire: Wire) -> Params:
        """Parse what `wire` wrote."""
        return cls(**wire_integers(wire, [field.name for field in fields(cls)], cls.scheme))
