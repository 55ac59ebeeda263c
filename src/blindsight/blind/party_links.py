"""A connection that a party serves in a thread of its own: what cameras' and providers' have in common."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from blindsight.blind.party_intake import Feed, Intake, window
from blindsight.core.errors import BlindsightError, MalformedError, MismatchError, TooLargeError
from blindsight.schemes.spdz2k.messages import HEADER_BYTES, Kind, Layout
from blindsight.wire.channel import Channel
from blindsight.wire.party_messages import Credit, Over

if TYPE_CHECKING:
    from blindsight.blind.party_door import Door

_log = logging.getLogger(__name__)

_SECONDS: Final = 30.0
"""For a message that has begun, and for the other end to take one."""

_CREDIT_SECONDS: Final = 0.05
"""Credits are gathered for so long: waking this thread for each would slow the run that it is about."""

_GRANT_BYTES: Final = 256


class Link:
    """One connection; its thread runs `serve`, others may `post`."""

    def __init__(self, channel: Channel, party: int, intake: Intake, door: Door) -> None:
        self.role, self.name = channel.peer.role, channel.peer.name
        self._channel, self._party, self._intake, self._door = channel, party, intake, door
        self._outbox: deque[bytes] = deque()
        self._credits: deque[tuple[bytes, int]] = deque()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._closing = False

    # -- what a kind of connection does ----------------------------------------------------------

    def _take(self, message: bytearray) -> None:
        """Act on a message. `ProtocolError` ends the connection."""
        raise NotImplementedError

    def _layouts(self) -> list[Layout]:
        """Of the sessions that messages may be about."""
        raise NotImplementedError

    def _ended(self) -> None:
        """The connection is no more: end what depends on it."""
        raise NotImplementedError

    # -- from any thread -------------------------------------------------------------------------

    def post(self, message: bytes) -> None:
        """Send this soon."""
        self._outbox.append(message)
        with contextlib.suppress(OSError):  # full: it is awake
            self._wake.send(b"\x00")

    def credit(self, session: bytes, faces: int) -> None:
        """As `Answers`; sent at the latest when `serve` looks up next."""
        self._credits.append((session, faces))

    def over(self, session: bytes, reason: str) -> None:
        """As `Answers`."""
        self.post(Over(session, reason).pack())

    def close(self) -> None:
        """End it soon."""
        self._closing = True
        self.post(b"")

    # -- its own thread --------------------------------------------------------------------------

    def serve(self) -> None:
        """Until the other end is gone, or says something that it may not: `ProtocolError`."""
        try:
            self.post(self._door.state().pack())
            while not self._closing:
                self._flush()
                if self._channel.waiting(_CREDIT_SECONDS, self._woken):
                    self._take(self._channel.receive(self._most(), _SECONDS))
                else:
                    self._calm()
        finally:
            self._ended()
            self._channel.close()
            self._wake.close()
            self._woken.close()

    def _calm(self) -> None:
        """Take in what woke this thread. Not between two messages: a run may have just begun on them."""
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def _flush(self) -> None:
        owed: dict[bytes, int] = {}
        while self._credits:
            session, faces = self._credits.popleft()
            owed[session] = owed.get(session, 0) + faces
        for session, faces in owed.items():
            self._channel.send(Credit(session, faces).pack(), _SECONDS)
        while self._outbox:
            if message := self._outbox.popleft():
                self._channel.send(message, _SECONDS)

    def _most(self) -> int:
        """The largest message that may come now, or was on its way when the list changed."""
        layouts = self._layouts()
        if (listed := self._door.lists.compared) is not None:
            layouts.append(Layout(listed.watchlist.params, len(listed.names)))
        return max([_GRANT_BYTES, *(_largest(layout, self._party) for layout in layouts)])

    def _put(self, feed: Feed, message: bytearray, allowed: bool) -> bool:
        """Material or inputs into the session, which ends where they are wrong; whether they were taken."""
        try:
            if not allowed:
                raise MalformedError("Material came from who masks faces, or inputs from who deals.")
            self._intake.put(feed, message)
        except (MalformedError, MismatchError, TooLargeError) as error:
            reason = {MalformedError: "malformed", MismatchError: "replay"}.get(type(error), "window")
            self._door.metrics.refused.labels(reason).inc()
            _log.warning("%s %s: %s", self.role, self.name, error.message)
            self._intake.end(feed, reason)
        return not feed.over

    def _refuse(self, session: bytes, error: BlindsightError) -> None:
        """A grant that cannot be taken."""
        self._door.metrics.refused.labels("grant").inc()
        _log.warning("%s %s: %s", self.role, self.name, error.message)
        self.over(session, "refused")


def _largest(layout: Layout, party: int) -> int:
    material = layout.size((Kind.MATERIAL_0, Kind.MATERIAL_1)[party], 1)
    faces = min(window(material), layout.most_faces)
    return HEADER_BYTES + faces * max(material, layout.size(Kind.INPUTS, 1))
