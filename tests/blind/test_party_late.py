"""A party that answers late, or announces far too much, in the middle of a run."""

from __future__ import annotations

import struct
import threading
import time
from dataclasses import replace

import pytest

from blindsight.schemes.spdz2k.messages import Kind
from blindsight.wire.channel import Channel
from blindsight.wire.party_messages import Confirm
from duo import Duo
from party_process import QUICK
from surveillance import Town, until

ROUND = 0.8
KINDS = {"open": Kind.OPEN, "bits": Kind.BITS, "check": Kind.CHECK}


class Meddler:
    """What one party does to the messages that it sends to the other, once."""

    def __init__(self, monkeypatch, party):
        self.party = party
        self.when = None
        self.act = None
        self.done = threading.Event()
        exchange, send = Channel.exchange, Channel.send

        def exchanging(channel, message, *rest):
            self._look(channel, message)
            return exchange(channel, message, *rest)

        def sending(channel, message, *rest):
            self._look(channel, message)
            return send(channel, message, *rest)

        monkeypatch.setattr(Channel, "exchange", exchanging)
        monkeypatch.setattr(Channel, "send", sending)

    def once(self, step, act):
        self.act, self.when = act, step
        self.done.clear()

    def _look(self, channel, message):
        if channel.peer.role != f"party{1 - self.party}" or self.when is None:
            return
        found = bytes(message[:4])
        kind = (
            b"kind\xa7confirm" in bytes(message[:32])
            if self.when == "confirm"
            else (found[:2] == b"b2" and found[3] == KINDS[self.when])
        )
        if kind:
            self.when = None
            self.act(channel)
            self.done.set()


@pytest.fixture
def duo(tmp_path):
    made = Duo(Town(tmp_path), replace(QUICK, round=ROUND))
    yield made
    made.stop()
    made.town.close()


def ends(town, party):
    """What became of each receipt in a party's log."""
    return {line["receipt"]: line["kind"] for line in town.log(party) if "receipt" in line}


@pytest.mark.parametrize("late", [0, 1])
def test_an_answer_that_is_late_but_in_time(duo, monkeypatch, late):
    """Nothing is lost, on the same link."""
    meddler = Meddler(monkeypatch, late)
    duo.start()
    with duo.town.camera() as camera:
        camera.wait_open(20)
        for entry, step in enumerate((*KINDS, "confirm")):
            meddler.once(step, lambda _: time.sleep(ROUND / 3))
            camera.offer(duo.town.listed[entry : entry + 1].copy())
            assert until(lambda entry=entry: all(len(alerts) == entry + 1 for alerts in duo.alerts))
            assert meddler.done.is_set()
        assert camera.wait_answered(20)
        assert camera.counts.lost == 0
    for party in (0, 1):
        assert duo.town.kinds(party).count("agreed") == 1
        assert "abort" not in duo.town.kinds(party)


@pytest.mark.parametrize("late", [0, 1])
def test_an_answer_that_is_too_late(duo, monkeypatch, late):
    """The run is over before it comes, without a result; it is no answer to anything that follows."""
    meddler = Meddler(monkeypatch, late)
    duo.start()
    town, honest = duo.town, 1 - late
    with town.camera() as camera:
        for aborts, step in enumerate(KINDS, 1):
            camera.wait_open(20)
            session = camera._session
            meddler.once(step, lambda _: time.sleep(1.5 * ROUND))
            camera.offer(town.listed[aborts : aborts + 1].copy())
            assert until(lambda aborts=aborts: town.kinds(honest).count("abort") == aborts)
            line = [line for line in town.log(honest) if line["kind"] == "abort"][-1]
            assert line["reason"] == "abort-vanished"
            assert meddler.done.wait(20)  # now it says what it had to say
            assert until(lambda session=session: camera.state is not None and camera._session is not session)
            found = [len(alerts) for alerts in duo.alerts]

            def again(found=found):
                camera.offer(town.strangers(1))
                camera.offer(town.listed[9:10].copy())
                return until(lambda: all(len(a) > n for a, n in zip(duo.alerts, found, strict=True)), 2)

            assert until(again)
    names = [{name for alert in alerts for _, name in alert.matches} for alerts in duo.alerts]
    assert names == [{"person-009"}, {"person-009"}]
    known = ends(town, honest)
    assert set(known.values()) == {"raised"}
    # One that is late with its check alone may have the other's, and a result that is never raised.
    more = {receipt: end for receipt, end in ends(town, late).items() if receipt not in known}
    assert set(more.values()) <= {"unconfirmed"}
    assert len(more) <= 1


@pytest.mark.parametrize("late", [0, 1])
def test_a_confirmation_that_is_too_late(duo, monkeypatch, late):
    """Both have the result on disk: the alert is raised on both sides, by the next link."""
    meddler = Meddler(monkeypatch, late)
    duo.start()
    with duo.town.camera() as camera:
        camera.wait_open(20)
        meddler.once("confirm", lambda _: time.sleep(1.5 * ROUND))
        camera.offer(duo.town.listed[3:4].copy())
        assert until(lambda: duo.alerts[0] and duo.alerts[1])
        assert meddler.done.is_set()
    assert ends(duo.town, 0) == ends(duo.town, 1)
    assert set(ends(duo.town, 0).values()) == {"raised"}
    assert duo.town.kinds(1 - late).count("agreed") == 2


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize("step", KINDS)
def test_two_gigabytes_in_the_middle_of_a_run(duo, monkeypatch, liar, step):
    """Refused by the length alone; evidence is kept, and the next link compares again."""
    meddler = Meddler(monkeypatch, liar)
    duo.start()
    town, honest = duo.town, 1 - liar

    def announce(channel):
        channel._socket.send(struct.pack("<I", (1 << 31) - 1) + bytes(64))

    with town.camera() as camera:
        camera.wait_open(20)
        meddler.once(step, announce)
        camera.offer(town.listed[2:3].copy())
        assert until(lambda: "abort" in town.kinds(honest))
        (line,) = [line for line in town.log(honest) if line["kind"] == "abort"]
        assert line["reason"] == "abort-malformed"
        assert (town.folder / f"data{honest}" / "evidence" / line["evidence"]).stat().st_size < 1 << 16

        def again():
            camera.offer(town.listed[4:5].copy())
            return until(lambda: duo.alerts[0] and duo.alerts[1], 1)

        assert until(again)
    assert "person-002" not in str([alert.matches for alert in duo.alerts[honest]])


def test_what_a_confirmation_looks_like():
    """The meddler goes by its bytes."""
    assert b"kind\xa7confirm" in Confirm(bytes(32), bytes(32)).pack()[:32]
