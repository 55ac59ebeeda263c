"""The passes of tags over all chunks of a MAC key, each over the data once (specs/oblivious.md, section 6).

Numbers are pairs of words as in `kernels.wide`. Chunk c, of `DEPTH` bits, is made modulo 2^(bits − DEPTH·c)
and travels in as many whole bytes as that needs, chunk after chunk.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blindsight.kernels import wide
from blindsight.kernels.leaves import DEPTH
from blindsight.kernels.threads import split
from blindsight.kernels.wide import high_product

U64 = NDArray[np.uint64]
U8 = NDArray[np.uint8]

_STEP = 1 << 12  # numbers below which a second thread costs more than it brings


def chunk_bits(bits: int, chunks: int) -> list[int]:
    """Bits of a number that matter to each chunk."""
    return [bits - DEPTH * chunk for chunk in range(chunks)]


def packed_bytes(bits: int, chunks: int) -> int:
    """Bytes of one number in all chunks."""
    return sum(wide.element_bytes(ring) for ring in chunk_bits(bits, chunks))


@njit(nogil=True, cache=True)
def _pack(x: U64, u: U64, ones: U64, size: int, out: U8, first: int, stop: int) -> None:
    for i in range(first, stop):
        low = x[i, 0] - u[i, 0]
        high = (x[i, 1] - u[i, 1] - np.uint64(x[i, 0] < u[i, 0])) & ones[1]
        low &= ones[0]
        at = i * size
        for k in range(min(size, 8)):
            out[at + k] = np.uint8((low >> np.uint64(8 * k)) & np.uint64(0xFF))
        for k in range(8, size):
            out[at + k] = np.uint8((high >> np.uint64(8 * k - 64)) & np.uint64(0xFF))


def pack_differences(x: U64, u: U64, bits: int) -> U8:
    """The differences x − u in every chunk, as it travels.

    Args:
        x: uint64 (n, 2).
        u: uint64 (chunks, n, 2).
        bits: of the ring of chunk 0.

    Returns:
        uint8 (n · `packed_bytes`,).

    """
    count = len(x)
    out = np.empty(count * packed_bytes(bits, len(u)), np.uint8)
    places = _places(count, bits, len(u))

    def work(a: int, b: int) -> None:
        for part, (ones, size, at) in zip(u, places, strict=True):
            _pack(x, part, ones, size, out[at : at + count * size], a, b)

    split(work, count, _STEP)
    return out


def _places(count: int, bits: int, chunks: int) -> list[tuple[U64, int, int]]:
    """Of each chunk: the ones of its ring, the bytes of a number, and where it begins."""
    found, at = [], 0
    for ring in chunk_bits(bits, chunks):
        size = wide.element_bytes(ring)
        found.append((wide.masks(ring), size, at))
        at += count * size
    return found


@njit(nogil=True, cache=True)
def _times(
    data: U8, size: int, ones: U64, alpha: np.uint64, u: U64, v: U64, first: int, stop: int
) -> np.uint64:
    above = np.uint64(0)
    for i in range(first, stop):
        at = i * size
        low, high = np.uint64(0), np.uint64(0)
        for k in range(min(size, 8)):
            low |= np.uint64(data[at + k]) << np.uint64(8 * k)
        for k in range(8, size):
            high |= np.uint64(data[at + k]) << np.uint64(8 * k - 64)
        above |= (low & ~ones[0]) | (high & ~ones[1])
        total = u[i, 0] + low
        high += u[i, 1] + np.uint64(total < low)
        low = total * alpha
        high = high * alpha + high_product(total, alpha)
        v[i, 1] = high - v[i, 1] - np.uint64(low < v[i, 0])
        v[i, 0] = low - v[i, 0]
    return above


def multiply_sums(data: U8, bits: int, alphas: U64, u: U64, v: U64) -> bool:
    """Put α_c · (u + d) − v in the place of v, d being what `pack_differences` made.

    Args:
        data: uint8 (n · `packed_bytes`,).
        bits: of the ring of chunk 0.
        alphas: uint64 (chunks,), below 2^32. Secret.
        u: uint64 (chunks, n, 2).
        v: of the same shape, changed in place.

    Returns:
        Whether every number was below its ring; where one was not, v is of no use.

    """
    count = u.shape[1]
    places = _places(count, bits, len(u))

    def work(a: int, b: int) -> int:
        above = 0
        for chunk, (ones, size, at) in enumerate(places):
            part = data[at : at + count * size]
            above |= int(_times(part, size, ones, alphas[chunk], u[chunk], v[chunk], a, b))
        return above

    return not any(split(work, count, _STEP))


@njit(nogil=True, cache=True)
def _join(parts: U64, ones: U64, out: U64, first: int, stop: int) -> None:
    by, rest = np.uint64(DEPTH), np.uint64(64 - DEPTH)
    for i in range(first, stop):
        low, high = np.uint64(0), np.uint64(0)
        for step in range(parts.shape[0]):
            part = parts[parts.shape[0] - 1 - step]
            high = high << by | low >> rest
            low <<= by
            low += part[i, 0]
            high += part[i, 1] + np.uint64(low < part[i, 0])
        out[i, 0], out[i, 1] = low & ones[0], high & ones[1]


def join(parts: U64, bits: int) -> U64:
    """Σ 2^(DEPTH·c) · part c modulo 2^bits: uint64 (chunks, n, 2) to (n, 2)."""
    out = np.empty(parts.shape[1:], np.uint64)
    ones = wide.masks(bits)
    split(lambda a, b: _join(parts, ones, out, a, b), len(out), _STEP)
    return out
