"""Numbers of more than one word, and longer MAC keys, over the real layer."""

from __future__ import annotations

import numpy as np
import pytest

from blindsight.core.errors import AbortError, ParameterError
from blindsight.kernels import wide
from blindsight.schemes.dealerless.compare import below_zero, prepare_comparisons, prepare_covers, reveal
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.party import Party
from blindsight.schemes.dealerless.prepared import Prepared, prepare
from blindsight.schemes.dealerless.probe import probe
from blindsight.schemes.dealerless.products import Maker
from blindsight.schemes.spdz2k.params import Params
from dealerless_pairs import both, share, values
from two_parties import watchlist
from two_talkers import deal

SIZES = [Sizes(24, 64), Sizes(32, 64), Sizes(64, 40), Sizes(64, 64)]


def pair_of(sizes):
    """Over the real layer, without its base transfers; the keys' top bits are set, so that they add up
    to one bit more than a key has.
    """
    top = 1 << sizes.security_bits - 1
    return [Maker(end, sizes) for end in deal(sizes.security_bits, (top | 77, 2 * top - 1))]


def authentic(pair, halves):
    """m = α·x in the whole ring, over Python's integers."""
    key = sum(party._oblivious.alpha for party in pair)
    tags = [wide.to_ints(half.tag) for half in halves]
    shares = [wide.to_ints(half.share) for half in halves]
    bits = halves[0].bits
    return all((m + n - key * (x + y)) % 2**bits == 0 for m, n, x, y in zip(*tags, *shares, strict=True))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_products_and_signs(sizes):
    pair, k = pair_of(sizes), sizes.value_bits
    made = both(pair, lambda party: party.triples(3, sizes.numbers))
    for part in zip(*made, strict=True):
        assert authentic(pair, part)
    a, b, c = (values(part) for part in zip(*made, strict=True))
    assert [x * y % 2**sizes.numbers for x, y in zip(a, b, strict=True)] == c
    top = 2 ** (k - 1)
    numbers = [0, -1, top - 1, -top, 12345, -54321]
    given = share(pair, [n % 2**sizes.numbers for n in numbers], sizes.numbers)
    assert authentic(pair, given)
    prepared = both(pair, lambda party: prepare_comparisons(party, len(numbers)))
    for name in ("mask", "bits", "factors", "products"):
        assert authentic(pair, [getattr(half, name).reshape(-1) for half in prepared])
    covers = both(pair, lambda party: prepare_covers(party, len(numbers)))

    def signs(party):
        found = yield from below_zero(party, given[party.number], prepared[party.number])
        return (yield from reveal(party, found, covers[party.number]))

    one, other = both(pair, signs)
    assert one.tolist() == other.tolist() == [n < 0 for n in numbers]


def test_a_probe_with_long_keys():
    """And what it consumes, as it is stored."""
    params, sizes = Params(dimension=2, scale=3, norm=5, value_bits=8), Sizes(8, 64)
    listed = watchlist(params, 3, np.random.default_rng(11))
    pair = pair_of(sizes)
    made = both(pair, lambda party: prepare(party, 3, 2, 2))
    kept = [Prepared.from_arrays(sizes, 3, 2, half.arrays()) for half in made]
    assert kept[0].arrays()["bits"].shape == (2, 3, 8, 2, 2)
    faces = np.stack([listed.entries[1], -listed.entries[0]])
    found = both(
        pair,
        lambda party: probe(party, 1, faces if party.number else None, listed, kept[party.number]),
    )
    assert found[0].tolist() == found[1].tolist() == listed.matches(faces).tolist()


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        (Sizes(32, 40), 227829),
        (Sizes(64, 40), 595039),
        (Sizes(24, 64), 306611),
        (Sizes(32, 64), 431400),
        (Sizes(64, 64), 1042108),
    ],
    ids=str,
)
def test_bytes_of_a_comparison_are_those_of_the_specification(sizes, size):
    sent = []

    def count(step, party, message):
        sent.append(len(message))
        return message

    both(pair_of(sizes), lambda party: prepare_comparisons(party, 64), count)
    assert sum(sent) // 64 == size


@pytest.mark.parametrize("sizes", [Sizes(64, 40), Sizes(64, 64)], ids=str)
@pytest.mark.parametrize("word", [0, 1])
def test_a_flipped_bit_of_a_share_is_noticed(sizes, word):
    pair = pair_of(sizes)
    place = 8 * word + word  # within the ring, at either word of the one number that is opened

    def opened(party):
        shared = yield from party.random(1, sizes.numbers)
        yield from party.open(shared)
        yield from party.check()

    def alter(step, party, message):
        # three rounds of tags, then the opening
        return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :] if step == 3 else message

    with pytest.raises(AbortError):
        both(pair, opened, alter)


def test_keys_and_sizes_must_be_of_one_security():
    end, _ = deal(64)
    with pytest.raises(ParameterError, match="set up for 64"):
        Party(end, Sizes(24, 40))
    assert Party(end, Sizes(64, 64)).sizes.numbers == 128
