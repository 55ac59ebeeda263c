"""What a seed stands for: the part of a face's material that is drawn, not sent."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from blindsight.kernels.prg import SEED_BYTES, Stream
from blindsight.schemes.spdz2k.messages import U64, Layout

_SEED_WORDS = SEED_BYTES // 8


@dataclass(slots=True)
class Half:
    """One party's half of the material of ``count`` faces, expanded (specification, section 4).

    All of it is secret. ``tags`` and ``keys`` are M of this party and B of the other: of party 0
    from the seed, of party 1 as sent, like ``offset`` (w).

    Attributes:
        share: a, uint64 (count, d + 1).
        mask: r, uint64 (count, N).
        tags: M, uint64 (count, V).
        keys: B, uint64 (count, V).
        roots: uint64 (count, N, 2), low two bits zero.
        payload: Δ, uint64 (count, N, 2).
        offset: w, uint64 (count, N, 2).
    """

    share: U64
    mask: U64
    tags: U64
    keys: U64
    roots: U64
    payload: U64
    offset: U64

    def wipe(self) -> None:
        """Overwrite everything; best effort, as Python keeps what copies it likes."""
        for name in fields(self):
            getattr(self, name.name).fill(0)


def expand(rows: U64, layout: Layout, party: int) -> Half:
    """Expand the seeds at the beginning of rows of material, uint64 (count, words)."""
    count, d, n, v = len(rows), layout.params.dimension + 1, layout.entries, layout.values
    words = np.empty((count, layout.stream_words(party)), np.uint64)
    for seed, row in zip(rows[:, :_SEED_WORDS], words, strict=True):
        row[:] = Stream(seed.tobytes()).read(8 * row.size).view("<u8")
    at = 0

    def take(width: int, *shape: int) -> U64:
        nonlocal at
        at += width
        return np.ascontiguousarray(words[:, at - width : at]).reshape(count, *(shape or (width,)))

    share, mask = take(d), take(n)
    if party == 0:
        tags, keys = take(v), take(v)
    else:
        tags = rows[:, _SEED_WORDS : _SEED_WORDS + v].copy()
        keys = rows[:, _SEED_WORDS + v : _SEED_WORDS + 2 * v].copy()
    roots, payload = take(2 * n, n, 2), take(2 * n, n, 2)
    if party == 0:
        offset = take(2 * n, n, 2)
    else:
        start = _SEED_WORDS + 2 * v
        offset = rows[:, start : start + 2 * n].copy().reshape(count, n, 2)
    roots[..., 0] &= np.uint64(2**64 - 4)
    payload[..., 0] = (payload[..., 0] & np.uint64(2**64 - 2)) | np.uint64(party)
    return Half(share, mask, tags, keys, roots, payload, offset)
