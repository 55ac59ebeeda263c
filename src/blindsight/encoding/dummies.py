"""Dummy faces for the two-party scheme (W. Koch's thesis, section 3.4).

A camera that sees v people sends max(0, q − v) dummies more, so that the parties count max(q, v). A
dummy goes the way of a face: it is masked by the same code with fresh randomness, uniform like a
face's, compared like a face's, and its answers are opened. It therefore must never match.

*No vector can promise that.* A vector x of at most the allowed length may itself be an entry of the
watchlist, at distance 0; the thesis' vector of constant values is one such. The camera does not know
the watchlist, and should not have to. But a face enters the protocol as (x, |x|²), and the distance
is computed from both,

    D_j = |x|² − 2<c_j, x> + |c_j|²

so a dummy is the pair (0, B) with B = 2^(k−1) − 1 − norm², which is no vector's pair at all.

*Proof that it never matches.* For any entry, 0 ≤ |c_j|² ≤ norm², and D_j = B + |c_j|². The protocol allows
thresholds 0 < t ≤ 2^(k−1) − 1 − norm² = B. Hence D_j − t ≥ B − t ≥ 0: never below the threshold. And
D_j − t ≤ B + norm² − 1 < 2^(k−1): it fits the signed k bits, so that the comparison modulo 2^k gives
what the integers give. This holds for every watchlist and every allowed threshold at once.

What the camera owes beside this, because the parties see when and how much it sends: dummies and
faces of a frame lie in one message, in an order that says nothing (shuffled, or dummies drawn among
the faces by the system's generator); the message is sent at a fixed time after the frame's begin, that
covers detecting and embedding the most faces expected; and a frame without a face is a message
like any other. Who sends a person only once while tracking breaks the promise, unless it fills up what
is sent at every step to q.
"""

from __future__ import annotations

import numpy as np

from blindsight.core.errors import InaccurateParametersError, InsecureParametersError, ParameterError
from blindsight.core.types import I64, frozen


def dummy_count(visible: int, q: int) -> int:
    """How many dummies a camera adds to ``visible`` faces: max(0, q − visible).

    Raises:
        ParameterError: a negative number.
    """
    if visible < 0 or q < 0:
        raise ParameterError("The number of faces and q are not negative.")
    return max(0, q - visible)


def dummy_input(dimension: int, norm: int, value_bits: int) -> I64:
    """What a dummy has in the place of (x, |x|²): int64 (dimension + 1,), read-only.

    Args:
        dimension: d, 2 to 4096.
        norm: largest Euclidean length of a face or an entry, in integers, at least 1.
        value_bits: k, 8 to 24.

    Raises:
        ParameterError: dimension or norm outside their range.
        InsecureParametersError: k above 24, which leaves fewer than 40 bits of security.
        InaccurateParametersError: 4·norm² ≥ 2^(k−1), with which real distances would wrap.
    """
    if not 2 <= dimension <= 4096:
        raise ParameterError(f"A face has 2 to 4096 coordinates, not {dimension}.")
    if norm < 1 or value_bits < 8:
        raise ParameterError("The norm is at least 1, and a value has at least 8 bits.")
    if value_bits > 24:
        raise InsecureParametersError("More than 24 value bits leave fewer than 40 bits of security.")
    if 4 * norm * norm >= 1 << (value_bits - 1):
        raise InaccurateParametersError("Distances would not fit; lower the norm or take more value bits.")
    row = np.zeros(dimension + 1, np.int64)
    row[-1] = (1 << (value_bits - 1)) - 1 - norm * norm
    return frozen(row)
