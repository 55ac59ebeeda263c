"""What a party does about footage: takes shares of cameras, lets old ones go, answers revealers.

specs/reveal.md. It never sees a pixel: a share says nothing alone.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.blind.footage_reveal import Reveal
from blindsight.blind.footage_store import Dropped, FootageStore, Limits
from blindsight.blind.party_log import PartyLog
from blindsight.blind.party_metrics import Metrics
from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    StorageFullError,
    TamperedError,
    TooLargeError,
    UnauthorizedError,
    UsageError,
)
from blindsight.schemes.footage.public import MAX_SHARE_BYTES, Statement
from blindsight.wire.channel import Channel
from blindsight.wire.footage_messages import Kept, Ready, Refused

_log = logging.getLogger(__name__)

_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.5
_SWEEP_SECONDS: Final = 60.0
_LAST_SECONDS: Final = 5.0
"""For threads to notice that it is over, before the log is closed under them."""

_REASONS: Final = {
    MalformedError: "malformed",
    TamperedError: "tampered",
    UsageError: "other-camera",
    TooLargeError: "too-large",
    StorageFullError: "full",
}


class FootageService:
    """The footage of party ``party`` under a data folder.

    Args:
        operators: public keys of party 0's and party 1's operator.
    """

    def __init__(
        self,
        party: int,
        data: Path,
        log: PartyLog,
        metrics: Metrics,
        operators: tuple[bytes, bytes],
        limits: Limits | None = None,
    ) -> None:
        self._party, self._log, self._metrics, self._operators = party, log, metrics, operators
        self._store = FootageStore(data / "footage", party, limits)
        self._reveals = data / "reveals"
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._serving = 0
        self._cameras: dict[str, Channel] = {}
        self._others: set[Channel] = set()
        self._told: dict[str, float] = {}
        self._gone: dict[str, Dropped] = {}
        self._gone_told = -_SWEEP_SECONDS
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="footage", daemon=True)

    def start(self) -> None:
        """Say what is missing, and begin to let old shares go."""
        found = self._store.found
        if found.missing or found.damaged:
            self._log.append("footage-missing", missing=found.missing, damaged=found.damaged)
        if found.adopted:
            _log.info("%d shares of footage were taken into the index", found.adopted)
        self._sweeper.start()

    def close(self) -> None:
        """End all connections, and let go of the files."""
        self._stopping.set()
        with self._idle:
            for channel in [*self._cameras.values(), *self._others]:
                channel.close()
            self._idle.wait_for(lambda: not self._serving, _LAST_SECONDS)
        if self._sweeper.is_alive():
            self._sweeper.join(_SECONDS)
        try:
            self._tell_dropped()
        except BlindsightError as error:
            _log.warning("%s", error.message)
        self._store.close()

    # -- cameras -----------------------------------------------------------------------------

    def attend_camera(self, channel: Channel) -> None:
        """Take a camera's shares until it is gone, or does what it may not: `ProtocolError`."""
        name = channel.peer.name
        with self._lock:
            before = self._cameras.get(name)
            self._cameras[name] = channel
            self._serving += 1
        if before is not None:
            before.close()
        try:
            with channel:
                key = channel.peer.public_key
                channel.send(Ready(self._party).pack(), _SECONDS)
                while not self._stopping.is_set():
                    if not channel.waiting(_LOOK_SECONDS):
                        continue
                    if channel.peer.until < datetime.now(UTC):
                        raise UnauthorizedError(f"The certificate of camera {name} has expired.")
                    data = channel.receive(MAX_SHARE_BYTES, _SECONDS)
                    answer = self._take(data, name, key)
                    del data  # up to 96 MiB, while the camera has nothing more to say
                    channel.send(answer.pack(), _SECONDS)
                    self._let_go()
        finally:
            with self._idle:
                if self._cameras.get(name) is channel:
                    del self._cameras[name]
                self._serving -= 1
                self._idle.notify_all()

    def _take(self, data: bytearray, camera: str, key: Ed25519PublicKey) -> Kept | Refused:
        try:
            digest = self._store.keep(data, camera, key)
        except BlindsightError as error:
            reason = next(name for kind, name in _REASONS.items() if isinstance(error, kind))
            self._metrics.footage.labels(reason).inc()
            self._tell_refused(camera, reason, error)
            return Refused(_digest(data), reason)
        self._metrics.footage.labels("kept").inc()
        return Kept(digest)

    def _tell_refused(self, camera: str, reason: str, error: BlindsightError) -> None:
        """At most once a minute for each camera, as it could fill the disk."""
        now = time.monotonic()
        with self._lock:
            if now - self._told.get(camera, -_SWEEP_SECONDS) < _SWEEP_SECONDS:
                return
            self._told[camera] = now
        _log.warning("footage of %s: %s", camera, error.message)
        self._log.append("footage-refused", camera=camera, reason=reason)

    # -- what is old -------------------------------------------------------------------------

    def _sweep(self) -> None:
        while True:
            try:
                self._let_go()
            except BlindsightError as error:
                _log.warning("%s", error.message)
            if self._stopping.wait(_SWEEP_SECONDS):
                return

    def _let_go(self) -> None:
        for one in self._store.drop_old(time.time()):
            with self._lock:
                before = self._gone.get(one.reason)
                self._gone[one.reason] = one if before is None else _joined(before, one)
        self._metrics.footage_bytes.set(self._store.size)
        if time.monotonic() - self._gone_told >= _SWEEP_SECONDS:
            self._tell_dropped()

    def _tell_dropped(self) -> None:
        with self._lock:
            gone, self._gone = self._gone, {}
            if gone:
                self._gone_told = time.monotonic()
        for one in gone.values():
            self._metrics.footage_dropped.labels(one.reason).inc(one.count)
            self._log.append(
                "footage-dropped",
                reason=one.reason,
                count=one.count,
                bytes=one.size,
                oldest=one.oldest,
                newest=one.newest,
            )

    # -- revealers ---------------------------------------------------------------------------

    def attend_revealer(self, channel: Channel) -> None:
        """Answer one revealer."""
        with self._lock:
            self._others.add(channel)
            self._serving += 1
        try:
            with channel:
                Reveal(self._party, channel, self._store, self._log, self._reveals, self._operators).serve()
        finally:
            with self._idle:
                self._others.discard(channel)
                self._serving -= 1
                self._idle.notify_all()


def _joined(before: Dropped, after: Dropped) -> Dropped:
    return Dropped(
        after.reason, before.count + after.count, before.size + after.size, before.oldest, after.newest
    )


def _digest(data: bytearray) -> bytes:
    """Of the statement in a share that was refused; zeros where there is none to be read."""
    try:
        length = int.from_bytes(data[5:7], "little")
        return Statement.parse(bytes(data[7 : 7 + length])).digest()
    except BlindsightError:
        return bytes(32)
