"""Squared distances to public entries as a linear map, modulo 2^64.

For a row ``(x_1 … x_d, |x|², y_1 … y_N)``, or a share, tag or key of one: ``|x|² - 2 <c_j, x> + y_j`` for
every entry ``c_j``; ``y_j`` is where the caller puts ``|c_j|²`` and whatever else is to be added. The map is
linear, so it may be applied to shares.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blindsight.kernels.threads import split

_STRIP = 32  # rows that stay in the nearest cache while the entries pass by
_ALONE = 1 << 22  # products below which a second thread costs more than it brings


@njit(nogil=True, cache=True)
def _distances(
    entries: NDArray[np.int32], rows: NDArray[np.uint64], out: NDArray[np.uint64], start: int, stop: int
) -> None:
    d = entries.shape[1]
    for first in range(0, rows.shape[0], _STRIP):
        last = min(first + _STRIP, rows.shape[0])
        for j in range(start, stop):
            for r in range(first, last):
                total = np.uint64(0)
                for i in range(d):
                    total += np.uint64(np.int64(entries[j, i])) * rows[r, i]
                out[r, j] = rows[r, d] - (total << np.uint64(1)) + rows[r, d + 1 + j]


def distances(entries: NDArray[np.int32], rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """``rows[:, d] - 2 rows[:, :d] entriesᵀ + rows[:, d + 1:]`` modulo 2^64.

    Args:
        entries: int32 (entries, d), C-contiguous. Public.
        rows: uint64 (count, d + 1 + entries), C-contiguous. May be secret.

    Returns:
        uint64 (count, entries).

    Raises:
        ValueError: rows of another width.

    """
    if rows.shape[1] != entries.shape[1] + 1 + len(entries):
        raise ValueError("a row holds a vector, its square, and a term for each entry")
    out = np.empty((len(rows), len(entries)), np.uint64)
    if entries.size * len(rows) < _ALONE:
        _distances(entries, rows, out, 0, len(entries))
    else:
        split(lambda a, b: _distances(entries, rows, out, a, b), len(entries))
    return out
