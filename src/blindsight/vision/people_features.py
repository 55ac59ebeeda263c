"""A person's crop to image features: colour and texture, stripe by stripe. NumPy alone.

What seed 000 [4] leaves open, chosen here from the literature on re-identification and by
measurement. The crop is brought to 128 x 64 pixels (height, width), the shape of Market-1501.

Colour: joint histograms of 8 x 8 x 8 bins in HSV and in CIE L*a*b* (D65), of the crop as it is
and of the crop with its illumination evened out (the grey world by Minkowski norm 6, then a
stretch between the 1st and 99th percentile), which is what cameras differ in. Fifteen
horizontal stripes of 16 rows overlap by half, because people stand upright and turn around;
columns weigh by a Gaussian about the middle, where the person is. Histograms are smoothed by
(1, 2, 1) / 4 along each axis (hue wraps), so that a colour at a bin's edge belongs to both.

Texture: SILTP (Liao et al., CVPR 2010), the scale-invariant local ternary pattern of four
neighbours at distance 2, in the same stripes; and histograms of oriented gradients (Dalal and
Triggs, CVPR 2005), cells of 8 x 8, blocks of 2 x 2, 9 unsigned orientations.

Histograms sum to one and enter by their square roots (Hellinger), so that a linear classifier
compares them by Bhattacharyya's coefficient. Each of the six parts has norm at most 1 / √6, the
whole at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from blindsight.core.types import F32, U8
from blindsight.vision.images import Image, require_pillow

F64 = NDArray[np.float64]
Codes = NDArray[np.int64]

HEIGHT, WIDTH = 128, 64
"""Pixels to which a crop is brought."""

FEATURES_ID = "stripes-1"
"""Names this definition; a model trained on another does not load."""

_CELL = 8
_ROWS, _COLUMNS = HEIGHT // _CELL, WIDTH // _CELL
_STRIPES = _ROWS - 1
_BINS = (8, 8, 8)
_COLOURS = 8 * 8 * 8
_PATTERNS = 3**4
_ORIENTATIONS = 9
_BLOCKS = (_ROWS - 1) * (_COLUMNS - 1)
_PARTS = 6

DIMENSION = 4 * _STRIPES * _COLOURS + _STRIPES * _PATTERNS + _BLOCKS * 4 * _ORIENTATIONS
"""Coordinates of a feature vector: 35,715."""

_MIDDLE = np.exp(-0.5 * (((np.arange(_COLUMNS) + 0.5) / _COLUMNS - 0.5) / 0.3) ** 2)
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
) / np.array([[0.95047], [1.0], [1.08883]])
"""Linear sRGB to XYZ over the white point D65 (IEC 61966-2-1)."""


def person_features(image: Image) -> F32:
    """The features of one crop, float32 (DIMENSION,), not negative, of norm at most 1.

    Raises:
        ModelError: a crop of another size than 64 x 128, and Pillow, which scales it, is missing.
    """
    pixels = resized(image.pixels, HEIGHT, WIDTH).astype(np.float64)
    evened = _evened(pixels)
    grey = pixels.mean(axis=2)
    parts = [
        _stripes(_codes(channels), _COLOURS, wraps)
        for source in (pixels, evened)
        for channels, wraps in ((_hsv(source), True), (_lab(source), False))
    ]
    parts.append(_stripes(_siltp(grey), _PATTERNS, None))
    parts.append(_gradients(grey))
    return np.concatenate(parts).astype(np.float32) / np.float32(math.sqrt(_PARTS))


def features_of(images: Iterable[Image]) -> F32:
    """`person_features` of many crops, float32 (images, DIMENSION)."""
    rows = [person_features(image) for image in images]
    return np.stack(rows) if rows else np.empty((0, DIMENSION), dtype=np.float32)


def resized(pixels: U8, height: int, width: int) -> U8:
    """The whole crop at another size, its aspect not kept: uint8 (height, width, 3)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    require_pillow()
    import PIL.Image

    scaled = PIL.Image.fromarray(pixels).resize((width, height), PIL.Image.Resampling.BICUBIC)
    return np.array(scaled, dtype=np.uint8)


# -- colour --------------------------------------------------------------------------------------


def _evened(pixels: F64) -> F64:
    """Grey world by the Minkowski norm 6, then percentiles 1 and 99 to 0 and 255."""
    means = np.maximum((pixels**6).mean(axis=(0, 1)) ** (1 / 6), 1e-6)
    balanced = np.clip(pixels / means * means.mean(), 0.0, 255.0)
    low, high = np.percentile(balanced, (1, 99))
    return np.asarray(np.clip((balanced - low) / max(high - low, 1.0) * 255.0, 0.0, 255.0))


def _hsv(pixels: F64) -> F64:
    """Hue, saturation, value, each 0 to 1; grey has hue 0."""
    value, least = pixels.max(axis=2), pixels.min(axis=2)
    chroma = value - least
    safe = np.where(chroma > 0.0, chroma, 1.0)
    r, g, b = np.moveaxis(pixels, 2, 0)
    sector = np.where(
        value == r, ((g - b) / safe) % 6.0, np.where(value == g, (b - r) / safe + 2.0, (r - g) / safe + 4.0)
    )
    hue = np.where(chroma > 0.0, sector / 6.0, 0.0)
    saturation = chroma / np.where(value > 0.0, value, 1.0)
    return np.stack([hue, saturation, value / 255.0], axis=2)


def _lab(pixels: F64) -> F64:
    """CIE L*a*b*, scaled so that L* from 0 to 100 and a*, b* from -48 to 48 become 0 to 1."""
    share = pixels / 255.0
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    xyz = linear @ _TO_XYZ.T
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    x, y, z = np.moveaxis(root, 2, 0)
    return np.stack(
        [(116.0 * y - 16.0) / 100.0, (500.0 * (x - y) + 48.0) / 96.0, (200.0 * (y - z) + 48.0) / 96.0], axis=2
    )


def _codes(channels: F64) -> Codes:
    """The joint bin of three channels of 0 to 1, values outside in the outer bins: 0 to 511."""
    bins = np.clip((channels * 8.0).astype(np.int64), 0, 7)
    return np.asarray((bins[..., 0] * 8 + bins[..., 1]) * 8 + bins[..., 2])


# -- stripes and cells -----------------------------------------------------------------------------


def _cells(codes: Codes, bins: int, weights: F64 | None = None) -> F64:
    """Histograms of codes (HEIGHT, WIDTH) in cells of 8 x 8: (rows, columns, bins)."""
    row, column = np.arange(HEIGHT) // _CELL, np.arange(WIDTH) // _CELL
    place = (row[:, np.newaxis] * _COLUMNS + column) * bins + codes
    counts = np.bincount(place.ravel(), None if weights is None else weights.ravel(), _ROWS * _COLUMNS * bins)
    return counts.reshape(_ROWS, _COLUMNS, bins).astype(np.float64)


def _stripes(codes: Codes, bins: int, wraps: bool | None) -> F64:
    """Roots of the stripes' histograms, flat, of norm 1.

    Colour histograms are smoothed along their three axes; ``wraps`` says whether the first is
    a circle, and is None for patterns, which have no neighbours.
    """
    columns = np.einsum("rcb,c->rb", _cells(codes, bins), _MIDDLE)
    histograms = columns[:-1] + columns[1:]
    if wraps is not None:
        histograms = _smoothed(histograms.reshape(_STRIPES, *_BINS), wraps).reshape(_STRIPES, bins)
    shares = histograms / np.maximum(histograms.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(np.sqrt(shares).ravel() / math.sqrt(_STRIPES))


def _smoothed(histograms: F64, wraps: bool) -> F64:
    """(1, 2, 1) / 4 along axes 1 to 3; what a linear axis pushes over its edge is lost."""
    for axis in (1, 2, 3):
        before, after = np.roll(histograms, 1, axis), np.roll(histograms, -1, axis)
        if not (wraps and axis == 1):
            np.moveaxis(before, axis, 0)[0] = 0.0
            np.moveaxis(after, axis, 0)[-1] = 0.0
        histograms = 0.5 * histograms + 0.25 * (before + after)
    return histograms


# -- texture ---------------------------------------------------------------------------------------


def _siltp(grey: F64) -> Codes:
    """Of four neighbours at distance 2, each brighter, darker or within a tenth: 0 to 80."""
    padded = np.pad(grey, 2, mode="edge")
    code = np.zeros(grey.shape, dtype=np.int64)
    for down, right in ((0, 2), (-2, 0), (0, -2), (2, 0)):
        other = padded[2 + down : 2 + down + HEIGHT, 2 + right : 2 + right + WIDTH]
        brighter, darker = other > 1.1 * grey + 1.0, other < 0.9 * grey - 1.0
        code = code * 3 + np.where(brighter, 1, np.where(darker, 2, 0))
    return code


def _gradients(grey: F64) -> F64:
    """Histograms of oriented gradients, flat, of norm at most 1 (blocks normalised by L2-Hys)."""
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    down[1:-1] = grey[2:] - grey[:-2]
    strength = np.hypot(across, down)
    place = (np.arctan2(down, across) % math.pi) / math.pi * _ORIENTATIONS - 0.5
    low = np.floor(place)
    share = place - low
    lower = low.astype(np.int64) % _ORIENTATIONS
    cells = _cells(lower, _ORIENTATIONS, strength * (1.0 - share))
    cells += _cells((lower + 1) % _ORIENTATIONS, _ORIENTATIONS, strength * share)
    blocks = np.concatenate([cells[:-1, :-1], cells[1:, :-1], cells[:-1, 1:], cells[1:, 1:]], axis=2)
    # A floor of 10 grey levels, so that noise on an even surface does not become texture.
    blocks /= np.sqrt((blocks**2).sum(axis=2, keepdims=True) + 100.0)
    blocks = np.minimum(blocks, 0.2)
    blocks /= np.sqrt((blocks**2).sum(axis=2, keepdims=True) + 1e-6)
    return np.asarray(blocks.ravel() / math.sqrt(_BLOCKS))
