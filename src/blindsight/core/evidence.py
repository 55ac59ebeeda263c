"""What an honest party keeps when a run of a protocol ends badly."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """The course of a run that was aborted, as one party saw it. Nothing in it is secret.

    It convinces its owner, and, compared with the other side's, shows who deviates from the
    specification; it is no proof to outsiders.

    Attributes:
        reason: the code of the error, such as ``abort-opening``.
        party: 0 or 1: who noticed.
        session: 16 bytes.
        first: number of the first face of the run.
        count: how many faces.
        watchlist: digest of the watchlist that this party computed with, 32 bytes.
        sent: this party's messages in order, the notice of the abort included.
        received: the other party's messages in order, the one that caused the abort included.
    """

    reason: str
    party: int
    session: bytes
    first: int
    count: int
    watchlist: bytes
    sent: tuple[bytes, ...]
    received: tuple[bytes, ...]

    def digest(self) -> bytes:
        """SHA-256 that names the evidence in a log, 32 bytes."""
        said = f"{self.reason} {self.party} {self.first} {self.count} {len(self.sent)} {len(self.received)} "
        hashed = hashlib.sha256(said.encode() + self.session + self.watchlist)
        for message in (*self.sent, *self.received):
            hashed.update(len(message).to_bytes(8, "little") + message)
        return hashed.digest()
