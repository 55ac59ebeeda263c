"""Containers opened and decoded by FFmpeg (PyAV), with nothing but typed errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from blindsight.core.errors import (
    DamagedVideoError,
    ModelError,
    NoVideoStreamError,
    TruncatedVideoError,
    UnreadableVideoError,
    VideoSizeError,
    VideoTooLargeError,
)
from blindsight.core.types import U8

if TYPE_CHECKING:
    import av.container
    import av.packet
    import av.video.frame

Tap = Callable[["av.packet.Packet[Any]"], None]
"""Sees every encoded packet of the video stream before it is decoded, and must not change it."""

MAX_PIXELS: Final = 1 << 25
"""Of a frame: 8K fits. FFmpeg itself refuses a larger one before it allocates."""

FILE_FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,gif,h264,hevc,mjpeg,ivf"
"""All containers that are read from a file; FFmpeg knows more (some name other files to open)."""

_GUESSED_RATE: Final = 25.0


def pyav() -> Any:
    """The package; raises `ModelError` where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise ModelError('Reading video needs PyAV: pip install "blindsight[video]".') from error
    return av


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded frame whose pixels are not converted yet.

    Attributes:
        time: seconds on the video's own clock, 0 at its first frame.
        index: counts the video's frames from 0.
    """

    time: float
    index: int
    coded: av.video.frame.VideoFrame

    def pixels(self) -> U8:
        """Upright RGB: uint8 (h, w, 3), in memory that nobody else uses."""
        rgb: Any = self.coded.to_ndarray(format="rgb24")
        if self.coded.format.name == "rgb24":
            rgb = rgb.copy()  # else it would be the decoder's own frame, to which later ones may refer
        turns = round(self.coded.rotation / 90) % 4  # counter-clockwise, as NumPy's
        return np.ascontiguousarray(np.rot90(rgb, turns))


@contextmanager
def opened(
    address: str,
    name: str,
    *,
    options: dict[str, str],
    container: str | None = None,
    timeout: float | None = None,
) -> Iterator[av.container.InputContainer]:
    """An open input, closed at the end; ``name`` is what messages call it.

    Raises:
        UnreadableVideoError: it is missing or not a video that FFmpeg reads.
        ModelError: PyAV is not installed.
    """
    av = pyav()
    try:
        source = av.open(address, format=container, container_options=options, timeout=timeout)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnreadableVideoError(f"{name} cannot be opened as video: {_reason(error)}") from error
    with source:
        yield source


def _reason(error: Exception) -> str:
    """What to do; never FFmpeg's own words, which may repeat an address with its password."""
    av = pyav()
    if isinstance(error, FileNotFoundError | av.error.HTTPNotFoundError):
        return "it does not exist; check the address."
    if isinstance(error, PermissionError | av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return "access is denied; check permissions, user and password."
    if isinstance(error, ConnectionError):
        return "nothing answers there; check that the camera is on."
    if isinstance(error, av.error.ExitError | TimeoutError):
        return "it does not answer in time; check the network."
    return "it is damaged or of a kind that is not supported; convert it to MP4."


def decoded(
    source: av.container.InputContainer,
    name: str,
    *,
    max_pixels: int = MAX_PIXELS,
    strict: bool = True,
    tap: Tap | None = None,
) -> Iterator[Picture]:
    """The pictures of the first video stream, in the order in which they are shown.

    Args:
        source: an open input.
        name: what messages call it.
        max_pixels: a larger frame is refused before it is decoded.
        strict: refuse damage. Else what FFmpeg can conceal passes and the rest is left out, as
            is right for a live source that a lost packet must not stop.
        tap: is shown the packets.

    Raises:
        NoVideoStreamError, VideoTooLargeError, VideoSizeError: as they say.
        DamagedVideoError: damage, if ``strict``; else only where the container is unreadable.
        TruncatedVideoError: it is shorter than it announces, if ``strict``.
    """
    stream = picture_stream(source, name)
    context = stream.codec_context
    _require_pixels(context.width * context.height, max_pixels, name)
    context.options = {"max_pixels": str(max_pixels)} | ({"err_detect": "explode"} if strict else {})
    rate = float(stream.average_rate or stream.guessed_rate or _GUESSED_RATE)
    size: tuple[int, int] | None = None
    begin, time, count = 0.0, 0.0, 0
    for frame in _frames(source, stream, name, strict, tap):
        if size is None:
            size, begin = (frame.width, frame.height), frame.time or 0.0
            _require_pixels(frame.width * frame.height, max_pixels, name)
        elif (frame.width, frame.height) != size:
            raise VideoSizeError(
                f"{name} changes from {size[0]} x {size[1]} to {frame.width} x {frame.height} pixels "
                f"after {time:.1f} s; open it again, or cut it there."
            )
        # Streams without time stamps, and clocks that jump back, are counted on.
        told = frame.time - begin if frame.time is not None else time + 1.0 / rate
        time = max(told, time) if count else 0.0
        yield Picture(time, count, frame)
        count += 1
    if count == 0:
        raise DamagedVideoError(f"{name} has not one whole frame in it; copy or export it again.")
    if strict:
        _require_end(source, stream, time + 1.0 / rate, rate, name)


def picture_stream(source: av.container.InputContainer, name: str) -> Any:
    """The first stream of moving pictures; raises `NoVideoStreamError` (a cover picture is none)."""
    cover = pyav().stream.Disposition.attached_pic
    for stream in source.streams.video:
        if not stream.disposition & cover and stream.codec_context is not None:
            return stream
    raise NoVideoStreamError(f"{name} has no video in it; pass a file or address with pictures.")


def _frames(
    source: av.container.InputContainer, stream: Any, name: str, strict: bool, tap: Tap | None
) -> Iterator[av.video.frame.VideoFrame]:
    """Decoded frames; whatever FFmpeg says becomes `DamagedVideoError`, or is left out."""
    av = pyav()
    last = 0.0

    def damaged() -> DamagedVideoError:
        return DamagedVideoError(f"{name} is damaged after {last:.1f} s; copy or export it again.")

    for packet in _packets(source, stream, damaged):
        if tap is not None and packet.size:
            tap(packet)
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, MemoryError, ValueError) as error:
            if strict:
                raise damaged() from error
            continue
        for frame in frames:
            if frame.is_corrupt:
                if strict:
                    raise damaged()
                continue
            last = frame.time if frame.time is not None else last
            yield frame


def _packets(
    source: av.container.InputContainer, stream: Any, damaged: Callable[[], DamagedVideoError]
) -> Iterator[Any]:
    """What the container holds of the stream; an empty packet at the end."""
    av = pyav()
    try:
        yield from source.demux(stream)
    except av.error.ExitError:
        raise  # A time-out belongs to the live source that set it.
    except (av.error.FFmpegError, OSError, MemoryError) as error:
        raise damaged() from error


def _require_pixels(pixels: int, max_pixels: int, name: str) -> None:
    if pixels > max_pixels:
        raise VideoTooLargeError(f"{name} has frames over the limit of {max_pixels:,} pixels; scale it down.")


def _require_end(
    source: av.container.InputContainer, stream: Any, seen: float, rate: float, name: str
) -> None:
    """Raise `TruncatedVideoError` where more than two frames of the announced duration are missing."""
    if stream.duration is not None:
        announced = float(stream.duration * stream.time_base)
    elif source.duration is not None and len(source.streams) == 1:
        announced = source.duration / 1e6
    else:
        return
    if seen < announced - 2.0 / rate - 0.05:
        raise TruncatedVideoError(
            f"{name} stops after {seen:.1f} of {announced:.1f} s; it was cut off, copy it again."
        )
