"""The thesis' comparison without any authentication, to attack it. Never a part of the package.

As in its section 3.1: shares of x, subtract c, square every coordinate (with a dealt pair of a and
a²), add up, compare, open the bit. A dealer that everybody trusts; parties that believe what they
are sent.
"""

from __future__ import annotations

import os

from reference import two_party as twin

RING = 1 << 64
LEVELS = 23


def random_word():
    return int.from_bytes(os.urandom(8), "little")


def halves(value):
    one = random_word()
    return one, (value - one) % RING


class Dealer:
    """Squares and comparisons for one face against ``entries`` of ``d`` coordinates, both halves."""

    def __init__(self, entries, d):
        self.key = os.urandom(16)
        self.squares = [[], []]
        self.masks, self.functions = [[], []], [[], []]
        for _ in range(entries):
            pairs = []
            for _ in range(d):
                a = random_word()
                pairs.append((halves(a), halves(a * a % RING)))
            r = random_word()
            roots = [random_word() << 64 & ~twin.LOW | random_word() & ~twin.LOW for _ in (0, 1)]
            corrections = twin.dcf_generate(self.key, LEVELS, r % 2**LEVELS, 1, *roots)
            top = r >> LEVELS & 1
            flip = random_word() & 1
            for party, share in enumerate(halves(r)):
                self.squares[party].append([(a[party], b[party]) for a, b in pairs])
                self.masks[party].append(share)
                self.functions[party].append((roots[party], corrections, flip ^ (top if party else 0)))


class Believing:
    """One party. Each method takes what the other one sent and returns what to send."""

    def __init__(self, party, entries, threshold, share, dealer):
        self.party, self.entries, self.threshold = party, entries, threshold
        self.share = share
        self.squares, self.masks = dealer.squares[party], dealer.masks[party]
        self.functions, self.key = dealer.functions[party], dealer.key

    def difference(self, j):
        """Shares of x - c_j: what section 3.3 meddles with."""
        return [
            (x - (int(c) if self.party == 0 else 0)) % RING
            for x, c in zip(self.share, self.entries[j], strict=True)
        ]

    def masked(self):
        self.e = [
            [(y - a) % RING for y, (a, _) in zip(self.difference(j), self.squares[j], strict=True)]
            for j in range(len(self.entries))
        ]
        return self.e

    def opened(self, theirs):
        self.m = []
        for j, pairs in enumerate(self.squares):
            total = self.masks[j]
            for mine, other, (a, b) in zip(self.e[j], theirs[j], pairs, strict=True):
                e = (mine + other) % RING
                total += b + 2 * e * a + (e * e if self.party == 0 else 0)
            self.m.append((total - (self.threshold if self.party == 0 else 0)) % RING)
        return self.m

    def bits(self, theirs):
        self.shares = []
        for mine, other, (root, (corrections, last), flip) in zip(
            self.m, theirs, self.functions, strict=True
        ):
            m = (mine + other) % RING
            below = twin.dcf_evaluate(self.key, LEVELS, self.party, root, corrections, last, m % 2**LEVELS)
            self.shares.append(below & 1 ^ flip ^ (m >> LEVELS & 1 if self.party == 0 else 0))
        return self.shares

    def result(self, theirs):
        return [bool(a ^ b) for a, b in zip(self.shares, theirs, strict=True)]


class Corrupt(Believing):
    """Section 3.3: moves its share by p - c so that everybody computes the distance to p instead of c."""

    def __init__(self, *arguments, wanted, instead_of=0):
        super().__init__(*arguments)
        self.wanted, self.instead_of = wanted, instead_of

    def difference(self, j):
        honest = super().difference(j)
        if j != self.instead_of:
            return honest
        delta = [int(p) - int(c) for p, c in zip(self.wanted, self.entries[j], strict=True)]
        return [(x - y) % RING for x, y in zip(honest, delta, strict=True)]


def run(one, other):
    for step in ("opened", "bits", "result"):
        if step == "opened":
            messages = one.masked(), other.masked()
        messages = getattr(one, step)(messages[1]), getattr(other, step)(messages[0])
    return messages
