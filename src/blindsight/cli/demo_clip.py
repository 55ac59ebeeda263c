"""A short video made of installed packages' pictures: somebody walks past a wall, and is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import U8

WIDTH: Final = 640
HEIGHT: Final = 480
RATE: Final = 12
_EMPTY: Final = 12
"""Frames before and after the passage, in which nobody is to be seen."""
_WALK: Final = 48
_SIDE: Final = 260
_PORTRAIT: Final = (slice(0, 260), slice(90, 350))
"""Head and collar in scikit-image's astronaut (Eileen Collins, NASA, public domain)."""


def frames() -> Iterator[U8]:
    """RGB pictures, uint8 (480, 640, 3)."""
    try:
        import skimage.data
    except ImportError as error:
        raise UsageError(
            f'The demo\'s video is made of pictures of {error.name}: pip install "blindsight[demo]"; or name '
            "a video of your own with --source."
        ) from error
    samples: Any = skimage.data
    wall = _wall(samples.brick())
    portrait = samples.astronaut()[_PORTRAIT]
    mask = _mask()
    for index in range(-_EMPTY, _WALK + _EMPTY):
        if not 0 <= index < _WALK:
            yield wall
            continue
        left = round(-_SIDE + (WIDTH + _SIDE) * index / _WALK)
        top = round(HEIGHT - _SIDE - 70 + 6 * np.sin(index * 0.9))
        yield _pasted(wall, portrait, mask, left, top)


def _wall(brick: U8) -> U8:
    """The picture's bricks, lit from the left, over a pavement."""
    course = np.rot90(brick).repeat(2, 0).repeat(2, 1)[:HEIGHT, :WIDTH].astype(np.float64)
    light = 0.6 + 0.6 * np.linspace(1, 0, WIDTH) ** 2
    rows = np.arange(HEIGHT)[:, np.newaxis]
    bricks = np.where(rows > HEIGHT - 60, 100 + 0.1 * course, 1.3 * course) * light
    tint = np.array([1.0, 0.82, 0.7])
    return np.asarray(np.clip(bricks[..., np.newaxis] * tint, 0, 255), dtype=np.uint8)


def _mask() -> np.ndarray[Any, np.dtype[np.float64]]:
    """How much of the portrait shows: a soft-edged oval."""
    down, across = np.mgrid[0:_SIDE, 0:_SIDE] / (_SIDE - 1) * 2 - 1
    distance = np.hypot(across / 0.78, (down - 0.02) / 0.98)
    return np.asarray(np.clip((1.0 - distance) / 0.12, 0, 1)[..., np.newaxis])


def _pasted(wall: U8, portrait: U8, mask: Any, left: int, top: int) -> U8:
    picture = wall.copy()
    first, last = max(0, left), min(WIDTH, left + _SIDE)
    part = slice(first - left, last - left)
    under = picture[top : top + _SIDE, first:last]
    over = mask[:, part]
    under[:] = (over * portrait[:, part] + (1 - over) * under).astype(np.uint8)
    return picture


def write(path: Path) -> Path:
    """The video as H.264 in an MP4 file; returns its path."""
    try:
        import av
    except ImportError as error:
        raise UsageError(f'Videos need {error.name}: pip install "blindsight[video]".') from error
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "20", "g": str(2 * RATE), "preset": "veryfast"}
        for picture in frames():
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
    return path
