"""Random bits that neither party knows (specification, section 7)."""

from __future__ import annotations

from typing import Final

import numpy as np

from blindsight.core.errors import WrongOpeningError
from blindsight.kernels import wide
from blindsight.schemes.dealerless.party import U64, whole
from blindsight.schemes.dealerless.products import Maker
from blindsight.schemes.dealerless.shared import Shared, join
from blindsight.schemes.spdz2k.talk import Talk

AT_ONCE: Final = 4096
"""Products made together: what bounds the memory, some 100 bytes a transfer."""

_ONE: Final = wide.from_ints([1])[0]
_DOUBLINGS: Final = 7  # of the bits that are right: from one to 128


def even_root(v: U64, bits: int) -> tuple[U64, U64]:
    """The even e with e² + e = v modulo 2^bits for even v, and the inverse of 2e + 1; uint64 (n, 2) each.

    Newton's iteration for e and for the inverse side by side; each step doubles the bits that are right.
    """
    root, inverse = np.zeros_like(v), np.broadcast_to(_ONE, v.shape)
    for _ in range(_DOUBLINGS):
        error = wide.sub(wide.add(wide.mul(root, root), root), v)
        root = wide.sub(root, wide.mul(error, inverse))
        slope = wide.add(wide.add(root, root), _ONE)
        twice = wide.sub(wide.from_ints([2])[0], wide.mul(slope, inverse))
        inverse = wide.mul(inverse, twice)
    return wide.reduce(root, bits), wide.reduce(inverse, bits)


@whole
def random_bits(party: Maker, count: int) -> Talk[Shared]:
    """Checked bits in ring A, shape (count,); reduced to ring B they are the same bits."""
    made = []
    for at in range(0, count, AT_ONCE):
        some = min(AT_ONCE, count - at)
        made.append((yield from _bits(party, some + some % 2))[:some])
    return join(made)


def _bits(party: Maker, count: int) -> Talk[Shared]:
    bits = party.sizes.numbers
    u, w = yield from party.squares(count, bits)
    v = yield from party.open(w + u)
    yield from party.check()
    if (v[:, 0] & np.uint64(1)).any():
        raise WrongOpeningError("The other party's squares are none.")
    root, inverse = even_root(v, bits)
    return party.plus((-u).times(inverse), wide.reduce(wide.mul(root, inverse), bits))


@whole
def edabits(party: Maker, count: int) -> Talk[tuple[Shared, Shared]]:
    """Random numbers with their bits (edaBits, ePrint 2020/338), masked from bit k on.

    Returns:
        R = Σ 2^i r_i + 2^k · mask, (count,) in A, as good as uniform, and r_i, (count, k) in B.

    """
    k = party.sizes.value_bits
    drawn = (yield from random_bits(party, count * k)).reshape(count, k)
    upper = (yield from party.random(count, party.sizes.security_bits)).doubled(k)
    weights = wide.from_ints([1 << i for i in range(k)])
    number = drawn.times(weights).total().reduced(party.sizes.numbers) + upper
    return number, drawn.reduced(party.sizes.truths)
