"""RGB pixels to separate planes and back, as JPEG's full-range YCbCr (ITU-T T.871) or as they are."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

_HALF = 1 << 15


@njit(nogil=True, cache=True, inline="always")
def _byte(value):
    return min(max(value >> 16, 0), 255)


@njit(nogil=True, cache=True)
def _to_ycbcr(image, planes):
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            r, g, b = np.int64(image[y, x, 0]), np.int64(image[y, x, 1]), np.int64(image[y, x, 2])
            planes[0, y, x] = (19595 * r + 38470 * g + 7471 * b + _HALF) >> 16
            planes[1, y, x] = _byte(-11059 * r - 21709 * g + 32768 * b + (128 << 16) + _HALF)
            planes[2, y, x] = _byte(32768 * r - 27439 * g - 5329 * b + (128 << 16) + _HALF)


@njit(nogil=True, cache=True)
def _from_ycbcr(planes, image):
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            light = np.int64(planes[0, y, x]) << 16
            cb, cr = np.int64(planes[1, y, x]) - 128, np.int64(planes[2, y, x]) - 128
            image[y, x, 0] = _byte(light + 91881 * cr + _HALF)
            image[y, x, 1] = _byte(light - 22554 * cb - 46802 * cr + _HALF)
            image[y, x, 2] = _byte(light + 116130 * cb + _HALF)


def to_planes(images: U8, *, ycbcr: bool) -> U8:
    """uint8 (n, height, width, 3) as planes one below the other, uint8 (n, 3 * height, width)."""
    count, height, width, _ = images.shape
    planes = np.empty((count, 3, height, width), np.uint8)
    for image, made in zip(images, planes, strict=True):
        if ycbcr:
            _to_ycbcr(image, made)
        else:
            made[:] = image.transpose(2, 0, 1)
    return planes.reshape(count, 3 * height, width)


def from_planes(stacked: U8, *, ycbcr: bool) -> U8:
    """Undo `to_planes`: exactly for RGB; for YCbCr each channel to within 1, which rounding costs."""
    count, tall, width = stacked.shape
    planes = stacked.reshape(count, 3, tall // 3, width)
    images = np.empty((count, tall // 3, width, 3), np.uint8)
    for image, made in zip(images, planes, strict=True):
        if ycbcr:
            _from_ycbcr(made, image)
        else:
            image[:] = made.transpose(1, 2, 0)
    return images
