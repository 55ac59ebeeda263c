"""Frames from a file, a folder of pictures, a network camera or a device."""

from __future__ import annotations

import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from blindsight.core.errors import ImageError, UnreadableVideoError, UsageError, VideoSizeError
from blindsight.core.types import U8, frozen
from blindsight.vision.decoding import FILE_FORMATS, MAX_PIXELS, Picture, Tap, decoded, opened, pyav
from blindsight.vision.images import Image, read_image, shown
from blindsight.vision.live import LiveSettings, Reading, live_pictures

if TYPE_CHECKING:
    import av.container

Kind = Literal["file", "folder", "device", "network"]

PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
FOLDER_RATE: Final = 25.0
"""Frames a second that a folder of pictures stands for, where no ``fps`` says otherwise."""
SCHEMES: Final = ("rtsp", "rtsps", "http", "https", "tcp")
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        time: seconds since the first frame: on the video's own clock, or of a live source on
            this machine's.
        index: counts the source's frames from 0, those that are left out too.
        pixels: uint8 (height, width, 3), RGB, upright, read-only.
        source: what messages call the video.
    """

    time: float
    index: int
    pixels: U8 = field(repr=False)
    source: str = "the video"

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", frozen(self.pixels))

    def image(self) -> Image:
        """For detectors and embedders; not copied."""
        return Image(self.pixels, f"frame {self.index} of {self.source}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where frames come from. ``name`` is fit for messages: no password, no control characters."""

    kind: Kind
    address: str = field(repr=False)
    name: str

    @property
    def live(self) -> bool:
        """Whether frames come at their own pace, and those nobody took in time are gone."""
        return self.kind in {"device", "network"}

    @classmethod
    def parse(cls, text: str) -> Source:
        """What a user types: a path, ``rtsp://…`` or another of `SCHEMES`, or a device's number.

        Raises `UsageError` for an address of another scheme.
        """
        if not text or "\x00" in text:
            raise UsageError("A video source is a file, a folder, rtsp://... or a device number.")
        if text.isascii() and text.isdigit() and len(text) <= 3 and not Path(text).exists():
            return cls("device", f"/dev/video{int(text)}", f"camera {int(text)}")
        if _ADDRESS.match(text):
            try:
                parts = urlsplit(text)
                host = parts.hostname or ""
            except ValueError:
                host = ""
            if not host or parts.scheme.lower() not in SCHEMES:
                raise UsageError(f"A camera's address begins with {', '.join(s + '://' for s in SCHEMES)}.")
            return cls("network", text, f"the camera at {shown(host)}")
        return cls("folder" if Path(text).is_dir() else "file", text, shown(text))


def frames(
    source: str | Source,
    *,
    fps: float | None = None,
    strict: bool = True,
    max_pixels: int = MAX_PIXELS,
    live: LiveSettings | None = None,
    tap: Tap | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Frame]:
    """The frames of a source, one after the other; close the iterator to let go of it.

    Of a file every frame comes in its turn, or with ``fps`` every n-th: at most that many a
    second of the video's clock. Of a live source the newest comes, at most ``fps`` a second:
    what arrived while the caller was busy is left out, so that nothing queues up. At any time
    one frame (of a live source two) and the decoder's own few are in memory.

    Args:
        source: as `Source.parse` reads it.
        fps: most frames a second; None for all.
        strict: whether a damaged file is refused where the damage begins, or shown as far as
            FFmpeg can conceal it. Live sources are never strict.
        max_pixels: of a frame.
        live: how long to wait for a live source, and how often to connect again.
        tap: is shown every encoded packet, for instance `Segmenter.push`; of a live source in
            the thread that reads it. What it raises ends the source. Folders have no packets.
        stop: set from another thread, it ends a live source that is being waited for.

    Raises, when the first frame is asked for or at the frame that it concerns:
        UsageError: an unknown scheme, or ``fps`` not above 0.
        UnreadableVideoError: missing, or not a video.
        NoVideoStreamError, VideoTooLargeError, VideoSizeError, DamagedVideoError,
        TruncatedVideoError: as they say.
        VideoStalledError, VideoEndedError: a live source that is lost for good.
        ModelError: PyAV is not installed.
    """
    if fps is not None and not 0.0 < fps < 1e4:
        raise UsageError("Frames a second are a number above 0.")
    chosen = Source.parse(source) if isinstance(source, str) else source
    if chosen.kind == "folder":
        return _folder(Path(chosen.address), fps or FOLDER_RATE, max_pixels)
    pyav()
    pictures: Iterator[Picture]
    if chosen.live:
        settings = live or LiveSettings()
        reading = Reading(chosen.address, chosen.name, chosen.kind == "device", max_pixels, tap, stop)
        pictures = live_pictures(reading, settings, fps)
    else:
        pictures = _thinned(_file(Path(chosen.address), max_pixels, strict, tap), fps)
    return _converted(pictures, chosen.name)


def _converted(pictures: Iterator[Picture], name: str) -> Iterator[Frame]:
    for picture in pictures:
        yield Frame(picture.time, picture.index, picture.pixels(), name)


def _file(path: Path, max_pixels: int, strict: bool, tap: Tap | None) -> Iterator[Picture]:
    with opened_file(path) as source:
        yield from decoded(source, shown(path), max_pixels=max_pixels, strict=strict, tap=tap)


@contextmanager
def opened_file(path: Path) -> Iterator[av.container.InputContainer]:
    """A regular file that names no others, open; raises `UnreadableVideoError` for the rest."""
    name = shown(path)
    try:
        status = path.stat()
    except OSError:
        raise UnreadableVideoError(f"{name} does not exist or may not be read; check the path.") from None
    if not stat.S_ISREG(status.st_mode):  # A pipe would block on open.
        raise UnreadableVideoError(f"{name} is not a regular file; pass a video file.")
    # An absolute path, so that no name is taken for an address; and one file, so that none that
    # a playlist names is opened.
    address = f"file:{path.absolute()}"
    options = {"protocol_whitelist": "file", "format_whitelist": FILE_FORMATS}
    with opened(address, name, options=options) as source:
        yield source


def _thinned(pictures: Iterator[Picture], fps: float | None) -> Iterator[Picture]:
    """At most one picture in each interval of 1/fps."""
    last = -1
    for picture in pictures:
        interval = -1 if fps is None else int(picture.time * fps + 1e-6)
        if fps is None or interval > last:
            last = interval
            yield picture


def _folder(folder: Path, rate: float, max_pixels: int) -> Iterator[Frame]:
    """Pictures in the order of their names, numbers in names as numbers."""
    name = shown(folder)
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    except OSError:
        raise UnreadableVideoError(f"{name} may not be read; change its permissions.") from None
    paths.sort(key=lambda path: _order(path.name))
    if not paths:
        raise UnreadableVideoError(f"{name} has no pictures in it; pass a folder of JPEG or PNG files.")
    size: tuple[int, int] | None = None
    for index, path in enumerate(paths):
        try:
            image = read_image(path, max_pixels=max_pixels)
        except ImageError as error:
            raise UnreadableVideoError(error.message) from error
        size = size or (image.width, image.height)
        if (image.width, image.height) != size:
            raise VideoSizeError(
                f"{shown(path)} has {image.width} x {image.height} pixels, the first picture "
                f"{size[0]} x {size[1]}; a video's frames are of one size."
            )
        yield Frame(index / rate, index, image.pixels, name)


def _order(name: str) -> tuple[tuple[int, str], ...]:
    """A sort key in which frame10 comes after frame9."""
    return tuple(
        (int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"[0-9]+|[^0-9]+", name)
    )
