"""What the camera does: pixels or encoded video to two shares (specification, section 3)."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.core.errors import UsageError
from blindsight.core.types import U8
from blindsight.schemes.footage.params import Params
from blindsight.schemes.footage.pieces import label_key, labels, leaves, pad, root
from blindsight.schemes.footage.public import (
    ID_BYTES,
    SEED_BYTES,
    About,
    BodyShare,
    SeedShare,
    SegmentShape,
    Shape,
    Statement,
    StillShape,
)

Shares = tuple[SeedShare, BodyShare]


def share_still(
    pixels: U8,
    about: About,
    key: Ed25519PrivateKey,
    *,
    seeded: int = 1,
    params: Params = Params(),  # noqa: B008 - frozen
) -> Shares:
    """Share one picture: Π_imgshare of seed 002, section 3.2.

    Args:
        pixels: uint8 (h, w, 3).
        about: which camera and when.
        key: the camera's, which signs.
        seeded: the party that gets the seed, ``r`` of the paper; the other gets ``x - r``.
        params: the tiles in which a party may withhold regions.

    Returns:
        The share of party ``seeded`` and that of the other, in this order.

    Raises:
        UsageError: another array or party; `ParameterError` for a picture over the limits.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UsageError("A still is a uint8 array of shape (height, width, 3).")
    shape = StillShape(pixels.shape[0], pixels.shape[1], params.tile)
    return _share(np.ascontiguousarray(pixels).reshape(-1), shape, about, key, seeded, np.subtract)


def share_segment(
    data: bytes, about: About, key: Ed25519PrivateKey, *, seeded: int = 1, media: str = "video/mp4"
) -> Shares:
    """Share the bytes of one playable piece of encoded video; as `share_still`."""
    shape = SegmentShape(len(data), media)
    return _share(np.frombuffer(data, np.uint8), shape, about, key, seeded, np.bitwise_xor)


def _share(
    content: U8,
    shape: Shape,
    about: About,
    key: Ed25519PrivateKey,
    seeded: int,
    hide: np.ufunc,
    _random: Callable[[int], bytes] = os.urandom,
) -> Shares:
    """Share ``content`` uint8 (size,); everything random is drawn here, for this footage alone.

    ``hide`` takes content and pad to the body; uint8 wraps mod 256.
    """
    if seeded not in {0, 1}:
        raise UsageError("The seed goes to party 0 or to party 1.")
    footage_id, seed, body_key = _random(ID_BYTES), _random(SEED_BYTES), _random(SEED_BYTES)
    drawn = pad(seed, footage_id).read(len(content))
    body = hide(content, drawn)
    roots = [b"", b""]
    for party, share, labels_key in (
        (seeded, drawn, label_key(seed, footage_id)),
        (1 - seeded, body, body_key),
    ):
        bound = leaves(shape, party, footage_id, labels(labels_key, shape.pieces), share)
        roots[party] = root(party, footage_id, bound)
    statement = Statement(about, shape, footage_id, seeded, (roots[0], roots[1]))
    signature = key.sign(statement.signed())
    return SeedShare(statement, signature, seed), BodyShare(statement, signature, body_key, body)
