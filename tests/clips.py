"""Short generated videos: the astronaut's face moving over a plain ground."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import skimage.data

FACE = np.ascontiguousarray(skimage.data.astronaut()[20:220, 120:320])  # 200 x 200 pixels


def picture(index: int, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """Frame ``index``: the face 3 pixels further to the right each time, and back at the edge."""
    width, height = size
    pixels = np.full((height, width, 3), (60, 90, 70), np.uint8)
    side = min(200, height, width)
    steps = max(1, width - side)
    left = abs((3 * index + steps) % (2 * steps) - steps)
    pixels[:side, left : left + side] = FACE[:side, :side]
    return pixels


def clip(
    path: Path | str,
    frames: int = 36,
    *,
    size: tuple[int, int] = (320, 240),
    codec: str = "libx264",
    rate: int = 24,
    gop: int = 12,
    fmt: str | None = None,
    b_frames: int = 2,
    **options: str,
) -> Path:
    """Write a clip and return its path; ``options`` are the container's."""
    with av.open(str(path), "w", format=fmt, options=options) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "g": str(gop), "bf": str(b_frames), "sc_threshold": "0"}
            stream.thread_count = 1
        for index in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index, size), "rgb24")))
        out.mux(stream.encode())
    return Path(path)
