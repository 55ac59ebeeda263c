"""Every protocol against the slow twin: the same shares and tags on both sides, bit by bit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from blindsight.kernels import wide
from blindsight.schemes.dealerless.bits import random_bits
from blindsight.schemes.dealerless.compare import msb, prepare_comparisons, prepare_covers, reveal
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.prepared import prepare
from blindsight.schemes.dealerless.probe import probe
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.watchlist import Watchlist
from dealerless_pairs import Drawn, both, seeds, weak
from ideal_oblivious import ideal_pair
from reference.dealerless import Stream, Twin

SIZES = [weak(8, 5), Sizes(24, 40), Sizes(32, 40), Sizes(64, 40), Sizes(32, 64), Sizes(64, 64)]


def meet(sizes, seed):
    """A pair of parties and their twin, with the same randomness."""
    ends = ideal_pair(seed, sizes.security_bits)
    pair = [Drawn(end, sizes, own) for end, own in zip(ends, seeds(seed), strict=True)]
    source = Stream(hashlib.sha256(seed + b"stream").digest())
    draws = [Stream(own) for own in seeds(seed)]
    keys = [end.alpha for end in ends]
    return pair, Twin(source, keys, draws, sizes.value_bits, sizes.security_bits)


def same(halves, twins):
    """Both parties' shares and tags are the twin's, in order."""
    for party, half in enumerate(halves):
        assert wide.to_ints(half.share) == [twin.shares[party] for twin in twins]
        assert wide.to_ints(half.tag) == [twin.tags[party] for twin in twins]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("hidden", [False, True])
def test_triples(sizes, hidden):
    pair, twin = meet(sizes, b"triples")
    for bits in (sizes.numbers, sizes.truths):
        found = both(pair, lambda party, bits=bits: party.triples(3, bits, hidden=hidden))
        for halves, twins in zip(zip(*found, strict=True), twin.triples(3, bits, hidden=hidden), strict=True):
            same(halves, twins)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_squares(sizes):
    pair, twin = meet(sizes, b"squares")
    found = both(pair, lambda party: party.squares(4, sizes.numbers))
    for halves, twins in zip(zip(*found, strict=True), twin.squares(4, sizes.numbers), strict=True):
        same(halves, twins)
    found = both(pair, lambda party: party.private_squares(3, sizes.numbers))
    for owner, (u, w) in enumerate(twin.private_squares(3, sizes.numbers)):
        squares = [found[party][party ^ owner] for party in (0, 1)]
        same([side.u for side in squares], u)
        same([side.w for side in squares], w)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_random_bits(sizes):
    pair, twin = meet(sizes, b"bits")
    found = both(pair, lambda party: random_bits(party, 9))
    twins = twin.random_bits(9)
    same(found, twins)
    assert {bit.value for bit in twins} <= {0, 1}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_comparisons(sizes):
    pair, twin = meet(sizes, b"compare")
    n, k = 4, sizes.value_bits
    found = both(pair, lambda party: prepare_comparisons(party, n))
    twins = twin.comparisons(n)
    same([half.mask for half in found], [t[0] for t in twins])
    for place, name in enumerate(("bits", "factors", "products"), 1):
        flat = [getattr(half, name).reshape(-1) for half in found]
        same(flat, [value for t in twins for value in t[place]])
    numbers = [0, -1, 2 ** (k - 1) - 1, -(2 ** (k - 1))]
    a = both(pair, lambda party: party.random(n, sizes.numbers))
    a_twins = twin.random(n, sizes.numbers)
    moved = [number - value.value for number, value in zip(numbers, a_twins, strict=True)]
    a = [party.plus(half, wide.from_ints(moved)) for party, half in zip(pair, a, strict=True)]
    a_twins = [twin.plus(value, by) for value, by in zip(a_twins, moved, strict=True)]
    same(a, a_twins)
    signs = both(pair, lambda party: msb(party, a[party.number], found[party.number]))
    sign_twins = [twin.msb(value, t) for value, t in zip(a_twins, twins, strict=True)]
    same(signs, sign_twins)
    both(pair, lambda party: party.check())
    twin.check()
    covers = both(pair, lambda party: prepare_covers(party, n))
    cover_twins = [value.up(1) for value in twin.random(n, sizes.security_bits)]
    same(covers, cover_twins)
    bits = both(pair, lambda party: reveal(party, signs[party.number], covers[party.number]))
    assert [list(side) for side in bits] == [[False, True, False, True]] * 2
    assert [twin.reveal(*two) for two in zip(sign_twins, cover_twins, strict=True)] == [0, 1, 0, 1]


def test_a_whole_probe():
    params = Params(dimension=3, scale=1, norm=31, value_bits=14)
    sizes = Sizes(14, 40)
    pair, twin = meet(sizes, b"probe")
    entries = np.array([[1, 2, 3], [-20, 5, 9], [30, 2, 1]], np.int32)
    watchlist = Watchlist(params, entries, 400)
    prepared = both(pair, lambda party: prepare(party, 3, 3, 2))
    masks = twin.private_squares(6, sizes.numbers)
    comparisons = twin.comparisons(6)
    covers = [value.up(1) for value in twin.random(6, sizes.security_bits)]
    faces = np.array([[4, 9, -3], [29, -4, 0]], np.int32)
    for number, face in enumerate(faces):
        prober = number
        u, w = (part[3 * number : 3 * number + 3] for part in masks[prober])
        rows = slice(3 * number, 3 * number + 3)
        plain = [int(v) for v in face]
        twins = twin.probe(
            plain, prober, entries.tolist(), 400, [*u, w[0] + w[1] + w[2]], comparisons[rows], covers[rows]
        )
        found = both(
            pair,
            lambda party, number=number, prober=prober: probe(
                party,
                prober,
                faces[number : number + 1] if party.number == prober else None,
                watchlist,
                prepared[party.number].faces(number, number + 1),
            ),
        )
        assert found[0].tolist() == found[1].tolist() == [[bool(bit) for bit in twins]]
        assert found[0].tolist() == watchlist.matches(faces[number : number + 1]).tolist()
