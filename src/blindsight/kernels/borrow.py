"""One bit of the borrow chain of many comparisons, on shares and tags (specs/dealerless.md, section 8).

Rows are elements of two words; sums wrap at 128 bits and the caller clears what is above its ring. Only the
known bits, which are public, decide which of two results is taken.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blindsight.kernels.wide import high_product

U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]


@njit(nogil=True, cache=True)
def _step(
    known: Bools, opened: U64, bit: U64, product: U64, less: U64, factor: U64, mask: U64, out: U64
) -> None:
    for half in range(2):
        for i in range(opened.shape[0]):
            x, y = opened[i, 0], opened[i, 1]
            b, c = bit[half, i, 0], bit[half, i, 1]
            part = x * b
            low = product[half, i, 0] + part
            high = product[half, i, 1] + high_product(x, b) + x * c + y * b + np.uint64(low < part)
            if not known[i]:
                l0, l1 = less[half, i, 0], less[half, i, 1]
                sum0 = l0 + b
                sum1 = l1 + c + np.uint64(sum0 < b)
                high = sum1 - high - np.uint64(sum0 < low)
                low = sum0 - low
            less[half, i, 0], less[half, i, 1] = low & mask[0], high & mask[1]
            f0, f1 = factor[half, i, 0], factor[half, i, 1]
            out[half, i, 0] = (low - f0) & mask[0]
            out[half, i, 1] = (high - f1 - np.uint64(low < f0)) & mask[1]


def borrow_step(known: Bools, opened: U64, bit: U64, product: U64, less: U64, factor: U64, mask: U64) -> U64:
    """From [c < r] on the bits below to [c < r] on one bit more, and what is opened next.

    Args:
        known: bool (n,): this bit of c.
        opened: uint64 (n, 2): δ = less - b, opened.
        bit: uint64 (2, n, 2): shares and tags of this bit of r.
        product: the same of r·b.
        less: the same of the result so far; overwritten with the new one.
        factor: the same of the next bit's b.
        mask: uint64 (2,), the ones of the ring.

    Returns:
        uint64 (2, n, 2): shares and tags of the next δ.

    """
    out = np.empty_like(less)
    _step(known, opened, bit, product, less, factor, mask, out)
    return out
