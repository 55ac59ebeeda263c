"""Which group the links get: as this OpenSSL does it, as a newer one answers, and what is no answer."""

from __future__ import annotations

import ssl
import struct

import pytest

from blindsight.cli import doctor
from blindsight.core.errors import MalformedError
from blindsight.wire import key_exchange
from blindsight.wire.key_exchange import HYBRID, group_of, name_of, negotiated


def server_hello(group, session=b"s" * 32, share=b"", before=True):
    """The first record of a server, RFC 8446, section 4.1.3."""
    version = struct.pack(">HHH", 43, 2, 0x0304)
    key = struct.pack(">HHHH", 51, 4 + len(share), group, len(share)) + share
    extensions = version + key if before else key + version
    body = struct.pack(">H", 0x0303) + b"r" * 32 + bytes([len(session)]) + session
    body += struct.pack(">HBH", 0x1301, 0, len(extensions)) + extensions
    handshake = b"\x02" + len(body).to_bytes(3, "big") + body
    return struct.pack(">BHH", 22, 0x0303, len(handshake)) + handshake


def test_what_two_ends_here_agree_on():
    group = negotiated()
    if ssl.OPENSSL_VERSION_INFO >= (3, 5):
        assert group == 0x11EC
    else:
        assert name_of(group) == "X25519"
        assert group not in HYBRID


def test_a_restricted_context_is_seen(monkeypatch):
    """It is the handshake that answers: another curve is another answer."""
    context = key_exchange.Identity.context

    def restricted(self, server):
        made = context(self, server)
        if server:
            made.set_ecdh_curve("prime256v1")
        return made

    monkeypatch.setattr(key_exchange.Identity, "context", restricted)
    assert name_of(negotiated()) == "P-256"


@pytest.mark.parametrize("group", [0x1D, 0x11EC])
@pytest.mark.parametrize("session", [b"", b"s" * 32])
@pytest.mark.parametrize("before", [False, True])
def test_answers_of_servers(group, session, before):
    hello = server_hello(group, session, b"k" * 1120, before)
    assert group_of(hello) == group
    for cut in range(60 + len(session)):
        with pytest.raises(MalformedError):
            group_of(hello[:cut])
    for at in (0, 5):
        with pytest.raises(MalformedError):
            group_of(hello[:at] + b"\x15" + hello[at + 1 :])


@pytest.mark.parametrize(
    ("group", "version", "status", "said"),
    [
        (0x11EC, (3, 5, 0), "ok", "yes, hybrid key exchange X25519MLKEM768"),
        (0x1D, (3, 0, 19), "warn", "no, key exchange X25519; this Python's"),
        (0x1D, (3, 6, 0), "warn", "leaves X25519MLKEM768 out"),
        (0x4242, (3, 6, 0), "warn", "group 0x4242"),
    ],
)
def test_what_doctor_says(monkeypatch, group, version, status, said):
    monkeypatch.setattr(key_exchange, "negotiated", lambda: group)
    monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", version)
    (finding,) = doctor._key_exchange()
    assert (finding.check, finding.status) == ("post-quantum", status)
    assert said in finding.detail
    assert "links between parties" in finding.detail
