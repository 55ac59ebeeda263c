"""Two parties without a dealer in one process: over the real layer, or over an ideal one with small keys."""

from __future__ import annotations

import hashlib

import numpy as np

from blindsight.kernels import wide
from blindsight.kernels.prg import Stream
from blindsight.schemes.dealerless.params import Sizes, _Weak
from blindsight.schemes.dealerless.products import Maker
from blindsight.schemes.oblivious.session import setup
from blindsight.schemes.spdz2k.talk import run_both
from ideal_oblivious import ideal_pair


class Drawn(Maker):
    """A party whose own draws come from a seed, so that a twin can draw the same."""

    def __init__(self, oblivious, sizes, seed):
        super().__init__(oblivious, sizes)
        self._draws = Stream(seed)

    def draw(self, count, bits):
        words = self._draws.read(16 * count).view("<u8").astype(np.uint64).reshape(count, 2)
        return wide.reduce(words, bits)

    def choices(self, count):
        return np.unpackbits(self._draws.read(-(-count // 8)), count=count)


def seeds(seed):
    return [hashlib.sha256(seed + bytes([party])).digest() for party in (0, 1)]


def ideal(sizes, seed=b"pair", kinds=(Maker, Maker)):
    """Two parties over the ideal functionality."""
    ends = ideal_pair(seed, sizes.security_bits)
    return [kind(end, sizes) for kind, end in zip(kinds, ends, strict=True)]


def weak(value_bits, security_bits):
    return _Weak(value_bits, security_bits)


def real(sizes=None):
    """Two parties that set up over the real layer."""
    return [Maker(end, sizes or Sizes()) for end in run_both(setup(0), setup(1))]


def both(pair, protocol, alter=None):
    """Run ``protocol(party)`` on both."""
    return run_both(protocol(pair[0]), protocol(pair[1]), alter)


def values(halves):
    """The plain numbers of two halves of a `Shared`, flat."""
    one, other = halves
    return wide.to_ints(wide.reduce(wide.add(one.share, other.share), one.bits))


def signed(number, bits):
    number %= 1 << bits
    return number - (number >> (bits - 1) << bits)


def share(pair, numbers, bits):
    """⟦numbers⟧ as both parties' halves, the numbers being P0's inputs."""
    own = wide.from_ints(numbers)

    def give(party):
        mine, theirs = yield from party.inputs(wide.reduce(own if party.number == 0 else own * 0, bits), bits)
        return mine + theirs

    return both(pair, give)
