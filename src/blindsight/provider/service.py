"""The provider as a process: connected to both parties, listening for cameras (specs/party.md, section 2.1).

Everything happens in one thread, so that nothing has to be locked. A camera or a party that does
not take what it is sent for five seconds loses its link.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from blindsight.core.errors import ProtocolError, UnavailableError, UsageError
from blindsight.provider.dealing import Dealing
from blindsight.wire.channel import Channel, connect
from blindsight.wire.listener import MOST_CONNECTIONS, Listener
from blindsight.wire.party_messages import Credit, Deal, Opened, Over, State, Stored, parse
from blindsight.wire.tls import Identity

_log = logging.getLogger(__name__)

_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
_LEAST_PAUSE: Final = 0.1


class _Camera:
    """A camera that is connected, what it asked for, and the session that is dealt for it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.name = channel.peer.name
        self.asked: Deal | None = None
        self.dealing: Dealing | None = None


class Provider:
    """Listening when this returns; `run` serves until `stop`.

    Args:
        identity: a provider's.
        parties: host and port of party 0 and of party 1.
        listen: host and port for cameras; port 0 takes a free one.
        most_pause: seconds between attempts to reach a party, at most.

    Raises:
        UsageError: an argument that cannot be used.

    """

    def __init__(
        self,
        identity: Identity,
        parties: tuple[tuple[str, int], tuple[str, int]],
        listen: tuple[str, int] = ("127.0.0.1", 0),
        *,
        most_pause: float = 5.0,
    ) -> None:
        if identity.own.role != "provider":
            raise UsageError(
                f"The identity in {identity.folder} is a {identity.own.role}'s, not a provider's."
            )
        self._identity, self._parties, self._most_pause = identity, parties, most_pause
        self._listener = Listener(identity, listen, ("camera",), self._came)
        self._coming: queue.SimpleQueue[Channel] = queue.SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._stopping = False
        self._channels: list[Channel | None] = [None, None]
        self._states: list[State | None] = [None, None]
        self._pause, self._again = [_LEAST_PAUSE, _LEAST_PAUSE], [0.0, 0.0]
        self._cameras: dict[str, _Camera] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where cameras reach it."""
        return self._listener.address

    def run(self) -> None:
        """Serve until `stop`."""
        threading.Thread(target=self._listener.run, name="listener", daemon=True).start()
        try:
            while not self._stopping:
                self._connect()
                self._wait()
                self._admit()
                for party in (0, 1):
                    self._hear_party(party)
                for camera in list(self._cameras.values()):
                    self._hear_camera(camera)
                    self._serve(camera)
        finally:
            self._listener.close()
            for channel in (*self._channels, *(camera.channel for camera in self._cameras.values())):
                if channel is not None:
                    channel.close()

    def stop(self) -> None:
        """Have `run` return soon. From any thread, or a signal handler's."""
        self._stopping = True
        self._rouse()

    # -- links -------------------------------------------------------------------------------

    def _came(self, channel: Channel) -> None:
        """A camera has connected; called from the thread that greeted it."""
        self._coming.put(channel)
        self._rouse()

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):
            self._wake.send(b"\x00")

    def _admit(self) -> None:
        while not self._coming.empty():
            channel = self._coming.get()
            before = self._cameras.pop(channel.peer.name, None)
            if before is not None:
                before.channel.close()
            if len(self._cameras) >= MOST_CONNECTIONS:
                channel.close()
                continue
            self._cameras[channel.peer.name] = _Camera(channel)

    def _connect(self) -> None:
        for party, (host, port) in enumerate(self._parties):
            if self._channels[party] is not None or time.monotonic() < self._again[party]:
                continue
            try:
                self._channels[party] = connect(self._identity, host, port, f"party{party}", timeout=_SECONDS)
                self._pause[party] = _LEAST_PAUSE
            except ProtocolError as error:
                first = self._pause[party] == _LEAST_PAUSE
                _log.log(logging.WARNING if first else logging.INFO, "party %d: %s", party, error.message)
                self._again[party] = time.monotonic() + self._pause[party]
                self._pause[party] = min(2 * self._pause[party], self._most_pause)

    def _lost(self, party: int, error: ProtocolError) -> None:
        """A party's link is no more, and with it all sessions."""
        _log.warning("party %d: %s", party, error.message)
        channel, self._channels[party] = self._channels[party], None
        if channel is not None:
            channel.close()
        self._states[party] = None
        self._again[party] = time.monotonic() + self._pause[party]
        self._drop_all("provider")

    def _gone(self, camera: _Camera, error: ProtocolError) -> None:
        _log.info("camera %s: %s", camera.name, error.message)
        camera.channel.close()
        if self._cameras.get(camera.name) is camera:
            del self._cameras[camera.name]

    def _wait(self) -> None:
        """Until there is something to hear, or to try again."""
        ends = [channel for channel in self._channels if channel is not None]
        seconds = _LOOK_SECONDS if len(ends) == len(self._channels) else _LEAST_PAUSE
        ends += [camera.channel for camera in self._cameras.values()]
        if self._coming.empty():
            if ends:
                with contextlib.suppress(UnavailableError):
                    ends[0].waiting(seconds, *ends[1:], self._woken)
            else:
                select.select([self._woken], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    # -- parties -----------------------------------------------------------------------------

    def _hear_party(self, party: int) -> None:
        try:
            while (channel := self._channels[party]) is not None:
                if (data := channel.poll(State.at_most)) is None:
                    return
                message: Any = parse(data, State, Credit, Over, Stored)
                self._take(party, message)
        except ProtocolError as error:
            self._lost(party, error)

    def _take(self, party: int, message: State | Credit | Over | Stored) -> None:
        if isinstance(message, State):
            if message.party != party:
                raise ProtocolError("A party says that it is the other one.")
            self._states[party] = message
            for camera in list(self._cameras.values()):
                if camera.dealing is not None and not self._fits(camera.dealing.digest):
                    self._drop(camera, "watchlist")
            return
        found = [camera for camera in self._cameras.values() if _is(camera.dealing, message.session)]
        for camera in found:  # none where the session is over
            self._take_of(party, camera, message)

    def _take_of(self, party: int, camera: _Camera, message: Credit | Over | Stored) -> None:
        if camera.dealing is None:
            return
        match message:
            case Over(reason=reason):
                _log.info("party %d ended the session of camera %s: %s", party, camera.name, reason)
                self._drop(camera, reason)
            case Credit(faces=faces):
                camera.dealing.credited(party, faces)
            case Stored(below=below):
                for masks in camera.dealing.stored(party, below):
                    self._say(camera, masks)
                    masks[:] = bytes(len(masks))

    def _fits(self, digest: bytes) -> tuple[State, State] | None:
        """Both parties' states, if they agree to compare with this list now."""
        one, other = self._states
        if one is None or other is None or not (one.open and other.open) or one.digest != digest:
            return None
        return (one, other) if replace(other, party=0, window=one.window) == one else None

    # -- cameras -----------------------------------------------------------------------------

    def _hear_camera(self, camera: _Camera) -> None:
        try:
            while (data := camera.channel.poll(Deal.at_most)) is not None:
                asked = parse(data, Deal)
                if asked.session == bytes(16):
                    camera.asked, camera.dealing = asked, None
                elif camera.dealing is not None and _is(camera.dealing, asked.session):
                    camera.dealing.want(asked.faces)
        except ProtocolError as error:
            self._gone(camera, error)

    def _serve(self, camera: _Camera) -> None:
        """Open a session for a camera that asked for one, and deal what it wants."""
        if camera.dealing is None and camera.asked is not None:
            states = self._fits(camera.asked.digest)
            if states is None or camera.channel.peer.until < datetime.now(UTC):
                return
            camera.dealing = Dealing(camera.name, states)
            camera.dealing.want(camera.asked.faces)
            camera.asked = None
            if not self._post(camera.dealing.grants):
                return
            self._say(camera, Opened(camera.dealing.session, camera.dealing.digest).pack())
        while camera.dealing is not None and (material := camera.dealing.deal()) is not None:
            posted = self._post(material)
            for message in material:
                message[:] = bytes(len(message))
            if not posted:
                return

    def _post(self, messages: tuple[bytes, ...] | tuple[bytearray, bytearray]) -> bool:
        """Send each party its message; whether both have it."""
        for party in (1, 0):
            channel = self._channels[party]
            try:
                if channel is None:
                    raise UnavailableError("A party is gone.")
                channel.send(messages[party], _SECONDS)
            except ProtocolError as error:
                self._lost(party, error)
                return False
        return True

    def _say(self, camera: _Camera, message: bytes | bytearray) -> None:
        try:
            camera.channel.send(message, _SECONDS)
        except ProtocolError as error:
            camera.dealing = None
            self._gone(camera, error)

    def _drop(self, camera: _Camera, reason: str) -> None:
        """Forget a session, and tell its camera."""
        dealing, camera.dealing = camera.dealing, None
        if dealing is not None:
            self._say(camera, Over(dealing.session, reason).pack())

    def _drop_all(self, reason: str) -> None:
        for camera in list(self._cameras.values()):
            self._drop(camera, reason)


def _is(dealing: Dealing | None, session: bytes) -> bool:
    return dealing is not None and dealing.session == session
