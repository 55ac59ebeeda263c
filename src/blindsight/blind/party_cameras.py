"""A party's listener: a thread for each camera, and the other party handed on (specs/party.md, section 2)."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from blindsight.blind.party_intake import Feed, Intake, window
from blindsight.blind.party_list import Compared, PartyList
from blindsight.blind.party_metrics import Metrics
from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    MismatchError,
    TooLargeError,
    UnavailableError,
)
from blindsight.schemes.spdz2k.compute import Session
from blindsight.schemes.spdz2k.messages import HEADER_BYTES, Header, Kind, Layout
from blindsight.schemes.spdz2k.public import Grant, Source
from blindsight.wire.channel import Channel, greet
from blindsight.wire.party_messages import Credit, Over, State
from blindsight.wire.tls import Identity

_log = logging.getLogger(__name__)

_MOST_CONNECTIONS: Final = 128
_SECONDS: Final = 30.0
"""For a message that has begun, and for a camera to take one."""

_CREDIT_SECONDS: Final = 0.05
"""Credits are gathered for so long: waking this thread for each would slow the run that it is about."""

_GRANT_BYTES: Final = 256


class CameraLink:
    """One camera's connection; its thread runs `serve`, others may `post`."""

    def __init__(self, channel: Channel, party: int, intake: Intake, door: Door) -> None:
        self.name = channel.peer.name
        self._channel, self._party, self._intake, self._door = channel, party, intake, door
        self._outbox: deque[bytes] = deque()
        self._credits: deque[tuple[bytes, int]] = deque()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._closing = False
        self._feed: Feed | None = None

    def post(self, message: bytes) -> None:
        """Send this soon; from any thread."""
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
        """End it soon; from any thread."""
        self._closing = True
        self.post(b"")

    def serve(self) -> None:
        """Until the camera is gone, or says something that it may not: `ProtocolError`."""
        try:
            self.post(self._door.state().pack())
            while not self._closing:
                self._flush()
                if self._channel.waiting(_CREDIT_SECONDS, self._woken):
                    self._take(self._channel.receive(self._most(), _SECONDS))
                else:
                    self._calm()
        finally:
            if self._feed is not None:
                self._intake.end(self._feed, "gone")
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
        """The largest message that this camera may send now, or was sending when the list changed."""
        layouts = [] if self._feed is None else [self._feed.session.grant.layout]
        if (listed := self._door.lists.compared) is not None:
            layouts.append(Layout(listed.watchlist.params, len(listed.names)))
        return max([_GRANT_BYTES, *(_largest(layout, self._party) for layout in layouts)])

    def _take(self, message: bytearray) -> None:
        header = Header.parse(message)
        if header.kind is Kind.GRANT:
            self._open(Grant.parse(bytes(message)), header.session)
            return
        feed = self._feed
        if feed is None or feed.over:
            return  # sent before the camera knew
        if header.session != feed.id:
            return  # of the session before
        try:
            self._intake.put(feed, message)
        except (MalformedError, MismatchError, TooLargeError) as error:
            reason = {MalformedError: "malformed", MismatchError: "replay"}.get(type(error), "window")
            self._door.metrics.refused.labels(reason).inc()
            _log.warning("camera %s: %s", self.name, error.message)
            self._intake.end(feed, reason)

    def _open(self, grant: Grant, session: bytes) -> None:
        if self._feed is not None:
            self._intake.end(self._feed, "replaced")
            self._feed = None
        compared = self._door.open_list()
        try:
            if compared is None:
                raise MismatchError("Faces are not compared now.")
            if (grant.camera, grant.party, grant.source) != (self.name, self._party, Source.CAMERA):
                raise MismatchError("This grant is not for this camera and this party.")
            if self._channel.peer.until < datetime.now(UTC):
                raise MismatchError("The camera's certificate has expired.")
            feed = Feed(Session(grant, compared.watchlist), compared.names, self)
            self._intake.open(feed)
        except BlindsightError as error:
            self._door.metrics.refused.labels("grant").inc()
            _log.warning("camera %s: %s", self.name, error.message)
            self.over(session, "refused")
            return
        self._feed = feed
        if self._door.open_list() is not compared:  # it changed in the meantime
            self._intake.end(feed, "watchlist")


def _largest(layout: Layout, party: int) -> int:
    material = layout.size((Kind.MATERIAL_0, Kind.MATERIAL_1)[party], 1)
    faces = min(window(material), layout.most_faces)
    return HEADER_BYTES + faces * max(material, layout.size(Kind.INPUTS, 1))


class Door:
    """The listener of a party, and all cameras connected through it."""

    def __init__(
        self,
        party: int,
        identity: Identity,
        listener: socket.socket,
        intake: Intake,
        lists: PartyList,
        metrics: Metrics,
        on_peer: Callable[[Channel], None],
    ) -> None:
        self.metrics = metrics
        self._party, self._identity, self._listener = party, identity, listener
        self._intake, self.lists, self._on_peer = intake, lists, on_peer
        self._lock = threading.Lock()
        self._links: dict[str, CameraLink] = {}
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._open = False
        self._reason = "counterpart"
        self._stopping = False

    def open_list(self) -> Compared | None:
        """The list that sessions may be opened for; None where faces are not compared now."""
        return self.lists.compared if self._open else None

    def set_open(self, agreed: bool, reason: str) -> None:
        """Say whether faces are compared, and tell all cameras what the list is."""
        self._open, self._reason = agreed and self.lists.compared is not None, reason
        self.metrics.agreed.set(self._open)
        message = self.state().pack()
        with self._lock:
            for link in self._links.values():
                link.post(message)

    def state(self) -> State:
        """What cameras are told."""
        founding, compared = self.lists.file.state.founding, self.lists.compared
        head = self.lists.file.state.head
        wide = 1
        if compared is not None:
            layout = Layout(compared.watchlist.params, len(compared.names))
            wide = window(layout.size((Kind.MATERIAL_0, Kind.MATERIAL_1)[self._party], 1))
        return State(
            party=self._party,
            open=self._open,
            reason="" if self._open else ("empty" if compared is None else self._reason),
            model_id=founding.model_id,
            normalised=founding.normalised,
            dimension=founding.dimension,
            scale=founding.scale,
            norm=founding.norm,
            value_bits=founding.value_bits,
            entries=0 if compared is None else len(compared.names),
            digest=bytes(32) if compared is None else compared.watchlist.digest,
            head=head,
            window=wide,
        )

    def listen(self) -> None:
        """Accept until `close`."""
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                if self._stopping:
                    return
                continue
            if not self._free.acquire(blocking=False):
                self.metrics.refused.labels("busy").inc()
                raw.close()
                continue
            threading.Thread(target=self._admit, args=(raw,), name="camera", daemon=True).start()

    def _admit(self, raw: socket.socket) -> None:
        try:
            channel = greet(self._identity, raw, *(("camera", "party0") if self._party else ("camera",)))
            if channel.peer.role == "party0":
                self._on_peer(channel)
            else:
                self._attend(CameraLink(channel, self._party, self._intake, self))
        except UnavailableError as error:
            _log.info("%s", error.message)
        except BlindsightError as error:
            self.metrics.refused.labels("connection").inc()
            _log.warning("%s", error.message)
        finally:
            self._free.release()

    def _attend(self, link: CameraLink) -> None:
        with self._lock:
            before = self._links.get(link.name)
            self._links[link.name] = link
            self.metrics.cameras.set(len(self._links))
        if before is not None:
            before.close()
        try:
            link.serve()
        finally:
            with self._lock:
                if self._links.get(link.name) is link:
                    del self._links[link.name]
                self.metrics.cameras.set(len(self._links))

    def close(self) -> None:
        """Take no more connections, and end those of cameras."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            links = list(self._links.values())
        for link in links:
            link.close()
