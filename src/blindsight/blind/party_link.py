"""One connection between the two parties, for as long as a command takes: party 0 dials, party 1 listens."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Final

from blindsight.core.errors import UnauthorizedError, UnavailableError
from blindsight.wire.channel import Channel, connect, greet
from blindsight.wire.listener import bound
from blindsight.wire.tls import Identity

_AGAIN_SECONDS: Final = 0.2


def link(number: int, identity: Identity, address: tuple[str, int], wait: float) -> Channel:
    """Meet the other party.

    Args:
        number: 0 dials the address, 1 listens there.
        identity: of this party; it trusts the other.
        address: of party 1.
        wait: seconds until it is given up.

    Raises:
        UnavailableError: the other party did not come.
        UnauthorizedError: somebody who is not trusted answers at party 1's address.

    """
    ends = time.monotonic() + wait
    if number == 0:
        while True:
            try:
                return connect(identity, *address, "party1")
            except UnavailableError:
                if time.monotonic() + _AGAIN_SECONDS > ends:
                    raise
                time.sleep(_AGAIN_SECONDS)
    with bound(*address) as listener:
        return accept(listener, identity, ends - time.monotonic())


def accept(listener: socket.socket, identity: Identity, wait: float) -> Channel:
    """The first connection of party 0; others are sent away."""
    ends = time.monotonic() + wait
    while (left := ends - time.monotonic()) > 0:
        listener.settimeout(left)
        with contextlib.suppress(UnauthorizedError, TimeoutError):
            raw, _ = listener.accept()
            raw.setblocking(True)
            return greet(identity, raw, "party0")
    raise UnavailableError("The other party did not come in time; start it, and this one again.")
