"""Image files to upright 8-bit RGB pixels, and nothing but typed errors for the rest."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import warnings
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blindsight.core.errors import ImageError, ImageTooLargeError, ModelError, UnreadableImageError
from blindsight.core.types import U8, frozen

if TYPE_CHECKING:
    import PIL.Image

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 100_000_000
MAX_SIDE = 4096
"""Longest side, in pixels, of what is handed on: a larger photo is scaled down to it."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM")
"""All that is ever decoded; Pillow knows more (one of them starts Ghostscript)."""

_ORIENTATION = 0x0112
_WIDE_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_FULL_SCALES = (1.0, 255.0, 65535.0, 2.0**31)
_open_lock = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Upright pixels of one picture.

    Attributes:
        pixels: uint8, shape (height, width, 3), RGB, contiguous, made read-only.
        source: what to call it in a message: the bare file name.
        sha256: of the file's bytes, 32 bytes; None where it came from no file.

    Raises:
        ImageError: for an array of another shape or dtype.
    """

    pixels: U8 = field(repr=False)
    source: str = "the image"
    sha256: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
            raise ImageError("Pixels are a uint8 array of shape (height, width, 3) with at least one pixel.")
        object.__setattr__(self, "pixels", frozen(np.ascontiguousarray(pixels)))

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


def require_pillow() -> None:
    """Raise `ModelError` where Pillow is not installed."""
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ModelError('Reading images needs Pillow: pip install "blindsight[face]".') from error


def read_image(
    file: str | os.PathLike[str] | bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    max_side: int = MAX_SIDE,
) -> Image:
    """Read a photo from a path, or decode the bytes of one.

    EXIF orientation is applied, transparency is laid on white, 16-bit and float grey is
    scaled to 8 bits, of an animation the first frame is taken. Colour profiles are not
    applied. More than ``max_bytes`` or ``max_pixels`` is refused before a pixel is decoded
    (at twice Pillow's ``MAX_IMAGE_PIXELS`` Pillow itself refuses); what is allowed but longer
    than ``max_side`` is scaled down to it.

    Raises:
        ImageTooLargeError: over one of the two limits.
        UnreadableImageError: missing, not a regular file, empty, not an image of `FORMATS`,
            truncated or corrupt.
        ModelError: Pillow is not installed.
    """
    if isinstance(file, bytes):
        return decode_image(file, max_bytes=max_bytes, max_pixels=max_pixels, max_side=max_side)
    data = read_bytes(file, max_bytes=max_bytes)
    return decode_image(
        data, source=shown(file), max_bytes=max_bytes, max_pixels=max_pixels, max_side=max_side
    )


def shown(path: str | os.PathLike[str]) -> str:
    """A path's last part, fit for a message: no control characters, no broken Unicode."""
    name = Path(path).name or str(path)
    return "".join(c if c.isprintable() else "?" for c in name)


def read_bytes(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a regular, not empty file of at most ``max_bytes``; errors as `read_image`."""
    name = shown(path)
    try:
        # A pipe or a device would block on open, so that it is looked at first.
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableImageError(f"{name} is a folder; pass the photos in it one by one.")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImageError(f"{name} is not a regular file; pass a photo.")
        if status.st_size <= max_bytes:
            with Path(path).open("rb") as stream:
                data = stream.read(max_bytes + 1)
        else:
            raise _too_many_bytes(name, max_bytes)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UnreadableImageError(f"{name} does not exist; check the path.") from None
    except PermissionError:
        raise UnreadableImageError(f"{name} may not be read; change its permissions.") from None
    except OSError:
        raise UnreadableImageError(f"{name} cannot be read from its disk; copy it again.") from None
    return data


def _too_many_bytes(name: str, max_bytes: int) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{name} is over the limit of {max_bytes:,} bytes; save it smaller, for instance as JPEG."
    )


def decode_image(
    data: bytes,
    *,
    source: str = "the image",
    sha256: bytes | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    max_side: int = MAX_SIDE,
) -> Image:
    """Decode the bytes of an image file; limits and errors as `read_image`.

    ``sha256`` is the digest of ``data`` where the caller has it already.
    """
    require_pillow()
    import PIL.Image

    if not data:
        raise UnreadableImageError(f"{source} is empty; copy or export it again.")
    if len(data) > max_bytes:
        raise _too_many_bytes(source, max_bytes)
    try:
        # Pillow warns on standard error of what is here either refused or allowed on purpose.
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = PIL.Image.open(BytesIO(data), formats=FORMATS)
        with opened:
            width, height = opened.size
            if width * height > max_pixels:
                raise _too_many_pixels(source, max_pixels)
            pixels = _upright(opened, max_side)
    except ImageError:
        raise
    except (PIL.Image.DecompressionBombError, MemoryError):
        raise _too_many_pixels(source, max_pixels) from None
    except PIL.UnidentifiedImageError:
        kinds = "JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF"
        raise UnreadableImageError(
            f"{source} is not an image of a supported kind ({kinds}); convert it to JPEG."
        ) from None
    except Exception:  # Decoders meet hostile bytes with every exception there is.
        raise UnreadableImageError(f"{source} is damaged or incomplete; copy or export it again.") from None
    return Image(pixels, source, sha256 or hashlib.sha256(data).digest())


def _too_many_pixels(name: str, max_pixels: int) -> ImageTooLargeError:
    return ImageTooLargeError(f"{name} is over the limit of {max_pixels:,} pixels; scale it down.")


def _upright(opened: PIL.Image.Image, max_side: int) -> U8:
    """Decode, bring to 8-bit RGB, scale down, turn upright."""
    from PIL.Image import Resampling

    if max(opened.size) > max_side:
        opened.draft(None, (max_side, max_side))  # JPEG decodes at a half, a quarter, an eighth
    opened.load()
    orientation = _orientation(opened)
    image = _rgb(opened)
    if max(image.size) > max_side:
        scale = max_side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Resampling.BICUBIC, reducing_gap=3.0)
    return _turned(np.array(image, dtype=np.uint8), orientation)


def _orientation(image: PIL.Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Broken metadata on good pixels: the pixels count.
        return 1


def _turned(pixels: U8, orientation: int) -> U8:
    """Undo an EXIF orientation (1 to 8, anything else is 1)."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    import PIL.Image

    if image.mode in _WIDE_GREY:
        return PIL.Image.fromarray(_eight_bits(np.asarray(image, dtype=np.float64), image.mode)).convert(
            "RGB"
        )
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PIL.Image.new("RGBA", rgba.size, "white")
        return PIL.Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(grey: np.ndarray[tuple[int, ...], np.dtype[np.float64]], mode: str) -> U8:
    """Scale brightness (h, w) to 0..255 from the smallest full scale that holds it.

    Integer modes hold at least 16 bits; a float image may count to 1, 255 or 65535.
    """
    if not np.isfinite(grey).all() or grey.min() < 0.0:
        raise ValueError("brightness is finite and not negative")
    scales = _FULL_SCALES if mode == "F" else _FULL_SCALES[2:]
    full = next(scale for scale in scales if grey.max() <= scale)
    return np.rint(grey * (255.0 / full)).astype(np.uint8)
