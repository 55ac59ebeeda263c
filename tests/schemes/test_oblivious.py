"""The oblivious layer between honest parties, and against its slow twin."""

import math
import os

import numpy as np
import pytest

from blindsight.core.errors import InsecureParametersError, SessionOverError, UsageError
from blindsight.kernels import wide
from blindsight.schemes.oblivious import tags, transfers
from blindsight.schemes.oblivious.session import SECURITY, setup, tag_bits, tag_checks
from blindsight.schemes.spdz2k.talk import run_both
from reference import oblivious as twin
from two_talkers import bits, deal


@pytest.fixture(scope="module")
def ends():
    return run_both(setup(0), setup(1))


def correlated(receiver, choices, pads):
    return (receiver == np.where(choices[:, None], pads[1], pads[0])).all()


def tagged(own, keys, values, alpha, ring):
    left = wide.reduce(wide.add(own, keys), ring)
    right = wide.mul(values, wide.from_ints([alpha]))
    return (left == wide.reduce(right, ring)).all()


def test_both_ends_of_a_setup_have_one_session_and_keys_of_their_own(ends):
    assert ends[0].session == ends[1].session
    assert ends[0].alpha != ends[1].alpha
    assert all(0 <= end.alpha < 2**SECURITY and end.security == SECURITY for end in ends)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 127, 128, 129, 1000, 4096, 9001])
def test_transfers(ends, count):
    choices = [bits(count), bits(count)]
    one, other = run_both(*(end.random_ots(c) for end, c in zip(ends, choices, strict=True)))
    assert correlated(one.received, choices[0], other.pads)
    assert correlated(other.received, choices[1], one.pads)
    strings = np.concatenate([one.pads.reshape(-1, 2), other.pads.reshape(-1, 2)])
    assert len(np.unique(strings, axis=0)) == 4 * count


@pytest.mark.parametrize("ring", [48, 64, 81, 88, 106, 112, 127, 128])
@pytest.mark.parametrize("count", [1, 33, 1000])
def test_tags(ends, ring, count):
    values = [wide.random(count, ring), wide.random(count, ring)]
    one, other = run_both(*(end.authenticate(v, ring) for end, v in zip(ends, values, strict=True)))
    assert tagged(one.own, other.keys, values[0], ends[1].alpha, ring)
    assert tagged(other.own, one.keys, values[1], ends[0].alpha, ring)
    assert max(wide.to_ints(one.own)) < 2**ring


def test_edges_of_the_ring_and_of_the_key():
    for alphas in ((0, 2**40 - 1), (1, 2**39)):
        ends = deal(alphas=alphas)
        values = wide.from_ints([0, 1, 2**111, 2**112 - 1, 2**112 + 5])
        one, other = run_both(ends[0].authenticate(values, 112), ends[1].authenticate(values, 112))
        assert tagged(one.own, other.keys, values, alphas[1], 112)
        assert tagged(other.own, one.keys, values, alphas[0], 112)


def test_a_chosen_key(ends):
    one, other = run_both(setup(0, alpha=12345), setup(1, alpha=2**40 - 1))
    assert (one.alpha, other.alpha) == (12345, 2**40 - 1)
    values = wide.from_ints([7])
    tags_0, tags_1 = run_both(one.authenticate(values, 112), other.authenticate(values, 112))
    assert wide.to_ints(wide.reduce(wide.add(tags_1.own, tags_0.keys), 112)) == [7 * 12345]
    assert wide.to_ints(wide.reduce(wide.add(tags_0.own, tags_1.keys), 112)) == [7 * (2**40 - 1)]


def test_nothing_repeats_from_call_to_call(ends):
    same = np.zeros(200, np.bool_)
    values = np.zeros((200, 2), np.uint64)
    seen = []
    for _ in range(3):
        one, _ = run_both(ends[0].random_ots(same), ends[1].random_ots(same))
        tags_0, _ = run_both(ends[0].authenticate(values, 112), ends[1].authenticate(values, 112))
        seen += [one.received, one.pads[1], tags_0.own]
    strings = np.concatenate(seen)
    assert len(np.unique(strings, axis=0)) == len(strings)


def test_coins_are_the_same_on_both_sides_and_another_each_time(ends):
    coins = [run_both(ends[0].coin(100), ends[1].coin(100)) for _ in range(3)]
    assert all(one == other and len(one) == 100 for one, other in coins)
    assert len({one for one, _ in coins}) == 3
    assert run_both(ends[0].commit_and_open(b"a", 3), ends[1].commit_and_open(b"bcd", 1)) == (b"bcd", b"a")


def recorded(talk, lengths):
    message = next(talk)
    while True:
        lengths.append(len(message))
        answer = yield message
        try:
            message = talk.send(answer)
        except StopIteration as stop:
            return stop.value


def test_declared_bytes_and_rounds_are_those_measured(ends):
    for count in (1, 128, 1000):
        sent = []
        run_both(recorded(ends[0].random_ots(bits(count)), sent), ends[1].random_ots(bits(count)))
        assert len(sent) == 3
        assert sum(sent) == transfers.message_bytes(count)
        for ring in (88, 112):
            sent, values = [], wide.random(count, ring)
            run_both(recorded(ends[0].authenticate(values, ring), sent), ends[1].authenticate(values, ring))
            assert len(sent) == 3
            assert sum(sent) == tags.message_bytes(count, ring, 10)


def test_many_values_are_tagged_in_parts(monkeypatch):
    monkeypatch.setattr(tags, "PART", 100)
    ends = deal()
    for count in (99, 100, 101, 350):
        values, sent = wide.random(count, 112), []
        talk = recorded(ends[0].authenticate(values, 112), sent)
        one, other = run_both(talk, ends[1].authenticate(values, 112))
        assert sum(sent) == tags.message_bytes(count, 112, 10)
        assert tagged(one.own, other.keys, values, ends[1].alpha, 112)


def test_rings_for_tags():
    assert [tag_bits(kept) for kept in (41, 64, 72)] == [88, 112, 120]
    assert tag_bits(9, 8) == 24
    assert [tag_bits(kept, 64) for kept in (56, 65, 128)] == [128, 128, 128]


def test_how_often_tags_are_checked():
    """Never with an error above 2^-s, and once where the ring has room."""
    found = {(k, s): tag_checks(k + s, s) for k in (1, 24, 32, 40, 41, 64) for s in (40, 64)}
    assert [found[k, 40] for k in (1, 24, 32, 40, 41, 64)] == [1, 1, 1, 1, 1, 2]
    assert [found[k, 64] for k in (1, 24, 32, 64)] == [2, 2, 3, 71]
    for security in range(40, 65, 4):
        pairs = math.comb(security // 4, 2)
        for kept in range(security, security + 65):
            times, spare = tag_checks(kept, security), tag_bits(kept, security) - kept + 1
            assert pairs * 2**security <= 2 ** (times * min(64, spare))
            assert pairs * 2**security > 2 ** ((times - 1) * min(64, spare))


WIDE = [(40, 104), (64, 65), (64, 96), (64, 128)]


@pytest.mark.parametrize(("security", "kept"), WIDE)
def test_tags_that_are_checked_more_than_once(security, kept):
    top = 2**security - 1
    for alphas in (None, (top, 2 ** (security - 1))):
        ends = deal(security, alphas=alphas)
        ring, times = tag_bits(kept, security), tag_checks(kept, security)
        assert times > 1
        values = [np.concatenate([wide.random(40, ring), wide.from_ints([0, 2**ring - 1])]) for _ in ends]
        sent = []
        talks = [end.authenticate(v, ring, times) for end, v in zip(ends, values, strict=True)]
        one, other = run_both(recorded(talks[0], sent), talks[1])
        assert tagged(one.own, other.keys, values[0], ends[1].alpha, ring)
        assert tagged(other.own, one.keys, values[1], ends[0].alpha, ring)
        assert sum(sent) == tags.message_bytes(42, ring, security // 4, times)


def test_the_slow_twin_with_long_keys():
    real, slow = run_both(setup(0, security=64), twin.setup(1, 2**64 - 5, 64))
    assert real.security == 64
    for kept in (65, 128, 96):
        ring, times = tag_bits(kept, 64), tag_checks(kept, 64)
        values = [wide.random(3, ring), wide.random(3, ring)]
        mine, theirs = run_both(
            real.authenticate(values[0], ring, times),
            slow.authenticate(wide.to_ints(values[1]), ring, times),
        )
        assert tagged(mine.own, wide.from_ints(theirs[1]), values[0], slow.alpha, ring)
        assert tagged(wide.from_ints(theirs[0]), mine.keys, values[1], real.alpha, ring)


@pytest.mark.parametrize("party", [0, 1])
def test_the_slow_twin_speaks_the_same_protocol(party):
    """Every message of every call, both ways: one end is the twin."""
    alpha = int.from_bytes(os.urandom(5), "little")
    talks = [setup(0), setup(1)]
    talks[1 - party] = twin.setup(1 - party, alpha)
    ends = run_both(*talks)
    real, slow = ends[party], ends[1 - party]

    def both(one, other):
        found = run_both(one, other) if party == 0 else run_both(other, one)
        return found if party == 0 else found[::-1]

    for count in (3, 130) if party == 0 else (3,):
        choices = [bits(count), bits(count)]
        mine, theirs = both(real.random_ots(choices[0]), slow.random_ots(choices[1]))
        pads = np.stack([wide.from_ints(strings) for strings in theirs[1]])
        assert correlated(mine.received, choices[0], pads)
        assert correlated(wide.from_ints(theirs[0]), choices[1], mine.pads)
        for ring in (88, 112):
            values = [wide.random(count, ring), wide.random(count, ring)]
            mine, theirs = both(
                real.authenticate(values[0], ring), slow.authenticate(wide.to_ints(values[1]), ring)
            )
            assert tagged(mine.own, wide.from_ints(theirs[1]), values[0], alpha, ring)
            assert tagged(wide.from_ints(theirs[0]), mine.keys, values[1], real.alpha, ring)
    mine, theirs = both(real.coin(50), slow.coin(50))
    assert mine == theirs


def test_what_is_out_of_range_is_refused_before_anything_is_said(ends):
    with pytest.raises(UsageError, match="0 and 1"):
        next(setup(2))
    with pytest.raises(UsageError, match="40 bits"):
        next(setup(0, alpha=2**40))
    with pytest.raises(InsecureParametersError):
        next(setup(0, security=36))
    for wrong in (42, 68):
        with pytest.raises(UsageError, match="multiple of 4"):
            next(setup(0, security=wrong))
    for wrong in (0, 129):
        with pytest.raises(UsageError, match="1 to 128 times"):
            next(ends[0].authenticate(np.zeros((1, 2), np.uint64), 128, wrong))
    for wrong in (np.zeros(0, np.bool_), np.zeros(3, np.uint8), np.zeros((2, 2), np.bool_)):
        with pytest.raises(UsageError, match="Choices"):
            next(ends[0].random_ots(wrong))
    with pytest.raises(UsageError, match="pairs of words"):
        next(ends[0].authenticate(np.zeros((0, 2), np.uint64)))
    with pytest.raises(UsageError, match="41 to 128"):
        next(ends[0].authenticate(np.zeros((1, 2), np.uint64), 40))
    assert not ends[0].over


def test_calls_follow_each_other_and_one_left_open_ends_the_layer():
    end, _ = deal()
    talk = end.random_ots(bits(3))
    next(talk)
    with pytest.raises(SessionOverError, match="follow each other"):
        next(end.coin(3))
    talk.close()
    for call in (end.random_ots(bits(3)), end.authenticate(wide.random(3, 112)), end.coin(3)):
        with pytest.raises(SessionOverError, match="set up again"):
            next(call)
