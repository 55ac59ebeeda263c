"""What a party does with its share, keyless: check it, open it, withhold regions (6 and 7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.core.errors import TamperedError, UsageError
from blindsight.kernels.prg import Stream, fresh_seed
from blindsight.schemes.footage.pieces import label_key, labels, leaves, pad, require_root, spread
from blindsight.schemes.footage.public import Bools, Opening, SeedShare, Share, StillShape


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a still in pixels; ``right`` and ``bottom`` are one past the last."""

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right and 0 <= self.top < self.bottom):
            raise UsageError("A region to withhold has a positive width and height, from 0 on.")


def check(share: Share, camera: Ed25519PublicKey) -> None:
    """Raise `TamperedError` unless this is a share that the camera made."""
    check_signature(share, camera)
    require_root(open_share(share))


def check_signature(share: Share, camera: Ed25519PublicKey) -> None:
    """Raise `TamperedError` unless the camera signed the statement."""
    try:
        camera.verify(share.signature, share.statement.signed())
    except InvalidSignature:
        raise TamperedError("The camera did not sign this footage; ask which camera it is from.") from None


def open_share(share: Share, withhold: Iterable[Region] = ()) -> Opening:
    """A party's consent to reveal: its share, without the tiles that ``withhold`` touches.

    Hand the opening over and not the share; two openings of one share reveal what either does.

    Raises:
        UsageError: a region outside the still, or any of a segment.
    """
    opening = _whole(share)
    tiles = _touched(opening.statement.shape, tuple(withhold))
    return _masked(opening, tiles & ~opening.withheld) if tiles.any() else opening


def _whole(share: Share) -> Opening:
    """The share with its labels, nothing more withheld than it is already."""
    if isinstance(share, Opening):
        return share
    statement = share.statement
    shape = statement.shape
    if isinstance(share, SeedShare):
        key = label_key(share.seed, statement.footage_id)
        body = pad(share.seed, statement.footage_id).read(shape.size)
    else:
        key, body = share.label_key, share.body
    none = np.zeros(shape.pieces, np.bool_)
    return Opening(statement, share.signature, share.party, none, labels(key, shape.pieces), body)


def _touched(shape: object, regions: tuple[Region, ...]) -> Bools:
    """Which tiles the regions touch."""
    if not isinstance(shape, StillShape):
        if regions:
            raise UsageError("A segment is withheld as a whole, by not opening it.")
        return np.zeros(1, np.bool_)
    tiles = np.zeros(shape.grid, np.bool_)
    for region in regions:
        if region.right > shape.width or region.bottom > shape.height:
            raise UsageError(
                f"A region to withhold reaches outside the still of {shape.width} x {shape.height} pixels."
            )
        rows = slice(region.top // shape.tile, -(-region.bottom // shape.tile))
        tiles[rows, region.left // shape.tile : -(-region.right // shape.tile)] = True
    return tiles.ravel()


def _masked(opening: Opening, tiles: Bools) -> Opening:
    """The opening with ``tiles`` under a fresh mask, and leaves in place of their labels."""
    statement = opening.statement
    shape = statement.shape
    bound = leaves(shape, opening.party, statement.footage_id, opening.marks, opening.body)
    pixels = spread(shape, tiles) if isinstance(shape, StillShape) else tiles
    chosen = pixels.ravel().repeat(3)
    body = opening.body.copy()
    body[chosen] += Stream(fresh_seed()).read(int(chosen.sum()))  # mod 256
    return Opening(
        statement,
        opening.signature,
        opening.party,
        opening.withheld | tiles,
        np.where(tiles[:, np.newaxis], bound, opening.marks),
        body,
    )
