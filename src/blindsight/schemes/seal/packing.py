"""Residues to bytes and back, in as few bytes or bits as their moduli need."""

from __future__ import annotations

import numpy as np

from blindsight.core.errors import MalformedError
from blindsight.core.types import U8, AnyArray
from blindsight.schemes.seal.public import require_residues


def packed(residues: AnyArray, moduli: tuple[int, ...]) -> bytes:
    """Residues (..., moduli, degree) with as many whole bytes each as their modulus needs."""
    wide = np.ascontiguousarray(residues, "<u8")[..., np.newaxis].view(np.uint8)
    flat = wide.reshape(-1, len(moduli), wide.shape[-2], 8)
    return b"".join(
        one[k, :, : _bytes(modulus)].tobytes() for one in flat for k, modulus in enumerate(moduli)
    )


def unpacked(data: U8, count: int, moduli: tuple[int, ...], degree: int) -> AnyArray:
    """What `packed` wrote, uint64 (count, moduli, degree); `MalformedError` for a residue out of range."""
    out = np.zeros((count, len(moduli), degree, 8), np.uint8)
    at = 0
    for one in out:
        for k, modulus in enumerate(moduli):
            size = _bytes(modulus)
            one[k, :, :size] = data[at : at + size * degree].reshape(degree, size)
            at += size * degree
    residues = out.view("<u8")[..., 0]
    require_residues(residues, moduli)
    return residues


def packed_bytes(moduli: tuple[int, ...]) -> int:
    """Bytes that one residue for each of these moduli takes."""
    return sum(map(_bytes, moduli))


def _bytes(modulus: int) -> int:
    return (modulus.bit_length() + 7) // 8


def bits_packed(values: AnyArray, bits: int) -> bytes:
    """Unsigned values (count,) below 2^bits, the lowest bit first, without gaps; count a multiple of 8."""
    wide = np.ascontiguousarray(values, "<u8").view(np.uint8).reshape(-1, 8)
    return np.packbits(np.unpackbits(wide, axis=1, bitorder="little")[:, :bits], bitorder="little").tobytes()


def bits_unpacked(data: U8, count: int, bits: int) -> AnyArray:
    """What `bits_packed` wrote: uint64 (count,)."""
    if data.size * 8 != count * bits:
        raise MalformedError("There are not as many bits as values need.")
    wide = np.zeros((count, 64), np.uint8)
    wide[:, :bits] = np.unpackbits(data, bitorder="little").reshape(count, bits)
    values: AnyArray = np.packbits(wide, axis=1, bitorder="little").view("<u8")[:, 0]
    return values
