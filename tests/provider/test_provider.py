"""Faces that a provider deals for: found, and what a provider gets that dies, lies, or may not."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from blindsight.core.dual_control import Remove
from blindsight.core.errors import MalformedError, UnauthorizedError, UnavailableError, UsageError
from blindsight.provider.dealing import Dealing
from blindsight.provider.service import Provider
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.messages import Header, Kind
from blindsight.schemes.spdz2k.public import Masks, Source
from blindsight.schemes.spdz2k.share import Sharer
from blindsight.trusted.camera_link import CameraLink
from blindsight.wire import tls
from blindsight.wire.channel import connect, greet
from blindsight.wire.party_messages import Credit, Deal, Opened, Over, State, Stored, parse
from blindsight.wire.tls import Identity
from duo import Duo
from surveillance import PARAMS, Town, until

GARBAGE = """
from blindsight.schemes.spdz2k.deal import Dealer
honest = Dealer.deal
def deal(self, count):
    dealt = honest(self, count)
    if self.grants[0].camera == "hall":
        dealt.material[1][70] ^= 1  # a tag, or a key
    return dealt
Dealer.deal = deal
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Both parties as processes, two cameras, two providers."""
    made = Town(tmp_path_factory.mktemp("town"), cameras=("gate", "hall"), providers=("dealer", "other"))
    made.serve(1)
    made.serve(0)
    yield made
    made.close()


@pytest.fixture
def providers(town):
    """Starts providers, and ends those that run at the end of the test."""
    started = []

    def start(*arguments, **options):
        started.append(town.provide(*arguments, **options))
        return started[-1]

    yield start
    for process in started:
        if process.running():
            process.kill()


def alerted(town, camera, name):
    """Whether both parties raised an alert that this camera has seen somebody."""

    def by(party):
        return any(
            alert["camera"] == camera and any(entry == name for _, entry in alert["matches"])
            for alert in town.processes[party].alerts()
        )

    return by(0) and by(1)


def results(town, camera):
    """Aborts, by reason, that both logs have of a camera."""
    return [
        sorted(
            line["reason"] for line in town.log(party) if line["kind"] == "abort" and line["camera"] == camera
        )
        for party in (0, 1)
    ]


# -- what is found -----------------------------------------------------------------------------


def test_an_alert_through_a_provider_that_is_killed_and_comes_back(town, providers):
    """Beside it a camera that deals itself, which notices nothing of that."""
    first = providers()
    with town.camera(0, provided=True, buffer=40) as gate, town.camera(1) as hall:
        state = gate.wait_open(30)
        assert state.entries == 10
        hall.wait_open(30)
        for _ in range(5):
            gate.offer(town.strangers(30), dummies=3)  # more together than are dealt for at a time
            assert gate.wait_answered(20)
        assert (gate.counts.answered, gate.counts.lost, gate.counts.dropped) == (150, 0, 0)
        gate.offer(np.concatenate([town.strangers(3), town.listed[3:4]]))
        assert until(lambda: alerted(town, "gate", "person-003"))
        assert gate.wait_answered(20)
        first.kill()
        hall.offer(town.listed[4:5].copy())
        assert until(lambda: alerted(town, "hall", "person-004"))
        assert until(lambda: gate._session is None)
        gate.offer(town.listed[5:6].copy())
        with pytest.raises(UnavailableError, match="provider"):
            gate.wait_open(0.3)
        assert gate.counts.sent == 154  # it waits for the provider, and goes nowhere else
        assert (hall.counts.lost, gate.counts.lost) == (0, 0)
        second = providers()
        assert until(lambda: alerted(town, "gate", "person-005"))
        assert gate.wait_answered(20)
        assert hall.counts.lost == 0
        assert second.stop() == 0
        hall.offer(town.listed[6:7].copy())
        assert until(lambda: alerted(town, "hall", "person-006"))
    assert not alerted(town, "gate", "person-006")
    assert results(town, "gate") == results(town, "hall") == [[], []]


def test_a_provider_that_deals_garbage_for_one_camera(town, providers):
    """Runs of that camera abort without a result; those of the other go on in the sessions that they have."""
    providers(code=GARBAGE)
    with town.camera(0, provided=True) as gate, town.camera(1, provided=True) as hall:
        gate.wait_open(30)
        hall.wait_open(30)
        session = gate._session
        for aborts in (1, 2):

            def again(aborts=aborts):
                hall.offer(town.listed[7:8].copy())  # of a session that may be over already
                return until(lambda: all(len(found) >= aborts for found in results(town, "hall")), 1)

            assert until(again)
        gate.offer(town.listed[8:9].copy())
        assert until(lambda: alerted(town, "gate", "person-008"))
        assert gate._session is session
        assert gate.counts.lost == 0
    assert not alerted(town, "hall", "person-007")
    assert results(town, "gate") == [[], []]
    for reasons in results(town, "hall"):
        assert len(reasons) >= 2
        assert set(reasons) <= {"abort-opening", "abort-counterpart"}


def test_a_change_of_the_list_while_a_provider_deals(tmp_path):
    """Sessions end with the list that they are for; the next is dealt for the new one."""
    duo = Duo(Town(tmp_path, providers=("dealer",))).start()
    town = duo.town
    served = Provider(town.providers[0], tuple(("127.0.0.1", port) for port in town.ports), most_pause=0.2)
    thread = threading.Thread(target=served.run)
    thread.start()
    try:
        with town.camera(provider=served.address) as camera:
            first = camera.wait_open(20)
            copies = [party._file for party in duo.parties]
            signed = town.operators[1].propose(copies[0].state.name, Remove("person-003"), "left")
            copies[1].propose(signed, [])
            assert until(lambda: len(copies[0].waiting()) == 1)
            copies[0].decide(town.operators[0].decide(copies[0].waiting()[0].digest, True))
            assert until(lambda: camera.state is not None and camera.state.digest != first.digest)
            assert until(lambda: camera._session is not None and camera._session.digest != first.digest)
            camera.offer(np.concatenate([town.listed[3:4], town.listed[4:5]]))
            assert until(lambda: duo.alerts[0] and duo.alerts[1])
        assert [name for _, name in duo.alerts[1][0].matches] == ["person-004"]
    finally:
        served.stop()
        thread.join(20)
        duo.stop()


# -- at a party --------------------------------------------------------------------------------


class RawProvider:
    """A provider's connections to both parties, that sends whatever it is told to."""

    def __init__(self, town, which=1):
        self.channels = [
            connect(town.providers[which], "127.0.0.1", town.ports[i], f"party{i}") for i in (0, 1)
        ]
        self.states = [self.hear(i, State) for i in (0, 1)]

    def hear(self, party, wanted):
        while True:
            found = parse(self.channels[party].receive(1 << 15, 20), State, Credit, Over, Stored)
            if isinstance(found, wanted):
                return found

    def grant(self, camera, source=Source.PROVIDER, digest=None):
        state = self.states[0]
        self.dealer = Dealer(PARAMS, digest or state.digest, state.entries, camera=camera, source=source)
        for channel, grant in zip(self.channels, self.dealer.grants, strict=True):
            channel.send(grant.to_bytes())

    def reasons(self):
        return {self.hear(party, Over).reason for party in (0, 1)}

    def close(self):
        for channel in self.channels:
            channel.close()


@pytest.fixture
def raw(town):
    made = RawProvider(town)
    yield made
    made.close()


@pytest.fixture
def gate(town):
    """Camera gate's connections, that send nothing yet."""
    channels = [connect(town.identities[2], "127.0.0.1", town.ports[i], f"party{i}") for i in (0, 1)]
    for channel in channels:
        parse(channel.receive(1 << 15, 20), State)
    yield channels
    for channel in channels:
        channel.close()


def over(channel):
    """What a camera is told, the next time that a session is over."""
    while True:
        found = parse(channel.receive(1 << 15, 20), State, Credit, Over)
        if isinstance(found, Over):
            return found.reason


def test_which_grants_of_a_provider_are_refused(town, raw, gate):
    raw.grant("hall")  # not connected
    assert raw.reasons() == {"refused"}
    raw.grant("gate", source=Source.CAMERA)
    assert raw.reasons() == {"refused"}
    raw.grant("gate", digest=b"another watchlist".ljust(32))
    assert raw.reasons() == {"refused"}
    own = Dealer(PARAMS, raw.states[0].digest, 10, camera="gate")
    dealt = own.deal(1)
    sharer = Sharer(PARAMS, own.session)
    sharer.add(dealt.masks)
    for channel, grant, material in zip(gate, own.grants, dealt.material, strict=True):
        channel.send(grant.to_bytes())
        channel.send(material)
    # The grant may overtake those of the camera, which are on other connections, but not for long.
    assert until(lambda: raw.grant("gate") or raw.reasons() == {"refused"}) or pytest.fail("taken over")
    inputs = sharer.share(town.listed[9:10].copy()).message
    for channel in gate[::-1]:
        channel.send(inputs)
    assert until(lambda: alerted(town, "gate", "person-009"))


def test_material_that_comes_twice_or_from_the_wrong_end(town, raw, gate):
    def session():
        raw.grant("gate")
        dealt = raw.dealer.deal(1)
        for channel, material in zip(raw.channels, dealt.material, strict=True):
            channel.send(material)
        assert [raw.hear(party, Stored).below for party in (0, 1)] == [1, 1]
        sharer = Sharer(PARAMS, raw.dealer.session)
        sharer.add(dealt.masks)
        return dealt.material, sharer.share(town.strangers(1)).message

    material, inputs = session()
    for party in (0, 1):
        raw.channels[party].send(material[party])
    assert raw.reasons() == {over(gate[0]), over(gate[1])} == {"replay"}
    for party in (0, 1):  # of a session that is over: of no effect
        gate[party].send(inputs)
        raw.channels[party].send(material[party])

    _, inputs = session()
    for channel in raw.channels:
        channel.send(inputs)
    assert raw.reasons() == {over(gate[0]), over(gate[1])} == {"malformed"}

    session()
    more = raw.dealer.deal(1).material
    for party in (0, 1):
        gate[party].send(more[party])
    assert raw.reasons() == {over(gate[0]), over(gate[1])} == {"malformed"}

    session()
    header = Header(Kind.INPUTS, raw.dealer.session, 1, 1)  # of a face that nothing was dealt for
    for channel in gate:
        channel.send(header.pack() + bytes(8 * (PARAMS.dimension + 1)))
    assert raw.reasons() == {"malformed"}

    session()
    for party in (0, 1):
        for _ in range(5):
            raw.channels[party].send(raw.dealer.deal(32).material[party])
    assert raw.reasons() == {"window"}

    _, inputs = session()
    for channel in gate[::-1]:  # and one in order
        channel.send(inputs)
    assert all(raw.hear(party, Credit).session == raw.dealer.session for party in (0, 1))


def test_its_sessions_end_with_its_link_and_with_the_cameras(raw, gate):
    raw.grant("gate")
    material = raw.dealer.deal(1).material
    for party in (0, 1):
        raw.channels[party].send(material[party])
        assert raw.hear(party, Stored).below == 1
    gate[0].close()
    assert raw.hear(0, Over).reason == "gone"
    raw.channels[1].close()
    assert over(gate[1]) == "provider"


def test_what_it_announces_is_not_read_without_end(town, raw, gate):
    raw.channels[0]._socket.setblocking(True)
    raw.channels[0]._socket.sendall(struct.pack("<I", (1 << 31) - 1))
    raw.channels[0]._socket.setblocking(False)
    with pytest.raises(UnavailableError):
        raw.hear(0, Over)
    raw.channels[1].send(b"\x81\xa4kind\xa3run")
    with pytest.raises(UnavailableError):
        raw.hear(1, Over)
    assert not gate[0].waiting(0.1)  # a camera that is not in a session of its does not hear of it


def test_an_expired_provider_and_one_that_nobody_knows(town, tmp_path):
    expired = Identity.create(tmp_path / "expired", "provider", "expired")
    key = load_pem_private_key((expired.folder / "key.pem").read_bytes(), None)
    old = tls._self_signed(
        key, "provider", "expired", datetime.now(UTC) - timedelta(days=9), timedelta(days=8)
    )
    (expired.folder / "certificate.pem").write_bytes(old.public_bytes(Encoding.PEM))
    stranger = Identity.create(tmp_path / "stranger", "provider", "dealer")
    for identity in (expired, stranger):
        for other in town.identities[:3]:
            identity.trust(other.folder / "certificate.pem")
    for other in town.identities[:3]:
        other.trust(expired.folder / "certificate.pem")
    for identity in (expired, stranger):
        with pytest.raises(UnauthorizedError):
            connect(Identity(identity.folder), "127.0.0.1", town.ports[0], "party0")
        served = Provider(
            Identity(identity.folder), tuple(("127.0.0.1", port) for port in town.ports), most_pause=0.1
        )
        thread = threading.Thread(target=served.run)
        thread.start()
        with CameraLink(
            town.identities[2],
            tuple(("127.0.0.1", port) for port in town.ports),
            provider=served.address,
            most_pause=0.1,
        ) as camera:
            with pytest.raises(UnavailableError, match="provider"):
                camera.wait_open(1.0)
            assert camera.state is not None  # the parties are there
        served.stop()
        thread.join(20)
        assert not thread.is_alive()
    for other in town.identities[:3]:
        other.distrust("provider", "expired")
    with pytest.raises(UsageError):
        Provider(town.identities[2], (("127.0.0.1", 1), ("127.0.0.1", 2)))


# -- at a camera -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie", ["too many", "another session", "cut off", "twice", "another list", "nothing"]
)
def test_a_provider_that_lies_to_the_camera(town, lie):
    """No input is made with such masks, and none without any."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve():
        raw, _ = listener.accept()
        with (
            contextlib.suppress(UnavailableError, UnauthorizedError),
            greet(town.providers[0], raw, "camera") as link,
        ):
            asked = parse(link.receive(1 << 10, 20), Deal)
            session = b"s" * 16
            digest = bytes(32) if lie == "another list" else asked.digest
            link.send(Opened(session, digest).pack())
            rows = np.zeros((2, PARAMS.dimension + 1), np.uint64)
            masks = Masks(session, 0, rows).to_bytes()
            if lie == "too many":
                masks = Masks(session, 0, np.zeros((asked.faces + 1, rows.shape[1]), np.uint64)).to_bytes()
            elif lie == "another session":
                masks = Masks(bytes(16), 0, rows).to_bytes()
            elif lie == "cut off":
                masks = masks[:-1]
            if lie != "nothing":
                link.send(masks)
                if lie == "twice":
                    link.send(masks)
            ended.wait(20)

    thread = threading.Thread(target=serve)
    thread.start()
    parties = tuple(("127.0.0.1", port) for port in town.ports)
    port = listener.getsockname()[1]
    with CameraLink(town.identities[2], parties, provider=("127.0.0.1", port), most_pause=0.2) as camera:
        assert until(lambda: camera.state is not None)
        if lie != "twice":
            camera.offer(town.strangers(1))
        if lie in ("too many", "cut off", "twice"):
            assert until(lambda: camera._channels[2] is None)
        else:
            with contextlib.suppress(UnavailableError):
                camera.wait_open(0.5)
            assert not camera.wait_answered(0.3)
        assert (camera.counts.sent, camera.counts.answered) == (0, 0)
        ended.set()
        listener.close()
    thread.join(20)


# -- without sockets ---------------------------------------------------------------------------


def states(window=(128, 128), entries=3):
    one = State(0, True, "", "test", False, PARAMS.dimension, PARAMS.scale, PARAMS.norm, PARAMS.value_bits,
                entries, b"d" * 32, bytes(32), window[0])  # fmt: skip
    return one, replace(one, party=1, window=window[1])


def test_masks_wait_until_both_parties_have_the_material():
    dealing = Dealing("gate", states())
    assert dealing.deal() is None
    dealing.want(40)
    sizes = []
    while (material := dealing.deal()) is not None:
        sizes.append([Header.parse(message).count for message in material])
    assert sizes == [[32, 32], [8, 8]]
    assert dealing.stored(0, 40) == []
    (masks,) = dealing.stored(1, 32)
    assert (Header.parse(masks).kind, Header.parse(masks).first) == (Kind.MASKS, 0)
    (masks,) = dealing.stored(1, 40)
    assert Header.parse(masks).first == 32


def test_no_more_is_dealt_than_there_is_room_for():
    dealing = Dealing("gate", states((5, 9)))
    dealing.want(20)
    assert Header.parse(dealing.deal()[0]).count == 5
    assert dealing.deal() is None
    dealing.credited(1, 5)
    assert dealing.deal() is None
    dealing.credited(0, 3)
    assert Header.parse(dealing.deal()[1]).count == 3
    dealing.want(1 << 10)
    dealing.want(1 << 10)
    assert dealing._wanted == 1024


def test_what_was_not_dealt_cannot_be_stored():
    dealing = Dealing("gate", states())
    dealing.want(4)
    dealing.deal()
    for below in (5, 0):
        with pytest.raises(MalformedError):
            dealing.stored(0, below)
    dealing.stored(0, 3)
    for below in (3, 2):
        with pytest.raises(MalformedError):
            dealing.stored(0, below)
