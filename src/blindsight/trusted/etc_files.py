"""Image files before they are scrambled, and after it was undone: read as they are, or refused."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import U8
from blindsight.schemes.etc_image import codec
from blindsight.schemes.etc_image.params import Layout, Params
from blindsight.schemes.etc_image.protect import protect
from blindsight.schemes.etc_image.reveal import reveal
from blindsight.schemes.etc_image.secret import SecretKey
from blindsight.vision.images import read_bytes, shown

_ORIENTATION = 0x0112
_EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif"}
    | {".pgm", ".ppm", ".pnm", ".pbm"}
)
"""What is tried in a folder; most of it is refused, which is better said than passed over."""


@dataclass(frozen=True, slots=True)
class Task:
    """A file, and where its result goes, without an ending."""

    source: Path
    target: Path


def tasks(paths: Iterable[Path], out: Path) -> list[Task]:
    """Files, and all image files below folders, in order; results keep the folders' structure.

    Raises `UsageError` for a path that is not there, and where two files would become one.
    """
    found: list[Task] = []
    for path in paths:
        if path.is_dir():
            for source in sorted(_below(path)):
                found.append(Task(source, out / source.relative_to(path).with_suffix("")))
        elif path.exists():
            found.append(Task(path, out / path.stem))
        else:
            raise UsageError(f"{path} does not exist; check the path.")
    found = list(dict.fromkeys(found))
    targets: dict[Path, Path] = {}
    for task in found:
        if (other := targets.setdefault(task.target, task.source)) != task.source:
            raise UsageError(
                f"{task.source} and {other} would be written to the same file; rename one of them."
            )
    return found


def _below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in _EXTENSIONS:
                yield path


def read_plain(path: Path) -> U8:
    """Upright pixels of a PNG or JPEG of 8-bit grey or RGB: uint8 (height, width) or (height, width, 3).

    Raises:
        UnreadableImageError: 16-bit, palette, CMYK, transparent, animated, damaged, or another format:
            what would have to be converted could not come back as it was.
        ImageTooLargeError: over the limits.
    """
    import PIL.Image

    data = read_bytes(path)
    pixels, _ = codec.decoded(data, shown(path))
    try:
        with PIL.Image.open(BytesIO(data)) as opened:
            orientation = int(opened.getexif().get(_ORIENTATION, 1))
    except Exception:  # Broken metadata on good pixels: the pixels count.
        orientation = 1
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def params_for(pixels: U8, layout: str, block: int | None) -> Params:
    """Layout and block: ``auto`` takes grey or colour as the image is. `UsageError` where they do not fit."""
    grey = pixels.ndim == 2
    if layout == "auto":
        layout = "grey" if grey else "colour"
    try:
        wanted = Layout(layout)
    except ValueError:
        names = ", ".join(one.value for one in Layout)
        raise UsageError(f"There is no layout {layout}; there are auto, {names}.") from None
    if grey != (wanted is Layout.GREY):
        kind = "grey" if grey else "in colour"
        raise UsageError(f"The image is {kind}, and the layout {layout} is for the other kind.")
    return Params(wanted, block if block is not None else (16 if wanted is Layout.COLOUR else 8))


def scramble_file(
    key: SecretKey, task: Task, *, layout: str, block: int | None, quality: int | None, own_keys: bool
) -> Path:
    """Scramble one file into a PNG, or a JPEG where a quality is given; where it was written."""
    pixels = read_plain(task.source)
    image = protect(key, params_for(pixels, layout, block), pixels, own_key=own_keys)
    data = codec.to_png(image) if quality is None else codec.to_jpeg(image, quality)
    return _write(task.target, ".png" if quality is None else ".jpg", data)


def unscramble_file(key: SecretKey, task: Task) -> Path:
    """Undo `scramble_file` into a PNG; where it was written."""
    import PIL.Image

    image = codec.from_bytes(read_bytes(task.source), source=shown(task.source))
    out = BytesIO()
    PIL.Image.fromarray(reveal(key, image)).save(out, "PNG")
    return _write(task.target, ".png", out.getvalue())


def _write(target: Path, ending: str, data: bytes) -> Path:
    """The whole file or none; a file that is there already is replaced."""
    path = target.with_name(target.name + ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path
