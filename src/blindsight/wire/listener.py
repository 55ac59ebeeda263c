"""A listening socket whose connections are greeted in threads of their own."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from typing import Final

from blindsight.core.errors import BlindsightError, UnavailableError, UsageError
from blindsight.wire.channel import Channel, greet
from blindsight.wire.tls import Identity

_log = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 128


def _nothing(_: str) -> None:
    pass


class Listener:
    """Bound when this returns; `run` accepts until `close`.

    Args:
        identity: whom we are, and whom we let connect.
        address: host and port; port 0 takes a free one.
        roles: in which roles others may connect.
        serve: called with each channel, in its connection's own thread; until it returns the
            connection counts among the `MOST_CONNECTIONS` that there may be.
        refused: called with ``busy`` or ``connection`` where somebody did not get in.

    Raises:
        UsageError: nobody can listen there.

    """

    def __init__(
        self,
        identity: Identity,
        address: tuple[str, int],
        roles: tuple[str, ...],
        serve: Callable[[Channel], None],
        refused: Callable[[str], None] = _nothing,
    ) -> None:
        self._identity, self._roles, self._serve, self._refused = identity, roles, serve, refused
        self._socket = bound(*address)
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._stopping = False

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def run(self) -> None:
        """Accept until `close`."""
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                if self._stopping:
                    return
                continue
            if not self._free.acquire(blocking=False):
                self._refused("busy")
                raw.close()
                continue
            threading.Thread(target=self._admit, args=(raw,), name="connection", daemon=True).start()

    def _admit(self, raw: socket.socket) -> None:
        try:
            self._serve(greet(self._identity, raw, *self._roles))
        except UnavailableError as error:
            _log.info("%s", error.message)
        except BlindsightError as error:
            self._refused("connection")
            _log.warning("%s", error.message)
        finally:
            self._free.release()

    def close(self) -> None:
        """Take no more connections; those that there are go on."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. `UsageError` where nobody can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OverflowError:
        raise UsageError("A port is a number from 0 to 65535.") from None
    except OSError as error:
        raise UsageError(f"Cannot listen on {host}, port {port}: {error.strerror}.") from None
