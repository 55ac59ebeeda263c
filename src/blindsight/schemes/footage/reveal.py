"""Two consents to footage (specification, section 8)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.core.errors import MismatchError, TamperedError
from blindsight.core.types import U8, frozen
from blindsight.schemes.footage.compute import check_signature, open_share
from blindsight.schemes.footage.pieces import require_root, spread
from blindsight.schemes.footage.public import About, Bools, Share, StillShape


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A revealed picture.

    Attributes:
        pixels: uint8 (h, w, 3), zero where a party withheld.
        withheld: bool (h, w).
    """

    about: About
    pixels: U8 = field(repr=False)
    withheld: Bools = field(repr=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A revealed piece of video: a complete file of type ``media``."""

    about: About
    media: str
    data: bytes = field(repr=False)


def reveal(first: Share, second: Share, camera: Ed25519PublicKey) -> Still | Segment:
    """The footage of two shares or openings, one of each party, in any order.

    Raises:
        MismatchError: two shares of one party, or of different footage.
        TamperedError: not signed by ``camera``, or a share that is not the one the camera
            made; the message names the party.
    """
    if first.party == second.party:
        raise MismatchError(f"Both shares are party {first.party}'s; a reveal needs one of each party.")
    if first.statement.footage_id != second.statement.footage_id:
        raise MismatchError("The shares are of different footage; open the same footage on both sides.")
    for share in (first, second):
        check_signature(share, camera)
    if first.statement != second.statement:
        raise TamperedError("The camera signed two statements about one footage; do not trust this camera.")
    one, other = open_share(first), open_share(second)
    for opening in (one, other):
        require_root(opening)
    about, shape = first.statement.about, first.statement.shape
    if not isinstance(shape, StillShape):
        if one.withheld.any() or other.withheld.any():
            raise MismatchError("A party withholds this segment.")
        return Segment(about, shape.media, np.bitwise_xor(one.body, other.body).tobytes())
    withheld = spread(shape, one.withheld | other.withheld)
    pixels = np.add(one.body, other.body).reshape(shape.height, shape.width, 3)
    pixels[withheld] = 0
    return Still(about, frozen(pixels), frozen(withheld))
