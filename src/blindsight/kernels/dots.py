"""Exact inner products of integers that are too long for a machine word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
_LOW = np.uint64((1 << 31) - 1)
_PART = np.uint64((1 << 15) - 1)


def group_dots(values: U64, factors: U64) -> list[int]:
    """Row by row ``sum of values[g, j] * factors[g, j]``, as Python integers, exact.

    Args:
        values: uint64 (groups, width) below 2^45, width up to 2^16.
        factors: uint64 (groups, width) below 2^62.

    Every partial product is below 2^46, so that 2^16 of them stay below 2^62.
    """
    out = [0] * len(values)
    low, high = factors & _LOW, factors >> np.uint64(31)
    for place in (0, 15, 30):
        part = (values >> np.uint64(place)) & _PART
        if place and not part.any():
            continue
        for half, shift in ((low, place), (high, place + 31)):
            sums = np.einsum("ij,ij->i", part, half).tolist()
            out = [total + (one << shift) for total, one in zip(out, sums, strict=True)]
    return out
