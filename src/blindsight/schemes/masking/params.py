"""Neighbours, thresholds, and which may not exist."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import ClassVar

from blindsight.core.errors import InaccurateParametersError, InsecureParametersError, ParameterError
from blindsight.core.matching import Wire
from blindsight.core.summing import check_shape, users_bytes, wire_integers


@dataclass(frozen=True, slots=True)
class Params:
    """A parameter set.

    Attributes:
        weights: integers in an update.
        users: most users of a round; sums of so many do not wrap modulo 2^32.
        minimum: fewest users whose sum comes out.
        bits: of one integer, 2 to 31.
        neighbours: with how many others a user shares masks: even, or one less than ``users``
            for the full graph. A user's secrecy ends where more than ``threshold - 1`` of its
            neighbours work with the aggregator.
        threshold: of a user's neighbours, how many must still be there at the end, and how many
            shares recover a secret. More than half of ``neighbours``, so that no two sets of
            them can give away both secrets of one user.
    """

    weights: int
    users: int
    minimum: int
    bits: int
    neighbours: int
    threshold: int

    scheme: ClassVar[str] = "masking"

    def __post_init__(self) -> None:
        check_shape(self.weights, self.users, self.minimum, self.bits)
        if type(self.neighbours) is not int or type(self.threshold) is not int:
            raise ParameterError("Numbers of neighbours are integers.")
        if self.users << (self.bits - 1) > 1 << 31:
            raise InaccurateParametersError(
                f"Sums of {self.users} integers of {self.bits} bits do not fit 32 bits; take fewer bits."
            )
        if not 1 <= self.neighbours < self.users or (
            self.neighbours % 2 and self.neighbours != self.users - 1
        ):
            raise ParameterError("Neighbours are an even number below the users', or all others.")
        if not self.neighbours < 2 * self.threshold <= 2 * self.neighbours:
            raise InsecureParametersError(
                f"With {self.neighbours} neighbours the threshold is over half of them, "
                f"{self.neighbours // 2 + 1} or more; below, the aggregator could learn both secrets."
            )

    @classmethod
    def of(
        cls, weights: int, users: int, *, minimum: int = 2, bits: int = 20, neighbours: int | None = None
    ) -> Params:
        """With all others as neighbours where none are given; a third of them may drop out."""
        count = users - 1 if neighbours is None else neighbours
        return cls(weights, users, minimum, bits, count, max(count // 2 + 1, -(-2 * count // 3)))

    @property
    def update_bytes(self) -> int:
        """Length of a masked update's body."""
        return 4 * self.weights

    @property
    def largest_total(self) -> int:
        return users_bytes(self) + self.update_bytes

    def wire(self) -> dict[str, int | str]:
        return {"scheme": self.scheme, **asdict(self)}

    @classmethod
    def from_wire(cls, wire: Wire) -> Params:
        """Parse what `wire` wrote."""
        return cls(**wire_integers(wire, [field.name for field in fields(cls)], cls.scheme))
