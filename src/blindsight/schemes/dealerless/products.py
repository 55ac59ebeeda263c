"""Triples and squares by oblivious transfer, with combining and sacrifice (specification, section 6).

`Maker` is a `Party` that makes them. Each step that a cheating party could do otherwise is a method.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blindsight.kernels import products, wide
from blindsight.kernels.prg import Stream
from blindsight.schemes.dealerless.party import SEED_BYTES, U64, Party, whole
from blindsight.schemes.dealerless.shared import Shared
from blindsight.schemes.spdz2k.talk import Talk

U8 = NDArray[np.uint8]


class Triples(NamedTuple):
    """a·b = c, each (n,); a and b uniform."""

    a: Shared
    b: Shared
    c: Shared


class Squares(NamedTuple):
    """u² = w, each (n,); u uniform."""

    u: Shared
    w: Shared


class Halves(NamedTuple):
    """What Π_Half leaves on one side, for both directions at once.

    As chooser: ``a``, ``a2`` and the shares ``z``, ``z2`` of a·v', a2·v' with the other's v'.
    As the other: the shares ``y``, ``y2`` of the products with own v. Each uint64 (n, 2).
    """

    a: U64
    a2: U64
    z: U64
    z2: U64
    y: U64
    y2: U64


class Maker(Party):
    """A party that makes products."""

    # -- one cross product a value ------------------------------------------------------------------

    @whole
    def halves(self, values: U64, bits: int, depth: int) -> Talk[Halves]:
        """Π_Half in both directions, of ``depth`` transfers each: own v are ``values``, uint64 (n, 2)."""
        choices = self.choices(len(values) * depth)
        ots = yield from self.oblivious.random_ots(choices.astype(np.bool_))
        sent = self.corrections(ots.pads, values, bits)
        added = yield from self.exchange_elements(sent, len(sent), bits)
        factors = self._factors((yield from self.oblivious.coin(SEED_BYTES)), depth, bits)
        chosen = products.chosen(choices, ots.received, added, factors, bits)
        kept = products.kept(ots.pads[0], factors, bits)
        return Halves(*(chosen[:, i] for i in range(4)), *(kept[:, i] for i in range(2)))

    def choices(self, count: int) -> U8:
        """x: uint8 (count,), 0 or 1."""
        return np.unpackbits(np.frombuffer(os.urandom(-(-count // 8)), np.uint8), count=count)

    def corrections(self, pads: U64, values: U64, bits: int) -> U64:
        """d, uint64 (n · depth, 2)."""
        return products.corrections(pads, values, bits)

    def _factors(self, seed: bytes, depth: int, bits: int) -> U64:
        drawn: U64 = Stream(seed).read(2 * depth * 16).view("<u8").astype(np.uint64).reshape(2, depth, 2)
        return wide.reduce(drawn, bits)

    def _t(self) -> Talk[U64]:
        """The sacrifice's t, uint64 (2,)."""
        seed = yield from self.oblivious.coin(16)
        number = int.from_bytes(seed, "little") & ((1 << self.sizes.security_bits) - 1)
        found: U64 = wide.from_ints([number])[0]
        return found

    # -- triples --------------------------------------------------------------------------------------

    @whole
    def triples(self, count: int, bits: int, *, hidden: bool = False) -> Talk[Triples]:
        """Checked triples in a ring of that many bits.

        With ``hidden`` only the low k bits of a are uniform: what is opened against a must be masked above.
        """
        b = self.draw(count, bits)
        half = yield from self.halves(b, bits, self.sizes.depth(bits, hidden=hidden))
        made = yield from self.inputs(np.concatenate(self.triple_inputs(half, b, bits)), bits)
        a, b_, c, a2, c2 = _parts(made[0] + made[1], 5)
        t = yield from self._t()
        p = yield from self.open(a.times(t) - a2)
        self.require_zero(c.times(t) - c2 - b_.times(p))
        yield from self.check()
        return Triples(a, b_, c)

    def triple_inputs(self, half: Halves, b: U64, bits: int) -> list[U64]:
        """Own a, b, c, â, ĉ."""
        c = _sum(wide.mul(half.a, b), half.z, half.y)
        c2 = _sum(wide.mul(half.a2, b), half.z2, half.y2)
        return [wide.reduce(v, bits) for v in (half.a, b, c, half.a2, c2)]

    # -- squares --------------------------------------------------------------------------------------

    @whole
    def squares(self, count: int, bits: int) -> Talk[Squares]:
        """Checked squares in a ring of that many bits; ``count`` is even."""
        n = count // 2
        u, u2 = self.draw(n, bits), self.draw(n, bits)
        half = yield from self.halves(u, bits, self.sizes.depth(bits))
        values = self.square_inputs(half, u, u2, bits)
        own, theirs = yield from self.inputs(np.concatenate(values), bits)
        t = yield from self._t()
        shown = [_masked(side, t) for side in (own, theirs)]
        found = yield from self.show(*shown)
        mine, other = (_parts(side, 4) for side in (own, theirs))
        sums = [x + y for x, y in zip(mine, other, strict=True)]
        for chooser in (0, 1):
            # Of the first half P0 is the chooser, of the second P1; the rows of both lie accordingly.
            rows = slice(chooser * n, (chooser + 1) * n)
            sides = (mine, other) if self.number == chooser else (other, mine)
            opened = found if self.number == chooser else found[::-1]
            as_chooser, as_other = (side[0][rows] for side in sides)
            p, q = (side[rows] for side in opened)
            self.require_zero(
                sums[2][rows].times(t)
                - sums[3][rows]
                - (as_chooser + as_other + as_other).times(p)
                - as_other.times(q)
            )
        yield from self.check()
        return Squares(sums[0], sums[2])

    def square_inputs(self, half: Halves, u: U64, u2: U64, bits: int) -> list[U64]:
        """Own u, û, w, ŵ of all squares: those of P0 as chooser first."""
        two = wide.from_ints([2])[0]
        as_chooser = (
            half.a,
            half.a2,
            _sum(wide.mul(half.a, half.a), wide.mul(half.z, two)),
            _sum(wide.mul(half.a2, half.a), wide.mul(half.z2, two)),
        )
        as_other = (
            u,
            u2,
            _sum(wide.mul(u, u), wide.mul(half.y, two)),
            _sum(wide.mul(u2, u), wide.mul(half.y2, two)),
        )
        pairs = zip(as_chooser, as_other, strict=True)
        return [wide.reduce(np.concatenate(pair[:: 1 - 2 * self.number]), bits) for pair in pairs]

    # -- squares that one party knows -----------------------------------------------------------------

    @whole
    def private_squares(self, count: int, bits: int) -> Talk[tuple[Squares, Squares]]:
        """Squares of uniform numbers that one party knows: own and the other's, ``count`` of each."""
        u, u2 = self.draw(count, bits), self.draw(count, bits)
        own, theirs = yield from self.inputs(np.concatenate(self.private_inputs(u, u2, bits)), bits)
        t = yield from self._t()
        opened = yield from self.show(_masked(own, t), _masked(theirs, t))
        sides = []
        for side, p in zip((own, theirs), opened, strict=True):
            u_, _, w, w2 = _parts(side, 4)
            sides.append((Squares(u_, w), w.times(t) - w2 - u_.times(p)))
        for _, zero in sides[:: 1 - 2 * self.number]:
            self.require_zero(zero)
        yield from self.check()
        return sides[0][0], sides[1][0]

    def private_inputs(self, u: U64, u2: U64, bits: int) -> list[U64]:
        """Own u, û, w, ŵ."""
        return [wide.reduce(v, bits) for v in (u, u2, wide.mul(u, u), wide.mul(u2, u))]


def _masked(side: Shared, t: U64) -> Shared:
    """t·u - û."""
    u, u2, _, _ = _parts(side, 4)
    return u.times(t) - u2


def _parts(shared: Shared, count: int) -> list[Shared]:
    n = len(shared) // count
    return [shared[i * n : (i + 1) * n] for i in range(count)]


def _sum(*terms: U64) -> U64:
    out = terms[0]
    for term in terms[1:]:
        out = wide.add(out, term)
    return out
