"""Which key exchange the links between participants get here, and whether a quantum computer could undo it.

TLS 1.3 says in the clear which group a server chose. So the answer is no guess from version
numbers: two ends of our own shake hands in memory, and the server's first message is read.
"""

from __future__ import annotations

import contextlib
import ssl
import struct
import tempfile
from pathlib import Path
from typing import Final

from blindsight.core.errors import MalformedError
from blindsight.wire.tls import Identity

HYBRID: Final = {0x11EB: "SecP256r1MLKEM768", 0x11EC: "X25519MLKEM768", 0x11ED: "SecP384r1MLKEM1024"}
"""Groups that stay safe unless both halves fall (IANA's numbers)."""

_CLASSICAL: Final = {0x17: "P-256", 0x18: "P-384", 0x19: "P-521", 0x1D: "X25519", 0x1E: "X448"}
_HANDSHAKE, _SERVER_HELLO, _KEY_SHARE = 22, 2, 51


def negotiated() -> int:
    """The group that two ends on this machine agree on, with the contexts that links use."""
    with tempfile.TemporaryDirectory(prefix="blindsight-") as folder:
        zero, one = (Identity.create(Path(folder) / role, role, role) for role in ("party0", "party1"))
        zero.trust(one.folder / "certificate.pem")
        one.trust(zero.folder / "certificate.pem")
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = zero.context(False).wrap_bio(to_client, to_server)
        server = one.context(True).wrap_bio(to_server, to_client, server_side=True)
        for end in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
        return group_of(to_client.read())


def name_of(group: int) -> str:
    """A group's name, or its number where we know none."""
    return HYBRID.get(group) or _CLASSICAL.get(group) or f"group {group:#06x}"


def group_of(hello: bytes) -> int:
    """The group that a server chose, by the first bytes that it sent (RFC 8446, sections 4.1.3 and 4.2.8).

    Raises:
        MalformedError: these are not the beginning of a TLS 1.3 server's answer.

    """
    try:
        kind, _, _, message, length, _ = struct.unpack_from(">BHHBxHH", hello)
        if (kind, message) != (_HANDSHAKE, _SERVER_HELLO) or len(hello) < 9 + length:
            raise MalformedError(_WRONG)
        at = 43 + 1 + hello[43] + 2 + 1  # the session, the cipher suite, the compression
        (rest,) = struct.unpack_from(">H", hello, at)
        at, end = at + 2, at + 2 + rest
        while at < end:
            extension, size = struct.unpack_from(">HH", hello, at)
            if extension == _KEY_SHARE:
                group: int = struct.unpack_from(">H", hello, at + 4)[0]
                return group
            at += 4 + size
    except (struct.error, IndexError):
        pass
    raise MalformedError(_WRONG)


_WRONG: Final = "This is not how a TLS 1.3 server answers."
