"""A user's word to the key holder that it sent this update in this round."""

from __future__ import annotations

import hmac
import struct

from blindsight.core.secrets import Secret


def receipt(own: Secret, number: int, digest: bytes) -> bytes:
    """64 bytes: the digest of the update's entries, and a MAC of it and the round."""
    return digest + own.derive("dphe receipt", struct.pack("<I", number) + digest)


def is_receipt(own: Secret, number: int, found: bytes) -> bool:
    """Whether ``receipt`` made this, in constant time."""
    return hmac.compare_digest(receipt(own, number, found[:32]), found)
