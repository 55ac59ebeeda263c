"""Scrambled pixels back to pixels, for whoever has the key."""

from __future__ import annotations

import numpy as np

from blindsight.core.errors import KeyMismatchError, MalformedError
from blindsight.core.types import U8
from blindsight.kernels import blocks, colour
from blindsight.schemes.etc_image.params import Layout, Params
from blindsight.schemes.etc_image.public import EtcImage
from blindsight.schemes.etc_image.secret import SecretKey


def reveal(key: SecretKey, image: EtcImage) -> U8:
    """The pixels that were scrambled, uint8 (height, width) or (height, width, 3).

    Exact where the image was kept without loss; `Layout.YCBCR` returns each channel to within 1.

    Raises:
        KeyMismatchError: scrambled under another key.
    """
    if image.key_id != key.key_id:
        raise KeyMismatchError("The image was scrambled under another key; take the key it was made with.")
    using = key if image.nonce is None else key.for_image(image.nonce)[0]
    images = reveal_batch(using, image.params, image.pixels[np.newaxis], image.height, image.width)
    return np.asarray(images[0])


def reveal_batch(key: SecretKey, params: Params, scrambled: U8, height: int, width: int) -> U8:
    """Undo `protect_batch`: uint8 (n, height, width) or (n, height, width, 3).

    There is nothing in scrambled pixels that a wrong key could be noticed by: it gives another image.

    Raises:
        MalformedError: not the shape that such images have.
    """
    if scrambled.dtype != np.uint8 or scrambled.shape[1:] != params.shape(height, width):
        raise MalformedError("The scrambled pixels do not have the shape of such an image.")
    tables = key.tables(params, height, width, inverse=True)
    images = blocks.scramble(
        np.ascontiguousarray(scrambled),
        tables.order,
        tables.turns,
        tables.masks,
        tables.colours,
        params.block,
    )
    if params.stacked:
        images = colour.from_planes(images, ycbcr=params.layout is Layout.YCBCR)
    return np.ascontiguousarray(images[:, :height, :width])
