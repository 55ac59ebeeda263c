"""Channels and identities: who may connect, and what a message on the way may be."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from blindsight.core.errors import (
    DuplicateError,
    MalformedError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
    UsageError,
)
from blindsight.wire import tls
from blindsight.wire.channel import connect, greet
from blindsight.wire.tls import Identity, read_certificate


@pytest.fixture
def parties(tmp_path):
    zero = Identity.create(tmp_path / "zero", "party0", "north")
    one = Identity.create(tmp_path / "one", "party1", "south")
    zero.trust(one.folder / "certificate.pem")
    one.trust(zero.folder / "certificate.pem")
    return zero, one


class Listening:
    """A server that greets one connection in a thread of its own."""

    def __init__(self, identity, *roles):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.channel = self.error = None
        self._thread = threading.Thread(target=self._greet, args=(identity, roles))
        self._thread.start()

    def _greet(self, identity, roles):
        raw, _ = self.listener.accept()
        try:
            self.channel = greet(identity, raw, *roles)
        except Exception as error:
            self.error = error

    def join(self):
        self._thread.join(20)
        self.listener.close()
        return self.channel


def both(zero, one):
    server = Listening(one, "party0")
    client = connect(zero, "127.0.0.1", server.port, "party1")
    return client, server.join()


def test_two_who_trust_each_other(parties):
    client, server = both(*parties)
    with client, server:
        assert (client.peer.role, client.peer.name) == ("party1", "south")
        assert (server.peer.role, server.peer.name) == ("party0", "north")
        client.send(b"hello")
        assert server.receive(5) == b"hello"
        server.send(b"")
        assert client.receive(0) == b""
        assert not client.waiting(0)
        server.send(b"x")
        assert client.waiting(5)
        assert client.sent_bytes == server.received_bytes == 9


def test_two_large_messages_at_once(parties):
    client, server = both(*parties)
    big = os.urandom(9 << 20)
    with client, server:
        answers = []
        other = threading.Thread(target=lambda: answers.append(server.exchange(big, len(big), 60)))
        other.start()
        assert client.exchange(big[::-1], len(big), 60) == big
        other.join(60)
        assert answers == [big[::-1]]


def test_messages_that_share_records_and_such_that_come_in_pieces(parties):
    """Where a record of TLS ends says nothing about where a message does."""
    client, server = both(*parties)
    several = [b"one", b"", os.urandom(20_000), b"four", os.urandom(40_000), b"x"]
    stream = b"".join(struct.pack("<I", len(message)) + message for message in several)
    with client, server:
        client._socket.setblocking(True)
        for cut in (len(stream), 1, 7, 5000):
            sender = threading.Thread(
                target=lambda cut=cut: [
                    client._socket.sendall(stream[at : at + cut])
                    for at in range(0, len(stream) if cut > 1 else 60, cut)
                ]
            )
            sender.start()
            if cut == 1:  # a byte a record, and the rest at once
                assert [server.receive(9, 20) for _ in range(2)] == several[:2]
                sender.join(20)
                client._socket.sendall(stream[60:])
                assert [bytes(server.receive(1 << 16, 20)) for _ in several[2:]] == several[2:]
            else:
                assert [bytes(server.receive(1 << 16, 20)) for _ in several] == several
                sender.join(20)
        assert not server.waiting(0)
        client._socket.sendall(stream[:11])
        assert server.receive(3, 5) == b"one"
        assert server.waiting(0)  # what was read with the first is not forgotten
        assert server.receive(0, 5) == b""
        client._socket.sendall(b"\x01")
        with pytest.raises(UnavailableError, match="in time"):
            server.receive(1, 0.2)


def polled(channel, at_most):
    while (found := channel.poll(at_most)) is None:
        pass
    return found


def test_asking_for_a_message_that_has_not_come_whole(parties):
    client, server = both(*parties)
    message = os.urandom(30_000)
    framed = struct.pack("<I", len(message)) + message
    with client, server:
        assert server.poll(30_000) is None
        client._socket.setblocking(True)
        for start, end in ((0, 2), (2, 5), (5, 20_000)):
            client._socket.sendall(framed[start:end])
            assert server.waiting(5)
            assert server.poll(30_000) is None
            assert not server.waiting(0)  # a piece of a message alone keeps nobody awake
        client._socket.sendall(framed[20_000:] + struct.pack("<I", 3) + b"one" + struct.pack("<I", 4))
        assert server.waiting(5)
        assert polled(server, 30_000) == message
        assert polled(server, 3) == b"one"
        client._socket.sendall(b"x")
        assert server.waiting(5)
        with pytest.raises(MalformedError, match="limit"):
            polled(server, 3)
        client.close()
        with pytest.raises(UnavailableError, match="broke"):
            polled(server, 9)


def test_a_message_over_the_limit_is_not_read(parties):
    client, server = both(*parties)
    with client, server:
        client._socket.setblocking(True)
        client._socket.sendall(struct.pack("<I", 2 << 30))
        with pytest.raises(MalformedError, match="limit"):
            server.receive(1 << 20, 5)


def test_one_that_vanishes_or_is_late(parties):
    client, server = both(*parties)
    with client, server:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="in time"):
            client.receive(10, 0.2)
        assert 0.15 < time.monotonic() - began < 5
        server.close()
        with pytest.raises(UnavailableError, match="broke"):
            client.receive(10, 5)
    client, server = both(*parties)
    with client, server:
        client._socket.setblocking(True)
        client._socket.sendall(struct.pack("<I", 10) + b"half")
        client.close()
        with pytest.raises(UnavailableError, match="broke"):
            server.receive(10, 5)


def refused(server_identity, client_identity, server_roles=("party0",), client_roles=("party1",)):
    server = Listening(server_identity, *server_roles)
    with pytest.raises((UnauthorizedError, UnavailableError)):
        connect(client_identity, "127.0.0.1", server.port, *client_roles)
    assert server.join() is None
    assert isinstance(server.error, UnauthorizedError)


def test_strangers_are_refused(parties, tmp_path):
    zero, one = parties
    stranger = Identity.create(tmp_path / "stranger", "party0", "north")
    stranger.trust(one.folder / "certificate.pem")
    refused(one, stranger)
    one.distrust("party0", "north")
    refused(one, zero)


def test_a_false_server_is_refused(parties, tmp_path):
    zero, _ = parties
    false = Identity.create(tmp_path / "false", "party1", "south")
    false.trust(zero.folder / "certificate.pem")
    server = Listening(false, "party0")
    with pytest.raises(UnauthorizedError):
        connect(zero, "127.0.0.1", server.port, "party1")
    server.join()
    assert server.channel is None


def test_roles_count(parties, tmp_path):
    zero, one = parties
    camera = Identity.create(tmp_path / "camera", "camera", "gate-3")
    camera.trust(one.folder / "certificate.pem")
    one.trust(camera.folder / "certificate.pem")
    refused(one, camera)
    refused(one, zero, client_roles=("provider",), server_roles=("camera",))


def test_expired_certificates_do_not_connect(parties, tmp_path):
    zero, one = parties
    key = load_pem_private_key((zero.folder / "key.pem").read_bytes(), None)
    old = tls._self_signed(key, "party0", "north", datetime.now(UTC) - timedelta(days=40), timedelta(days=39))
    (zero.folder / "certificate.pem").write_bytes(old.public_bytes(Encoding.PEM))
    one.distrust("party0", "north")
    one.trust(zero.folder / "certificate.pem")
    assert one.peer("party0").until < datetime.now(UTC)
    refused(one, zero)


def test_plain_bytes_and_silence_are_refused(parties, monkeypatch):
    monkeypatch.setattr("blindsight.wire.channel._HANDSHAKE_SECONDS", 0.3)
    for said in (b"GET / HTTP/1.1\r\n\r\n", b""):
        server = Listening(parties[1], "party0")
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(said)
            assert server.join() is None
        assert isinstance(server.error, UnauthorizedError)
    with pytest.raises(UnavailableError, match="cannot be reached"):
        connect(parties[0], "127.0.0.1", server.port, "party1")


def test_identities(parties, tmp_path):
    zero, one = parties
    assert (zero.folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert zero.peer("party1").fingerprint == one.own.fingerprint
    with pytest.raises(UsageError, match="already"):
        Identity.create(tmp_path / "zero", "camera", "other")
    for role, name, days in (
        ("judge", "a", 1),
        ("camera", "a b", 1),
        ("camera", "../a", 1),
        ("camera", "a", 0),
    ):
        with pytest.raises(UsageError):
            Identity.create(tmp_path / "new", role, name, days)
    with pytest.raises(DuplicateError):
        zero.trust(one.folder / "certificate.pem")
    second = Identity.create(tmp_path / "second", "party1", "west")
    with pytest.raises(DuplicateError, match="Another party1"):
        zero.trust(second.folder / "certificate.pem")
    with pytest.raises(NotFoundError):
        zero.peer("provider")
    with pytest.raises(NotFoundError):
        zero.distrust("camera", "x")
    with pytest.raises(NotFoundError):
        Identity(tmp_path / "nobody")
    (zero.folder / "key.pem").chmod(0o644)
    with pytest.raises(UsageError, match="0600"):
        Identity(zero.folder)


def test_files_that_are_no_certificates(parties, tmp_path):
    whole = (parties[0].folder / "certificate.pem").read_bytes()
    der = read_certificate(parties[0].folder / "certificate.pem").der
    bad = tmp_path / "bad.pem"
    for data in (b"", whole[:-40], b"x" * 20_000, whole.replace(b"BEGIN", b"BIGIN"), der):
        bad.write_bytes(data)
        with pytest.raises(MalformedError):
            read_certificate(bad)
    lines = whole.splitlines(keepends=True)
    for at in range(1, len(lines) - 1):
        changed = bytearray(whole)
        place = sum(len(line) for line in lines[:at]) + 3
        changed[place] = ord("B") if changed[place] != ord("B") else ord("C")
        bad.write_bytes(changed)
        with pytest.raises(MalformedError):
            read_certificate(bad)
    with pytest.raises(UsageError, match="cannot be read"):
        read_certificate(tmp_path / "missing.pem")
