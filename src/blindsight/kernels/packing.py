"""Integers of any number of bits, one after the other without gaps, little-endian."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
U8 = NDArray[np.uint8]
_ROWS = 256


def packed_bytes(width: int, bits: int) -> int:
    """Bytes that ``width`` integers of ``bits`` bits take."""
    return -(-width * bits // 8)


def pack_bits(values: U64, bits: int) -> U8:
    """Rows of integers to rows of bytes.

    Args:
        values: uint64 (rows, width), below 2^bits.
        bits: 1 to 64.

    Returns:
        uint8 (rows, packed_bytes(width, bits)); bits left over in the last byte are zero.
    """
    rows, width = values.shape
    out = np.empty((rows, packed_bytes(width, bits)), np.uint8)
    for at in range(0, rows, _ROWS):
        piece = np.ascontiguousarray(values[at : at + _ROWS], "<u8")
        flat = np.unpackbits(piece.view(np.uint8).reshape(len(piece), width, 8), axis=2, bitorder="little")
        out[at : at + _ROWS] = np.packbits(
            flat[:, :, :bits].reshape(len(piece), width * bits), axis=1, bitorder="little"
        )
    return out


def unpack_bits(data: U8, width: int, bits: int) -> U64:
    """Undo `pack_bits`: uint8 (rows, packed_bytes(width, bits)) to uint64 (rows, width)."""
    rows = len(data)
    out = np.empty((rows, width), np.uint64)
    for at in range(0, rows, _ROWS):
        piece = np.ascontiguousarray(data[at : at + _ROWS])
        flat = np.unpackbits(piece, axis=1, count=width * bits, bitorder="little")
        wide = np.zeros((len(piece), width, 64), np.uint8)
        wide[:, :, :bits] = flat.reshape(len(piece), width, bits)
        out[at : at + _ROWS] = np.packbits(wide, axis=2, bitorder="little").view("<u8")[:, :, 0]
    return out
