"""A face turned upright, scaled and cropped to what a network was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import ImageError
from blindsight.core.types import U8, AnyArray
from blindsight.vision.faces import FaceBox, Landmarks
from blindsight.vision.images import require_pillow

F64 = NDArray[np.float64]

ARCFACE_SIDE = 112
ARCFACE_TEMPLATE: F64 = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
"""Eyes, nose tip and mouth corners in the 112 x 112 input of ArcFace (Deng et al., 2019)."""


def similarity(source: AnyArray, target: AnyArray) -> F64:
    """The rotation, uniform scale and shift that bring ``source`` closest to ``target``.

    Umeyama (1991), "Least-squares estimation of transformation parameters between two point
    patterns", equations 39 to 43.

    Args:
        source, target: (n, 2) points, n at least 2.

    Returns:
        float64 (2, 3), ``target ≈ source @ m[:, :2].T + m[:, 2]``.

    Raises:
        ImageError: where all source points fall into one.
    """
    x, y = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x_centred, y_centred = x - x_mean, y - y_mean
    variance = float((x_centred**2).sum()) / len(x)
    if variance <= 1e-12:
        raise ImageError("The face has no extent; use a larger photo of it.")
    u, singular, vt = np.linalg.svd(y_centred.T @ x_centred / len(x))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])  # no mirror image
    linear = (singular @ sign / variance) * (u * sign) @ vt
    return np.column_stack([linear, y_mean - linear @ x_mean])


def arcface_matrix(landmarks: Landmarks, side: int) -> F64:
    """Maps the image to the ArcFace template scaled to ``side`` pixels: float64 (2, 3)."""
    scaled = (ARCFACE_TEMPLATE + 0.5) * (side / ARCFACE_SIDE) - 0.5
    return similarity(landmarks.five(), scaled)


def crop_matrix(box: FaceBox, side: int, margin: float) -> F64:
    """Maps the square around the box, ``margin`` of its side added on each side: float64 (2, 3)."""
    length = max(box.width, box.height) * (1.0 + 2.0 * margin)
    scale = side / length
    left, top = ((box.left + box.right) - length) / 2.0, ((box.top + box.bottom) - length) / 2.0
    return np.array([[scale, 0.0, (0.5 - left) * scale - 0.5], [0.0, scale, (0.5 - top) * scale - 0.5]])


def warp(pixels: U8, matrix: F64, side: int) -> U8:
    """Resample ``pixels`` (h, w, 3) through a similarity: uint8 (side, side, 3), black outside.

    Bilinear. ``matrix`` maps input to output coordinates, pixel centres at whole numbers. A
    face that shrinks by two or more is averaged down first, which bilinear alone would not do.
    """
    require_pillow()
    import PIL.Image

    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if not scale > 1e-6:
        raise ImageError("The face has no extent; use a larger photo of it.")
    factor = max(1, int(1.0 / scale + 1e-6))
    image = PIL.Image.fromarray(pixels)
    if factor > 1:
        image = image.reduce(factor)
    # Pillow counts from the corner of a pixel, in both images: half a pixel each way.
    inverse = np.linalg.inv(matrix[:, :2])
    shift = 0.5 - inverse @ (matrix[:, 2] + 0.5)
    coefficients = np.column_stack([inverse, shift]).ravel() / factor
    warped = image.transform(
        (side, side),
        PIL.Image.Transform.AFFINE,
        tuple(float(c) for c in coefficients),
        PIL.Image.Resampling.BILINEAR,
    )
    return np.asarray(warped, dtype=np.uint8)
