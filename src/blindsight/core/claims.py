"""What a scheme claims and what it leaks: said once, beside the code, printed everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Claim(Enum):
    """The strongest statement that is true of a scheme."""

    NONE = "none"
    """No protection: plaintext, for tests and comparisons."""

    PERCEPTUAL = "perceptual"
    """Hidden from a viewer's eye; never to be called encrypted."""

    IND_CPA = "IND-CPA"
    """Ciphertexts reveal nothing to one who follows the protocol and only reads."""

    ACTIVE_2PC = "active two-party"
    """Holds although one of two parties deviates in any way; it can then only abort."""


@dataclass(frozen=True, slots=True)
class Leakage:
    """What each role learns beyond its own input, in words.

    ``learns`` maps a role to sentences; ``not_claimed`` lists what a reader might hope for
    and must not.
    """

    learns: tuple[tuple[str, tuple[str, ...]], ...]
    not_claimed: tuple[str, ...] = ()

    def of(self, role: str) -> tuple[str, ...]:
        """The sentences for one role; empty where it learns nothing."""
        return dict(self.learns).get(role, ())
