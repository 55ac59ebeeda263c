"""A detector and an embedder for generated clips, quick enough to run hundreds of times, and clips to order.

They work: the detector finds what is not the clips' plain ground, and the embedder tells people
apart by a coarse picture of them. Faces of real models are in the end-to-end tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from blindsight.core.types import Embedding
from blindsight.trusted.camera import Camera, Settings
from blindsight.trusted.camera_clock import StageClock
from blindsight.vision import Face, FaceBox, FacePipeline, Image, LiveSettings, Source, TrackingPolicy
from clips import FACE
from surveillance import PARAMS, Town

GROUND = (60, 90, 70)
SOMEBODY = FACE[::2, ::2]  # 100 x 100 pixels
ANOTHER = np.ascontiguousarray(FACE[::-2, ::2])
EVERY_FRAME = TrackingPolicy(interval=0.0, repeat=1e-6)
QUICK = LiveSettings(stall=0.6, attempts=2, first_wait=0.05, longest_wait=0.1)


class GroundDetector:
    """One face: the box around whatever is not the ground."""

    def detect(self, image: Image) -> list[Face]:
        there = np.abs(image.pixels.astype(np.int16) - np.array(GROUND, np.int16)).sum(axis=2) > 90
        if there.sum() < 900:
            return []
        rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
        return [Face(FaceBox(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))]


class CoarseEmbedder:
    """The face as 4 x 4 grey means, without their mean, ``length`` long: 16 dimensions."""

    model_id, dimension, metric, threshold, radius = "test", PARAMS.dimension, "euclidean", 0.4, 2.0

    def __init__(self, length: float = 1.5) -> None:
        self.length = length

    def embed(self, image: Image, face: Face) -> Embedding:
        box = face.box
        crop = image.pixels[max(0, box.top) : box.bottom, max(0, box.left) : box.right].mean(axis=2)
        parts = [part.mean() for row in np.array_split(crop, 4) for part in np.array_split(row, 4, axis=1)]
        values = np.array(parts) - np.mean(parts)
        values = np.arange(16.0) if not values.any() else values  # even grey
        return Embedding((self.length * values / np.linalg.norm(values)).astype(np.float32), self.model_id)


def pipeline(embedder: CoarseEmbedder | None = None) -> FacePipeline:
    return FacePipeline(GroundDetector(), embedder or CoarseEmbedder(), 32)


def listed(person: np.ndarray) -> np.ndarray:
    """A person as an entry of a list: int32 (16,)."""
    image = Image(scene(person), "a scene")
    (face,) = GroundDetector().detect(image)
    return np.rint(CoarseEmbedder().embed(image, face).vector * PARAMS.scale).astype(np.int32)


def scene(person: np.ndarray | None, left: int = 40, size: tuple[int, int] = (240, 160)) -> np.ndarray:
    """A frame with a person or nobody: uint8 (160, 240, 3)."""
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[:] = GROUND
    if person is not None:
        pixels[20 : 20 + len(person), left : left + person.shape[1]] = person
    return pixels


def film(path: Path, scenes: Sequence[np.ndarray], *, rate: int = 25, fmt: str | None = None) -> Path:
    """Write a clip of these frames."""
    with av.open(str(path), "w", format=fmt) as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.height, stream.width = scenes[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "12", "bf": "0", "crf": "12"}
        stream.thread_count = 1
        for pixels in scenes:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        out.mux(stream.encode())
    return path


def watch(
    town: Town,
    source: Path | str,
    settings: Settings | None = None,
    *,
    embedder: CoarseEmbedder | None = None,
    tap: object = None,
    **link: object,
) -> Camera:
    """A camera before this source, not started; ``link`` is for `CameraLink`."""
    clock = StageClock()
    made = town.camera(clock=clock, **link)
    settings = settings or Settings(live=QUICK)
    return Camera(Source.parse(str(source)), pipeline(embedder), made, settings, tap=tap, clock=clock)
