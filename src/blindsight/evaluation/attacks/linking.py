"""Linkability: which scrambled images show the same thing, or the same person.

Under one key distances are those of the originals, so everything that distances tell is open by design.
Under different keys a block's variance is still that of its original, wherever the block went and
however it was turned: an image's variances in order of size are its mark.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blindsight.core.types import I64, U8
from blindsight.evaluation.attacks.squares import cut

F64 = NDArray[np.float64]


def marks(images: U8, size: int) -> F64:
    """What is left of images under whatever keys: the roots of their blocks' variances in order of size.

    uint8 (n, height, width) or (n, height, width, 3); float64 (n, blocks).
    """
    values = cut(images, size)
    flat = values.reshape(*values.shape[:2], -1).astype(np.float64)
    return np.sort(flat.std(axis=2).T, axis=1)


def same_image(one: F64, two: F64) -> float:
    """Share of rows of ``one`` whose nearest row of ``two`` is the one of the same number."""
    return float((_distances(one, two).argmin(axis=1) == np.arange(len(one))).mean())


def same_person(rows: NDArray[np.floating], people: I64) -> float:
    """Share of images whose nearest other image shows the same person."""
    far = _distances(rows, rows)
    np.fill_diagonal(far, np.inf)
    return float((people[far.argmin(axis=1)] == people).mean())


def distances_kept(plain: U8, scrambled: U8) -> bool:
    """Whether all pairwise squared distances are equal, as whole numbers."""

    def squared(images: U8) -> F64:
        # Products of bytes sum to less than 2^53: float64 has them exactly.
        rows = images.reshape(len(images), -1).astype(np.float64)
        lengths = np.einsum("ij,ij->i", rows, rows)
        found: F64 = lengths[:, np.newaxis] + lengths - 2 * rows @ rows.T
        return found

    return bool((squared(plain) == squared(scrambled)).all())


def _distances(one: NDArray[np.floating], two: NDArray[np.floating]) -> F64:
    a, b = np.asarray(one, np.float64), np.asarray(two, np.float64)
    lengths = np.einsum("ij,ij->i", a, a)[:, np.newaxis] + np.einsum("ij,ij->i", b, b)
    far: F64 = lengths - 2 * a @ b.T
    return far
