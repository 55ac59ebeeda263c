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
_RECORD: Final = 1 << 14
"""What TLS hands out at once; a message of a run fits, its length with it."""
_EAGER_SECONDS: Final = 3e-4
_LEAST_EAGER_SECONDS: Final = 2e-5
"""How long an answer is looked for before sleeping, and when that is given up for being in vain."""


class Channel:
    """One connection with ``peer``. Errors are `UnavailableError` where it broke or timed out.

    After any error the channel is to be closed: it may stand in the middle of a message.
    ``purpose`` is one of `tls.PURPOSES`, or empty.
    """

    def __init__(self, connection: ssl.SSLSocket, peer: Peer, purpose: str = "") -> None:
        self.peer, self.purpose = peer, purpose
        self._eager = _EAGER_SECONDS
        self.sent_bytes = self.received_bytes = 0
        self._socket = connection
        self._inbox = _Inbox(peer.name, connection)
        connection.setblocking(False)

    @property
    def group(self) -> str:
        """The group of the key exchange; empty where this Python does not tell (before 3.15)."""
        tell = getattr(self._socket, "group", None)
        return str(tell() or "") if callable(tell) else ""

    def send(self, message: bytes | bytearray, timeout: float | None = None) -> None:
        """Send one message."""
        self._run(message, None, timeout)

    def receive(self, at_most: int, timeout: float | None = None) -> bytearray:
        """The next message, of at most that many bytes; `MalformedError` where it announces more."""
        return self._run(None, at_most, timeout)

    def exchange(self, message: bytes | bytearray, at_most: int, timeout: float | None = None) -> bytearray:
        """Send one message and take one, at the same time."""
        return self._run(message, at_most, timeout)

    def poll(self, at_most: int) -> bytearray | None:
        """As `receive`, but None where the whole of a message has not come yet; what has come is kept."""
        try:
            message = self._inbox.take(at_most, True)
        except (OSError, ValueError) as error:
            raise _broken(error) from None
        if message is not None:
            self.received_bytes += _LENGTH.size + len(message)
        return message

    def waiting(self, timeout: float, *others: Channel | socket.socket) -> bool:
        """Whether something arrives within ``timeout`` seconds (the end of the connection, too).

        Returns early where something arrives at one of ``others``.
        """
        try:
            if self._pending():
                return True
            if any(isinstance(other, Channel) and other._pending() for other in others):
                timeout = 0.0
            readable, _, _ = select.select([self, *others], [], [], timeout)
        except (OSError, ValueError) as error:
            raise _broken(error) from None
        return self in readable

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def _pending(self) -> bool:
        """Whether something has come in that `select` does not see any more."""
        return self._inbox.held or bool(self._socket.pending())

    def _run(
        self, message: bytes | bytearray | None, at_most: int | None, timeout: float | None
    ) -> bytearray:
        ends = None if timeout is None else time.monotonic() + timeout
        out = memoryview(b"" if message is None else _LENGTH.pack(len(message)) + message)
        self.sent_bytes += len(out)
        taken = bytearray() if at_most is None else None
        try:
            readable = bool(self._socket.pending())
            while True:
                if out:
                    out = out[self._push(out) :]
                if taken is None and at_most is not None:
                    taken = self._inbox.take(at_most, readable)
                if not out and taken is not None:
                    break
                readable = self._answered() if at_most is not None and not out else False
                if not readable:
                    readable = self._wait(bool(out), ends)
        except (OSError, ValueError) as error:
            raise _broken(error) from None
        if at_most is not None:
            self.received_bytes += _LENGTH.size + len(taken)
        return taken

    def _answered(self) -> bool:
        """Look for what comes without sleeping, for up to 0.3 ms; whether it is there.

        Waking a core up takes longer than a round of two parties does. Half as long after each time in
        vain, and as long again after a message that would have been found.
        """
        began = time.perf_counter()
        while (spent := time.perf_counter() - began) < self._eager:
            if select.select([self._socket], (), (), 0)[0]:
                self._eager = _EAGER_SECONDS
                return True
        if self._eager < _LEAST_EAGER_SECONDS:  # asleep: would it have come?
            readable = bool(select.select([self._socket], (), (), _EAGER_SECONDS)[0])
            self._eager = _EAGER_SECONDS if readable else 0.0
            return readable
        self._eager = spent / 2
        return False

    def _push(self, out: memoryview) -> int:
        try:
            return self._socket.send(out[:_PIECE])
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def _wait(self, to_send: bool, ends: float | None) -> bool:
        """Wait until something can be done; whether that is to read."""
        left = None if ends is None else ends - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        writers = [self._socket] if to_send else []
        readers, _, _ = select.select([self._socket], writers, [], left)
        return bool(readers)

    def close(self) -> None:
        """End the connection. Calling it twice is harmless."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Inbox:
    """What comes in, a record of TLS at a time, cut into messages.

    A small message and its length take one read. A large one is read to where it will lie, once its
    length was allowed.
    """

    def __init__(self, name: str, connection: ssl.SSLSocket) -> None:
        self._name, self._socket = name, connection
        self._record = memoryview(bytearray(_RECORD))
        self._start = self._end = 0
        self._message: bytearray | None = None
        self._got = 0

    @property
    def held(self) -> bool:
        """Whether a whole message is here that was read along with the last one."""
        here = self._end - self._start - _LENGTH.size
        return here >= 0 and _LENGTH.unpack_from(self._record, self._start)[0] <= here

    def take(self, at_most: int, readable: bool) -> bytearray | None:
        """The next message, if all of it has come in by now; ``readable`` says that there is more."""
        while (message := self._cut(at_most)) is None:
            if not (readable and self._pull()):
                return None
        return message

    def _cut(self, at_most: int) -> bytearray | None:
        """The next message, out of what was read; where it is larger, make room for all of it."""
        if self._message is None:
            if self._end - self._start < _LENGTH.size:
                return None
            (size,) = _LENGTH.unpack_from(self._record, self._start)
            if size > at_most:
                raise MalformedError(
                    f"{self._name} announced a message of {size} bytes, which is over the limit."
                )
            first = self._start + _LENGTH.size
            self._got = min(size, self._end - first)
            self._start = first + self._got
            self._message = bytearray(size)
            self._message[: self._got] = self._record[first : self._start]
        if self._got < len(self._message):
            return None
        message, self._message = self._message, None
        return message

    def _pull(self) -> int:
        """Read what is there; how many bytes that was."""
        try:
            if self._message is not None:
                with memoryview(self._message)[self._got : self._got + _PIECE] as view:
                    got = self._socket.recv_into(view)
                self._got += got
            else:
                rest = self._record[self._start : self._end]
                self._record[: len(rest)] = rest
                self._start, self._end = 0, len(rest)
                got = self._socket.recv_into(self._record[self._end :])
                self._end += got
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        if not got:
            raise ConnectionResetError
        return got


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
