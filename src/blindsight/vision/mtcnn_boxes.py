"""The arithmetic on candidate windows between MTCNN's networks.

Boxes are float64 rows ``left, top, right, bottom`` in pixels of the image, edges and not pixel
centres, so that a width is ``right - left``. Offsets are fractions of a box's width and height.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Rows = NDArray[np.intp]

CELL = 12
"""Side of the window that P-Net judges, in pixels of its input."""
STRIDE = 2
"""Distance of two neighbouring windows of P-Net."""


def candidates(probability: F64, offsets: F64, scale: float, threshold: float) -> tuple[F64, F64, F64]:
    """The windows of one P-Net output map that pass.

    Args:
        probability: (h, w).
        offsets: (4, h, w).
        scale: of the network's input against the image.
        threshold: smallest probability to keep.

    Returns:
        boxes (n, 4), scores (n,), offsets (n, 4).
    """
    y, x = np.nonzero(probability >= threshold)
    corners: F64 = np.column_stack([x, y, x, y]).astype(np.float64) * STRIDE
    corners[:, 2:] += CELL
    boxes: F64 = np.divide(corners, scale)
    return boxes, probability[y, x], offsets[:, y, x].T


def suppress(boxes: F64, scores: F64, overlap: float, *, of_smaller: bool = False) -> Rows:
    """Non-maximum suppression: rows to keep, the best score first.

    A box goes where its intersection with a kept one is more than ``overlap`` of their union,
    or, with ``of_smaller``, of the smaller of the two (which also removes a box inside another).
    Equal scores keep their order.
    """
    left, top, right, bottom = boxes.T
    areas = (right - left) * (bottom - top)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
        whole = np.minimum(areas[best], areas[rest]) if of_smaller else areas[best] + areas[rest] - shared
        order = rest[shared <= overlap * whole]
    return np.array(kept, dtype=np.intp)


def moved(boxes: F64, offsets: F64) -> F64:
    """Boxes after bounding-box regression (paper, section II-B2)."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.hstack([sizes, sizes])


def squared(boxes: F64) -> F64:
    """The smallest squares around the boxes, about the same centres."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    halves = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2.0
    return np.hstack([centres - halves, centres + halves])


def placed(points: F64, boxes: F64) -> F64:
    """Landmarks in the image: ``points`` (n, 10), five x then five y as fractions of the boxes.

    Returns (n, 5, 2), pixel centres at whole numbers.
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    x = boxes[:, :1] + points[:, :5] * sizes[:, :1]
    y = boxes[:, 1:2] + points[:, 5:] * sizes[:, 1:]
    return np.stack([x, y], axis=2) - 0.5
