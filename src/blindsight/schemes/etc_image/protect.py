"""Pixels to scrambled pixels (Kawamura et al., figure 1)."""

from __future__ import annotations

import numpy as np

from blindsight.core.errors import ImageError
from blindsight.core.types import U8
from blindsight.kernels import blocks, colour
from blindsight.schemes.etc_image.params import Layout, Params
from blindsight.schemes.etc_image.public import EtcImage
from blindsight.schemes.etc_image.secret import SecretKey


def protect(key: SecretKey, params: Params, pixels: U8, *, own_key: bool = False) -> EtcImage:
    """Scramble one image: uint8 (height, width), or (height, width, 3) for the layouts of colour images.

    Args:
        key: the client's.
        params: layout and block.
        pixels: at least a block high and wide.
        own_key: give the image a key of its own, derived from ``key`` and a random nonce that the image
            carries. No other image is then scrambled the same way, and nothing can be learned from it.

    Raises:
        ImageTooSmallError: smaller than a block.
        ImageError: another shape or dtype than the layout takes.
    """
    nonce = None
    using = key
    if own_key:
        using, nonce = key.for_image()
    scrambled = protect_batch(using, params, pixels[np.newaxis])[0]
    return EtcImage(scrambled, pixels.shape[0], pixels.shape[1], params, key.key_id, nonce)


def protect_batch(key: SecretKey, params: Params, images: U8) -> U8:
    """Scramble images of one size under one key, uint8 (n, height, width) or (n, height, width, 3).

    Returns:
        uint8 (n, *params.shape(height, width)).

    Raises:
        As `protect`.
    """
    depth = 3 if params.channels == 1 else 4
    if images.dtype != np.uint8 or images.ndim != depth or (depth == 4 and images.shape[3] != 3):
        wanted = "(height, width)" if depth == 3 else "(height, width, 3)"
        raise ImageError(f"The layout {params.layout.value} takes uint8 pixels of shape {wanted}.")
    images = np.ascontiguousarray(images)
    height, width = images.shape[1:3]
    tables = key.tables(params, height, width)
    if params.stacked:
        images = colour.to_planes(_padded(images, params.block), ycbcr=params.layout is Layout.YCBCR)
    return blocks.scramble(images, tables.order, tables.turns, tables.masks, tables.colours, params.block)


def _padded(images: U8, block: int) -> U8:
    """Sides rounded up to whole blocks by repeating the last row and column."""
    rest = [(0, -side % block) for side in images.shape[1:3]]
    if not any(more for _, more in rest):
        return images
    return np.pad(images, [(0, 0), *rest, (0, 0)], mode="edge")
