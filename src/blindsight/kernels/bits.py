"""Bit matrices: transposition, and the hash of rows that makes strings of correlated transfers.

Bit j of a string of words is bit j mod 64 of word ⌊j/64⌋.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blindsight.kernels.accumulate import address
from blindsight.kernels.aes import BLOCKS, LANES, mix, mix_portable, round_keys
from blindsight.kernels.threads import split

U64 = NDArray[np.uint64]

ROW_BITS = 128
_LANES = 8  # squares side by side: a line of the cache, a wide register


@njit(nogil=True, inline="always")
def _swap(a: U64, half: int, mask: np.uint64) -> None:
    """One stage of transposing by quarters (Hacker's Delight, section 7-3), all squares at once."""
    shift = np.uint64(half)
    for block in range(0, 64, 2 * half):
        for i in range(_LANES * block, _LANES * (block + half)):
            swap = ((a[i] >> shift) ^ a[i + _LANES * half]) & mask
            a[i + _LANES * half] ^= swap
            a[i] ^= swap << shift


@njit(nogil=True, cache=True)
def _transpose(columns: U64, out: U64, first: int, stop: int) -> None:
    """Words ``first`` to ``stop`` of every column, 64 rows of ``out`` each."""
    squares = np.zeros(64 * _LANES, np.uint64)  # row k of square l is word _LANES · k + l
    for word in range(first, stop, _LANES):
        lanes = min(_LANES, stop - word)
        for part in range(2):
            for k in range(64):
                for lane in range(lanes):
                    squares[_LANES * k + lane] = columns[64 * part + k, word + lane]
            _swap(squares, 32, np.uint64(0x00000000FFFFFFFF))
            _swap(squares, 16, np.uint64(0x0000FFFF0000FFFF))
            _swap(squares, 8, np.uint64(0x00FF00FF00FF00FF))
            _swap(squares, 4, np.uint64(0x0F0F0F0F0F0F0F0F))
            _swap(squares, 2, np.uint64(0x3333333333333333))
            _swap(squares, 1, np.uint64(0x5555555555555555))
            for lane in range(lanes):
                for k in range(64):
                    out[64 * (word + lane) + k, part] = squares[_LANES * k + lane]


def transpose(columns: U64) -> U64:
    """128 columns as rows: uint64 (128, w) to uint64 (64 · w, 2)."""
    if columns.shape[0] != ROW_BITS:
        raise ValueError("there are 128 columns")
    columns = np.ascontiguousarray(columns)
    out = np.empty((64 * columns.shape[1], 2), np.uint64)
    split(lambda a, b: _transpose(columns, out, a, b), columns.shape[1], 64)
    return out


@njit(nogil=True, cache=True)
def _hash_rows(rows: U64, offset: U64, keys: U64, out: U64, first: int, stop: int) -> None:
    blocks, before = np.zeros((BLOCKS, 2), np.uint64), np.empty((BLOCKS, 2), np.uint64)
    for a in range(first, stop, BLOCKS):
        count = min(a + BLOCKS, stop) - a
        for i in range(count):
            for w in range(2):
                blocks[i, w] = before[i, w] = rows[a + i, w] ^ offset[w]
        mix(address(blocks, 0), address(keys, 0))
        for i in range(count):
            for w in range(2):
                before[i, w] ^= blocks[i, w]  # π(x)
                blocks[i, w] = before[i, w]
            blocks[i, 0] ^= np.uint64(a + i)
        mix(address(blocks, 0), address(keys, 0))
        for i in range(count):
            # mix adds π(x) ⊕ j, which leaves the second π(x) out and brings j in
            out[a + i, 0] = blocks[i, 0] ^ np.uint64(a + i)
            out[a + i, 1] = blocks[i, 1]


def hash_rows(
    rows: U64, offset: U64, key: bytes, out: U64 | None = None, *, portable: bool = LANES == 0
) -> U64:
    """π(π(x) xor j) xor π(x) for x = row j xor ``offset``: TMMO of ePrint 2019/074, section 7.4.

    Args:
        rows: uint64 (n, 2).
        offset: uint64 (2,).
        key: 16 bytes, public: π is AES under it.
        out: where to put them, C-contiguous; a new array where not given.
        portable: whether to go without AES instructions in compiled code.

    Returns:
        ``out``, uint64 (n, 2).

    """
    rows = np.ascontiguousarray(rows)
    if out is None:
        out = np.empty_like(rows)
    if portable:
        inputs = rows ^ offset
        mix_portable(inputs, key, out)
        inputs ^= out
        numbers = np.arange(len(rows), dtype=np.uint64)
        inputs[:, 0] ^= numbers
        mix_portable(inputs, key, out)
        out[:, 0] ^= numbers
        return out
    schedule = round_keys([key])[0]
    split(lambda a, b: _hash_rows(rows, offset, schedule, out, a, b), len(rows), 32 * BLOCKS)
    return out
