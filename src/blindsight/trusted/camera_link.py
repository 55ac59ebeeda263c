"""The camera's end: deals, shares and sends to both parties, and keeps nothing (specs/party.md, section 2).

With a provider it does not deal, and masks faces with what that one sends (section 2.1).

What comes in are faces as integers (`schemes.spdz2k.share.quantise`); what happens in between
frames and faces is not this file's. Nothing comes back but that the parties took the faces.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from blindsight.core.errors import (
    BlindsightError,
    DimensionError,
    ProtocolError,
    UnavailableError,
    UsageError,
    VectorError,
)
from blindsight.core.types import I32
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.messages import Header, Layout
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import Sharer
from blindsight.trusted.camera_clock import StageClock
from blindsight.trusted.camera_provided import ProvidedSession, most_bytes, wanted
from blindsight.wire.channel import Channel, connect
from blindsight.wire.party_messages import Credit, Deal, Opened, Over, State, parse
from blindsight.wire.tls import Identity

_log = logging.getLogger(__name__)

_SECONDS: Final = 30.0
_DIAL_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
_LEAST_PAUSE: Final = 0.1
_ROLES: Final = ("party0", "party1", "provider")
_PROVIDER: Final = 2
_WHY: Final = {
    "counterpart": "the other party is not there.",
    "watchlist": "the parties' watchlists are not in step.",
    "empty": "nobody is on the watchlist.",
}
_MOST_TOGETHER: Final = 32
"""Faces shared in one message; more would not be taken in one run."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Faces, dummies not among them: offered, sent to both parties, answered, lost, dropped unsent.

    Beside them the dummies that were sent, and the sessions that were opened.
    """

    offered: int = 0
    sent: int = 0
    answered: int = 0
    lost: int = 0
    dropped: int = 0
    dummies: int = 0
    sessions: int = 0


@dataclass(slots=True)
class _Frame:
    faces: I32
    dummies: int

    def __len__(self) -> int:
        return len(self.faces) + self.dummies


class _Session:
    """One camera session: dealer, sharer, and what each party still allows."""

    def __init__(self, camera: str, states: tuple[State, State], params: Params) -> None:
        self.dealer = Dealer(params, states[0].digest, states[0].entries, camera=camera)
        self.id = self.dealer.session
        self.sharer = Sharer(params, self.dealer.session)
        self.credit = [state.window for state in states]
        self.most = Layout(params, states[0].entries).most_faces
        self.unanswered: list[deque[tuple[int, int]]] = [deque(), deque()]

    @property
    def room(self) -> int:
        """How many inputs may be sent together now."""
        return min(min(self.credit) + self.sharer.stock, self.most, _MOST_TOGETHER)

    def credited(self, party: int, faces: int) -> None:
        """A party took faces, and has room again."""
        self.credit[party] += faces


class CameraLink:
    """Sends faces to both parties from a thread of its own, from `start` to `close`.

    Args:
        identity: the camera's.
        parties: host and port of party 0 and of party 1.
        buffer: faces that may wait here; beyond them the oldest frame is dropped for the newest.
        ahead: faces dealt for and sent before there are any, which makes answers come sooner.
        most_pause: seconds between attempts to connect, at most.
        provider: host and port of who deals in this camera's place; it never deals itself then.
        clock: is told how long dealing, sharing and sending take.

    """

    def __init__(
        self,
        identity: Identity,
        parties: tuple[tuple[str, int], tuple[str, int]],
        *,
        buffer: int = 64,
        ahead: int = 0,
        most_pause: float = 5.0,
        provider: tuple[str, int] | None = None,
        clock: StageClock | None = None,
    ) -> None:
        if identity.own.role != "camera":
            raise UsageError(f"The identity in {identity.folder} is not a camera's.")
        if buffer < 1 or ahead < 0:
            raise UsageError("A camera keeps at least one face waiting, and deals for no less than none.")
        self._identity, self._buffer, self._ahead = identity, buffer, ahead
        self._ends: tuple[tuple[str, int], ...] = parties if provider is None else (*parties, provider)
        self._most_pause = most_pause
        self._clock = clock or StageClock()
        self._lock = threading.Condition()
        self._frames: deque[_Frame] = deque()
        self._in_hand = False  # taken from what waits, and not yet counted as sent
        self._counts = Counts()
        self._channels: list[Channel | None] = [None for _ in self._ends]
        self._states: list[State | None] = [None, None]
        self._known: State | None = None
        self._failures = ["" for _ in self._ends]
        self._refused = ""
        self._session: _Session | ProvidedSession | None = None
        self._pause = [_LEAST_PAUSE for _ in self._ends]
        self._again = [0.0 for _ in self._ends]
        self._session_pause, self._session_again = _LEAST_PAUSE, 0.0
        self._ask_pause, self._ask_again = _LEAST_PAUSE, 0.0
        self._most_masks = State.at_most
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="camera link", daemon=True)

    # -- what the caller does ----------------------------------------------------------------

    def start(self) -> CameraLink:
        """Begin to connect."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop; faces that wait are forgotten."""
        self._stopping = True
        self._rouse()
        if self._thread.is_alive():
            self._thread.join(_SECONDS)

    def __enter__(self) -> CameraLink:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def state(self) -> State | None:
        """What both parties agree to compare with now; None where they do not."""
        with self._lock:
            return self._agreed()

    @property
    def known(self) -> State | None:
        """What a party last said that it compares with, agreed or not; None where neither was reached."""
        with self._lock:
            return self._known

    @property
    def tried(self) -> bool:
        """Whether each party was reached, or failed to be, at least once."""
        with self._lock:
            reached = zip(self._states, self._failures, strict=True)
            return all(state is not None or failure for state, failure in reached)

    @property
    def trouble(self) -> str:
        """Why faces are not compared now, in a sentence; empty where they are."""
        with self._lock:
            if self._ready():
                return "" if self._session is not None else self._refused
            if self._agreed() is not None:
                return f"the provider: {self._failures[_PROVIDER] or 'it has not opened a session.'}"
            for party, state in enumerate(self._states):
                if state is None:
                    return f"party {party}: {self._failures[party] or 'not reached yet.'}"
            for party, state in enumerate(self._states):
                if state is not None and not state.open:
                    return f"party {party}: {_WHY.get(state.reason, 'it does not compare faces now.')}"
            return "The parties have different watchlists."

    def wait_open(self, seconds: float) -> State:
        """Wait until faces are compared. `UnavailableError` where that takes too long."""
        with self._lock:
            if not self._lock.wait_for(self._ready, seconds):
                raise UnavailableError(
                    "The parties do not compare faces now; look at their logs."
                    if self._agreed() is None
                    else "The provider does not deal now; look at its log."
                )
            state = self._agreed()
        assert state is not None
        return state

    @property
    def counts(self) -> Counts:
        """So far."""
        with self._lock:
            return self._counts

    @property
    def identity(self) -> Identity:
        """The camera's."""
        return self._identity

    @property
    def name(self) -> str:
        """The camera's, as the parties know it."""
        return self._identity.own.name

    @property
    def waiting(self) -> int:
        """Inputs that were offered and wait to be sent."""
        with self._lock:
            return sum(map(len, self._frames))

    def wait_answered(self, seconds: float) -> bool:
        """Wait until nothing waits here or at the parties; whether that was so in time."""
        with self._lock:
            return self._lock.wait_for(lambda: not (self._frames or self._in_hand or self._owed()), seconds)

    def wait_room(self, inputs: int, seconds: float) -> bool:
        """Wait until so many inputs can be offered and nothing is dropped for them; whether that is so.

        Also true where nothing waits, however many they are.
        """
        with self._lock:
            return self._lock.wait_for(
                lambda: not self._frames or sum(map(len, self._frames)) + inputs <= self._buffer, seconds
            )

    def offer(self, faces: I32, dummies: int = 0) -> int:
        """Hand over the faces of a frame, and ask for that many dummies to go with them.

        Returns at once; how many faces that waited were dropped to make room.

        Args:
            faces: int32 (count, d), within the norm; copied.
            dummies: inputs that match nothing.

        Raises:
            DimensionError, VectorError: not faces of the present watchlist.
            UnavailableError: nothing is known of the watchlist yet.

        """
        state = self.state or self.known
        if state is None:
            raise UnavailableError("The parties have not been reached yet.")
        params = _params(state)
        if faces.dtype != np.int32 or faces.ndim != 2 or faces.shape[1] != params.dimension:
            raise DimensionError(f"Faces are int32 rows of {params.dimension} integers.")
        if not params.within(faces):
            raise VectorError("A face is longer than the parameters allow; quantise it first.")
        if dummies < 0:
            raise UsageError("There are no fewer than no dummies.")
        dropped = 0
        with self._lock:
            if len(faces) or dummies:
                self._frames.append(_Frame(faces.copy(), dummies))
            while (over := sum(map(len, self._frames)) - self._buffer) > 0:
                oldest = self._frames[0]
                gone = self._frames.popleft() if len(self._frames) > 1 else _split(oldest, over)
                dropped += len(gone.faces)
                gone.faces.fill(0)
            self._count(offered=len(faces), dropped=dropped)
        self._rouse()
        return dropped

    # -- the thread --------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while not self._stopping:
                self._connect()
                self._listen()
                try:
                    self._open()
                    self._send_frames()
                    self._deal_ahead()
                except BlindsightError as error:
                    _log.warning("%s", error.message)
                    self._end_session()
        finally:
            self._end_session()
            with self._lock:
                for frame in self._frames:
                    frame.faces.fill(0)
                self._frames.clear()
            for end in range(len(self._ends)):
                self._hang_up(end)
            self._wake.close()
            self._woken.close()

    def _connect(self) -> None:
        for party, (host, port) in enumerate(self._ends):
            if self._channels[party] is not None or time.monotonic() < self._again[party]:
                continue
            try:
                channel = connect(self._identity, host, port, _ROLES[party], timeout=_DIAL_SECONDS)
            except ProtocolError as error:
                _log.info("%s: %s", _ROLES[party], error.message)
                self._failures[party] = error.message
                self._again[party] = time.monotonic() + self._pause[party]
                self._pause[party] = min(2 * self._pause[party], self._most_pause)
                continue
            self._channels[party] = channel
            self._pause[party] = _LEAST_PAUSE
            self._failures[party] = ""

    def _hang_up(self, party: int) -> None:
        channel = self._channels[party]
        if channel is not None:
            channel.close()
        self._channels[party] = None
        self._again[party] = time.monotonic() + self._pause[party]
        if party < len(self._states):
            with self._lock:
                self._states[party] = None
                self._lock.notify_all()

    def _listen(self) -> None:
        """Wait until there is something to do, and take what the parties say."""
        open_now = [channel for channel in self._channels if channel is not None]
        ready = self._session is not None and bool(self._frames) and self._session.room > 0
        settled = len(open_now) == len(self._ends) and self._session is not None
        wait = 0.0 if ready else _LOOK_SECONDS if settled else _LEAST_PAUSE
        if open_now:
            with contextlib.suppress(UnavailableError):
                open_now[0].waiting(wait, *open_now[1:], self._woken)
        else:
            time.sleep(_LEAST_PAUSE)
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        for party, channel in enumerate(self._channels):
            if channel is None:
                continue
            try:
                while channel.waiting(0):
                    if party == _PROVIDER:
                        self._hear_provider(channel)
                        continue
                    data = channel.receive(State.at_most, _SECONDS)
                    message: Any = parse(data, State, Credit, Over)
                    self._take(party, message)
            except ProtocolError as error:
                _log.warning("%s: %s", _ROLES[party], error.message)
                self._failures[party] = error.message
                self._end_session()
                self._hang_up(party)

    def _take(self, party: int, message: State | Credit | Over) -> None:
        session = self._session
        if isinstance(message, State):
            if message.party != party:
                raise ProtocolError("A party says that it is the other one.")
            with self._lock:
                self._states[party] = self._known = message
                self._lock.notify_all()
            if session is not None and self._agreed() is None:
                self._end_session()
        elif session is None or message.session != session.id:
            return
        elif isinstance(message, Over):
            _log.info("party %d ended the session: %s", party, message.reason)
            if message.reason == "refused":
                self._refused = f"party {party}: it refuses this camera's sessions; its log says why."
            self._end_session()
        else:
            session.credited(party, message.faces)
            self._session_pause, self._ask_pause, self._refused = _LEAST_PAUSE, _LEAST_PAUSE, ""
            with self._lock:
                before = self._owed()
                _consume(session.unanswered[party], message.faces)
                self._count(answered=max(0, before - self._owed()))

    def _open(self) -> None:
        """A new session, where both parties are ready for one."""
        if self._session is not None or time.monotonic() < self._session_again:
            return
        with self._lock:
            states = self._states[0], self._states[1]
            agreed = self._agreed()
        if agreed is None or states[0] is None or states[1] is None:
            return
        if len(self._ends) > _PROVIDER:
            self._ask((states[0], states[1]))
            return
        session = _Session(self._identity.own.name, (states[0], states[1]), _params(agreed))
        for party, grant in enumerate(session.dealer.grants):
            self._post(party, grant.to_bytes())
        with self._lock:
            self._forget_misfits(_params(agreed))
            self._session = session
            self._count(sessions=1)

    def _forget_misfits(self, params: Params) -> None:
        """Faces that waited for a list of other numbers fit into none of this one's sessions."""
        fitting = [
            frame
            for frame in self._frames
            if frame.faces.shape[1] == params.dimension and params.within(frame.faces)
        ]
        self._count(dropped=sum(len(f.faces) for f in self._frames) - sum(len(f.faces) for f in fitting))
        self._frames = deque(fitting)

    # -- a provider, where one deals ----------------------------------------------------------

    def _ask(self, states: tuple[State, State]) -> None:
        """Have the provider open a session; again after a while, where it does not."""
        if self._channels[_PROVIDER] is None or time.monotonic() < self._ask_again:
            return
        self._ask_again = time.monotonic() + self._ask_pause
        self._ask_pause = min(2 * self._ask_pause, self._most_pause)
        self._most_masks = max(State.at_most, most_bytes(_params(states[0])))
        self._post(_PROVIDER, Deal(bytes(16), states[0].digest, wanted(states, self._ahead)).pack())

    def _hear_provider(self, channel: Channel) -> None:
        with self._lock:
            one, other = self._states
            agreed = self._agreed()
        data = channel.receive(self._most_masks, _SECONDS)
        session = self._session
        if data[:2] == b"b2":
            if isinstance(session, ProvidedSession) and Header.parse(data).session == session.id:
                session.add(data)
            return  # or of a session that is over
        message: Any = parse(data, Opened, Over)
        if isinstance(message, Over):
            if session is not None and session.id == message.session:
                _log.info("the provider ended the session: %s", message.reason)
                self._end_session()
        elif agreed is not None and one is not None and other is not None and message.digest == agreed.digest:
            self._end_session()
            with self._lock:
                self._forget_misfits(_params(agreed))
                self._session = ProvidedSession(message, (one, other), _params(agreed), self._ahead)
                self._count(sessions=1)
                self._lock.notify_all()

    # -- faces -------------------------------------------------------------------------------

    def _send_frames(self) -> None:
        while (session := self._session) is not None and not self._stopping:
            room = session.room
            with self._lock:
                taken: list[_Frame] = []
                while self._frames and sum(map(len, taken)) + len(self._frames[0]) <= room:
                    taken.append(self._frames.popleft())
                if not taken and self._frames and room:
                    taken.append(_split(self._frames[0], room))
                self._in_hand = bool(taken)
                self._lock.notify_all()
            if not taken:
                return
            try:
                self._send(session, taken)
            finally:
                with self._lock:
                    self._in_hand = False
                    self._lock.notify_all()

    def _send(self, session: _Session | ProvidedSession, frames: list[_Frame]) -> None:
        count = sum(map(len, frames))
        try:
            if isinstance(session, _Session) and (lacking := count - session.sharer.stock) > 0:
                self._deal(session, lacking)
        except ProtocolError:
            with self._lock:  # they were not shared, and go with the next session
                self._frames.extendleft(reversed(frames))
            raise
        faces = np.concatenate([frame.faces for frame in frames])
        dummies = count - len(faces)
        with self._clock("share"):
            shared = session.sharer.share(faces, dummies=dummies)
        for array in (faces, *(frame.faces for frame in frames)):
            array.fill(0)
        with self._lock:
            for answers in session.unanswered:
                answers.append((count, len(faces)))
            self._count(sent=len(faces), dummies=dummies)
        for party in (1, 0):  # party 0 leads, so the other should have them when it asks
            self._post(party, shared.message)

    def _deal(self, session: _Session, count: int) -> None:
        with self._clock("deal"):
            dealt = session.dealer.deal(count)
            session.sharer.add(dealt.masks)
        for party in (1, 0):
            self._post(party, dealt.material[party])
            session.credit[party] -= count
            dealt.material[party][:] = bytes(len(dealt.material[party]))

    def _deal_ahead(self) -> None:
        session = self._session
        if isinstance(session, ProvidedSession):
            if (asking := session.more()) is not None:
                self._post(_PROVIDER, asking.pack())
            return
        if session is None or self._frames:
            return
        count = min(self._ahead - session.sharer.stock, *session.credit, session.most)
        if count > 0:
            self._deal(session, count)

    def _post(self, party: int, message: bytes | bytearray) -> None:
        channel = self._channels[party]
        try:
            if channel is None:
                raise UnavailableError("A party is gone.")
            with self._clock("send"):
                channel.send(message, _SECONDS)
        except ProtocolError as error:
            self._failures[party] = error.message
            self._hang_up(party)
            raise

    def _end_session(self) -> None:
        with self._lock:
            if self._session is not None:
                self._count(lost=self._owed())
                self._session = None
                self._session_again = time.monotonic() + self._session_pause
                self._session_pause = min(2 * self._session_pause, self._most_pause)
                self._lock.notify_all()

    def _owed(self) -> int:
        """Faces that were sent and that some party has not taken."""
        if self._session is None:
            return 0
        return max(sum(real for _, real in answers) for answers in self._session.unanswered)

    def _ready(self) -> bool:
        """Whether faces are compared, and, with a provider, dealt for."""
        return self._agreed() is not None and (len(self._ends) == 2 or self._session is not None)

    def _agreed(self) -> State | None:
        one, other = self._states
        if one is None or other is None or not (one.open and other.open):
            return None
        return one if replace(other, party=0, window=one.window) == one else None

    def _count(self, **more: int) -> None:
        self._counts = replace(
            self._counts, **{name: getattr(self._counts, name) + by for name, by in more.items()}
        )
        self._lock.notify_all()

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):
            self._wake.send(b"\x00")


def _params(state: State) -> Params:
    return Params(state.dimension, state.scale, state.norm, state.value_bits)


def _split(frame: _Frame, count: int) -> _Frame:
    """Take that many inputs out of a frame.

    Which of them are faces is drawn: were they first or last, the place in the sequence of
    messages would say so.
    """
    faces = _drawn(len(frame.faces), frame.dummies, count)
    taken = _Frame(frame.faces[:faces].copy(), count - faces)
    rest = frame.faces[faces:].copy()
    frame.faces.fill(0)
    frame.faces, frame.dummies = rest, frame.dummies - taken.dummies
    return taken


def _drawn(faces: int, dummies: int, count: int) -> int:
    """How many faces are among ``count`` inputs drawn without replacement."""
    found = 0
    for left in range(faces + dummies, faces + dummies - count, -1):
        found += secrets.randbelow(left) < faces - found
    return found


def _consume(answers: deque[tuple[int, int]], faces: int) -> None:
    """Take answered inputs off the front, in the order in which they were sent."""
    while faces and answers:
        count, real = answers.popleft()
        if count > faces:
            # Which of them were real says their place, which is random: count them as the last.
            answers.appendleft((count - faces, min(real, count - faces)))
            return
        faces -= count
