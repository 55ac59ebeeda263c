"""Hashes with labels, and public streams for weights (specs/oblivious.md, section 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.kernels.aes import mix_portable

U64 = NDArray[np.uint64]

SEED_BYTES: Final = 16


def digest(label: str, *parts: bytes) -> bytes:
    """SHA-256 of the label, a zero byte and the parts."""
    hashed = hashlib.sha256(label.encode("ascii") + b"\0")
    for part in parts:
        hashed.update(part)
    return hashed.digest()


def both(party: int, own: bytes, other: bytes) -> bytes:
    """The messages of both parties, P0's first."""
    return own + other if party == 0 else other + own


def weights(seed: bytes, count: int, start: int = 0) -> U64:
    """Blocks of a seed's stream from number ``start`` on: uint64 (count, 2). Public."""
    counters = np.zeros((count, 2), np.uint64)
    counters[:, 0] = np.arange(start, start + count, dtype=np.uint64)
    out = np.empty_like(counters)
    if count:
        mix_portable(counters, seed, out)
    return out


def words(rows: Sequence[bytes]) -> U64:
    """Strings of 16 bytes as pairs of words: uint64 (n, 2)."""
    return np.frombuffer(b"".join(rows), "<u8").reshape(-1, 2).astype(np.uint64)
