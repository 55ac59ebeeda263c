"""Protocols over a real channel: large messages both ways, aborts, and a party that is gone."""

import os
import threading
import time

import numpy as np
import pytest

from blindsight.blind import party_talk
from blindsight.blind.party_talk import run_over
from blindsight.core.errors import (
    CounterpartAbortError,
    MalformedMessageError,
    UsageError,
    VanishedError,
    WrongCorrelationError,
)
from blindsight.schemes.oblivious.session import setup
from blindsight.schemes.oblivious.transfers import Receiver
from blindsight.schemes.spdz2k.talk import MAX_BYTES, run_both, swap
from channels import pair
from two_talkers import bits, deal


@pytest.fixture
def channels(tmp_path, monkeypatch):
    monkeypatch.setattr(party_talk, "_PARTING_SECONDS", 0.3)
    with pair(tmp_path) as both:
        yield both


def run_two(channels, talks, timeout=20.0):
    """What each side ended with: its result or its error."""
    ends = [None, None]

    def run(party):
        try:
            ends[party] = run_over(talks[party], channels[party], timeout)
        except Exception as error:
            ends[party] = error

    threads = [threading.Thread(target=run, args=(party,)) for party in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return ends


def test_setup_and_transfers_over_tls(channels):
    one, other = run_two(channels, [setup(0), setup(1)])
    choices = bits(200_000)  # 800 KB each way at once
    first, second = run_two(channels, [one.random_ots(choices), other.random_ots(choices)])
    expected = np.where(choices[:, None], second.pads[1], second.pads[0])
    np.testing.assert_array_equal(first.received, expected)


class Torn(Receiver):
    def correction(self):
        return os.urandom(len(super().correction()))


def test_the_other_party_is_told_that_it_was_caught_and_no_more(channels):
    ends = deal()
    ends[1]._receiver = Torn

    def two_calls(end):
        yield from end.random_ots(bits(100_000))
        yield from end.coin(3)

    noticed, told = run_two(channels, [two_calls(end) for end in ends])
    assert isinstance(noticed, WrongCorrelationError)
    assert noticed.evidence.reason == "abort-correlation"
    assert isinstance(told, CounterpartAbortError)
    assert "abort-correlation" in told.message
    assert ends[0].over
    assert ends[1].over


def long_talk():
    for _ in range(1000):
        yield from swap(b"x" * 1000, 1000)


def test_one_that_vanishes(channels):
    def leave():
        time.sleep(0.2)
        channels[1].close()

    threading.Thread(target=leave).start()
    talk = deal()[0].coin(3)
    with pytest.raises(VanishedError) as caught:
        run_over(talk, channels[0], 10)
    assert caught.value.evidence.reason == "abort-vanished"


def test_one_that_says_nothing(channels):
    end = deal()[0]
    began = time.monotonic()
    with pytest.raises(VanishedError):
        run_over(end.coin(3), channels[0], 0.3)
    assert time.monotonic() - began < 5
    assert end.over


@pytest.mark.parametrize("message", [b"", b"\2abc", b"\1", b"\1\2\3"])
def test_what_is_neither_a_round_nor_an_abort(channels, message):
    channels[1].send(message)
    with pytest.raises(MalformedMessageError):
        run_over(long_talk(), channels[0], 5)


def test_an_announcement_over_the_limit(channels):
    channels[1]._socket.setblocking(True)
    channels[1]._socket.sendall((MAX_BYTES + 2).to_bytes(4, "little"))
    with pytest.raises(MalformedMessageError, match="limit"):
        run_over(long_talk(), channels[0], 5)


def test_an_abort_with_an_unknown_number(channels):
    channels[1].send(b"\1\xff")
    with pytest.raises(CounterpartAbortError):
        run_over(long_talk(), channels[0], 5)


def test_two_different_protocols_do_not_meet():
    def short():
        yield b"x" * 1000

    with pytest.raises(UsageError, match="different protocols"):
        run_both(long_talk(), short())


def test_messages_over_the_limit_are_not_sent():
    with pytest.raises(UsageError, match="at most"):
        next(swap(bytes(MAX_BYTES + 1), 0))
