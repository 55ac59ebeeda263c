"""Probes and comparisons: right, refused where they must be, and never wrong with a lying network."""

from __future__ import annotations

import numpy as np
import pytest

from blindsight.core.errors import (
    AbortError,
    InsecureParametersError,
    MalformedError,
    MalformedMessageError,
    MismatchError,
    OtherWatchlistError,
    ParameterError,
    SessionOverError,
    UsageError,
    VectorError,
    WrongOpeningError,
)
from blindsight.kernels import wide
from blindsight.schemes.dealerless.compare import (
    below_zero,
    less,
    prepare_comparisons,
    prepare_covers,
    reveal,
    triples,
)
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.party import Party
from blindsight.schemes.dealerless.prepared import Prepared, prepare
from blindsight.schemes.dealerless.probe import private_vectors, probe, probe_hidden
from blindsight.schemes.dealerless.products import Maker
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.watchlist import Watchlist
from dealerless_pairs import both, ideal, real, share, signed, values
from two_parties import FULL, SMALL, vectors, watchlist
from two_talkers import deal

TINY = Sizes(15, 40)
FEW = Params(dimension=2, scale=3, norm=5, value_bits=8)


def ask(pair, prober, faces, lists, prepared, alter=None):
    """A probe on both sides; ``lists`` and ``prepared`` are those of P0 and P1."""
    return both(
        pair,
        lambda party: probe(
            party,
            prober,
            faces if party.number == prober else None,
            lists[party.number],
            prepared[party.number],
        ),
        alter,
    )


def part(prepared, start, stop):
    return [half.faces(start, stop) for half in prepared]


@pytest.fixture(scope="module")
def made():
    """Two parties over the real layer, a list, and what is prepared for four probes."""
    pair = real(TINY)
    listed = watchlist(SMALL, 5, np.random.default_rng(3))
    return pair, listed, both(pair, lambda party: prepare(party, 5, 4, 4))


def test_probes_of_both_parties_over_the_real_layer(made):
    pair, listed, prepared = made
    faces = vectors(SMALL, 3, np.random.default_rng(4))
    faces[1] = listed.entries[2]
    first = ask(pair, 0, faces[:2], [listed] * 2, part(prepared, 0, 2))
    second = ask(pair, 1, faces[2:], [listed] * 2, part(prepared, 2, 3))
    for side in (0, 1):
        found = np.concatenate([first[side], second[side]])
        np.testing.assert_array_equal(found, listed.matches(faces))
    assert found[1, 2]
    for half in part(prepared, 0, 3):
        assert not any(array.any() for array in half.arrays().values())
    spent = part(prepared, 3, 4)
    assert all(array.any() for array in spent[0].arrays().values())


def test_what_is_prepared_is_used_once(made):
    _, listed, _ = made
    pair = ideal(TINY, b"once")
    prepared = both(pair, lambda party: prepare(party, 5, 4, 1))
    face = vectors(SMALL, 1, np.random.default_rng(4))
    ask(pair, 0, face, [listed] * 2, prepared)
    with pytest.raises(SessionOverError, match="used"):
        next(probe(pair[0], 0, face, listed, prepared[0]))
    assert not pair[0].over


def test_many_comparisons_agree_with_the_plaintext_rule():
    rng = np.random.default_rng(5)
    differences = seen = 0
    for threshold in (1, SMALL.largest_threshold, SMALL.norm**2):
        pair = ideal(TINY, b"%d" % threshold)
        listed = watchlist(SMALL, 40, rng, threshold)
        prepared = both(pair, lambda party: prepare(party, 40, 4, 8))
        faces = vectors(SMALL, 8, rng, longest=True)
        faces[:3] = listed.entries[:3]
        faces[3] = -listed.entries[4]
        one, other = ask(pair, 1, faces, [listed] * 2, prepared)
        differences += int((one != listed.matches(faces)).sum() + (one != other).sum())
        seen += int(one.sum())
    assert not differences
    assert seen


@pytest.mark.parametrize(
    ("k", "s"), [(2, 40), (3, 40), (8, 40), (24, 40), (32, 40), (64, 40), (32, 64), (64, 64)]
)
def test_less_over_the_whole_range(k, s):
    """Π_LT where a - b overflows, and Π_LTZ at the ends of its range."""
    top = 2 ** (k - 1)
    ends = sorted({-top, -top + 1, -1, 0, 1 % top, top - 1})
    pairs = [(a, b) for a in ends for b in ends]
    n = len(pairs)
    sizes = Sizes(k, s)
    pair = ideal(sizes, b"less")
    a = share(pair, [x for x, _ in pairs], sizes.numbers)
    b = share(pair, [y for _, y in pairs], sizes.numbers)
    comparisons = both(pair, lambda party: prepare_comparisons(party, 3 * n))
    made = both(pair, lambda party: triples(party, n, sizes.truths))
    covers = both(pair, lambda party: prepare_covers(party, n))

    def compare(party):
        i = party.number
        bits = yield from less(party, a[i], b[i], comparisons[i], made[i])
        return (yield from reveal(party, bits, covers[i]))

    found = both(pair, compare)
    assert found[0].tolist() == found[1].tolist() == [x < y for x, y in pairs]
    again = both(pair, lambda party: prepare_comparisons(party, n))
    signs = both(pair, lambda party: below_zero(party, a[party.number], again[party.number]))
    assert [value & 1 for value in values(signs)] == [int(x < 0) for x, _ in pairs]


def test_products_of_shared_numbers():
    sizes = Sizes(24, 40)
    pair = ideal(sizes)
    x, y = [3, -7, 1 << 20, 0], [5, 11, 3, 9]
    shared = [share(pair, numbers, sizes.numbers) for numbers in (x, y)]
    made = both(pair, lambda party: party.triples(4, sizes.numbers))
    found = both(
        pair,
        lambda party: party.multiply(shared[0][party.number], shared[1][party.number], made[party.number]),
    )
    assert [signed(v, 24) for v in values(found)] == [a * b for a, b in zip(x, y, strict=True)]
    both(pair, lambda party: party.check())
    assert not pair[0].unchecked


def test_a_secret_list():
    """P1 holds the entries, P0 the face; both learn the bits."""
    rng = np.random.default_rng(6)
    listed = watchlist(SMALL, 5, rng)
    faces = vectors(SMALL, 1, rng)
    faces[0] = listed.entries[3]
    pair = ideal(TINY)
    n, d = 5, 4
    given = {0: faces, 1: listed.entries}

    def whole_run(party):
        own, theirs = yield from party.private_squares(n * d + d, party.sizes.numbers)
        sides = (own, theirs)[:: 1 - 2 * party.number]
        vectors_ = []
        for giver, count in ((0, 1), (1, n)):
            u, w = (part[: count * d].reshape(count, d) for part in sides[giver])
            squared = w.total().reshape(count, 1)
            masks = type(u)(
                u.bits,
                np.concatenate([u.share, squared.share], 1),
                np.concatenate([u.tag, squared.tag], 1),
            )
            rows = given[giver] if party.number == giver else None
            vectors_.append((yield from private_vectors(party, giver, rows, masks)))
        made = yield from triples(party, n * d, party.sizes.numbers)
        prepared = yield from prepare_comparisons(party, n)
        covers = yield from prepare_covers(party, n)
        return (
            yield from probe_hidden(
                party, vectors_[0], vectors_[1], listed.threshold, made, (prepared, covers)
            )
        )

    found = both(pair, whole_run)
    assert found[0].tolist() == found[1].tolist() == listed.matches(faces)[0].tolist()
    assert found[0][3]


# -- refusals -----------------------------------------------------------------------------------------


def test_sizes_that_are_refused():
    with pytest.raises(InsecureParametersError):
        Sizes(24, 39)
    for bad in ((1, 40), (65, 40), (24, 65), (24.0, 40)):
        with pytest.raises(ParameterError):
            Sizes(*bad)
    assert (Sizes().numbers, Sizes().truths) == (64, 41)
    assert (Sizes().depth(64), Sizes().depth(41), Sizes().depth(41, hidden=True)) == (208, 162, 122)
    (end, _) = real(TINY)
    with pytest.raises(ParameterError, match="set up for 40"):
        Party(end.oblivious, Sizes(24, 41))


def test_what_does_not_fit_is_refused_before_anything_is_sent(made):
    pair, listed, prepared = made
    face = vectors(SMALL, 1, np.random.default_rng(7))
    row = part(prepared, 3, 4)
    other = watchlist(SMALL, 6, np.random.default_rng(3))
    cases = [
        (MismatchError, (pair[0], 0, face, other, row[0])),
        (MismatchError, (pair[0], 0, face, watchlist(FULL, 5, np.random.default_rng(3)), row[0])),
        (VectorError, (pair[0], 0, face * 0 + 60, listed, row[0])),
        (VectorError, (pair[0], 0, face[:, :3], listed, row[0])),
    ]
    for error, arguments in cases:
        fresh = ideal(TINY)[0]
        with pytest.raises(error):
            next(probe(fresh, *arguments[1:]))
        assert not fresh.over
    with pytest.raises(UsageError):
        next(private_vectors(ideal(TINY)[0], 1, face, row[0].probe[:, 1]))


def test_another_list(made):
    _, listed, _ = made
    pair = ideal(TINY)
    prepared = both(pair, lambda party: prepare(party, 5, 4, 1))
    shifted = Watchlist(SMALL, listed.entries, listed.threshold + 1)
    face = vectors(SMALL, 1, np.random.default_rng(7))
    with pytest.raises(OtherWatchlistError):
        ask(pair, 0, face, [listed, shifted], prepared)


def test_prepared_as_arrays(made):
    _, _, prepared = made
    for sizes, half in ((TINY, prepared[0]), (Sizes(32, 40), None)):
        if half is None:
            half = both(ideal(sizes), lambda party: prepare(party, 2, 3, 1))[1]
        arrays = half.arrays()
        shapes = Prepared.shapes(sizes, half.entries, half.dimension)
        assert {name: array.shape[1:] for name, array in arrays.items()} == shapes
        again = Prepared.from_arrays(sizes, half.entries, half.dimension, arrays)
        for name, array in again.arrays().items():
            np.testing.assert_array_equal(array, arrays[name])
        assert len(again) == len(half)
        for bad in (
            {**arrays, "more": arrays["mask"]},
            {**arrays, "mask": arrays["mask"][:, :-1]},
            {**arrays, "cover": arrays["cover"][:0]},
            {**arrays, "bits": arrays["bits"] | np.uint64(1 << 63)},
        ):
            with pytest.raises(MalformedError):
                Prepared.from_arrays(sizes, half.entries, half.dimension, bad)


# -- a network, or a party, that alters messages --------------------------------------------------------


def run_altered(pair, altered_round, sender, alteration, results):
    """Prepare and probe with one message altered; the bits, or the error of whoever noticed first."""
    listed = watchlist(FEW, 2, np.random.default_rng(8))
    face = listed.entries[1:2].copy()
    rounds = [0]

    def protocol(party):
        prepared = yield from prepare(party, 2, 2, 1)
        rows = face if party.number == 0 else None
        return (yield from probe(party, 0, rows, listed, prepared))

    def alter(step, party, message):
        rounds[0] = step + 1
        return alteration(message) if (step, party) == (altered_round, sender) else message

    one, other = both(pair, protocol, alter)
    results.append((one.tolist(), other.tolist(), listed.matches(face).tolist()))
    return rounds[0]


def test_every_message_may_be_cut_or_lengthened():
    rounds = run_altered(ideal(Sizes(8, 40)), -1, 0, bytes, [])
    assert rounds > 20
    for step in range(rounds):
        for sender in (0, 1):
            for alteration in (lambda m: m + b"\0", lambda m: m[:-1] if m else b"\1"):
                with pytest.raises(MalformedMessageError):
                    run_altered(ideal(Sizes(8, 40)), step, sender, alteration, [])


def dealt():
    """Over the real layer, without its base transfers."""
    return [Maker(end, Sizes(8, 40)) for end in deal()]


def test_no_flipped_bit_changes_a_result():
    """Either it is noticed, or, as a guess of a choice bit may be, it changed nothing."""
    rng = np.random.default_rng(9)
    rounds = run_altered(dealt(), -1, 0, bytes, [])
    results = []
    caught = tried = 0

    def flip(message):
        if not message:
            return b"\1"
        at = int(rng.integers(len(message)))
        return message[:at] + bytes([message[at] ^ 1 << int(rng.integers(8))]) + message[at + 1 :]

    for step in range(0, rounds, 3):
        tried += 1
        try:
            run_altered(dealt(), step, step % 2, flip, results)
        except AbortError as error:
            caught += 1
            if error.evidence is None:
                raise
    assert caught >= tried - 6
    assert all(one == other == right for one, other, right in results)


class Late(Maker):
    """Flips its share of a result bit, after the check before."""

    def opening(self, share):
        return wide.add(share, wide.from_ints([int(self.flipping)])[0])

    flipping = False


def test_a_result_bit_cannot_be_flipped():
    pair = ideal(TINY, kinds=(Maker, Late))
    bits = share(pair, [0, 1, 1, 0], TINY.truths)
    covers = both(pair, lambda party: prepare_covers(party, 4))
    pair[1].flipping = True
    with pytest.raises(WrongOpeningError):
        both(pair, lambda party: reveal(party, bits[party.number], covers[party.number]))
