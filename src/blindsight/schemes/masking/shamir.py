"""Shamir's shares of 32 bytes, modulo the smallest prime over 2^256."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from blindsight.core.errors import TamperedError

PRIME: Final = (1 << 256) + 297
SECRET_BYTES: Final = 32
SHARE_BYTES: Final = 33


def share(secret: bytes, points: Sequence[int], threshold: int) -> list[bytes]:
    """One share a point (1 and over): any ``threshold`` of them give the secret, fewer nothing."""
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= len(points) or min(points) < 1:
        raise ValueError("a secret of 32 bytes is shared among at least as many as the threshold")
    coefficients = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    out = []
    for x in points:
        value = 0
        for coefficient in coefficients:
            value = (value + coefficient) * x % PRIME
        out.append(((value + int.from_bytes(secret, "little")) % PRIME).to_bytes(SHARE_BYTES, "little"))
    return out


def recover(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret from the shares of ``threshold`` points or more, by Lagrange at zero.

    Raises `TamperedError` where no 32 bytes have these shares.
    """
    points = sorted(shares)[:threshold]
    if len(points) < threshold:
        raise ValueError("too few shares")
    total = 0
    for x in points:
        above, below = 1, 1
        for other in points:
            if other != x:
                above = above * other % PRIME
                below = below * (other - x) % PRIME
        value = int.from_bytes(shares[x], "little")
        total = (total + value * above * pow(below, -1, PRIME)) % PRIME
    if total >> 256:
        raise TamperedError("The shares of a secret do not fit together; a user sent a wrong one.")
    return total.to_bytes(SECRET_BYTES, "little")
