"""Two parties and cameras: what is found, what is refused, and what a cheat or a stranger gets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgpack
import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from blindsight.blind import party_door
from blindsight.blind.party import Party
from blindsight.core.dual_control import Add, Remove, SetThreshold
from blindsight.core.errors import TamperedError, UnauthorizedError, UnavailableError, UsageError
from blindsight.schemes.spdz2k.compute import Comparison, Session, Step
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.share import Sharer
from blindsight.wire import tls
from blindsight.wire.channel import Channel, connect
from blindsight.wire.party_messages import Over, State, parse
from blindsight.wire.tls import Identity
from duo import Duo
from party_process import QUICK
from surveillance import PARAMS, Town, until
from two_parties import Cheat


@pytest.fixture
def duo(tmp_path):
    made = Duo(Town(tmp_path, cameras=("gate", "hall")))
    yield made
    made.stop()
    made.town.close()


def strangers(town, count):
    """Faces that match nobody."""
    return town.strangers(count)


class RawCamera:
    """A camera's connection to both parties, that sends whatever it is told to."""

    def __init__(self, town, which=0):
        identity = town.identities[2 + which]
        self.channels = [connect(identity, "127.0.0.1", town.ports[i], f"party{i}") for i in (0, 1)]
        self.states = [self.wait_state(i) for i in (0, 1)]
        self.name = identity.own.name

    def wait_state(self, party):
        while True:
            data = self.channels[party].receive(1 << 15, 20)
            if b"state" in data[:16] and (state := parse(data, State)).open:
                return state

    def wait_over(self, party):
        while True:
            data = self.channels[party].receive(1 << 15, 20)
            if b"over" in data[:16]:
                return parse(data, Over).reason

    def session(self, name=None):
        state = self.states[0]
        self.dealer = Dealer(PARAMS, state.digest, state.entries, camera=name or self.name)
        self.sharer = Sharer(PARAMS, self.dealer.session)
        for channel, grant in zip(self.channels, self.dealer.grants, strict=True):
            channel.send(grant.to_bytes())

    def deal(self, count):
        dealt = self.dealer.deal(count)
        self.sharer.add(dealt.masks)
        return dealt.material

    def close(self):
        for channel in self.channels:
            channel.close()


def named_in(process):
    """Camera and entry of every alert that a process printed."""
    return {(alert["camera"], name) for alert in process.alerts() for _, name in alert["matches"]}


def found_in(duo):
    """Entries in party 0's alerts."""
    return {name for alert in duo.alerts[0] for _, name in alert.matches}


def until_closed(channel):
    """Read until the other end closes."""
    while True:
        channel.receive(1 << 15, 20)


# -- what is found -----------------------------------------------------------------------------


def test_a_match_is_found_and_only_that(tmp_path):
    """The command itself: two processes, two cameras at once, metrics, SIGTERM."""
    town = Town(tmp_path, cameras=("gate", "hall"))
    try:
        parties = town.serve(1), town.serve(0, "--metrics-port", "0")
        with town.camera(0) as gate, town.camera(1, ahead=4) as hall:
            state = gate.wait_open(30)
            assert (state.entries, state.model_id) == (10, "test")
            hall.wait_open(30)
            for _ in range(4):
                gate.offer(strangers(town, 3), dummies=2)
                hall.offer(strangers(town, 1), dummies=7)
            assert gate.wait_answered(30)
            hall.offer(np.concatenate([strangers(town, 2), town.listed[3:4], town.listed[8:9]]))
            gate.offer(town.listed[5:6].copy(), dummies=5)
            everybody = {("hall", "person-003"), ("hall", "person-008"), ("gate", "person-005")}
            for party in parties:
                assert until(lambda party=party: named_in(party) == everybody)
            assert gate.wait_answered(20)
            assert hall.wait_answered(20)
            assert (gate.counts.sent, gate.counts.lost, hall.counts.answered) == (13, 0, 8)
        metrics = parties[1].said[0]["metrics_port"]
        text = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10).read().decode()
        assert "blindsight_party_matches_total 3.0" in text
        assert 'blindsight_party_alerts_total{end="raised"}' in text
        assert "person-" not in text
        for party in parties:
            assert named_in(party) == everybody
            assert party.stop() == 0
    finally:
        town.close()
    assert {line["receipt"] for line in town.log(0) if line["kind"] == "raised"} == {
        line["receipt"] for line in town.log(1) if line["kind"] == "raised"
    }


def test_many_small_messages_make_one_run(duo):
    duo.start()
    runs = duo.parties[0].metrics
    with duo.town.camera(buffer=1000) as camera:
        camera.wait_open(20)
        for face in strangers(duo.town, 200):
            camera.offer(face[np.newaxis])
        assert camera.wait_answered(30)
        assert camera.counts.answered == 200
    assert until(lambda: runs.registry.get_sample_value("blindsight_party_faces_total") == 200)
    assert runs.registry.get_sample_value("blindsight_party_run_seconds_count") < 150


def test_faces_that_come_too_fast_are_dropped_at_the_camera(duo):
    duo.start(1)
    with duo.town.camera(buffer=10) as camera:
        assert until(lambda: camera._states[1] is not None)
        assert sum(camera.offer(face[np.newaxis]) for face in strangers(duo.town, 25)) == 15
        assert camera.offer(duo.town.listed[:1].copy()) == 1
        duo.start(0)
        assert until(lambda: duo.alerts[0] and duo.alerts[1])
        assert camera.wait_answered(20)
        assert camera.counts.dropped == 16
    assert duo.parties[0].metrics.registry.get_sample_value("blindsight_party_faces_total") == 10


# -- the watchlist -----------------------------------------------------------------------------


def test_a_change_reaches_both_while_they_serve(duo):
    """Proposed at one, relayed, approved at the other, relayed, numbered; a rejection ends too."""
    town = duo.town
    duo.start()
    with town.camera() as camera:
        first = camera.wait_open(20)
        copies = [party._file for party in duo.parties]
        copies[1].propose(town.operators[1].propose(first_name(copies), Remove("person-003"), "left"), [])
        assert until(lambda: len(copies[0].waiting()) == 1)
        (waiting,) = copies[0].waiting()
        copies[0].decide(town.operators[0].decide(waiting.digest, True))
        assert until(lambda: copies[0].state.number == copies[1].state.number == 11)
        assert until(lambda: camera.state is not None and camera.state.digest != first.digest)
        camera.offer(town.listed[3:4].copy())
        camera.offer(town.listed[4:5].copy())
        assert until(lambda: duo.alerts[0] and duo.alerts[1])
        assert [name for _, name in duo.alerts[0][0].matches] == ["person-004"]
        signed = town.operators[0].propose(first_name(copies), SetThreshold(77), "no")
        digest = copies[0].propose(signed, [])
        assert until(lambda: len(copies[1].waiting()) == 1)
        copies[1].decide(town.operators[1].decide(digest, False))
        assert until(lambda: copies[0].waiting() == copies[1].waiting() == [])
        assert copies[0].state.threshold != 77


def first_name(copies):
    return copies[0].state.name


def test_photos_may_take_longer_than_a_round(duo, monkeypatch):
    """A slow link: the photos arrive after the time that a message of a run has, and the link holds."""
    town, original = duo.town, Channel.exchange

    def slowly(self, message, *rest):
        if len(message) > 1 << 20:
            threading.Event().wait(1.5)
        return original(self, message, *rest)

    monkeypatch.setattr(Channel, "exchange", slowly)
    duo.timing = replace(QUICK, round=0.5)
    duo.start()
    copies = [party._file for party in duo.parties]
    photo = bytes(2 << 20)
    change = Add("late", town.listed[0].astype(np.int16), (sha256(photo).digest(),))
    copies[0].propose(town.operators[0].propose(first_name(copies), change, "because"), [photo])
    assert until(lambda: len(copies[1].waiting()) == 1)
    assert copies[1].photos(copies[1].waiting()[0].digest) == [photo]
    assert town.kinds(0).count("agreed") == 1


@pytest.mark.parametrize("ahead", [0, 1])
def test_who_is_behind_catches_up(duo, ahead):
    town = duo.town
    copies = town.copies()
    signed = town.operators[0].propose(copies[0].state.name, Remove("person-001"), "left")
    for copy in copies:
        copy.decide(town.operators[1].decide(copy.propose(signed, []), True))
    copies[ahead].append(copies[0].next_record())
    for copy in copies:
        copy.close()
    duo.start()
    with town.camera() as camera:
        assert camera.wait_open(20).entries == 9
    heads = {party._file.state.head for party in duo.parties}
    assert len(heads) == 1


def test_a_fork_compares_nothing(duo):
    town = duo.town
    copies = town.copies()
    for copy, change in zip(copies, (Remove("person-001"), Remove("person-002")), strict=True):
        signed = town.operators[0].propose(copy.state.name, change, "left")
        copy.decide(town.operators[1].decide(copy.propose(signed, []), True))
        copy.append(copy.next_record())
        copy.close()
    duo.start()
    with town.camera() as camera:
        assert until(lambda: all("fork" in town.kinds(party) for party in (0, 1)))
        with pytest.raises(UnavailableError):
            camera.wait_open(0.5)
        assert {state.reason for state in camera._states if state} <= {"watchlist", "counterpart"}


def test_another_list_altogether(tmp_path, duo):
    other = Town(tmp_path / "other")
    duo.town.close()
    (duo.town.folder / "list1").write_bytes((other.folder / "list1").read_bytes())
    duo.start()
    assert until(lambda: all("other-list" in duo.town.kinds(party) for party in (0, 1)))
    with duo.town.camera() as camera, pytest.raises(UnavailableError):
        camera.wait_open(0.3)


# -- cheats ------------------------------------------------------------------------------------


class WrongOpening(Comparison):
    def _send(self, following, message):
        if following is Step.OPEN:
            message = message[:60] + bytes([message[60] ^ 1]) + message[61:]
        return super()._send(following, message)


class WrongBits(Comparison):
    def _send(self, following, message):
        if following is Step.BITS:
            message = message[:32] + bytes([message[32] ^ 1]) + message[33:]
        return super()._send(following, message)


class WrongCheck(Comparison):
    def _send(self, following, message):
        if following is Step.CHECK:
            message = message[:-1] + bytes([message[-1] ^ 1])
        return super()._send(following, message)


class OtherFaces(Comparison):
    def _send(self, following, message):
        return super()._send(following, message[:20] + bytes([message[20] ^ 1]) + message[21:])


class OtherList(Comparison):
    def _prepare(self, inputs):
        session = self._session
        session.added = session.added + np.uint64(1)
        super()._prepare(inputs)


@pytest.mark.parametrize(
    ("cheat", "reason"),
    [
        (WrongOpening, "abort-opening"),
        (WrongBits, "abort-result"),
        (WrongCheck, "abort-result"),
        (OtherFaces, "abort-replay"),
        (OtherList, ""),
    ],
)
@pytest.mark.parametrize("cheater", [0, 1])
def test_a_cheat_is_caught(duo, monkeypatch, cheater, cheat, reason):
    """The run has no alert at the honest party, evidence is kept, and the link goes on."""
    town = duo.town

    class Cheating(Cheat):
        kind = cheat

    monkeypatch.setattr(
        party_door, "Session", lambda grant, w: (Cheating if grant.party == cheater else Session)(grant, w)
    )
    duo.start()
    honest = 1 - cheater
    with town.camera() as camera:
        camera.wait_open(20)
        camera.offer(town.listed[:1].copy())
        assert until(lambda: "abort" in town.kinds(honest))
        (line,) = [line for line in town.log(honest) if line["kind"] == "abort"]
        # A party with another list fails to check the other one's shares, or has its own refused.
        reason = reason or ("abort-counterpart" if cheater else "abort-opening")
        assert line["reason"] == reason
        evidence = town.folder / f"data{honest}" / "evidence" / line["evidence"]
        assert msgpack.unpackb(evidence.read_bytes())["reason"] == reason
        monkeypatch.undo()
        camera.offer(strangers(town, 1))  # of a session that may still be a cheat's
        camera.wait_answered(20)
        assert until(lambda: camera.wait_answered(1))

        def again():
            camera.offer(town.listed[1:2].copy())
            return until(lambda: duo.alerts[0] and duo.alerts[1], 1)

        assert until(again)
    assert all("person-000" not in str(alert.matches) for alert in duo.alerts[honest])
    assert town.kinds(honest).count("agreed") == 1  # one link all along


# -- cameras that are wrong --------------------------------------------------------------------


def test_a_repeated_face_number_ends_the_session(duo):
    duo.start()
    camera = RawCamera(duo.town)
    camera.session()
    material = camera.deal(1)
    inputs = camera.sharer.share(strangers(duo.town, 1)).message
    for party in (1, 0):
        camera.channels[party].send(material[party])
        camera.channels[party].send(inputs)
    faces = "blindsight_party_faces_total"
    for party in (0, 1):
        assert until(lambda n=party: duo.parties[n].metrics.registry.get_sample_value(faces) == 1)
        camera.channels[party].send(material[party])
        assert camera.wait_over(party) == "replay"
    camera.session()
    for party in (0, 1):  # of the session before: of no effect
        camera.channels[party].send(inputs)
    camera.close()
    assert duo.parties[0].metrics.registry.get_sample_value(faces) == 1


def test_what_else_a_camera_may_not(duo):
    duo.start()
    town = duo.town
    camera = RawCamera(town)
    camera.session(name="hall")
    assert (camera.wait_over(0), camera.wait_over(1)) == ("refused", "refused")
    camera.session()
    material = camera.deal(2)
    shared = camera.sharer.share(strangers(town, 2)).message
    camera.channels[0].send(shared)
    assert camera.wait_over(0) == "malformed"
    camera.channels[1].send(material[0])
    assert camera.wait_over(1) == "malformed"
    camera.session()
    for _ in range(2):
        camera.channels[0].send(camera.deal(100)[0])
    assert camera.wait_over(0) == "window"
    camera.channels[0].send(b"\x81\xa4kind\xa3run")
    with pytest.raises(UnavailableError):
        until_closed(camera.channels[0])
    camera.close()


def test_a_face_that_one_party_lacks_is_dropped_by_both(duo, monkeypatch):
    monkeypatch.setattr("blindsight.blind.party_intake.PATIENCE", 0.2)
    duo.start()
    camera = RawCamera(duo.town)
    camera.session()
    for number in range(3):
        material = camera.deal(1)
        shared = camera.sharer.share(duo.town.listed[number : number + 1]).message
        for party in (0, 1):
            if (party, number) != (1, 1):
                camera.channels[party].send(material[party])
                camera.channels[party].send(shared)
    assert until(lambda: found_in(duo) == {"person-000", "person-002"})
    camera.close()


def test_an_announcement_of_two_gigabytes(duo):
    """From a camera, and from whoever has party 0's key: closed unread, and the parties go on."""
    duo.start()
    camera = RawCamera(duo.town)
    camera.channels[0]._socket.setblocking(True)
    camera.channels[0]._socket.sendall(struct.pack("<I", (1 << 31) - 1))
    with pytest.raises(UnavailableError):
        until_closed(camera.channels[0])
    camera.close()
    duo.stop(0)
    with connect(duo.town.identities[0], "127.0.0.1", duo.town.ports[1], "party1") as link:
        link._socket.setblocking(True)
        link._socket.sendall(struct.pack("<I", (1 << 31) - 1))
        link._socket.setblocking(False)
        with pytest.raises(UnavailableError):
            until_closed(link)
    duo.start(0)
    with duo.town.camera() as honest:
        honest.wait_open(20)
        honest.offer(duo.town.listed[:1].copy())
        assert until(lambda: duo.alerts[0] and duo.alerts[1])


def test_an_expired_certificate_does_not_connect(duo):
    duo.start()
    camera = duo.town.identities[2]
    key = load_pem_private_key((camera.folder / "key.pem").read_bytes(), None)
    old = tls._self_signed(key, "camera", "gate", datetime.now(UTC) - timedelta(days=9), timedelta(days=8))
    (camera.folder / "certificate.pem").write_bytes(old.public_bytes(Encoding.PEM))
    for party in (0, 1):
        identity = duo.town.identities[party]
        identity.distrust("camera", "gate")
        identity.trust(camera.folder / "certificate.pem")
    with pytest.raises(UnauthorizedError):
        connect(Identity(camera.folder), "127.0.0.1", duo.town.ports[0], "party0")
    registry = duo.parties[0].metrics.registry
    name = "blindsight_party_refused_total"
    assert until(lambda: registry.get_sample_value(name, {"reason": "connection"}) == 1)


def test_a_stranger_does_not_connect(duo, tmp_path):
    duo.start()
    stranger = Identity.create(tmp_path / "stranger", "camera", "gate")
    stranger.trust(duo.town.identities[0].folder / "certificate.pem")
    with pytest.raises(UnauthorizedError):
        connect(stranger, "127.0.0.1", duo.town.ports[0], "party0")
    with socket.create_connection(("127.0.0.1", duo.town.ports[0])) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in plain.recv(100)


# -- starting ----------------------------------------------------------------------------------


def test_what_does_not_start(duo):
    town, here = duo.town, ("127.0.0.1", 0)
    lists, data = town.folder / "list0", town.folder / "data0"
    for number, peer in ((1, None), (0, None)):
        with pytest.raises(UsageError):
            Party(number, town.identities[0], lists, data, here, peer)
    duo.start(1)
    with pytest.raises(UsageError, match="Another process"):
        Party(1, town.identities[1], town.folder / "list1", town.folder / "data1", here)
    duo.stop(1)
    log = town.folder / "data1" / "log"
    log.write_bytes(log.read_bytes().replace(b'"party":1', b'"party":0'))
    log.write_bytes(log.read_bytes() + log.read_bytes())
    with pytest.raises(TamperedError):
        Party(1, town.identities[1], town.folder / "list1", town.folder / "data1", here)


def test_the_camera_keeps_nothing(duo, monkeypatch):
    """Faces and material are overwritten once they are sent."""
    sent = []
    original = Channel.send

    def send(self, message, timeout=None):
        original(self, message, timeout)
        if isinstance(message, bytearray):
            sent.append(message)

    monkeypatch.setattr(Channel, "send", send)
    duo.start()
    with duo.town.camera() as camera:
        camera.wait_open(20)
        camera.offer(strangers(duo.town, 2))
        assert camera.wait_answered(20)
        assert sent
        assert not any(any(message) for message in sent)
        assert not camera._frames
        assert camera._session.sharer.stock == 0
