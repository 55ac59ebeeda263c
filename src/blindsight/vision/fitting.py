"""Pictures of one size, for whoever compares pixel with pixel."""

from __future__ import annotations

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import U8


def fitted(pixels: U8, height: int, width: int, *, grey: bool) -> U8:
    """Cut to the shape wanted about the middle, then scaled where that is not enough.

    uint8 (h, w) or (h, w, 3) to uint8 (height, width), or (height, width, 3) of a colour image that is
    not to be grey. Extended Yale B's 168 × 192 lose four columns on either side and are not scaled.
    """
    import PIL.Image

    if height < 1 or width < 1:
        raise UsageError("The size of images is at least one pixel each way.")
    picture = PIL.Image.fromarray(pixels)
    picture = picture.convert("L") if grey else picture
    wide = max(1, min(picture.width, round(picture.height * width / height)))
    tall = max(1, min(picture.height, round(picture.width * height / width)))
    left, top = (picture.width - wide) // 2, (picture.height - tall) // 2
    picture = picture.crop((left, top, left + wide, top + tall))
    if picture.size != (width, height):
        picture = picture.resize((width, height), PIL.Image.Resampling.BICUBIC)
    return np.array(picture, dtype=np.uint8)
