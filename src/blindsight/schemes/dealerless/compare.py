"""Signs and comparisons of shared numbers (specification, section 8).

Named as in W. Koch's thesis, section 2.1.3: `msb` is Π_MSB, `below_zero` Π_LTZ, `less` Π_LT. Nothing is
learnt by anyone until `reveal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import UsageError
from blindsight.kernels import wide
from blindsight.kernels.borrow import borrow_step
from blindsight.schemes.dealerless.bits import AT_ONCE, edabits
from blindsight.schemes.dealerless.party import U64, Party, whole
from blindsight.schemes.dealerless.products import Maker, Triples
from blindsight.schemes.dealerless.shared import Shared, join
from blindsight.schemes.spdz2k.talk import Talk


@dataclass(frozen=True, slots=True)
class Comparisons:
    """What n comparisons consume; each is used once.

    Attributes:
        mask: (n,) in A: R = Σ 2^i r_i + 2^k · mask.
        bits: (n, k) in B: r_i.
        factors: (n, k - 2) in B: b_i.
        products: (n, k - 2) in B: r_i · b_i, from i = 1.
    """

    mask: Shared
    bits: Shared
    factors: Shared
    products: Shared

    def __getitem__(self, key: Any) -> Comparisons:
        """Some of them."""
        return Comparisons(self.mask[key], self.bits[key], self.factors[key], self.products[key])


# -- before a value is there --------------------------------------------------------------------------


@whole
def prepare_comparisons(party: Maker, count: int) -> Talk[Comparisons]:
    """Make what ``count`` comparisons of k bits consume."""
    k, truths = party.sizes.value_bits, party.sizes.truths
    mask, bits = yield from edabits(party, count)
    middle = bits[:, 1 : k - 1].reshape(-1)
    factors, products = [], []
    for at in range(0, len(middle), AT_ONCE):
        r = middle[at : at + AT_ONCE]
        a, b, c = yield from party.triples(len(r), truths, hidden=True)
        hiding = yield from prepare_covers(party, len(r))
        difference = yield from party.open(r - a + hiding)
        factors.append(b)
        products.append(c + b.times(difference))
    yield from party.check()
    if not factors:
        return Comparisons(mask, bits, middle.reshape(count, 0), middle.reshape(count, 0))
    shape = (count, k - 2)
    return Comparisons(mask, bits, join(factors).reshape(*shape), join(products).reshape(*shape))


@whole
def triples(party: Maker, count: int, bits: int) -> Talk[Triples]:
    """As many triples as wanted, some at a time."""
    made = []
    for at in range(0, count, AT_ONCE):
        made.append((yield from party.triples(min(AT_ONCE, count - at), bits)))
    return Triples(*(join(parts) for parts in zip(*made, strict=True)))


@whole
def prepare_covers(party: Party, count: int) -> Talk[Shared]:
    """2·mask' in B for results that are to be shown: (count,)."""
    return (yield from party.random(count, party.sizes.security_bits)).doubled()


# -- comparing ----------------------------------------------------------------------------------------


@whole
def msb(party: Party, a: Shared, prepared: Comparisons) -> Talk[Shared]:
    """Π_MSB: bit k-1 of each a, as shares in B of which the lowest bit counts. k - 1 rounds.

    Args:
        party: this party.
        a: (n,) in A.
        prepared: n comparisons, unused.

    """
    k = party.sizes.value_bits
    if a.shape != prepared.mask.shape or a.bits != party.sizes.numbers:
        raise UsageError("A comparison is prepared for each number of ring A.")
    opened = yield from party.open(a + prepared.mask)
    known = (opened[:, 0] >> np.arange(k, dtype=np.uint64)[:, np.newaxis] & np.uint64(1)).astype(np.bool_)
    bits, factors, products = (
        _columns(part) for part in (prepared.bits, prepared.factors, prepared.products)
    )
    ring = party.sizes.truths
    mask = wide.masks(ring)
    less = np.where(known[0][:, np.newaxis], np.uint64(0), bits[0])
    following = (*factors[1:], np.zeros_like(less))
    hidden = wide.reduce(wide.sub(less, factors[0]), ring) if k > 2 else less
    for i in range(1, k - 1):
        difference = yield from party.open(Shared(ring, *hidden))
        hidden = borrow_step(known[i], difference, bits[i], products[i - 1], less, following[i - 1], mask)
    signs = Shared(ring, *bits[k - 1]) + Shared(ring, *less)
    return party.plus(signs, wide.widen(known[k - 1].astype(np.uint64)))


def _columns(shared: Shared) -> U64:
    """(n, m) as uint64 (m, 2, n, 2): for each column shares and tags, one after the other in memory."""
    both = np.stack([shared.share, shared.tag])
    return np.ascontiguousarray(both.transpose(2, 0, 1, 3))


@whole
def below_zero(party: Party, a: Shared, prepared: Comparisons) -> Talk[Shared]:
    """Π_LTZ: whether each a, read as a signed number of k bits, is below zero."""
    return (yield from msb(party, a, prepared))


@whole
def less(party: Party, a: Shared, b: Shared, prepared: Comparisons, triples: Triples) -> Talk[Shared]:
    """Π_LT: whether a < b, for signed numbers over the whole range of k bits, where a - b may overflow.

    Args:
        party: this party.
        a: (n,) in A.
        b: (n,) in A.
        prepared: 3·n comparisons.
        triples: n of ring B.

    """
    signs = yield from msb(party, join([a, b, a - b]), prepared)
    n = len(a)
    first, second, difference = signs[:n], signs[n : 2 * n], signs[2 * n :]
    differ = first + second
    chosen = yield from party.multiply(differ, difference + first, triples)
    return difference + chosen


@whole
def reveal(party: Party, bits: Shared, covers: Shared) -> Talk[NDArray[np.bool_]]:
    """Show shared bits of ring B to both, once all that led to them is checked: bool, the bits' shape."""
    yield from party.check()
    opened = yield from party.open(bits + covers)
    yield from party.check()
    return (opened[..., 0] & np.uint64(1)).astype(np.bool_)
