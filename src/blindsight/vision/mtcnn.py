"""The detector of seed 002: MTCNN, three small networks one behind the other.

Zhang, Zhang, Li and Qiao (2016), "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks", section II-A: P-Net proposes windows over an image pyramid, R-Net
rejects most of them, O-Net decides and places five landmarks. Needs the published weights
``det1`` to ``det3.caffemodel``; onnxruntime runs them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import F32
from blindsight.vision.faces import MIN_FACE, Face, FaceBox, Landmarks
from blindsight.vision.images import Image, require_pillow
from blindsight.vision.mtcnn_boxes import CELL, F64, candidates, moved, placed, squared, suppress
from blindsight.vision.mtcnn_networks import O_NET, R_NET, Networks, load_networks

if TYPE_CHECKING:
    import PIL.Image

PYRAMID_STEP: Final = 0.709
"""Each level of the pyramid is this much smaller: about half the area."""
MAX_CANDIDATES: Final = 1024
"""The best-scored windows that a stage hands on; bounds memory on pathological images."""
_BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class MtcnnDetector:
    """MTCNN's cascade; build one with `MtcnnDetector.load`.

    Attributes:
        min_face: side of the smallest face looked for, in pixels: what the search costs grows
            with its inverse square.
        thresholds: smallest face probability to pass P-Net, R-Net and O-Net.
        max_side: a longer image is scaled down to it first.

    A face's score is O-Net's probability, from ``thresholds[2]`` to 1; each comes with its five
    landmarks.
    """

    networks: Networks = field(repr=False)
    min_face: int = MIN_FACE
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    max_side: int = 1600

    def __post_init__(self) -> None:
        if self.min_face < CELL:
            raise UsageError(f"MTCNN finds faces from {CELL} pixels on; ask for no smaller ones.")
        if not all(0.0 < threshold < 1.0 for threshold in self.thresholds):
            raise UsageError("MTCNN's three thresholds lie between 0 and 1.")
        if self.max_side < 80:
            raise UsageError("The detector needs a longest side of at least 80 pixels.")

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, min_face: int = MIN_FACE) -> MtcnnDetector:
        """With the weights in ``folder``; raises `ModelError` where they or a package are missing."""
        return cls(load_networks(Path(folder)), max(min_face, CELL))

    def detect(self, image: Image) -> list[Face]:
        """All faces found, the largest first."""
        require_pillow()
        import PIL.Image

        reduction = min(1.0, self.max_side / max(image.height, image.width))
        picture = PIL.Image.fromarray(image.pixels)
        if reduction < 1.0:
            size = (max(1, round(image.width * reduction)), max(1, round(image.height * reduction)))
            picture = picture.resize(size, PIL.Image.Resampling.BILINEAR)
        boxes = self._proposed(picture, max(float(CELL), self.min_face * reduction))
        boxes = self._refined(picture, boxes)
        boxes, scores, points = self._decided(picture, boxes)
        stretch = np.array([image.width / picture.width, image.height / picture.height])
        faces = [
            Face(_box(box), float(score), Landmarks(five.astype(np.float32)))
            for box, score, five in zip(
                boxes * np.tile(stretch, 2), scores, (points + 0.5) * stretch - 0.5, strict=True
            )
        ]
        return sorted(faces, key=lambda face: -face.box.width * face.box.height)

    def _proposed(self, picture: PIL.Image.Image, min_face: float) -> F64:
        """P-Net over the pyramid: squares (n, 4) worth a closer look."""
        found = [self._at_scale(picture, scale) for scale in _pyramid(picture.size, min_face)]
        if not found:
            return np.empty((0, 4))
        boxes, scores, offsets = (np.concatenate(part) for part in zip(*found, strict=True))
        kept = suppress(boxes, scores, 0.7)[:MAX_CANDIDATES]
        return squared(moved(boxes[kept], offsets[kept]))

    def _at_scale(self, picture: PIL.Image.Image, scale: float) -> tuple[F64, F64, F64]:
        import PIL.Image

        width, height = (max(CELL, round(side * scale)) for side in picture.size)
        level = picture.resize((width, height), PIL.Image.Resampling.BILINEAR)
        probability, offsets = Networks.run(self.networks.proposal, _scaled(np.asarray(level)[np.newaxis]))
        boxes, scores, offsets_of = candidates(
            probability[0, 1].astype(np.float64), offsets[0].astype(np.float64), scale, self.thresholds[0]
        )
        kept = np.argsort(-scores, kind="stable")[: 4 * MAX_CANDIDATES]
        boxes, scores, offsets_of = boxes[kept], scores[kept], offsets_of[kept]
        kept = suppress(boxes, scores, 0.5)
        return boxes[kept], scores[kept], offsets_of[kept]

    def _refined(self, picture: PIL.Image.Image, boxes: F64) -> F64:
        """R-Net: squares (m, 4) that still look like faces."""
        probability, offsets = self._judged(self.networks.refine, picture, boxes, R_NET.side, (2, 4))
        passed = probability[:, 1] >= self.thresholds[1]
        boxes, scores, offsets = boxes[passed], probability[passed, 1], offsets[passed]
        kept = suppress(boxes, scores, 0.7)
        return squared(moved(boxes[kept], offsets[kept]))

    def _decided(self, picture: PIL.Image.Image, boxes: F64) -> tuple[F64, F64, F64]:
        """O-Net: boxes (k, 4), probabilities (k,), landmarks (k, 5, 2)."""
        probability, offsets, points = self._judged(
            self.networks.output, picture, boxes, O_NET.side, (2, 4, 10)
        )
        passed = probability[:, 1] >= self.thresholds[2]
        boxes, scores, points = boxes[passed], probability[passed, 1], placed(points[passed], boxes[passed])
        boxes = moved(boxes, offsets[passed])
        whole = (np.rint(boxes[:, 2:]) > np.rint(boxes[:, :2])).all(axis=1)
        boxes, scores, points = boxes[whole], scores[whole], points[whole]
        kept = suppress(boxes, scores, 0.7, of_smaller=True)
        return boxes[kept], scores[kept], points[kept]

    @staticmethod
    def _judged(
        session: object, picture: PIL.Image.Image, boxes: F64, side: int, widths: tuple[int, ...]
    ) -> list[F64]:
        """The windows through R-Net or O-Net, in batches."""
        outputs: list[list[F32]] = []
        for start in range(0, len(boxes), _BATCH):
            crops = np.stack([_crop(picture, box, side) for box in boxes[start : start + _BATCH]])
            outputs.append(Networks.run(session, _scaled(crops)))
        if not outputs:
            return [np.empty((0, width)) for width in widths]
        return [np.concatenate(part).astype(np.float64) for part in zip(*outputs, strict=True)]


def _pyramid(size: tuple[int, int], min_face: float) -> list[float]:
    """Scales that bring faces from ``min_face`` pixels to the whole image to P-Net's window."""
    scales = []
    scale = CELL / min_face
    while min(size) * scale >= CELL:
        scales.append(scale)
        scale *= PYRAMID_STEP
    return scales


def _scaled(crops: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> F32:
    """uint8 (n, h, w, 3) to what the networks take: float32 (n, 3, h, w)."""
    batch: F32 = (crops.transpose(0, 3, 1, 2).astype(np.float32) - np.float32(127.5)) * np.float32(1 / 128)
    return np.ascontiguousarray(batch)


def _crop(picture: PIL.Image.Image, box: F64, side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The square window scaled to ``side``, black where it reaches over the edge."""
    import PIL.Image

    left, top = (int(np.floor(edge)) for edge in box[:2])
    right, bottom = (
        max(int(np.ceil(end)), start + 1) for end, start in zip(box[2:], (left, top), strict=True)
    )
    inside = left >= 0 and top >= 0 and right <= picture.width and bottom <= picture.height
    if inside:
        window = picture.resize((side, side), PIL.Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    else:
        window = picture.crop((left, top, right, bottom)).resize((side, side), PIL.Image.Resampling.BILINEAR)
    return np.asarray(window, dtype=np.uint8)


def _box(box: F64) -> FaceBox:
    left, top, right, bottom = (round(float(edge)) for edge in box)
    return FaceBox(left, top, right, bottom)
