"""A live source: read by a thread that keeps only the newest picture and connects again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from blindsight.core.errors import (
    BlindsightError,
    DamagedVideoError,
    UnreadableVideoError,
    UsageError,
    VideoEndedError,
    VideoStalledError,
)
from blindsight.vision.decoding import Picture, Tap, decoded, opened, pyav

_NETWORK_OPTIONS: Final = {
    "protocol_whitelist": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy,crypto",
    "format_whitelist": "rtsp,mpegts,mpjpeg,mjpeg,flv,matroska,webm,mov,mp4,h264,hevc,rtp,sdp",
    "rtsp_transport": "tcp",  # UDP loses packets, and firewalls drop it
    "analyzeduration": "1000000",  # microseconds of stream to look at before the first frame
}

_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Patience with a live source.

    Attributes:
        stall: seconds without a frame after which the connection is given up.
        attempts: connections in a row without a frame before the source is lost for good.
        first_wait, longest_wait: seconds before connecting again; doubles each time.
    """

    stall: float = 10.0
    attempts: int = 8
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def __post_init__(self) -> None:
        waits = 0.0 <= self.first_wait <= self.longest_wait <= 3600.0
        if not 0.0 < self.stall <= 3600.0 or self.attempts < 1 or not waits:
            raise UsageError(
                "A live source needs an attempt, and a time-out and growing waits of at most an hour."
            )


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read: ``name`` is for messages, ``device`` says whether it is one of this machine.

    ``stop`` ends it, whenever it is set.
    """

    address: str = field(repr=False)
    name: str
    device: bool
    max_pixels: int
    tap: Tap | None = None
    stop: threading.Event | None = None


def live_pictures(reading: Reading, settings: LiveSettings, fps: float | None) -> Iterator[Picture]:
    """The newest picture whenever one is asked for, at most ``fps`` a second; never one twice.

    ``time`` is this machine's monotonic clock, 0 at the first picture. Ends when ``reading.stop`` is
    set, and else only by raising: `VideoStalledError`, `VideoEndedError`, or what no further attempt
    would mend.
    """
    reader = _Reader(reading, settings)
    reader.start()
    try:
        begin: float | None = None
        due = 0.0
        while True:
            newest = reader.newest(not_before=due)
            if newest is None:
                return
            at, picture = newest
            begin = at if begin is None else begin
            due = 0.0 if fps is None else at + 1.0 / fps
            yield Picture(at - begin, picture.index, picture.coded)
    finally:
        reader.stop()


class _Reader(threading.Thread):
    """Decodes into a place for one picture; a newer one replaces it."""

    def __init__(self, reading: Reading, settings: LiveSettings) -> None:
        super().__init__(name="video", daemon=True)
        self._reading, self._settings = reading, settings
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._newest: tuple[float, Picture] | None = None
        self._failed: BlindsightError | None = None
        self._count = 0

    def newest(self, not_before: float) -> tuple[float, Picture] | None:
        """Take the newest picture and its arrival, ``not_before`` or later; raises what ended the source.

        None where it was told to stop.
        """
        stop = self._reading.stop
        with self._changed:
            while stop is None or not stop.is_set():
                if self._newest is not None and self._newest[0] >= not_before:
                    taken, self._newest = self._newest, None
                    return taken
                if self._failed is not None:
                    raise self._failed
                self._changed.wait(None if stop is None else _LOOK_SECONDS)
            return None

    def stop(self) -> None:
        """Let go of the source; returns when the connection is closed, or is about to time out.

        Who asked for it by ``stop`` does not wait so long: the thread ends on its own.
        """
        self._stopping.set()
        hurried = self._reading.stop is not None and self._reading.stop.is_set()
        self.join(1.0 if hurried else self._settings.stall + 1.0)

    def run(self) -> None:
        try:
            failure = self._read()
        except BlindsightError as error:
            failure = error
        except Exception:
            self._fail(UnreadableVideoError(f"{self._reading.name} cannot be read; this is a fault of ours."))
            raise
        self._fail(failure)

    def _read(self) -> BlindsightError:
        """Connect, again and again; why that came to an end."""
        settings = self._settings
        wait, fruitless = settings.first_wait, 0
        while True:
            before = self._count
            failure = self._connection()
            fruitless = fruitless + 1 if self._count == before else 0
            if self._stopping.is_set() or fruitless >= settings.attempts:
                return failure
            if fruitless == 0:
                wait = settings.first_wait
            self._stopping.wait(wait)
            wait = min(2.0 * wait, settings.longest_wait)

    def _connection(self) -> BlindsightError:
        """One connection, to its end: why it ended. Raises what no further attempt would mend."""
        av = pyav()
        reading, name = self._reading, self._reading.name
        options = {} if reading.device else dict(_NETWORK_OPTIONS)
        container = "v4l2" if reading.device else None
        try:
            with opened(
                reading.address, name, options=options, container=container, timeout=self._settings.stall
            ) as source:
                pictures = decoded(source, name, max_pixels=reading.max_pixels, strict=False, tap=reading.tap)
                for picture in pictures:
                    if self._stopping.is_set():
                        break
                    with self._changed:
                        arrived = Picture(picture.time, self._count, picture.coded)
                        self._newest = (time.monotonic(), arrived)
                        self._count += 1
                        self._changed.notify_all()
        except av.error.ExitError:
            return VideoStalledError(
                f"{name} sends no frames any more; check the camera and the network to it."
            )
        except (UnreadableVideoError, DamagedVideoError) as error:
            if isinstance(error.__cause__, av.error.ExitError):
                return VideoStalledError(f"{name} does not answer; check the camera and the network to it.")
            if isinstance(error.__cause__, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
                raise
            return error
        return VideoEndedError(f"{name} ended the stream; check whether the camera was switched off.")

    def _fail(self, error: BlindsightError) -> None:
        # What FFmpeg said repeats the address, which may hold a password; it must not be logged.
        error.__cause__ = error.__context__ = None
        with self._changed:
            self._failed = error
            self._changed.notify_all()
