"""Messages between two ends that know each other, over TLS: a length, then that many bytes.

A channel belongs to one thread at a time (OpenSSL lets nobody read while another writes). Where
both ends have something to say at once, `Channel.exchange` sends and reads in turns, so that
two large messages cannot block each other. Whoever receives says how much it is willing to
take before anything is read.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from typing import Final, Self

from blindsight.core.errors import MalformedError, UnauthorizedError, UnavailableError
from blindsight.wire.tls import Identity, Peer

_LENGTH: Final = struct.Struct("<I")
_HANDSHAKE_SECONDS: Final = 10.0
_PIECE: Final = 1 << 18


class Channel:
    """One connection with ``peer``. Errors are `UnavailableError` where it broke or timed out.

    After any error the channel is to be closed: it may stand in the middle of a message.
    ``purpose`` is one of `tls.PURPOSES`, or empty.
    """

    def __init__(self, connection: ssl.SSLSocket, peer: Peer, purpose: str = "") -> None:
        self.peer, self.purpose = peer, purpose
        self.sent_bytes = self.received_bytes = 0
        self._socket = connection
        connection.setblocking(False)

    def send(self, message: bytes | bytearray, timeout: float | None = None) -> None:
        """Send one message."""
        self._run(message, None, timeout)

    def receive(self, at_most: int, timeout: float | None = None) -> bytearray:
        """The next message, of at most that many bytes; `MalformedError` where it announces more."""
        return self._run(None, at_most, timeout)

    def exchange(self, message: bytes | bytearray, at_most: int, timeout: float | None = None) -> bytearray:
        """Send one message and take one, at the same time."""
        return self._run(message, at_most, timeout)

    def waiting(self, timeout: float, *others: Channel | socket.socket) -> bool:
        """Whether something arrives within ``timeout`` seconds (the end of the connection, too).

        Returns early where something arrives at one of ``others``.
        """
        try:
            if self._socket.pending():
                return True
            if any(isinstance(other, Channel) and other._socket.pending() for other in others):
                timeout = 0.0
            readable, _, _ = select.select([self, *others], [], [], timeout)
        except (OSError, ValueError) as error:
            raise _broken(error) from None
        return self in readable

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def _run(
        self, message: bytes | bytearray | None, at_most: int | None, timeout: float | None
    ) -> bytearray:
        ends = None if timeout is None else time.monotonic() + timeout
        out = memoryview(b"" if message is None else _LENGTH.pack(len(message)) + message)
        reader = None if at_most is None else _Reader(self.peer.name, at_most)
        self.sent_bytes += len(out)
        try:
            while out or (reader and not reader.done):
                sent = self._push(out) if out else 0
                out = out[sent:]
                took = reader.pull(self._socket) if reader and not reader.done else 0
                if not sent and not took and (out or (reader and not reader.done)):
                    self._wait(bool(out), ends)
        except (OSError, ValueError) as error:
            raise _broken(error) from None
        if reader is None:
            return bytearray()
        self.received_bytes += _LENGTH.size + len(reader.message)
        return reader.message

    def _push(self, out: memoryview) -> int:
        try:
            return self._socket.send(out[:_PIECE])
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def _wait(self, to_send: bool, ends: float | None) -> None:
        left = None if ends is None else ends - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        writers = [self._socket] if to_send else []
        select.select([self._socket], writers, [], left)

    def close(self) -> None:
        """End the connection. Calling it twice is harmless."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Reader:
    """One message, as it comes in."""

    def __init__(self, name: str, at_most: int) -> None:
        self.message = bytearray(_LENGTH.size)
        self.done = False
        self._name, self._at_most = name, at_most
        self._got, self._head = 0, True

    def pull(self, connection: ssl.SSLSocket) -> int:
        """Take what is there; how many bytes that was."""
        view = memoryview(self.message)[self._got : self._got + _PIECE]
        try:
            got = connection.recv_into(view)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        finally:
            view.release()
        if not got:
            raise ConnectionResetError
        self._got += got
        if self._got == len(self.message):
            self._next()
        return got

    def _next(self) -> None:
        if not self._head:
            self.done = True
            return
        (size,) = _LENGTH.unpack(self.message)
        if size > self._at_most:
            raise MalformedError(
                f"{self._name} announced a message of {size} bytes, which is over the limit."
            )
        self.message, self._got, self._head = bytearray(size), 0, False
        self.done = not size


def connect(
    identity: Identity, host: str, port: int, *roles: str, timeout: float = 10.0, purpose: str = ""
) -> Channel:
    """Reach a trusted participant in one of these roles, for a ``purpose`` of `tls.PURPOSES`.

    Raises `UnauthorizedError` where somebody else answers, or we are not trusted there.
    """
    try:
        raw = socket.create_connection((host, port), timeout)
    except OSError as error:
        raise UnavailableError(
            f"{host}, port {port}, cannot be reached: {error.strerror or error}."
        ) from None
    return _greet(identity, raw, roles, server=False, purpose=purpose)


def greet(identity: Identity, raw: socket.socket, *roles: str) -> Channel:
    """The server's half of `connect`, on a connection that was accepted."""
    return _greet(identity, raw, roles, server=True)


def _greet(
    identity: Identity, raw: socket.socket, roles: tuple[str, ...], *, server: bool, purpose: str = ""
) -> Channel:
    context = identity.context(server, purpose)
    try:
        raw.settimeout(_HANDSHAKE_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = context.wrap_socket(raw, server_side=server)
        # TLS 1.3 lets a client finish before it was accepted; a first byte each way tells it.
        if server:
            peer = identity.known(connection.getpeercert(binary_form=True))
            if peer is not None and peer.role in roles:
                connection.sendall(b"\x01")
        elif connection.recv(1) == b"\x01":
            peer = identity.known(connection.getpeercert(binary_form=True))
        else:
            peer = None
    except OSError as error:
        raw.close()
        raise UnauthorizedError(f"The other end was refused, or refused us: {_reason(error)}.") from None
    if peer is None or peer.role not in roles:
        connection.close()
        raise UnauthorizedError("The other end is not one that may connect here, or does not let us.")
    agreed = connection.selected_alpn_protocol() or ""
    if not server and agreed != purpose:
        connection.close()
        raise UnavailableError(f"{peer.role} {peer.name} does not know {purpose}; update Blindsight there.")
    return Channel(connection, peer, agreed)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failed").lower().replace("_", " ")
    return "the connection broke"


def _broken(error: Exception) -> UnavailableError:
    if isinstance(error, TimeoutError):
        return UnavailableError("The other end did not answer in time.")
    return UnavailableError("The connection to the other end broke.")
