"""Commitments and coins (specification, section 7)."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final

from blindsight.core.errors import WrongOpeningError
from blindsight.schemes.oblivious.hashes import digest
from blindsight.schemes.spdz2k.talk import Talk, swap

NONCE_BYTES: Final = 32
COMMITMENT_BYTES: Final = 32
_SHARE_BYTES: Final = 32


def _commitment(context: bytes, party: int, opening: bytes) -> bytes:
    return digest("blindsight commitment v1", context, bytes([party]), opening)


def commit_and_open(party: int, context: bytes, message: bytes, size: int | None = None) -> Talk[bytes]:
    """Both parties show a message that neither could choose after the other's; two rounds.

    Args:
        party: 0 or 1.
        context: what the messages are for, the same on both sides and never used twice.
        message: this party's.
        size: of the other's message; as long as this party's where not given.

    Returns:
        The other party's message.

    Raises:
        WrongOpeningError: it is not what the other party committed to.

    """
    opening = os.urandom(NONCE_BYTES) + message
    theirs = yield from swap(_commitment(context, party, opening), COMMITMENT_BYTES)
    opened = yield from swap(opening, NONCE_BYTES + (len(message) if size is None else size))
    if not hmac.compare_digest(theirs, _commitment(context, 1 - party, opened)):
        raise WrongOpeningError("The other party opened another message than it had committed to.")
    return opened[NONCE_BYTES:]


def toss(party: int, context: bytes, count: int) -> Talk[bytes]:
    """Random bytes that neither party could choose; two rounds."""
    own = os.urandom(_SHARE_BYTES)
    other = yield from commit_and_open(party, context, own)
    shares = own + other if party == 0 else other + own
    return hashlib.shake_256(b"blindsight coin v1\0" + shares).digest(count)
