"""Entries of an update and of a total as bytes, and permutations from secrets."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import MalformedError
from blindsight.core.secrets import Secret
from blindsight.core.types import I64
from blindsight.kernels.prg import Stream

U32 = NDArray[np.uint32]


def permutation(secret: Secret, purpose: str, number: int, count: int) -> I64:
    """A permutation of ``count`` places, int64 (count,): the order of 64 random bits each.

    The place of weight j is ``permutation[j]``.
    """
    words = Stream(secret.derive(purpose, struct.pack("<I", number))).read(8 * count).view("<u8")
    out = np.empty(count, np.int64)
    out[np.argsort(words, kind="stable")] = np.arange(count)
    return out


def pair_permutation(pair: Secret, number: int, count: int) -> I64:
    """P(i) of a round."""
    return permutation(pair, "dphe pair", number, count)


def write_entries(places: I64, ciphertexts: bytes) -> bytes:
    """A count, the places in ascending order, then their ciphertexts."""
    return struct.pack("<I", len(places)) + places.astype("<u4").tobytes() + ciphertexts


def read_places(data: bytes, weights: int) -> tuple[I64, bytes]:
    """The places at the head of entries, int64, and the rest; `MalformedError` unless ascending."""
    count = int.from_bytes(data[:4], "little")
    if count > weights or len(data) < 4 + 4 * count:
        raise MalformedError("A sparse update is cut off, or has more entries than there are weights.")
    places = np.frombuffer(data, "<u4", count, 4).astype(np.int64)
    if count and (places[-1] >= weights or (np.diff(places) <= 0).any()):
        raise MalformedError("The places of a sparse update are not ascending, or lie outside of it.")
    return places, data[4 + 4 * count :]
