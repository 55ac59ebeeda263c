"""Canaries: secret rows with known scores, to catch a matcher that answers wrongly.

A matcher cannot tell a canary from a template. One that shifts the scores of ``j`` rows of a
block, of which ``c`` are canaries, is caught with probability ``1 - C(256-c, j) / C(256, j)``
(specs/lattice.md, section 10).
"""

from __future__ import annotations

import secrets

import numpy as np

from blindsight.core.secrets import Secret
from blindsight.core.types import F32, I64, AnyArray
from blindsight.encoding import GalleryEncoding
from blindsight.kernels.prg import Stream
from blindsight.trusted.identity import Identity
from blindsight.trusted.records import CANARY


def choose_rows(rows: int, count: int) -> list[int]:
    """Secret, uniform rows for a new block's canaries."""
    free = list(range(rows))
    return [free.pop(secrets.randbelow(len(free))) for _ in range(count)]


def vectors(secret: Secret, encoding: GalleryEncoding, number: int, rows: I64) -> F32:
    """The canaries in some rows of block ``number``: float32 (rows, dimension), of norm ``radius``.

    Sign vectors, one secret bit a coordinate, so that none is near a template.
    """
    out = np.empty((len(rows), encoding.dimension), np.float32)
    for k, row in enumerate(rows.tolist()):
        seed = secret.derive("canaries", number.to_bytes(8, "big") + row.to_bytes(4, "big"))
        signs = (Stream(seed).read(encoding.dimension) & 1).astype(np.float32) * 2 - 1
        out[k] = signs * np.float32(encoding.radius / encoding.dimension**0.5)
    return out


def place(identity: Identity, number: int, ids: I64, templates: AnyArray) -> None:
    """Write the canaries of block ``number`` into its templates, int32 (rows, width), in place."""
    rows = np.flatnonzero(ids == CANARY)
    if len(rows):
        encoding = identity.encoding
        templates[rows] = encoding.templates(vectors(identity.secret, encoding, number, rows)).values
