"""What cameras have sent and no run has taken: sessions, their material and inputs, whose turn it is.

Camera threads put in, the thread that owns the link between the parties takes out. Nothing
here decides anything about a face; it keeps numbers in order and stores within their limits.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, Protocol

from blindsight.core.errors import MalformedError, MismatchError, TooLargeError
from blindsight.schemes.spdz2k.compute import Session
from blindsight.schemes.spdz2k.messages import HEADER_BYTES, Header, Kind
from blindsight.wire.party_messages import MOST_IN_RUN

PATIENCE: Final = 2.0
"""Seconds for which party 0 asks for faces that party 1 has not got."""

_AGAIN: Final = 0.01
_STORE_BYTES: Final = 64 << 20
_MOST_WINDOW: Final = 128


class Answers(Protocol):
    """How a camera is told; called under no lock but the intake's, and must not block."""

    def credit(self, session: bytes, faces: int) -> None: ...

    def over(self, session: bytes, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Faces:
    """Material and inputs of the faces of one run, for `Session.begin`."""

    first: int
    count: int
    material: bytes | bytearray
    inputs: bytes | bytearray


class _Stream:
    """Messages of one kind, about ascending face numbers, cut and merged by face."""

    def __init__(self, kind: Kind, session: bytes, face_bytes: int) -> None:
        self.kind, self._session, self._face_bytes = kind, session, face_bytes
        self._blocks: deque[tuple[int, int, bytes | bytearray]] = deque()
        self.end = 0

    def put(self, header: Header, message: bytes | bytearray) -> None:
        if len(message) != HEADER_BYTES + header.count * self._face_bytes:
            raise MalformedError("A camera's message does not have the size that its faces need.")
        if header.first < self.end:
            raise MismatchError("A camera sent a face number for the second time.")
        self._blocks.append((header.first, header.count, message))
        self.end = header.first + header.count

    def first(self) -> int | None:
        return self._blocks[0][0] if self._blocks else None

    def reach(self, first: int, most: int) -> int:
        """How many faces from ``first`` on are here without a gap, at most ``most``."""
        found = 0
        for start, count, _ in self._blocks:
            if start <= first + found < start + count:
                found = start + count - first
            elif start > first + found:
                break
        return min(found, most)

    def look(self, first: int, count: int) -> bytes | bytearray:
        """A message of exactly these faces, which stay."""
        if self._blocks[0][:2] == (first, count):
            return self._blocks[0][2]
        parts: list[bytes | memoryview] = [Header(self.kind, self._session, first, count).pack()]
        for start, held, message in self._blocks:
            low, high = max(first, start), min(first + count, start + held)
            if low < high:
                body = memoryview(message)[HEADER_BYTES:]
                parts.append(body[(low - start) * self._face_bytes : (high - start) * self._face_bytes])
        return b"".join(parts)

    def drop(self, below: int) -> int:
        """Forget all faces below a number; how many there were."""
        dropped = 0
        while self._blocks and self._blocks[0][0] < below:
            start, count, message = self._blocks.popleft()
            gone = min(below - start, count)
            dropped += gone
            if gone < count:
                rest = bytes(memoryview(message)[HEADER_BYTES + gone * self._face_bytes :])
                header = Header(self.kind, self._session, below, count - gone)
                self._blocks.appendleft((below, count - gone, header.pack() + rest))
        return dropped


class Feed:
    """One camera session: the party's `Session` and what waits for it. Made by `Intake.open`."""

    def __init__(self, session: Session, names: tuple[str, ...], answers: Answers) -> None:
        grant = session.grant
        layout = grant.layout
        kind = (Kind.MATERIAL_0, Kind.MATERIAL_1)[grant.party]
        self.session, self.names, self.answers = session, names, answers
        self.window = window(layout.size(kind, 1))
        self.material = _Stream(kind, grant.session, layout.size(kind, 1) - HEADER_BYTES)
        self.inputs = _Stream(Kind.INPUTS, grant.session, layout.size(Kind.INPUTS, 1) - HEADER_BYTES)
        self.stored = self.floor = 0
        self.over = False
        self.running = False
        self.asked: float | None = None
        self.not_before = 0.0

    @property
    def id(self) -> bytes:
        """The 16 bytes that name the session."""
        return self.session.grant.session

    def ready(self, first: int, most: int) -> int:
        """Faces from ``first`` on of which material and inputs are here."""
        return min(self.material.reach(first, most), self.inputs.reach(first, most))

    def look(self, first: int, count: int) -> Faces:
        """These faces, of which everything is here."""
        return Faces(first, count, self.material.look(first, count), self.inputs.look(first, count))


def window(material_bytes: int) -> int:
    """How many faces of a camera are stored at most."""
    return max(1, min(_MOST_WINDOW, _STORE_BYTES // material_bytes))


class Intake:
    """All camera sessions of a party. Safe to share between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._feeds: OrderedDict[bytes, Feed] = OrderedDict()
        self.dropped = 0

    def open(self, feed: Feed) -> None:
        """A new session. `MismatchError` where another camera's has the same name."""
        with self._changed:
            if feed.id in self._feeds:
                raise MismatchError("This camera session is open already.")
            self._feeds[feed.id] = feed

    def put(self, feed: Feed, message: bytes | bytearray) -> None:
        """Take material or inputs in.

        Raises:
            MalformedError: neither, of another size, or an input without material.
            MismatchError: of another session, or numbers that came before.
            TooLargeError: more faces than the window allows.

        """
        header = Header.parse(message)
        with self._changed:
            if feed.over:
                return
            if header.session != feed.id:
                raise MismatchError("A camera sent faces of another session.")
            if header.kind is Kind.INPUTS:
                start, end = max(header.first, feed.floor), header.first + header.count
                if start < end and feed.material.reach(start, end - start) < end - start:
                    raise MalformedError("A camera sent inputs without their material.")
                feed.inputs.put(header, message)
                feed.inputs.drop(feed.floor)
                self._changed.notify_all()
                return
            if header.kind is not feed.material.kind:
                raise MalformedError("A camera sent a message that is not for this party.")
            if feed.stored + header.count > feed.window:
                raise TooLargeError("A camera sent more faces than it was allowed to.")
            feed.material.put(header, message)
            feed.stored += header.count
            self._drop(feed, feed.floor)

    def end(self, feed: Feed, reason: str) -> None:
        """End a session; at once, or, where a run of it is under way, after that run."""
        with self._changed:
            if feed.over:
                return
            feed.over = True
            if self._feeds.get(feed.id) is feed:
                del self._feeds[feed.id]
            feed.answers.over(feed.id, reason)
            self._forget(feed)

    def end_all(self, reason: str) -> None:
        """End every session."""
        with self._changed:
            for feed in list(self._feeds.values()):
                self.end(feed, reason)

    def finished(self, feed: Feed) -> None:
        """The run of this session is through."""
        with self._changed:
            feed.running = False
            self._forget(feed)

    def waiting(self) -> int:
        """Faces that wait."""
        with self._changed:
            return sum(feed.stored for feed in self._feeds.values())

    def wake(self) -> None:
        """Have `proposal` return."""
        with self._changed:
            self._changed.notify_all()

    # -- party 0 -----------------------------------------------------------------------------

    def proposal(self, seconds: float) -> tuple[Feed, int, int] | None:
        """The next faces to propose, sessions in turn; None where none come within ``seconds``.

        What is proposed stays, even if its session ends, until `take` or `missed`.
        """
        ends = time.monotonic() + seconds
        with self._changed:
            while True:
                now = time.monotonic()
                later = ends
                for feed in list(self._feeds.values()):
                    first = feed.inputs.first()
                    if first is None or not (count := feed.ready(first, MOST_IN_RUN)):
                        continue
                    if feed.not_before > now:
                        later = min(later, feed.not_before)
                        continue
                    self._feeds.move_to_end(feed.id)
                    feed.running = True
                    return feed, first, min(count, feed.session.grant.layout.most_faces)
                if now >= ends:
                    return None
                self._changed.wait(later - now)

    def look(self, feed: Feed, first: int, count: int) -> Faces:
        """Faces that were proposed, or some of them; they stay until `take` or `missed`."""
        with self._changed:
            return feed.look(first, count)

    def take(self, feed: Feed, first: int, count: int) -> None:
        """Party 1 has these too, of those that were proposed: they are used now; credit to the camera."""
        with self._changed:
            self._take(feed, first, count)

    def missed(self, feed: Feed, first: int, count: int) -> None:
        """Party 1 has none of those that were proposed: ask again soon, or drop them."""
        with self._changed:
            now = time.monotonic()
            feed.asked = feed.asked or now
            if now - feed.asked > PATIENCE:
                self._drop(feed, first + count)
                feed.asked = None
            else:
                feed.not_before = now + _AGAIN
            self.finished(feed)

    # -- party 1 -----------------------------------------------------------------------------

    def claim(self, session: bytes, first: int, count: int, seconds: float) -> tuple[Feed, Faces] | None:
        """Those of these faces that are here, from the first without a gap; None where there are none."""
        ends = time.monotonic() + seconds
        with self._changed:
            while True:
                feed = self._feeds.get(session)
                if feed is not None:
                    self._drop(feed, first)
                    here = feed.inputs.first()
                    if here is not None and here < first + count:
                        feed.running = True
                        faces = feed.look(here, feed.ready(here, first + count - here))
                        self._take(feed, faces.first, faces.count)
                        return feed, faces
                if (left := ends - time.monotonic()) <= 0:
                    return None
                self._changed.wait(left)

    # -- both --------------------------------------------------------------------------------

    def _take(self, feed: Feed, first: int, count: int) -> None:
        self._drop(feed, first)
        feed.material.drop(first + count)
        feed.inputs.drop(first + count)
        feed.stored -= count
        feed.floor = first + count
        feed.asked = None
        if not feed.over:
            feed.answers.credit(feed.id, count)

    def _drop(self, feed: Feed, below: int) -> None:
        feed.floor = max(feed.floor, below)
        feed.inputs.drop(below)
        if gone := feed.material.drop(below):
            feed.stored -= gone
            self.dropped += gone
            feed.answers.credit(feed.id, gone)

    def _forget(self, feed: Feed) -> None:
        """Drop what a session that is over holds, its key too."""
        if feed.over and not feed.running:
            feed.session.end()
            feed.inputs.drop(1 << 63)
            feed.material.drop(1 << 63)
            feed.stored = 0
