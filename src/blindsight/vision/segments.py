"""An encoded video cut into pieces that each play alone, without encoding anything again.

For keeping footage: a piece is what ``schemes.footage`` shares and two parties reveal. Only
pictures are kept; sound is left out.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from blindsight.core.errors import DamagedVideoError, UnreadableVideoError, UsageError, VideoTooLargeError
from blindsight.vision.decoding import picture_stream, pyav
from blindsight.vision.images import shown
from blindsight.vision.video import opened_file

if TYPE_CHECKING:
    import av.packet

MAX_BYTES: Final = 60 << 20
"""Of encoded video in a piece; with its container it stays below what a share may hold."""
_MP4_CODECS: Final = ("h264", "hevc", "mpeg4", "av1", "vp9")


@dataclass(frozen=True, slots=True)
class VideoSegment:
    """A complete media file.

    Attributes:
        first, last: seconds from the video's first frame to this piece's first frame, and to
            the end of its last.
        media: the file's type, ``video/mp4`` or ``video/x-matroska``.
        data: its bytes.
    """

    first: float
    last: float
    media: str
    data: bytes = field(repr=False)


class Segmenter:
    """Collects packets, and cuts at the first key frame after ``seconds``.

    At a key frame decoding can begin; where an encoder lets frames before a key frame depend on
    it (open groups of pictures), the few shown between the cut and the key frame are lost. One
    piece is in memory at a time, at most ``max_bytes`` of it.
    """

    def __init__(self, seconds: float = 2.0, *, name: str = "the video", max_bytes: int = MAX_BYTES) -> None:
        if not 0.0 < seconds <= 600.0 or not 0 < max_bytes <= MAX_BYTES:
            raise UsageError("A segment lasts up to 600 seconds and has up to 60 MiB.")
        self._seconds, self._name, self._max_bytes = seconds, name, max_bytes
        self._stream: object = None  # only to tell one from another: it may be closed by now
        self._piece: _Piece | None = None
        self._origin: float | None = None
        self._behind = 0.0  # where the last piece ended

    def push(self, packet: av.packet.Packet[Any]) -> VideoSegment | None:
        """Take the next packet; a piece, where this packet begins another.

        Packets before the first key frame are left out: nothing can show them. A packet of
        another stream, after connecting again, begins a piece too.

        Raises:
            UnreadableVideoError: a packet without time stamps.
            VideoTooLargeError: no key frame for too many bytes.
        """
        done = None
        if packet.stream is not self._stream:
            done = self.finish()
            self._stream, self._origin = packet.stream, None
        if packet.pts is None:
            raise UnreadableVideoError(f"{self._name} has no time stamps to cut at; convert it to MP4.")
        if packet.is_keyframe:
            if self._piece is not None and self._piece.lasts_until(packet) >= self._seconds:
                done = self.finish()
            if self._piece is None:
                self._piece = _Piece(packet.stream, self._name)
        if self._piece is not None:
            self._piece.add(packet)
            if self._piece.size > self._max_bytes:
                raise VideoTooLargeError(
                    f"{self._name} has no key frame in {self._max_bytes:,} bytes; set the camera to send one "
                    "every few seconds."
                )
        return done

    def finish(self) -> VideoSegment | None:
        """The piece begun last, where there is one."""
        piece, self._piece = self._piece, None
        if piece is None:
            return None
        start, end = piece.span()
        if self._origin is None:
            self._origin = start - self._behind
        self._behind = end - self._origin
        return VideoSegment(start - self._origin, self._behind, piece.media, piece.data())


class _Piece:
    """A file in the making. What it needs of its stream it takes at once: streams close."""

    def __init__(self, stream: Any, name: str) -> None:
        av = pyav()
        mp4 = stream.codec_context.name in _MP4_CODECS
        self.media = "video/mp4" if mp4 else "video/x-matroska"
        self.size = 0
        self._name, self._base = name, stream.time_base
        ticks = round(1 / ((stream.average_rate or stream.guessed_rate or 25) * self._base))
        self._one_frame = max(1, ticks)
        self._packets: list[Any] = []
        self._memory = io.BytesIO()
        try:
            self._out = av.open(self._memory, "w", format="mp4" if mp4 else "matroska")
            self._track = self._out.add_stream_from_template(stream)
        except (av.error.FFmpegError, ValueError) as error:
            raise UnreadableVideoError(
                f"{name} is of a kind that cannot be kept; convert it to MP4."
            ) from error
        self._track.time_base = self._base

    def add(self, packet: Any) -> None:
        """A copy: a decoder or a network buffer does not keep it, and muxing changes it."""
        copy = pyav().Packet(bytes(packet))
        copy.pts, copy.duration, copy.time_base = packet.pts, packet.duration, packet.time_base
        copy.is_keyframe = packet.is_keyframe
        self._packets.append(copy)
        self.size += packet.size

    def lasts_until(self, packet: Any) -> float:
        """Seconds from its key frame to the packet's frame."""
        return float((packet.pts - self._packets[0].pts) * self._base)

    def span(self) -> tuple[float, float]:
        """Seconds on the stream's clock, of the first frame and of the end of the last."""
        start = min(packet.pts for packet in self._packets)
        end = max(packet.pts + (packet.duration or self._one_frame) for packet in self._packets)
        return float(start * self._base), float(end * self._base)

    def data(self) -> bytes:
        """The file; it begins at time 0."""
        av = pyav()
        start = min(packet.pts for packet in self._packets)
        try:
            with self._out:
                for packet, decoded_at in zip(self._packets, _decoding_times(self._packets), strict=True):
                    packet.pts, packet.dts = packet.pts - start, decoded_at - start
                    packet.stream = self._track
                    self._out.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            raise DamagedVideoError(f"{self._name} cannot be cut here; copy or export it again.") from error
        return self._memory.getvalue()


def segments(path: str | Path, *, seconds: float = 2.0, max_bytes: int = MAX_BYTES) -> Iterator[VideoSegment]:
    """The pieces of a file.

    Raises as `frames` does for a file that cannot be opened or is damaged, and as `Segmenter`.
    """
    path = Path(path)
    segmenter = Segmenter(seconds, name=shown(path), max_bytes=max_bytes)
    av = pyav()
    with opened_file(path) as source:
        try:
            for packet in source.demux(picture_stream(source, shown(path))):
                done = segmenter.push(packet) if packet.size else None
                if done is not None:
                    yield done
        except (av.error.FFmpegError, OSError) as error:
            raise DamagedVideoError(f"{shown(path)} is damaged; copy or export it again.") from error
        done = segmenter.finish()
        if done is None:
            raise DamagedVideoError(f"{shown(path)} has no key frame in it; copy or export it again.")
        yield done


def _decoding_times(packets: list[Any]) -> list[int]:
    """When each is decoded: in order, and never after it is shown. Not all containers say."""
    shown_at = [packet.pts for packet in packets]
    in_order = sorted(shown_at)
    delay = max(late - own for late, own in zip(in_order, shown_at, strict=True))
    return [at - delay for at in in_order]
