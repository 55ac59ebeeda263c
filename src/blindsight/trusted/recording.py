"""What a camera's process keeps at the parties of what it watches: nothing, stills, or all video.

Joins a `Camera` to a `Recorder` and its link: the camera shows packets and pictures, this decides
which of them become footage.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from blindsight.core.errors import UsageError
from blindsight.core.types import U8
from blindsight.trusted.footage_link import FootageCounts, FootageLink
from blindsight.trusted.recorder import Recorder
from blindsight.vision.decoding import Tap
from blindsight.wire.tls import Identity

if TYPE_CHECKING:
    from blindsight.trusted.camera import Look

Kind = Literal["stills", "segments"]
KINDS: Final[tuple[Kind, ...]] = ("stills", "segments")

_LAST_SECONDS: Final = 10.0


class Recording:
    """Footage of one camera, while it is open as a context; `finish` it before.

    Args:
        identity: the camera's.
        parties: host and port of party 0 and of party 1.
        kind: one picture now and then, or every packet of the video.
        every: seconds from still to still, or of video in a segment at least.

    """

    def __init__(
        self, identity: Identity, parties: tuple[tuple[str, int], tuple[str, int]], kind: Kind, every: float
    ) -> None:
        if kind not in KINDS:
            raise UsageError(f"Footage is one of {', '.join(KINDS)}.")
        if not every > 0.0:
            raise UsageError("Footage is kept every so many seconds, above 0.")
        self.kind: Kind = kind
        self._every = every
        self._link = FootageLink(identity, parties)
        self._recorder = Recorder(identity, self._link, seconds=every)
        self._next = -math.inf

    @property
    def tap(self) -> Tap | None:
        """What the camera is to show packets to."""
        return self._recorder.packet if self.kind == "segments" else None

    @property
    def look(self) -> Look | None:
        """What the camera is to show pictures to."""
        return self._still if self.kind == "stills" else None

    @property
    def counts(self) -> FootageCounts:
        """So far."""
        return self._link.counts

    def __enter__(self) -> Self:
        self._link.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.close()

    def finish(self) -> bool:
        """Share what was begun, and wait a while for what the parties lack; whether they have it."""
        if self.kind == "segments":
            self._recorder.finish()
        return self._link.wait_kept(_LAST_SECONDS)

    def _still(self, pixels: U8, at: float) -> None:
        if at < self._next:
            return
        self._next = at + self._every
        self._recorder.still(pixels)
