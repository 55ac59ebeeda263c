"""The camera's connections for footage: a bounded queue, a thread a party (specs/reveal.md, 2).

They are others than those for faces, so that a face never waits behind a piece of video.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Final

from blindsight.core.errors import MalformedError, ProtocolError, UnavailableError, UsageError
from blindsight.schemes.footage.public import BodyShare, SeedShare
from blindsight.wire.channel import Channel, connect
from blindsight.wire.footage_messages import PURPOSE, Kept, Ready, Refused
from blindsight.wire.party_messages import parse
from blindsight.wire.tls import Identity

_log = logging.getLogger(__name__)

_SECONDS: Final = 120.0
_CLOSE_SECONDS: Final = 5.0
_LEAST_PAUSE: Final = 0.1
_ANSWER_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class FootageCounts:
    """Stills and segments: offered, kept by both parties, refused by one, dropped because too many waited."""

    offered: int = 0
    kept: int = 0
    refused: int = 0
    dropped: int = 0


class _Waiting:
    """Footage of which a party, or both, lack their half."""

    def __init__(self, digest: bytes, halves: list[bytes | None]) -> None:
        self.digest, self.halves = digest, halves
        self.refused = False

    @property
    def size(self) -> int:
        return sum(len(half) for half in self.halves if half is not None)


class FootageLink:
    """Sends shares to both parties from threads of its own, from `start` to `close`.

    Args:
        identity: the camera's.
        parties: host and port of party 0 and of party 1.
        buffer: bytes of shares that may wait here, in memory; beyond them the oldest footage is
            dropped, both halves of it.
        most_pause: seconds between attempts to connect, or to send to a full party, at most.
    """

    def __init__(
        self,
        identity: Identity,
        parties: tuple[tuple[str, int], tuple[str, int]],
        *,
        buffer: int = 256 << 20,
        most_pause: float = 5.0,
    ) -> None:
        if identity.own.role != "camera":
            raise UsageError(f"The identity in {identity.folder} is not a camera's.")
        if buffer < 1 or most_pause <= 0:
            raise UsageError("A camera keeps a byte waiting at least, and pauses for a while.")
        self._identity, self._parties, self._buffer = identity, parties, buffer
        self._most_pause = most_pause
        self._lock = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._size = 0
        self._counts = FootageCounts()
        self._channels: list[Channel | None] = [None, None]
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, args=(party,), name=f"footage {party}", daemon=True)
            for party in (0, 1)
        ]

    # -- what the caller does ----------------------------------------------------------------

    def start(self) -> FootageLink:
        """Begin to connect."""
        for thread in self._threads:
            thread.start()
        return self

    def close(self) -> None:
        """Stop; what waits is forgotten."""
        with self._lock:
            self._stopping = True
            self._queue.clear()
            self._size = 0
            self._lock.notify_all()
            channels = list(self._channels)
        for channel in channels:
            if channel is not None:
                channel.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_CLOSE_SECONDS)

    def __enter__(self) -> FootageLink:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def offer(self, shares: tuple[SeedShare, BodyShare]) -> int:
        """Hand over both halves of one piece of footage; returns at once.

        How many pieces that waited were dropped to make room, this one perhaps among them.
        """
        halves: list[bytes | None] = [None, None]
        for share in shares:
            halves[share.party] = share.encode()
        one = _Waiting(shares[0].statement.digest(), halves)
        dropped = 0
        with self._lock:
            self._queue.append(one)
            self._size += one.size
            while self._size > self._buffer:
                oldest = self._queue.popleft()
                self._size -= oldest.size
                dropped += not oldest.refused
            self._count(offered=1, dropped=dropped)
        return dropped

    @property
    def counts(self) -> FootageCounts:
        """So far."""
        with self._lock:
            return self._counts

    @property
    def waiting(self) -> int:
        """Bytes that some party lacks."""
        with self._lock:
            return self._size

    def wait_kept(self, seconds: float) -> bool:
        """Wait until nothing waits; whether that was so in time."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._queue, seconds)

    # -- the threads -------------------------------------------------------------------------

    def _work(self, party: int) -> None:
        pause = _LEAST_PAUSE
        while not self._stopping:
            try:
                with self._connected(party) as channel:
                    pause = _LEAST_PAUSE
                    self._serve(party, channel)
            except ProtocolError as error:
                if not self._stopping:
                    _log.info("footage to party %d: %s", party, error.message)
            finally:
                with self._lock:
                    self._channels[party] = None
            self._rest(pause)
            pause = min(2 * pause, self._most_pause)

    def _connected(self, party: int) -> Channel:
        host, port = self._parties[party]
        channel = connect(
            self._identity, host, port, f"party{party}", timeout=_CLOSE_SECONDS, purpose=PURPOSE
        )
        with self._lock:
            self._channels[party] = channel
            stopping = self._stopping
        if stopping:
            channel.close()
        return channel

    def _serve(self, party: int, channel: Channel) -> None:
        ready = parse(channel.receive(_ANSWER_BYTES, _SECONDS), Ready)
        if ready.party != party:
            raise MalformedError("A party says that it is the other one.")
        pause = _LEAST_PAUSE
        while not self._stopping:
            one = self._next(party, channel)
            if one is None:
                continue
            half = one.halves[party]
            if half is None:
                continue
            channel.send(half, _SECONDS)
            answer: Any = parse(channel.receive(_ANSWER_BYTES, _SECONDS), Kept, Refused)
            if answer.digest != one.digest and not (isinstance(answer, Refused) and not any(answer.digest)):
                raise MalformedError("A party answers for another share than it was sent.")
            if isinstance(answer, Refused) and answer.reason == "full":
                _log.warning("footage to party %d: its disk is full", party)
                self._rest(pause)
                pause = min(2 * pause, self._most_pause)
                continue
            pause = _LEAST_PAUSE
            self._answered(party, one, refused=isinstance(answer, Refused))
            if isinstance(answer, Refused):
                _log.warning("party %d refused footage: %s", party, answer.reason)

    def _next(self, party: int, channel: Channel) -> _Waiting | None:
        """The oldest that this party lacks; None after a while without one."""
        with self._lock:
            self._lock.wait_for(lambda: self._stopping or self._lacking(party) is not None, 0.5)
            one = self._lacking(party)
        if one is None and channel.waiting(0):
            raise UnavailableError("The connection to the other end broke.")
        return one

    def _lacking(self, party: int) -> _Waiting | None:
        return next((one for one in self._queue if one.halves[party] is not None), None)

    def _answered(self, party: int, one: _Waiting, *, refused: bool) -> None:
        with self._lock:
            if one not in self._queue:
                return  # dropped meanwhile
            self._size -= one.size
            one.halves[party] = None
            if refused:
                self._count(refused=not one.refused)
                one.refused = True
                one.halves = [None, None]  # the other half is of no use
            self._size += one.size
            if one.halves == [None, None]:
                self._queue.remove(one)
                self._count(kept=not one.refused)
            self._lock.notify_all()

    def _rest(self, seconds: float) -> None:
        with self._lock:
            self._lock.wait_for(lambda: self._stopping, seconds)

    def _count(self, **more: int) -> None:
        self._counts = replace(
            self._counts, **{name: getattr(self._counts, name) + by for name, by in more.items()}
        )
        self._lock.notify_all()
