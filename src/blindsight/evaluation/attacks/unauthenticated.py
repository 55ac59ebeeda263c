"""The two-party comparison of W. Koch's thesis (2020, section 3.1) without any authentication.

INSECURE, and here to be attacked: it is no scheme, and nothing outside this folder's experiments
may use it. As in the thesis: shares of a face x; subtract an entry c; square every coordinate,
with a dealt pair of a mask and its square; add up; compare with the threshold; open the bit. A
dealer whom everybody trusts, and parties that believe what they are sent, so that one of them can
do what section 3.3 warns of: `TrackingParty`.

All arithmetic is modulo 2^64, as in `blindsight.schemes.spdz2k`, and the comparison is the same;
what is missing are tags and checks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blindsight.core.types import I32
from blindsight.kernels import dcf
from blindsight.schemes.spdz2k.messages import U64
from blindsight.schemes.spdz2k.watchlist import Watchlist

_ONE = np.uint64(1)


def _uniform(*shape: int) -> U64:
    return np.frombuffer(os.urandom(8 * int(np.prod(shape))), np.uint64).reshape(shape)


def insecure_shares(face: I32) -> tuple[U64, U64]:
    """Two shares, uint64 (d,) each, that add up to a face, int32 (d,)."""
    one = _uniform(*face.shape)
    return one, face.astype(np.int64).astype(np.uint64) - one


@dataclass(frozen=True, slots=True)
class InsecureHalf:
    """What one party is dealt for one face.

    Attributes:
        masks: shares of a, uint64 (N, d).
        squares: shares of a², uint64 (N, d).
        offset: shares of the comparison mask r, uint64 (N,).
        roots: of the comparison functions, uint64 (1, N, 2).
        words: their corrections, uint64 (1, words).
        flip: shares of the highest value bit of r, uint64 (N,), 0 or 1.
        key: the comparison functions' public key.
    """

    masks: U64 = field(repr=False)
    squares: U64 = field(repr=False)
    offset: U64 = field(repr=False)
    roots: U64 = field(repr=False)
    words: U64 = field(repr=False)
    flip: U64 = field(repr=False)
    key: bytes


def insecure_deal(watchlist: Watchlist) -> tuple[InsecureHalf, InsecureHalf]:
    """Squares and comparisons for one face against a whole watchlist, both halves."""
    count, d, levels = len(watchlist), watchlist.params.dimension, watchlist.params.levels
    a, a_0, b_0 = (_uniform(count, d) for _ in range(3))
    r, r_0 = _uniform(count), _uniform(count)
    roots = tuple(_uniform(1, count, 2) & np.array([2**64 - 4, 2**64 - 1], np.uint64) for _ in (0, 1))
    payload = np.zeros((1, count, 2), np.uint64)
    payload[..., 0] = _ONE
    words = np.zeros((1, dcf.correction_words(levels, count)), np.uint64)
    key = os.urandom(16)
    point = (r & np.uint64(2**levels - 1))[np.newaxis]
    dcf.generate(point, payload, (roots[0], roots[1]), words, 0, levels, [key])
    flip_0 = _uniform(count) & _ONE
    top = (r >> np.uint64(levels)) & _ONE
    return (
        InsecureHalf(a_0, b_0, r_0, roots[0], words, flip_0, key),
        InsecureHalf(a - a_0, a * a - b_0, r - r_0, roots[1], words, flip_0 ^ top, key),
    )


class BelievingParty:
    """One party and one face. Each step takes what the other party sent, and believes it.

    Args:
        party: 0 or 1.
        watchlist: the entries and the threshold that both agreed on.
        share: of the face, uint64 (d,).
        half: what it was dealt for this face.
    """

    def __init__(self, party: int, watchlist: Watchlist, share: U64, half: InsecureHalf) -> None:
        self.party, self.watchlist, self._share, self._half = party, watchlist, share, half

    def _difference(self) -> U64:
        """Shares of x − c for every entry, uint64 (N, d)."""
        if self.party:
            return np.broadcast_to(self._share, self._half.masks.shape)
        return self._share - self.watchlist.entries.astype(np.int64).astype(np.uint64)

    def masked(self) -> U64:
        """Round 1: x − c − a for every entry, uint64 (N, d)."""
        self._masked = self._difference() - self._half.masks
        return self._masked

    def opened(self, theirs: U64) -> U64:
        """Round 2: shares of D − t + r, uint64 (N,), by (x − c)² = a² + 2ea + e²."""
        e, half = self._masked + theirs, self._half
        total = half.squares + (e * half.masks << _ONE)
        if self.party == 0:
            total += e * e
        self._value: U64 = total.sum(axis=1, dtype=np.uint64) + half.offset
        if self.party == 0:
            self._value -= np.uint64(self.watchlist.threshold)
        return self._value

    def bits(self, theirs: U64) -> U64:
        """Round 3: shares of the match bits, uint64 (N,), 0 or 1."""
        value, half = self._value + theirs, self._half
        levels = self.watchlist.params.levels
        points = (value & np.uint64(2**levels - 1))[np.newaxis]
        below = dcf.evaluate(self.party, points, half.roots, half.words, 0, levels, [half.key])
        self._bits: U64 = (below[0, :, 0] & _ONE) ^ half.flip
        if self.party == 0:
            self._bits ^= (value >> np.uint64(levels)) & _ONE
        return self._bits

    def result(self, theirs: U64) -> NDArray[np.bool_]:
        """Which entries match, bool (N,)."""
        return (self._bits ^ theirs).astype(np.bool_)


class TrackingParty(BelievingParty):
    """Section 3.3: tracks somebody, p, who is not on the list, in the place of an entry c.

    It moves its share of x by Δ = p − c, so that both compute the distance to p and the other party
    takes a match for one of c.

    Args:
        wanted: p as integers, int32 (d,).
        instead_of: the number of c.
    """

    def __init__(
        self,
        party: int,
        watchlist: Watchlist,
        share: U64,
        half: InsecureHalf,
        *,
        wanted: I32,
        instead_of: int,
    ) -> None:
        super().__init__(party, watchlist, share, half)
        self._delta = wanted.astype(np.int64) - watchlist.entries[instead_of]
        self._instead_of = instead_of

    def _difference(self) -> U64:
        moved = super()._difference().copy()
        moved[self._instead_of] -= self._delta.astype(np.uint64)
        return moved


def insecure_run(one: BelievingParty, other: BelievingParty) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both parties' results for the face that they were made with, bool (N,) each."""
    masked = one.masked(), other.masked()
    opened = one.opened(masked[1]), other.opened(masked[0])
    bits = one.bits(opened[1]), other.bits(opened[0])
    return one.result(bits[1]), other.result(bits[0])
