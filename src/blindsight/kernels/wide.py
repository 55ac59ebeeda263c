"""Integers modulo 2^128 and below, two words each: the rings Z_{2^(k+s)} and Z_{2^(k+2s)} of SPDZ2k.

An element is a pair (low, high) of uint64, the last axis of every array here; a ring of ``bits``
bits is Z_{2^128} with the bits above cleared (`reduce`), because every operation wraps. Shapes
broadcast as in NumPy over all axes but the last. On the wire an element has ⌈bits / 8⌉ bytes,
little-endian. Values are secret: no branch and no address depends on them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import ArrayLike, NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

MOST_BITS = 128
_I128 = ir.IntType(128)


@intrinsic
def _high_product(typing: Any, a: Any, b: Any) -> Any:
    """The upper 64 bits of the product of two uint64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        product = builder.mul(builder.zext(args[0], _I128), builder.zext(args[1], _I128))
        return builder.trunc(builder.lshr(product, _I128(64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), emit


high_product: Any = _high_product
"""For compiled code."""


# -- numbers and bytes ----------------------------------------------------------------------------


def element_bytes(bits: int) -> int:
    """Bytes of an element on the wire."""
    return -(-bits // 8)


def masks(bits: int) -> U64:
    """The ones of a ring: uint64 (2,)."""
    if not 1 <= bits <= MOST_BITS:
        raise ValueError("a ring has 1 to 128 bits")
    ones: U64 = from_ints([(1 << bits) - 1])[0]
    return ones


def from_ints(values: Iterable[int]) -> U64:
    """Python integers, taken modulo 2^128, as uint64 (n, 2)."""
    data = b"".join((value & (1 << 128) - 1).to_bytes(16, "little") for value in values)
    return np.frombuffer(data, "<u8").reshape(-1, 2).astype(np.uint64)


def to_ints(values: U64) -> list[int]:
    """uint64 (n, 2) as Python integers."""
    return [int(low) | int(high) << 64 for low, high in values.reshape(-1, 2)]


def widen(values: ArrayLike) -> U64:
    """Small integers, int64 or uint64 of any shape, with their sign: uint64 (..., 2)."""
    array = np.asarray(values)
    low = array.astype(np.uint64)
    high = (array.astype(np.int64) >> 63).astype(np.uint64) if array.dtype.kind == "i" else np.zeros_like(low)
    return np.stack([low, high], axis=-1)


def random(count: int, bits: int) -> U64:
    """Uniform elements from the operating system's generator, uint64 (count, 2)."""
    drawn = np.frombuffer(os.urandom(16 * count), np.uint64).reshape(count, 2)
    return drawn & masks(bits)


def reduce(values: U64, bits: int) -> U64:
    """Modulo 2^bits, a new array."""
    return values if bits == MOST_BITS else values & masks(bits)


def pack(values: U64, bits: int) -> bytes:
    """Elements of a ring of that many bits as they travel: ⌈bits / 8⌉ bytes each."""
    flat = np.ascontiguousarray(values.reshape(-1, 2).astype("<u8", copy=False))
    return flat.view(np.uint8)[:, : element_bytes(bits)].tobytes()


def unpack(data: bytes | bytearray | memoryview, bits: int) -> U64:
    """What `pack` made, uint64 (n, 2).

    Raises ValueError where the length is not that of whole elements or one is not below 2^bits.
    """
    size = element_bytes(bits)
    if len(data) % size:
        raise ValueError("these bytes are no whole number of elements")
    rows = np.zeros((len(data) // size, 16), np.uint8)
    rows[:, :size] = np.frombuffer(data, np.uint8).reshape(-1, size)
    values = rows.view("<u8").astype(np.uint64, copy=False)
    if (values & ~masks(bits)).any():
        raise ValueError("an element is above its ring")
    return values


# -- arithmetic -----------------------------------------------------------------------------------


def _meet(a: U64, b: U64) -> tuple[U64, U64, tuple[int, ...]]:
    """Both as (n, 2), or one of them as (1, 2), and the shape of the result."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    if a.shape != shape and a.size != 2:
        a = np.broadcast_to(a, shape)
    if b.shape != shape and b.size != 2:
        b = np.broadcast_to(b, shape)
    return _rows(a), _rows(b), shape


def _rows(a: U64) -> U64:
    return np.ascontiguousarray(a).reshape(-1, 2)


@njit(nogil=True, cache=True)
def _add(a: U64, b: U64, out: U64) -> None:
    for i in range(out.shape[0]):
        p, q = (i if a.shape[0] > 1 else 0), (i if b.shape[0] > 1 else 0)
        low = a[p, 0] + b[q, 0]
        out[i, 1] = a[p, 1] + b[q, 1] + np.uint64(low < a[p, 0])
        out[i, 0] = low


@njit(nogil=True, cache=True)
def _sub(a: U64, b: U64, out: U64) -> None:
    for i in range(out.shape[0]):
        p, q = (i if a.shape[0] > 1 else 0), (i if b.shape[0] > 1 else 0)
        low = a[p, 0] - b[q, 0]
        out[i, 1] = a[p, 1] - b[q, 1] - np.uint64(a[p, 0] < b[q, 0])
        out[i, 0] = low


@njit(nogil=True, cache=True)
def _mul(a: U64, b: U64, out: U64) -> None:
    for i in range(out.shape[0]):
        p, q = (i if a.shape[0] > 1 else 0), (i if b.shape[0] > 1 else 0)
        high = high_product(a[p, 0], b[q, 0]) + a[p, 0] * b[q, 1] + a[p, 1] * b[q, 0]
        out[i, 0] = a[p, 0] * b[q, 0]
        out[i, 1] = high


@njit(nogil=True, cache=True)
def _dot(a: U64, b: U64, out: U64) -> None:
    """Rows of ``a`` (m, n, 2) against ``b`` (n, 2)."""
    for row in range(a.shape[0]):
        low, high = np.uint64(0), np.uint64(0)
        for i in range(b.shape[0]):
            x0, x1, y0, y1 = a[row, i, 0], a[row, i, 1], b[i, 0], b[i, 1]
            product = x0 * y0
            low += product
            high += high_product(x0, y0) + x0 * y1 + x1 * y0 + np.uint64(low < product)
        out[row, 0], out[row, 1] = low, high


@njit(nogil=True, cache=True)
def _dot_words(a: U64, b: U64, out: U64) -> None:
    """Rows of ``a`` (m, n, 2) against one-word numbers (n,)."""
    for row in range(a.shape[0]):
        low, high = np.uint64(0), np.uint64(0)
        for i in range(b.shape[0]):
            product = a[row, i, 0] * b[i]
            low += product
            high += high_product(a[row, i, 0], b[i]) + a[row, i, 1] * b[i] + np.uint64(low < product)
        out[row, 0], out[row, 1] = low, high


@njit(nogil=True, cache=True)
def _combine(matrix: I64, values: U64, out: U64) -> None:
    """Signed ``matrix`` (N, d) against ``values`` (faces, d, 2), to ``out`` (faces, N, 2)."""
    for face in range(values.shape[0]):
        for row in range(matrix.shape[0]):
            low, high = np.uint64(0), np.uint64(0)
            for i in range(matrix.shape[1]):
                factor = np.uint64(matrix[row, i])
                negative = np.uint64(matrix[row, i] >> 63)  # public, and yet no branch
                x0, x1 = values[face, i, 0], values[face, i, 1]
                product = x0 * factor
                low += product
                high += high_product(x0, factor) + x1 * factor + x0 * negative + np.uint64(low < product)
            out[face, row, 0], out[face, row, 1] = low, high


@njit(nogil=True, cache=True)
def _shift_left(a: U64, by: np.uint64, out: U64) -> None:
    for i in range(a.shape[0]):
        low, high = a[i, 0], a[i, 1]
        if by >= 64:
            out[i, 0], out[i, 1] = np.uint64(0), low << (by - np.uint64(64))
        elif by == 0:
            out[i, 0], out[i, 1] = low, high
        else:
            out[i, 0], out[i, 1] = low << by, high << by | low >> (np.uint64(64) - by)


@njit(nogil=True, cache=True)
def _shift_right(a: U64, by: np.uint64, out: U64) -> None:
    for i in range(a.shape[0]):
        low, high = a[i, 0], a[i, 1]
        if by >= 64:
            out[i, 0], out[i, 1] = high >> (by - np.uint64(64)), np.uint64(0)
        elif by == 0:
            out[i, 0], out[i, 1] = low, high
        else:
            out[i, 0], out[i, 1] = low >> by | high << (np.uint64(64) - by), high >> by


def add(a: U64, b: U64) -> U64:
    """Sums modulo 2^128."""
    left, right, shape = _meet(a, b)
    out = np.empty((int(np.prod(shape[:-1])), 2), np.uint64)
    _add(left, right, out)
    return out.reshape(shape)


def sub(a: U64, b: U64) -> U64:
    """Differences modulo 2^128."""
    left, right, shape = _meet(a, b)
    out = np.empty((int(np.prod(shape[:-1])), 2), np.uint64)
    _sub(left, right, out)
    return out.reshape(shape)


def negate(a: U64) -> U64:
    """-a modulo 2^128."""
    return sub(np.zeros(2, np.uint64), a)


def mul(a: U64, b: U64) -> U64:
    """Products modulo 2^128."""
    left, right, shape = _meet(a, b)
    out = np.empty((int(np.prod(shape[:-1])), 2), np.uint64)
    _mul(left, right, out)
    return out.reshape(shape)


def shift_left(a: U64, by: int) -> U64:
    """Times 2^by modulo 2^128, 0 <= by < 128."""
    out = np.empty((a.size // 2, 2), np.uint64)
    _shift_left(_rows(a), np.uint64(by), out)
    return out.reshape(a.shape)


def shift_right(a: U64, by: int) -> U64:
    """The bits of a from ``by`` on, 0 <= by < 128."""
    out = np.empty((a.size // 2, 2), np.uint64)
    _shift_right(_rows(a), np.uint64(by), out)
    return out.reshape(a.shape)


def total(a: U64) -> U64:
    """Sum over the last axis but one: (..., n, 2) to (..., 2)."""
    return dot(a, np.ones(a.shape[-2], np.uint64))


def dot(a: U64, b: U64) -> U64:
    """Sum over i of a[..., i] · b[i] modulo 2^128.

    Args:
        a: uint64 (..., n, 2).
        b: uint64 (n, 2), or uint64 (n,): numbers of one word, which is faster.

    Returns:
        uint64 (..., 2).

    """
    rows = np.ascontiguousarray(a).reshape(-1, a.shape[-2], 2)
    out = np.empty((len(rows), 2), np.uint64)
    if b.ndim == 1:
        _dot_words(rows, np.ascontiguousarray(b), out)
    else:
        _dot(rows, np.ascontiguousarray(b), out)
    return out.reshape((*a.shape[:-2], 2))


def combine(matrix: I64, values: U64) -> U64:
    """Linear forms with public signed coefficients: matrix @ values modulo 2^128.

    Args:
        matrix: int64 (N, d).
        values: uint64 (..., d, 2).

    Returns:
        uint64 (..., N, 2).

    """
    rows = np.ascontiguousarray(values).reshape(-1, values.shape[-2], 2)
    out = np.empty((len(rows), len(matrix), 2), np.uint64)
    _combine(np.ascontiguousarray(matrix, np.int64), rows, out)
    return out.reshape((*values.shape[:-2], len(matrix), 2))
