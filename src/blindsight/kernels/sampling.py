"""Random residues and small numbers from pseudorandom bytes."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blindsight.kernels.prg import Stream

ETA = 21
"""Coins a side of the centred binomial distribution."""

SIGMA = (ETA / 2) ** 0.5
"""Its standard deviation, 3.24."""


@njit(nogil=True, cache=True)
def _uniform(words: NDArray[np.uint32], q: int, out: NDArray[np.int32], start: int) -> int:
    """Fill ``out[start:]`` with the accepted words, centred; how many are filled then."""
    for k in range(words.size):
        if start == out.size:
            break
        value = np.int64(words[k] & np.uint32(0x3FFFFFFF))
        if value < q:
            out[start] = value - q if value > q >> 1 else value
            start += 1
    return start


def uniform(stream: Stream, count: int, q: int) -> NDArray[np.int32]:
    """``count`` uniform residues modulo q in (-q/2, q/2): int32.

    Takes 32-bit little-endian words from the stream, drops their top two bits and rejects
    what is not below q < 2^30, so the result does not depend on how the stream is read.
    """
    out = np.empty(count, np.int32)
    filled = 0
    while filled < count:
        filled = _uniform(stream.read(4 * (count - filled)).view("<u4"), q, out, filled)
    return out


@njit(nogil=True, cache=True)
def _ternary(data: NDArray[np.uint8], out: NDArray[np.int8], start: int) -> int:
    for k in range(data.size):
        for shift in (0, 2, 4, 6):
            if start == out.size:
                return start
            value = (data[k] >> shift) & 3
            if value != 3:
                out[start] = value - 1
                start += 1
    return start


def ternary(stream: Stream, count: int) -> NDArray[np.int8]:
    """``count`` values uniform in {-1, 0, 1}: int8, two bits a try, 3 rejected."""
    out = np.empty(count, np.int8)
    filled = 0
    while filled < count:
        filled = _ternary(stream.read((count - filled + 3) // 4 + 1), out, filled)
    return out


@njit(nogil=True, cache=True)
def add_binomial(words: NDArray[np.uint64], out: NDArray[np.int64]) -> None:
    """Add a centred binomial sample (`ETA` coins a side) to every element of ``out``.

    One 64-bit word a sample: the low 21 bits of its low half against the low 21 bits of its
    high half. No branch and no table depends on the coins.
    """
    for k in range(out.size):
        x = words[k] & np.uint64(0x001FFFFF001FFFFF)
        x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
        x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
        x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        x = x + (x >> np.uint64(8))
        x = x + (x >> np.uint64(16))
        out[k] += np.int64(x & np.uint64(0x3F)) - np.int64((x >> np.uint64(32)) & np.uint64(0x3F))
