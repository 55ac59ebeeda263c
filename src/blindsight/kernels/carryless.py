"""A linear hash of long bit strings in F_{2^128}: Σ χ_j · (the j-th 128 bits of a column).

Polynomial x^128 + x^7 + x^2 + x + 1, the coefficient of x^i being bit i. The weights χ are public,
the columns secret. Products are made by the processor's carry-less multiplication, or bit by bit of
the weights where it is missing.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from blindsight.kernels.threads import split

U64 = NDArray[np.uint64]

HARDWARE = llvm.get_process_triple().startswith("x86_64") and bool(
    llvm.get_host_cpu_features().get("pclmul", False)
)
"""Whether this processor multiplies without carries."""

_I64 = ir.IntType(64)
_PAIR = ir.VectorType(_I64, 2)


@intrinsic
def _carryless(typing: Any, a: Any, b: Any) -> Any:
    """Both words of the carry-less product of two uint64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_PAIR, [_PAIR, _PAIR, ir.IntType(8)])
        multiply = builder.module.declare_intrinsic("llvm.x86.pclmulqdq", (), kind)
        zero = ir.Constant(_PAIR, [0, 0])
        left, right = (builder.insert_element(zero, arg, ir.IntType(32)(0)) for arg in args)
        product = builder.call(multiply, [left, right, ir.IntType(8)(0)])
        words = [builder.extract_element(product, ir.IntType(32)(i)) for i in range(2)]
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), emit


@njit(nogil=True, inline="always")
def _carryless_portable(secret: np.uint64, public: np.uint64) -> tuple[np.uint64, np.uint64]:
    low, high = np.uint64(0), np.uint64(0)
    for i in range(64):
        mask = np.uint64(0) - ((public >> np.uint64(i)) & np.uint64(1))
        low ^= (secret << np.uint64(i)) & mask
        # twice, as a shift by 64 is not defined
        high ^= ((secret >> np.uint64(63 - i)) >> np.uint64(1)) & mask
    return low, high


_multiply: Any = _carryless if HARDWARE else _carryless_portable


@njit(nogil=True, inline="always")
def _product(secret: np.uint64, public: np.uint64, fast: bool) -> tuple[np.uint64, np.uint64]:
    return _multiply(secret, public) if fast else _carryless_portable(secret, public)


@njit(nogil=True, cache=True)
def _hashes(columns: U64, weights: U64, fast: bool, out: U64, first: int, stop: int) -> None:
    for column in range(first, stop):
        a0, a1, b0 = np.uint64(0), np.uint64(0), np.uint64(0)
        b1, c0, c1 = np.uint64(0), np.uint64(0), np.uint64(0)
        for j in range(weights.shape[0]):
            x0, x1 = columns[column, 2 * j], columns[column, 2 * j + 1]
            y0, y1 = weights[j, 0], weights[j, 1]
            low, high = _product(x0, y0, fast)
            a0 ^= low
            a1 ^= high
            low, high = _product(x0, y1, fast)
            b0 ^= low
            b1 ^= high
            low, high = _product(x1, y0, fast)
            b0 ^= low
            b1 ^= high
            low, high = _product(x1, y1, fast)
            c0 ^= low
            c1 ^= high
        a1 ^= b0
        c0 ^= b1
        # c · x^128 = c · (x^7 + x^2 + x + 1), and once more for what runs over
        over = (c1 >> np.uint64(63)) ^ (c1 >> np.uint64(62)) ^ (c1 >> np.uint64(57))
        for shift in (1, 2, 7):
            by, rest = np.uint64(shift), np.uint64(64 - shift)
            a0 ^= (c0 << by) ^ (over << by)
            a1 ^= c1 << by | c0 >> rest
        out[column, 0] = a0 ^ c0 ^ over
        out[column, 1] = a1 ^ c1


def column_hashes(columns: U64, weights: U64, *, portable: bool = not HARDWARE) -> U64:
    """The hash of every column.

    Args:
        columns: uint64 (m, 2 · blocks).
        weights: uint64 (blocks, 2), public.
        portable: whether to go without carry-less multiplication by the processor.

    Returns:
        uint64 (m, 2).

    """
    if columns.shape[1] != 2 * len(weights):
        raise ValueError("there is one weight for every 128 bits")
    columns, weights = np.ascontiguousarray(columns), np.ascontiguousarray(weights)
    out = np.empty((len(columns), 2), np.uint64)
    split(lambda a, b: _hashes(columns, weights, not portable, out, a, b), len(columns), 8)
    return out
