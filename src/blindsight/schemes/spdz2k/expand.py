"""What a seed stands for: the part of a face's material that is drawn, not sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blindsight.kernels.prg import SEED_BYTES, Stream
from blindsight.schemes.spdz2k.messages import U64, Layout

_SEED_WORDS = SEED_BYTES // 8
_SEED, _EVEN = np.uint64(2**64 - 4), np.uint64(2**64 - 2)
_PARTIES = np.uint64(0), np.uint64(1)


@dataclass(slots=True)
class Half:
    """One party's half of the material of ``count`` faces, expanded (specification, section 4).

    All of it is secret. Tags (M of this party) and keys (B of the other) are of party 0 from the seed, of
    party 1 as sent, like ``offset`` (w).

    Attributes:
        values: uint64 (count, 3, V): v = (a, r), its tags, and the keys that check the other's.
        roots: uint64 (count, N, 2), low two bits zero.
        payload: Δ, uint64 (count, N, 2).
        offset: w, uint64 (count, N, 2).
    """

    values: U64
    roots: U64
    payload: U64
    offset: U64

    def wipe(self) -> None:
        """Overwrite everything; best effort, as Python keeps what copies it likes."""
        for array in (self.values, self.roots, self.payload, self.offset):
            array.fill(0)


def expand(rows: U64, layout: Layout, party: int) -> Half:
    """Expand the seeds at the beginning of rows of material, uint64 (count, words)."""
    count, n, v = len(rows), layout.entries, layout.values
    words = np.empty((count, layout.stream_words(party)), "<u8")
    for seed, row in zip(rows[:, :_SEED_WORDS], words, strict=True):
        Stream(seed.tobytes()).fill(row.data.cast("B"))
    at = 0

    def take(width: int, *shape: int) -> U64:
        nonlocal at
        at += width
        return np.ascontiguousarray(words[:, at - width : at]).reshape(count, *shape)

    if party == 0:
        values = take(3 * v, 3, v)
    else:
        values = np.empty((count, 3, v), np.uint64)
        values[:, 0] = take(v, v)
        values[:, 1:] = rows[:, _SEED_WORDS : _SEED_WORDS + 2 * v].reshape(count, 2, v)
    roots, payload = take(2 * n, n, 2), take(2 * n, n, 2)
    if party == 0:
        offset = take(2 * n, n, 2)
    else:
        start = _SEED_WORDS + 2 * v
        offset = rows[:, start : start + 2 * n].copy().reshape(count, n, 2)
    low = roots[..., 0]
    np.bitwise_and(low, _SEED, out=low)
    low = payload[..., 0]
    np.bitwise_and(low, _EVEN, out=low)
    np.bitwise_or(low, _PARTIES[party], out=low)
    return Half(values, roots, payload, offset)
