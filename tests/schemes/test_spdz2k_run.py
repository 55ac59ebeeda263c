"""Both parties, honest: every bit is the plaintext rule's, and every byte is the slow twin's."""

import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core.errors import (
    DimensionError,
    MalformedError,
    MismatchError,
    ParamsMismatchError,
    RefusedError,
    SessionOverError,
    UsageError,
    VectorError,
)
from blindsight.schemes.spdz2k.compute import CLAIM, LEAKAGE, Session, Step
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.public import Masks, Source
from blindsight.schemes.spdz2k.share import Sharer
from blindsight.schemes.spdz2k.watchlist import Watchlist
from reference import two_party as twin
from two_parties import FULL, SMALL, Rig, through, vectors, watchlist

RNG = np.random.default_rng(17)


# -- right ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize(
    ("params", "entries", "faces"),
    [(SMALL, 1, 1), (SMALL, 9, 3), (FULL, 150, 1), (FULL, 150, 32), (FULL, 33, 5)],
)
def test_the_bits_are_the_plaintext_rules(source, params, entries, faces):
    w = watchlist(params, entries, RNG)
    rig = Rig(w, source=source)
    x = vectors(params, faces, RNG)
    found = rig.run(x)
    np.testing.assert_array_equal(found, w.matches(x))
    assert found.tolist() == [twin.matches(w.entries, w.threshold, face) for face in x]


@pytest.mark.parametrize("params", [SMALL, Params(3, 5, 20, 24), Params(9, 1, 5, 8)], ids=str)
def test_every_byte_is_the_twins(params):
    w = watchlist(params, 5, RNG)
    rig = Rig(w)
    for face in vectors(params, 3, RNG):
        material, shared = rig.deal([face])
        naive = []
        for party, grant in enumerate(rig.dealer.grants):
            plain = {
                "session": grant.session, "dimension": params.dimension, "bits": params.value_bits,
                "alpha": grant.alpha, "digest": w.digest, "context": grant.context,
            }  # fmt: skip
            naive.append(
                twin.NaiveParty(party, plain, w.entries, w.threshold, bytes(material[party]), shared.message)
            )
        runs = [s.begin(m, shared.message) for s, m in zip(rig.sessions, material, strict=True)]
        ours, theirs = [run.start() for run in runs], [party.open() for party in naive]
        assert ours == theirs
        ours = [run.receive(ours[1 - p]) for p, run in enumerate(runs)]
        theirs = [party.bits(theirs[1 - p]) for p, party in enumerate(naive)]
        assert ours == theirs
        ours = [run.receive(ours[1 - p]) for p, run in enumerate(runs)]
        theirs = [party.check(theirs[1 - p]) for p, party in enumerate(naive)]
        assert ours == theirs
        assert [run.receive(ours[1 - p]) for p, run in enumerate(runs)] == [None, None]
        results = [party.finish(theirs[1 - p]) for p, party in enumerate(naive)]
        assert (
            results[0]
            == results[1]
            == runs[0].result.bits[0].tolist()
            == w.matches(face[np.newaxis])[0].tolist()
        )


def test_every_face_entry_and_threshold_of_the_smallest_ring():
    """k = 8, two coordinates: all lattice points within the norm, all thresholds."""
    p = Params(2, 1, 5, 8)
    side = np.arange(-5, 6)
    points = np.array([(a, b) for a in side for b in side if a * a + b * b <= 25], np.int32)
    assert p.within(points)
    assert len(points) == 81
    squared = ((points[:, np.newaxis].astype(int) - points) ** 2).sum(axis=2)
    assert squared.max() == 100
    for threshold in range(1, p.largest_threshold + 1):
        rig = Rig(Watchlist(p, points, threshold))
        np.testing.assert_array_equal(rig.run(points), squared < threshold)


def test_the_edges_of_the_largest_ring():
    """k = 24: distances from 0 to the largest, thresholds at, below and above them."""
    p = Params(2, 1, 1448, 24)
    ends = np.array(
        [
            (1448, 0),
            (-1448, 0),
            (0, 1448),
            (0, -1448),
            (1447, 53),
            (-1447, -53),
            (0, 0),
            (1, 0),
            (-1023, 1023),
        ],
        np.int32,
    )
    squared = ((ends[:, np.newaxis].astype(np.int64) - ends) ** 2).sum(axis=2)
    assert squared.max() == 4 * 1448**2 == 2**23 - 1 - 3 * 1448**2 + 7 * 1448**2 - (2**23 - 1)
    thresholds = {1, 2, p.largest_threshold - 1, p.largest_threshold}
    for value in np.unique(squared):
        thresholds |= {int(value) + delta for delta in (-1, 0, 1)}
    for threshold in sorted(t for t in thresholds if 0 < t <= p.largest_threshold):
        rig = Rig(Watchlist(p, ends, threshold))
        np.testing.assert_array_equal(rig.run(ends, dummies=3), squared < threshold)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_parameters(data):
    bits = data.draw(st.integers(8, 24))
    d = data.draw(st.integers(2, 12))
    most = int(((2 ** (bits - 1) - 1) // 4) ** 0.5)
    norm = data.draw(st.integers(max(3, most // 2), most))
    p = Params(d, 1, norm, bits)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    entries = vectors(p, data.draw(st.integers(1, 40)), rng, longest=data.draw(st.booleans()))
    faces = vectors(p, data.draw(st.integers(1, 4)), rng, longest=data.draw(st.booleans()))
    squared = ((faces[:, np.newaxis].astype(np.int64) - entries) ** 2).sum(axis=2)
    exact = int(squared.flat[data.draw(st.integers(0, squared.size - 1))]) + data.draw(st.integers(-1, 1))
    threshold = data.draw(st.sampled_from([exact, p.largest_threshold, 1]))
    threshold = min(max(threshold, 1), p.largest_threshold)
    rig = Rig(Watchlist(p, entries, threshold))
    np.testing.assert_array_equal(rig.run(faces, dummies=data.draw(st.integers(0, 2))), squared < threshold)


@pytest.mark.parametrize("threshold", [1, SMALL.norm**2, SMALL.largest_threshold])
def test_dummies_match_nothing(threshold):
    """Even with entries everywhere and the largest threshold."""
    entries = np.concatenate([vectors(SMALL, 50, RNG, longest=True), np.zeros((1, 4), np.int32)])
    rig = Rig(Watchlist(SMALL, entries, threshold))
    assert rig.run(np.zeros((0, 4), np.int32), dummies=40).shape == (0, 51)
    matched = rig.run(np.zeros((1, 4), np.int32), dummies=40)
    assert matched[0, 50]


def test_many_runs_of_a_session():
    w = watchlist(SMALL, 20, RNG)
    rig = Rig(w)
    for count in (1, 7, 2, 1, 30):
        x = vectors(SMALL, count, RNG)
        np.testing.assert_array_equal(rig.run(x), w.matches(x))
    assert [s.next for s in rig.sessions] == [41, 41]


def test_pairs_name_faces_and_entries():
    w = Watchlist(SMALL, np.array([[0, 0, 0, 0], [40, 0, 0, 0]], np.int32), 10)
    rig = Rig(w)
    rig.run(np.array([[40, 0, 0, 0]], np.int32))
    runs = rig.begin(np.array([[0, 1, 0, 0], [40, 1, 1, 1], [20, 0, 0, 0]], np.int32))
    one, _ = through(runs)
    assert sorted(one.pairs()) == sorted([(rig.numbers[0], 0), (rig.numbers[1], 1)])
    with pytest.raises(ValueError, match="read-only"):
        one.bits[0, 0] = True


def test_receipts_name_runs():
    w = watchlist(SMALL, 3, RNG)
    x = vectors(SMALL, 1, RNG)
    seen = set()
    for rig in (Rig(w), Rig(w)):
        for _ in range(3):
            one, other = through(rig.begin(x))
            assert one.receipt == other.receipt
            seen.add(one.receipt)
    assert len(seen) == 6


def test_the_same_randomness_gives_the_same_material():
    class Fixed:
        def __init__(self):
            self.count = 0

        def __call__(self, size):
            self.count += 1
            return np.random.default_rng(self.count).bytes(size)

    w = watchlist(SMALL, 3, RNG)
    one, other = (Dealer(SMALL, w.digest, 3, camera="a", _random=Fixed()) for _ in range(2))
    assert one.deal(2).material == other.deal(2).material
    assert one.deal(1).material != Dealer(SMALL, w.digest, 3, camera="a").deal(1).material


# -- what travels says nothing ----------------------------------------------------------------------


@pytest.mark.parametrize("dummies", [False, True])
def test_inputs_and_openings_look_uniform(dummies):
    """All bits, the top ones and the low ones, of inputs and openings of one face sent again and again."""
    w = watchlist(SMALL, 6, RNG)
    rig = Rig(w)
    face = np.zeros((0 if dummies else 200, 4), np.int32) + 7
    material, shared = rig.deal(face, dummies=200 * dummies)
    runs = [s.begin(m, shared.message) for s, m in zip(rig.sessions, material, strict=True)]
    opened = [np.frombuffer(run.start()[48:-32], "<u8") for run in runs]
    inputs = np.frombuffer(shared.message[32:], "<u8")
    for words in (inputs, *opened, opened[0] + opened[1]):
        assert len(set(words.tolist())) == words.size
        means = np.unpackbits(words.copy().view(np.uint8).reshape(-1, 8), axis=1).mean(axis=0)
        assert np.abs(means - 0.5).max() < 6 * 0.5 / words.size**0.5


def test_places_say_nothing():
    """The first place of a message is the only real face in half of the cases, roughly."""
    rig = Rig(watchlist(SMALL, 1, RNG))
    first = 0
    for _ in range(400):
        _, shared = rig.deal(np.zeros((1, 4), np.int32), dummies=1)
        (number,) = shared.numbers
        first += number % 2 == 0
    assert 140 < first < 260


# -- the order of things ----------------------------------------------------------------------------


def test_steps_out_of_order():
    rig = Rig(watchlist(SMALL, 3, RNG))
    one, other = rig.begin(vectors(SMALL, 1, RNG))
    with pytest.raises(UsageError, match="expect"):
        one.receive(b"")
    with pytest.raises(UsageError, match="no result"):
        _ = one.result
    opening = one.start()
    with pytest.raises(UsageError, match="expect"):
        one.start()
    bits = one.receive(other.start())
    assert other.receive(opening)
    check = other.receive(bits)
    assert one.receive(other._sent[1])
    assert one.receive(check) is None
    with pytest.raises(UsageError, match="expect"):
        one.receive(check)
    with pytest.raises(UsageError, match="expect"):
        one.vanish()
    assert one.result.bits.shape == (1, 3)


def test_one_run_at_a_time():
    rig = Rig(watchlist(SMALL, 3, RNG))
    runs = rig.begin(vectors(SMALL, 1, RNG))
    material, shared = rig.deal(vectors(SMALL, 1, RNG))
    with pytest.raises(SessionOverError, match="follow"):
        rig.sessions[0].begin(material[0], shared.message)
    through(runs)
    rig.sessions[0].begin(material[0], shared.message)


def test_what_is_prepared_is_not_begun():
    """It sends nothing and uses no number up, until it is admitted; and then only once."""
    rig = Rig(watchlist(SMALL, 3, RNG))
    material, shared = rig.deal(vectors(SMALL, 2, RNG))
    session, other = rig.sessions
    twice = [session.prepare(material[0], shared.message) for _ in range(2)]
    assert (session.next, twice[0].step) == (0, Step.PREPARED)
    with pytest.raises(UsageError, match="expect"):
        twice[0].start()
    twice[0].forget()
    assert not twice[0]._half.values.any()
    with pytest.raises(SessionOverError):
        session.admit(twice[0])
    through([session.admit(twice[1]), other.begin(material[1], shared.message)])
    assert session.next == 2
    with pytest.raises(MismatchError, match="twice"):
        session.prepare(material[0], shared.message)
    later, more = rig.deal(vectors(SMALL, 1, RNG))
    late = [session.prepare(later[0], more.message) for _ in range(2)]
    through([session.admit(late[0]), other.begin(later[1], more.message)])
    with pytest.raises(MismatchError, match="twice"):
        session.admit(late[1])
    session.end()
    with pytest.raises(SessionOverError):
        session.prepare(later[0], more.message)


def test_nothing_that_was_dealt_is_used_twice():
    rig = Rig(watchlist(SMALL, 3, RNG))
    material, shared = rig.deal(vectors(SMALL, 2, RNG))
    later, more = rig.deal(vectors(SMALL, 1, RNG))
    through([s.begin(m, shared.message) for s, m in zip(rig.sessions, material, strict=True)])
    for session, half in zip(rig.sessions, material, strict=True):
        with pytest.raises(MismatchError, match="twice"):
            session.begin(half, shared.message)
    through([s.begin(m, more.message) for s, m in zip(rig.sessions, later, strict=True)])
    for session, half in zip(rig.sessions, material, strict=True):
        with pytest.raises(MismatchError, match="twice"):
            session.begin(half, shared.message)


def test_gaps_are_allowed():
    w = watchlist(SMALL, 3, RNG)
    rig = Rig(w)
    rig.deal(vectors(SMALL, 5, RNG))
    x = vectors(SMALL, 2, RNG)
    np.testing.assert_array_equal(rig.run(x), w.matches(x))


def test_another_sessions_material_and_inputs():
    w = watchlist(SMALL, 3, RNG)
    rig, other = Rig(w), Rig(w)
    (half, _), shared = rig.deal(vectors(SMALL, 1, RNG))
    (strange, second), strange_inputs = other.deal(vectors(SMALL, 1, RNG))
    for material, inputs in ((strange, shared), (half, strange_inputs), (strange, strange_inputs)):
        with pytest.raises(MismatchError, match="session"):
            rig.sessions[0].begin(material, inputs.message)
    with pytest.raises(MalformedError):
        rig.sessions[0].begin(second, shared.message)
    rig.sessions[0].begin(half, shared.message)


def test_damaged_material_and_inputs():
    rig = Rig(watchlist(SMALL, 3, RNG))
    (half, other), shared = rig.deal(vectors(SMALL, 2, RNG))
    later, _ = rig.deal(vectors(SMALL, 2, RNG))
    begin = rig.sessions[0].begin
    for material in (
        b"",
        half[:31],
        half[:-1],
        half + b"\0",
        half[:-8],
        os.urandom(len(half)),
        other,
        shared.message,
    ):
        with pytest.raises(MalformedError):
            begin(material, shared.message)
    for inputs in (
        b"",
        shared.message[:-8],
        shared.message + bytes(8),
        half,
        os.urandom(len(shared.message)),
    ):
        with pytest.raises(MalformedError):
            begin(half, inputs)
    with pytest.raises(MalformedError, match="same faces"):
        begin(later[0], shared.message)
    assert begin(memoryview(bytes(half)), bytearray(shared.message)).count == 2


def test_material_that_lies_askew_in_memory():
    rig = Rig(watchlist(SMALL, 3, RNG))
    material, shared = rig.deal(vectors(SMALL, 2, RNG))
    askew = [memoryview(b"x" + bytes(m))[1:] for m in (*material, shared.message)]
    through([s.begin(m, askew[2]) for s, m in zip(rig.sessions, askew[:2], strict=True)])


def test_a_session_for_another_watchlist_or_other_parameters():
    w = watchlist(SMALL, 3, RNG)
    grant = Rig(w).dealer.grants[0]
    for other in (
        Watchlist(SMALL, w.entries, w.threshold + 1),
        Watchlist(SMALL, w.entries[:2], w.threshold),
        Watchlist(SMALL, w.entries, w.threshold, b"\1" * 32),
    ):
        with pytest.raises(MismatchError, match="another state"):
            Session(grant, other)
    with pytest.raises(ParamsMismatchError):
        Session(grant, Watchlist(Params(4, 11, 50, 15), w.entries, w.threshold))


def test_many_sessions_side_by_side():
    """Eight cameras, eight threads on each side of an in-process network."""
    w = watchlist(SMALL, 10, RNG)
    faults = []

    def watch(seed):
        try:
            rig, rng = Rig(w), np.random.default_rng(seed)
            for _ in range(20):
                x = vectors(SMALL, 3, rng)
                np.testing.assert_array_equal(rig.run(x), w.matches(x))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=watch, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


# -- the camera -------------------------------------------------------------------------------------


def test_the_sharer_uses_each_mask_once():
    w = watchlist(SMALL, 2, RNG)
    dealer = Dealer(SMALL, w.digest, 2, camera="a", source=Source.PROVIDER)
    sharer = Sharer(SMALL, dealer.session)
    x = vectors(SMALL, 3, RNG)
    with pytest.raises(RefusedError, match="deal"):
        sharer.share(x)
    masks = Masks.parse(dealer.deal(4).masks.to_bytes(), SMALL)
    sharer.add(masks)
    with pytest.raises(MismatchError, match="before"):
        sharer.add(masks)
    assert sorted(sharer.share(x).numbers) == [0, 1, 2]
    assert sharer.stock == 1
    with pytest.raises(RefusedError, match="deal"):
        sharer.share(x)
    dealer.deal(1)
    sharer.add(dealer.deal(5).masks)
    with pytest.raises(RefusedError, match="deal"):  # 3, then 5: not consecutive
        sharer.share(x)
    assert sharer.share(x[:1]).numbers == (3,)
    assert sorted(sharer.share(x).numbers) == [5, 6, 7]


def test_masks_of_another_session():
    w = watchlist(SMALL, 2, RNG)
    one, other = (Dealer(SMALL, w.digest, 2, camera="a") for _ in range(2))
    with pytest.raises(MismatchError, match="another session"):
        Sharer(SMALL, one.session).add(other.deal(1).masks)
    wide = Dealer(Params(5, 10, 50, 15), w.digest, 2, camera="a").deal(1).masks
    with pytest.raises(MismatchError):
        Sharer(SMALL, wide.session).add(wide)


@pytest.mark.parametrize(
    ("faces", "error"),
    [
        (np.zeros((1, 5), np.int32), DimensionError), (np.zeros((1, 4)), DimensionError),
        (np.zeros(4, np.int32), DimensionError), (np.full((1, 4), 26, np.int32), VectorError),
        (np.full((1, 4), -(2**31), np.int32), VectorError), (np.zeros((0, 4), np.int32), RefusedError),
        (np.zeros((1025, 4), np.int32), RefusedError),
    ],
)  # fmt: skip
def test_faces_that_are_refused(faces, error):
    rig = Rig(watchlist(SMALL, 1, RNG))
    rig.sharer.add(rig.dealer.deal(5).masks)
    with pytest.raises(error):
        rig.sharer.share(faces)
    assert rig.sharer.stock == 5


def test_deals_that_are_refused():
    dealer = Dealer(SMALL, bytes(32), 1, camera="a")
    for count in (0, -1, 1025):
        with pytest.raises(UsageError):
            dealer.deal(count)
    assert dealer.next == 0
    with pytest.raises(UsageError):
        Dealer(SMALL, bytes(31), 1, camera="a")


def test_the_claim_and_what_it_leaks():
    assert CLAIM.value == "active two-party"
    assert {role for role, _ in LEAKAGE.learns} == {"party", "camera", "provider"}
    assert any("fairness" in sentence for sentence in LEAKAGE.not_claimed)
