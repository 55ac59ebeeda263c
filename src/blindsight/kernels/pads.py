"""A key stream laid over bytes: added, subtracted or exclusive-ored, piece by piece in cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blindsight.kernels.prg import Stream

_PIECE = 1 << 18


def add(values: NDArray[np.uint8], stream: Stream) -> NDArray[np.uint8]:
    """``values + r mod 256`` with the stream's next bytes ``r``: uint8 (n,) to uint8 (n,)."""
    return _combined(np.add, values, stream)


def subtract(values: NDArray[np.uint8], stream: Stream) -> NDArray[np.uint8]:
    """``values - r mod 256`` with the stream's next bytes ``r``: uint8 (n,) to uint8 (n,)."""
    return _combined(np.subtract, values, stream)


def exclusive_or(values: NDArray[np.uint8], stream: Stream) -> NDArray[np.uint8]:
    """``values ⊕ r`` with the stream's next bytes ``r``: uint8 (n,) to uint8 (n,)."""
    return _combined(np.bitwise_xor, values, stream)


def _combined(operation: np.ufunc, values: NDArray[np.uint8], stream: Stream) -> NDArray[np.uint8]:
    out = np.empty(values.size, np.uint8)
    for at in range(0, values.size, _PIECE):
        here = values[at : at + _PIECE]
        operation(here, stream.read(here.size), out=out[at : at + _PIECE])  # uint8 wraps mod 256
    return out
