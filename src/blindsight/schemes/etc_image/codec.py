"""Scrambled images as PNG and JPEG, and back: keyless, and strict about what it reads."""

from __future__ import annotations

import json
import re
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from blindsight.core.errors import (
    ImageTooLargeError,
    MalformedError,
    ModelError,
    ParamsMismatchError,
    UnreadableImageError,
    UsageError,
)
from blindsight.core.types import U8
from blindsight.schemes.etc_image.params import MAX_PIXELS, VERSION, Params
from blindsight.schemes.etc_image.public import EtcImage

if TYPE_CHECKING:
    import PIL.Image

MAX_BYTES: Final = 64 << 20
KEYWORD: Final = "blindsight-etc"
_MAX_TEXT: Final = 512
_FIELDS: Final = {"version", "params", "size", "key", "nonce"}
_HEX: Final = re.compile(r"[0-9a-f]{32}")


def to_png(image: EtcImage) -> bytes:
    """Without loss; undoing gives the original back exactly."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text(KEYWORD, _text(image))
    out = BytesIO()
    _picture(image.pixels).save(out, "PNG", pnginfo=text, compress_level=1)
    return out.getvalue()


def to_jpeg(image: EtcImage, quality: int) -> bytes:
    """Baseline JPEG at a quality from 1 to 100, chroma halved both ways (4:2:0) as cameras do."""
    if not 1 <= quality <= 100:
        raise UsageError("The quality of a JPEG is a number from 1 to 100.")
    out = BytesIO()
    comment = f"{KEYWORD} {_text(image)}".encode()
    options: dict[str, Any] = {} if image.pixels.ndim == 2 else {"subsampling": "4:2:0"}
    _picture(image.pixels).save(out, "JPEG", quality=quality, comment=comment, **options)
    return out.getvalue()


def from_bytes(data: bytes, *, source: str = "the image", max_pixels: int = MAX_PIXELS) -> EtcImage:
    """Read what `to_png` or `to_jpeg` wrote.

    Raises:
        UnreadableImageError: truncated, corrupt, or of a kind that they never write.
        ImageTooLargeError: over `MAX_BYTES` or ``max_pixels``.
        MalformedError: no scrambled image: its description is missing, or does not fit the pixels.
        ParamsMismatchError: of another version of the scheme.
    """
    if len(data) > MAX_BYTES:
        raise ImageTooLargeError(f"{source} is over the limit of {MAX_BYTES:,} bytes.")
    pixels, text = decoded(data, source, max_pixels)
    version, height, width, params, key_id, nonce = _parsed(text, source)
    return EtcImage(pixels, height, width, params, key_id, nonce, version)


def decoded(data: bytes, source: str, max_pixels: int = MAX_PIXELS) -> tuple[U8, str | None]:
    """Pixels of a PNG or JPEG of 8-bit grey or RGB, as they are, and the description it carries.

    Nothing is converted, since what is converted cannot be undone: every other kind is refused.
    """
    try:
        import PIL.Image
    except ImportError as error:
        raise ModelError('Reading images needs Pillow: pip install "blindsight[etc]".') from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = PIL.Image.open(BytesIO(data), formats=("PNG", "JPEG"))
        with opened:
            if opened.width * opened.height > max_pixels:
                raise ImageTooLargeError(f"{source} is over the limit of {max_pixels:,} pixels.")
            _require_kind(opened, source)
            opened.load()
            if opened.format == "PNG":
                text = opened.info.get(KEYWORD)
            else:
                comment = opened.info.get("comment", b"")
                prefix = f"{KEYWORD} ".encode()
                found = isinstance(comment, bytes) and comment.startswith(prefix)
                text = comment[len(prefix) :].decode("utf-8", "replace") if found else None
            return np.asarray(opened).copy(), text if isinstance(text, str) else None
    except (UnreadableImageError, ImageTooLargeError):
        raise
    except (PIL.Image.DecompressionBombError, MemoryError):
        raise ImageTooLargeError(f"{source} is over the limit of {max_pixels:,} pixels.") from None
    except PIL.UnidentifiedImageError:
        raise UnreadableImageError(f"{source} is neither a PNG nor a JPEG; convert it.") from None
    except Exception:  # Decoders meet hostile bytes with every exception there is.
        raise UnreadableImageError(f"{source} is damaged or incomplete; copy or export it again.") from None


_KINDS: Final = {
    "1": "a black-and-white image of 1 bit",
    "P": "a palette image",
    "CMYK": "a CMYK image",
    "YCCK": "a CMYK image",
    "LA": "an image with transparency",
    "PA": "an image with transparency",
    "RGBA": "an image with transparency",
    "RGBa": "an image with transparency",
    "I": "a 16-bit image",
    "F": "a floating-point image",
}


def _require_kind(opened: PIL.Image.Image, source: str) -> None:
    if getattr(opened, "n_frames", 1) > 1:
        raise UnreadableImageError(f"{source} is animated; save one frame of it as PNG or JPEG.")
    if opened.mode not in ("L", "RGB"):
        kind = "a 16-bit image" if opened.mode.startswith("I;16") else _KINDS.get(opened.mode)
        what = kind or f"an image of the mode {opened.mode}"
        raise UnreadableImageError(f"{source} is {what}; convert it to 8-bit grey or RGB first.")
    if opened.format == "PNG" and _png_depth(opened) == 16:
        raise UnreadableImageError(f"{source} is a 16-bit image; convert it to 8-bit grey or RGB first.")
    if opened.has_transparency_data:
        raise UnreadableImageError(
            f"{source} is an image with transparency; convert it to 8-bit grey or RGB first."
        )


def _png_depth(opened: Any) -> int:
    """Bits a channel of a PNG; Pillow quietly halves 16-bit RGB, which could not be undone."""
    stream = opened.fp
    if stream is None:
        return 8
    at = stream.tell()
    stream.seek(24)  # signature, length and type of the first chunk, width, height
    depth = stream.read(1)
    stream.seek(at)
    return int(depth[0]) if depth else 8


def _picture(pixels: U8) -> PIL.Image.Image:
    import PIL.Image

    return PIL.Image.fromarray(pixels)


def _text(image: EtcImage) -> str:
    described: dict[str, object] = {
        "version": image.version,
        "params": image.params.params_id,
        "size": [image.width, image.height],
        "key": image.key_id,
        "nonce": None if image.nonce is None else image.nonce.hex(),
    }
    return json.dumps(described, separators=(",", ":"))


def _parsed(text: str | None, source: str) -> tuple[int, int, int, Params, str, bytes | None]:
    absent = MalformedError(
        f"{source} does not say how it was scrambled; it is no scrambled image, or its description was "
        "removed."
    )
    if text is None or len(text) > _MAX_TEXT:
        raise absent
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise absent from None
    if not isinstance(found, dict):
        raise absent
    version = found.get("version")
    if type(version) is int and version != VERSION:
        raise ParamsMismatchError(
            f"{source} was scrambled by another version of the scheme; this is version {VERSION}."
        )
    size, key_id, nonce, params = (found.get(name) for name in ("size", "key", "nonce", "params"))
    good = (
        found.keys() == _FIELDS
        and type(version) is int
        and isinstance(size, list)
        and len(size) == 2
        and all(type(side) is int and 0 < side <= MAX_PIXELS for side in size)
        and isinstance(params, str)
        and isinstance(key_id, str)
        and _HEX.fullmatch(key_id)
        and (nonce is None or (isinstance(nonce, str) and _HEX.fullmatch(nonce)))
    )
    if not good:
        raise absent
    assert isinstance(size, list)
    assert isinstance(params, str)
    assert isinstance(key_id, str)
    return (
        VERSION,
        size[1],
        size[0],
        Params.parse(params),
        key_id,
        None if nonce is None else bytes.fromhex(str(nonce)),
    )
