"""The client against servers that lie, dawdle and die."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from blindsight.core.errors import (
    BlindsightError,
    ConflictError,
    MalformedError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    TamperedError,
    UnauthorizedError,
    UnavailableError,
    UsageError,
)
from blindsight.core.matching import Block
from blindsight.schemes.clear.params import Params
from blindsight.wire import framing, messages
from blindsight.wire.client import RemoteMatcher
from servers import KEY_ID, PARAMS, block, same, scores, server, spec, unit_probe

TOKEN = "a-token-for-tests-only"
GALLERY = "0" * 32


@contextmanager
def fake(*answers, linger=0.0):
    """A server that sends each connection the next of some bytes, the last one for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                answer = answers[min(len(seen), len(answers) - 1)]
                seen.append(connection.recv(65536))
                connection.sendall(answer)
                time.sleep(linger)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def http(body, media_type=messages.MEDIA_TYPE, status="200 OK", length=None, extra=""):
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n{extra}"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def frames(*payloads):
    return b"".join(framing.frames(payloads))


def search(client, count=1):
    return client.search(GALLERY, KEY_ID, PARAMS.params_id, np.repeat(unit_probe(), count, axis=0))


def header(count=1, blocks=1, answer_bytes=8):
    return messages.encode_header(messages.SearchHeader(1, count, blocks, answer_bytes, 0.5))


FRAMES = framing.MEDIA_TYPE
WHOLE = frames(header(), bytes(16))

LIES = {
    "not ours": (http(b"<html>", "text/html"), MalformedError),
    "zipped": (http(b"", FRAMES, extra="Content-Encoding: gzip\r\n"), MalformedError),
    "redirect": (http(b"", status="302 Found", extra="Location: http://127.0.0.1:1/\r\n"), MalformedError),
    "no explanation": (http(b"", status="500 Oops"), UnavailableError),
    "vault error": (
        http(
            b'{"type": "urn:blindsight:error:vault-passphrase", "detail": "Type it again."}',
            "application/problem+json",
            "400 Bad",
        ),
        ProtocolError,
    ),
    "not http": (b"SSH-2.0-OpenSSH_9.6\r\n", UnavailableError),
    "no frames": (http(b"", FRAMES), UnavailableError),
    "no header": (http(frames(), FRAMES), MalformedError),
    "bad header": (http(frames(b"\x80"), FRAMES), MalformedError),
    "other probes": (http(frames(header(count=2), bytes(24)), FRAMES), MalformedError),
    "absurd size": (http(frames(header(blocks=1 << 18, answer_bytes=1 << 25)), FRAMES), MalformedError),
    "absurd frame": (http(b"D\xff\xff\xff\xff" + bytes(50), FRAMES), MalformedError),
    "too much": (http(frames(header(), bytes(17)), FRAMES), MalformedError),
    "too little": (http(frames(header(), bytes(15)), FRAMES), MalformedError),
    "cut off": (http(WHOLE[:-10], FRAMES, length=len(WHOLE)), UnavailableError),
    "cut off, length adapted": (http(WHOLE[:-10], FRAMES), UnavailableError),
    "flipped": (http(WHOLE[:-45] + b"\x01" + WHOLE[-44:], FRAMES), MalformedError),
    "more than the end": (http(WHOLE + b"x", FRAMES), MalformedError),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_server_is_a_typed_error(lie):
    answer, expected = LIES[lie]
    with fake(answer) as (url, _):
        client = RemoteMatcher(url, TOKEN, timeout=5)
        with pytest.raises(expected) as caught:
            search(client)
        assert type(caught.value) is expected
        assert TOKEN not in str(caught.value)
        client.close()


def test_the_truth_is_accepted_and_says_where_from():
    with fake(http(WHOLE, FRAMES)) as (url, seen):
        client = RemoteMatcher(url, TOKEN)
        assert search(client).scores.shape == (1, 1, 8)
        assert f"authorization: bearer {TOKEN}".encode() in seen[0].lower()
        assert TOKEN not in repr(client)
        client.close()


def test_fetched_blocks_must_be_those_asked_for():
    one = messages.encode_block(block(1))
    for sent in ([], [one, one], [messages.encode_block(block(2))]):
        with fake(http(frames(*sent), FRAMES)) as (url, _):
            client = RemoteMatcher(url, TOKEN)
            with pytest.raises(MalformedError):
                list(client.fetch(GALLERY, [1]))
            client.close()


def test_only_what_is_safe_is_tried_again():
    receipt = http(messages.encode_revision(4))
    with fake(b"", b"", receipt) as (url, seen):
        client = RemoteMatcher(url, TOKEN)
        assert client.commit(GALLERY, [block(0)]) == 4
        assert len(seen) == 3
        client.close()
    with fake(b"") as (url, seen):
        client = RemoteMatcher(url, TOKEN)
        with pytest.raises(UnavailableError):
            client.info(GALLERY)
        assert len(seen) == 3
        for call in (lambda: client.create(spec()), lambda: client.delete(GALLERY)):
            before = len(seen)
            with pytest.raises(UnavailableError):
                call()
            assert len(seen) == before + 1
        client.close()


def test_a_silent_server_times_out():
    for answer in (b"", http(WHOLE, FRAMES)[:-10]):
        with fake(answer, linger=2) as (url, seen):
            client = RemoteMatcher(url, TOKEN, timeout=0.3)
            started = time.monotonic()
            with pytest.raises(UnavailableError):
                search(client)
            assert time.monotonic() - started < 1.5
            assert len(seen) == 1
            client.close()


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = RemoteMatcher(f"http://127.0.0.1:{port}", TOKEN)
    with pytest.raises(UnavailableError, match="running"):
        client.galleries()
    client.close()


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://127.0.0.1", "http://", "http://u:p@127.0.0.1", "http://[::1"]
)
def test_bad_urls(url):
    with pytest.raises(UsageError):
        RemoteMatcher(url, TOKEN)


def test_the_token_goes_to_nobody_in_the_clear():
    for url in ("http://192.0.2.1:80", "http://example.org", "http://0.0.0.0"):
        with pytest.raises(RefusedError):
            RemoteMatcher(url, TOKEN)
        RemoteMatcher(url, TOKEN, allow_insecure_http=True).close()
    for url in ("http://localhost:1", "http://[::1]:1", "http://127.9.9.9:1", "https://example.org"):
        RemoteMatcher(url, TOKEN).close()
    for token in ("", "a b", "a\r\nX-Evil: 1", "ä" * 20):
        with pytest.raises(UsageError):
            RemoteMatcher("http://localhost", token)


@pytest.mark.parametrize(
    "gallery_id", ["", "x", "../" * 8, "0" * 31 + "/", "0" * 33, GALLERY + "\n", "%2e%2e"]
)
def test_no_gallery_id_reaches_into_the_path(gallery_id):
    with fake(b"") as (url, seen):
        client = RemoteMatcher(url, TOKEN)
        for call in (client.info, client.delete, lambda bad: list(client.fetch(bad, [1]))):
            with pytest.raises(NotFoundError):
                call(gallery_id)
        assert not seen
        client.close()


# -- real servers --------------------------------------------------------------------------


def test_two_clients_of_one_gallery(tmp_path):
    with server(tmp_path) as running:
        one, two = running.client(), running.client()
        gallery_id = one.create(spec()).gallery_id
        assert one.commit(gallery_id, [block(0), block(1)]) == 1
        assert one.commit(gallery_id, [block(0), block(1)]) == 1
        assert [b.block_id for b in two.changes(gallery_id, 0).blocks] == [0, 1]
        assert two.commit(gallery_id, [block(0, 2)]) == 2
        with pytest.raises(ConflictError, match="Block 0 of gallery people is at version 2"):
            one.commit(gallery_id, [block(0, 2, 9), block(2)])
        assert [same(b, block(0, 2)) for b in one.fetch(gallery_id, [0])] == [True]
        answers = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(one.search(gallery_id, KEY_ID, PARAMS.params_id, unit_probe()))
            )
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 12
        wanted = [block(0, 2), block(1)]
        for answer in answers:
            assert answer.revision == 2
            assert (scores(answer)[0] == [b.body.view("<i4").reshape(32, 16)[:, 0] for b in wanted]).all()
        stranger = RemoteMatcher(running.url, TOKEN)
        with pytest.raises(UnauthorizedError):
            stranger.galleries()
        with pytest.raises(UnauthorizedError):  # also while it is still sending
            stranger.commit(gallery_id, [Block(0, 3, b"", np.zeros(30 << 20, np.uint8), b"")])
        for client in (one, two, stranger):
            client.close()
        assert running.stop() == 0


def test_a_server_killed_in_the_middle_of_an_answer(tmp_path):
    wide = Params(width=16, rows=4096)  # 256 KiB a block
    with server(tmp_path) as running:
        client = running.client()
        gallery_id = client.create(spec(params=wide)).gallery_id
        for first in range(0, 128, 64):
            client.commit(gallery_id, [block(i, 1, i, wide) for i in range(first, first + 64)])
        blocks = client.fetch(gallery_id, range(128))
        assert same(next(blocks), block(0, 1, 0, wide))
        running.kill()
        with pytest.raises(UnavailableError):
            list(blocks)
        with pytest.raises(UnavailableError):
            client.info(gallery_id)
        client.close()


def test_an_error_after_the_answer_has_begun(tmp_path):
    wide = Params(width=16, rows=4096)
    with server(tmp_path) as running:
        client, other = running.client(), running.client()
        gallery_id = client.create(spec(params=wide)).gallery_id
        for first in range(0, 128, 64):
            client.commit(gallery_id, [block(i, 1, i, wide) for i in range(first, first + 64)])
        with (tmp_path / f"{gallery_id}.tiles").open("r+b") as tiles:
            tiles.seek(2 * wide.body_bytes + 5)
            tiles.write(b"\xff")
        blocks = client.fetch(gallery_id, range(128))
        assert [next(blocks).block_id, next(blocks).block_id] == [0, 1]
        with pytest.raises(TamperedError, match="Block 2 of gallery people"):
            next(blocks)
        blocks = client.fetch(gallery_id, [*range(100, 128), *range(3, 100)])
        next(blocks)
        other.delete(gallery_id)
        with pytest.raises(NotFoundError):
            list(blocks)
        client.close()
        other.close()


def test_a_large_answer_in_many_pieces(tmp_path):
    wide = Params(width=16, rows=4096)
    with server(tmp_path) as running:
        client = running.client()
        gallery_id = client.create(spec(params=wide)).gallery_id
        client.commit(gallery_id, [block(i, 1, None, wide) for i in range(40)])
        probes = np.repeat(unit_probe(wide), 3, axis=0)
        answer = client.search(gallery_id, KEY_ID, wide.params_id, probes)
        wanted = np.stack(
            [block(i, 1, None, wide).body.view("<i4").reshape(4096, 16)[:, 0] for i in range(40)]
        )
        assert (scores(answer) == wanted).all()
        client.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1 and its key, as files."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder


def test_tls(tmp_path, certificate):
    cert, key = str(certificate / "cert.pem"), str(certificate / "key.pem")
    with server(tmp_path / "data", host="127.0.0.1", tls_cert=cert, tls_key=key) as running:
        assert running.url.startswith("https://")
        client = running.client(ca_file=cert)
        gallery_id = client.create(spec()).gallery_id
        assert client.commit(gallery_id, [block(0)]) == 1
        client.close()
        untrusting = running.client()
        with pytest.raises(UnavailableError, match="certificate is not trusted"):
            untrusting.galleries()
        untrusting.close()
        plain = RemoteMatcher(running.url.replace("https", "http"), running.token)
        with pytest.raises(BlindsightError):
            plain.galleries()
        plain.close()
        elsewhere = RemoteMatcher(running.url.replace("127.0.0.1", "localhost"), running.token, ca_file=cert)
        with pytest.raises(UnavailableError, match="certificate"):
            elsewhere.galleries()
        elsewhere.close()
    with server(tmp_path / "plain") as running:
        secure = RemoteMatcher(running.url.replace("http", "https"), running.token, ca_file=cert)
        with pytest.raises(UnavailableError, match="TLS"):
            secure.galleries()
        secure.close()
    with pytest.raises(UsageError):
        RemoteMatcher("https://localhost", TOKEN, ca_file=tmp_path / "none.pem")
    with pytest.raises(UsageError):
        RemoteMatcher("https://localhost", TOKEN, ca_file=key)
