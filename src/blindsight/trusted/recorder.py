"""What a camera records: frames or pieces of encoded video, shared and handed to the link at once.

Nothing is kept here: what was shared is forgotten, and what the parties lack waits in the link's
bounded queue (specs/reveal.md, section 2).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from blindsight.core.errors import BlindsightError, UsageError
from blindsight.core.types import U8
from blindsight.schemes.footage.params import Params
from blindsight.schemes.footage.protect import share_segment, share_still
from blindsight.schemes.footage.public import About
from blindsight.trusted.footage_link import FootageLink
from blindsight.vision.segments import Segmenter, VideoSegment
from blindsight.wire.tls import Identity

if TYPE_CHECKING:
    import av.packet

_log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Recorder:
    """Shares footage of the camera with this identity.

    Args:
        identity: the camera's; its certificate's key signs.
        link: where the shares go; the caller starts and closes it.
        began: when a file's first frame was taken, if the source is a file; else None, and
            footage is of when it arrives.
        seconds: of video in a segment, at least.
        params: the tiles in which regions of a still can be withheld.
    """

    def __init__(
        self,
        identity: Identity,
        link: FootageLink,
        *,
        began: datetime | None = None,
        seconds: float = 2.0,
        params: Params | None = None,
        _clock: Callable[[], datetime] = _now,
    ) -> None:
        if began is not None and began.tzinfo is None:
            raise UsageError("Say in which time zone the recording began.")
        self._name, self._key, self._link = identity.own.name, identity.signing_key(), link
        self._began, self._clock = began, _clock
        self._params = params or Params()
        self._seconds = seconds
        self._segmenter = Segmenter(seconds, name="the video")
        self._lock = threading.Lock()
        self._number = time.time_ns() // 1000
        self.faults, self._told = 0, ""

    def still(self, pixels: U8, at: float | None = None) -> None:
        """Share one frame, uint8 (h, w, 3), taken ``at`` seconds into a file, or now."""
        when = self._instant(at)
        about, seeded = self._about(when, when)
        self._link.offer(share_still(pixels, about, self._key, seeded=seeded, params=self._params))

    def segment(self, piece: VideoSegment) -> None:
        """Share one playable piece of video."""
        if self._began is None:
            last = self._clock()
            first = last - timedelta(seconds=max(0.0, piece.last - piece.first))
        else:
            first, last = self._instant(piece.first), self._instant(piece.last)
        about, seeded = self._about(first, last)
        self._link.offer(share_segment(piece.data, about, self._key, seeded=seeded, media=piece.media))

    def packet(self, packet: av.packet.Packet[Any]) -> None:
        """Take an encoded packet: the ``tap`` of `vision.frames`.

        Where video cannot be cut, that is logged and counted in ``faults``, and the watching goes on.
        """
        try:
            done = self._segmenter.push(packet) if packet.size else None
            if done is not None:
                self.segment(done)
        except BlindsightError as error:
            self._fault(error)
            self._segmenter = Segmenter(self._seconds, name="the video")

    def finish(self) -> None:
        """Share the piece that was begun last; at the end of a source."""
        try:
            done = self._segmenter.finish()
            if done is not None:
                self.segment(done)
        except BlindsightError as error:
            self._fault(error)

    def _fault(self, error: BlindsightError) -> None:
        """Count it; say it once, as the next packet may well fail likewise."""
        self.faults += 1
        if error.message != self._told:
            self._told = error.message
            _log.warning("footage: %s", error.message)

    def _instant(self, at: float | None) -> datetime:
        if self._began is None or at is None:
            return self._clock()
        return self._began + timedelta(seconds=at)

    def _about(self, first: datetime, last: datetime) -> tuple[About, int]:
        with self._lock:
            self._number += 1
            return About(self._name, self._number, first, last), self._number % 2
