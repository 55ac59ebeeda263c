"""Shares cut into pieces, and commitments that hide and bind them (specification, section 3)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import numpy as np

from blindsight.core.errors import TamperedError
from blindsight.core.secrets import Secret
from blindsight.core.types import U8
from blindsight.kernels.prg import Stream
from blindsight.schemes.footage.public import HASH_BYTES, Bools, Opening, Shape, StillShape

_PIECE = b"blindsight footage piece v1\x00"
_ROOT = b"blindsight footage root v1\x00"


def pad(seed: bytes, footage_id: bytes) -> Stream:
    """The key stream whose bytes are the seeded party's share."""
    return Stream(Secret(seed).derive("footage pad", footage_id))


def label_key(seed: bytes, footage_id: bytes) -> bytes:
    """The seeded party's label key; the other party's is drawn."""
    return Secret(seed).derive("footage labels", footage_id)


def labels(key: bytes, count: int) -> U8:
    """uint8 (count, 32)."""
    return Stream(key).read(HASH_BYTES * count).reshape(count, HASH_BYTES)


def leaves(shape: Shape, party: int, footage_id: bytes, labels: U8, body: U8) -> U8:
    """The commitment to each piece of a share ``body`` uint8 (size,): uint8 (pieces, 32)."""
    head = hashlib.sha256(_PIECE + bytes([party]))
    out = bytearray()
    for place, piece in enumerate(_cut(shape, body)):
        hashed = head.copy()
        hashed.update(place.to_bytes(4, "little") + footage_id + labels[place].tobytes())
        hashed.update(piece)
        out += hashed.digest()
    return np.frombuffer(out, np.uint8).reshape(-1, HASH_BYTES)


def root(party: int, footage_id: bytes, leaves: U8) -> bytes:
    """32 bytes that bind all pieces."""
    return hashlib.sha256(_ROOT + bytes([party]) + footage_id + leaves.tobytes()).digest()


def require_root(opening: Opening) -> None:
    """Raise `TamperedError` unless the opening is the share that the camera committed to."""
    statement = opening.statement
    found = leaves(statement.shape, opening.party, statement.footage_id, opening.marks, opening.body)
    bound = np.where(opening.withheld[:, np.newaxis], opening.marks, found)
    if not hmac.compare_digest(
        root(opening.party, statement.footage_id, bound), statement.roots[opening.party]
    ):
        raise TamperedError(
            f"Party {opening.party}'s share of the footage is not the one that the camera made."
        )


def spread(shape: StillShape, tiles: Bools) -> Bools:
    """Tiles (pieces,) to the pixels in them (height, width)."""
    grid = tiles.reshape(shape.grid)
    pixels = grid.repeat(shape.tile, axis=0).repeat(shape.tile, axis=1)
    return pixels[: shape.height, : shape.width]


def _cut(shape: Shape, body: U8) -> Iterator[bytes | memoryview]:
    """The pieces in order."""
    if not isinstance(shape, StillShape):
        yield body.data
        return
    rows = body.reshape(shape.height, 3 * shape.width)
    for top in range(0, shape.height, shape.tile):
        band = rows[top : top + shape.tile]
        for left in range(0, 3 * shape.width, 3 * shape.tile):
            yield band[:, left : left + 3 * shape.tile].tobytes()
