"""Two ends of a real TLS channel in one process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blindsight.wire.channel import Channel, connect, greet
from blindsight.wire.tls import Identity


@contextmanager
def pair(folder: Path) -> Iterator[tuple[Channel, Channel]]:
    """Party 0's end and party 1's."""
    zero = Identity.create(folder / "zero", "party0", "north")
    one = Identity.create(folder / "one", "party1", "south")
    zero.trust(one.folder / "certificate.pem")
    one.trust(zero.folder / "certificate.pem")
    accepted: list[Channel] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            accepted.append(greet(one, listener.accept()[0], "party0"))

        thread = threading.Thread(target=accept)
        thread.start()
        client = connect(zero, "127.0.0.1", listener.getsockname()[1], "party1")
        thread.join(20)
    with client, accepted[0]:
        yield client, accepted[0]
