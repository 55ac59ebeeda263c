"""The eight turns of a square, for whoever puts scrambled blocks together again.

Turns are numbered as in `blindsight.kernels.blocks`. A block has four sides, 0 top, 1 right, 2 bottom,
3 left, read from left to right and from top to bottom.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blindsight.kernels.blocks import UNTURN

INVERSE: Final = tuple(int(turn) for turn in UNTURN)
OPPOSITE: Final = (2, 3, 0, 1)
STEP: Final = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Rows and columns to the neighbour at each side."""


def turned(blocks: NDArray[Any], turn: int) -> NDArray[Any]:
    """Square blocks (..., size, size) or, with ``channels`` last, see `turned_colour`."""
    made = blocks[..., ::-1, :] if turn & 2 else blocks
    made = made[..., ::-1] if turn & 1 else made
    return made.swapaxes(-1, -2) if turn & 4 else made


def _tables() -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[tuple[int, int], ...], ...]]:
    mark = np.arange(9).reshape(3, 3)
    looks = {turned(mark, turn).tobytes(): turn for turn in range(8)}
    then = tuple(
        tuple(looks[turned(turned(mark, second), first).tobytes()] for second in range(8))
        for first in range(8)
    )
    sides = [_side(mark, side).tolist() for side in range(4)]
    shown = []
    for turn in range(8):
        row = []
        for side in range(4):
            seen = _side(turned(mark, turn), side).tolist()
            backwards = seen not in sides
            row.append((sides.index(seen[::-1] if backwards else seen), int(backwards)))
        shown.append(tuple(row))
    return then, tuple(shown)


def _side(blocks: NDArray[Any], side: int, depth: int = 0) -> NDArray[Any]:
    """The pixels along a side, ``depth`` pixels within: (..., size)."""
    return (
        blocks[..., depth, :],
        blocks[..., :, -1 - depth],
        blocks[..., -1 - depth, :],
        blocks[..., :, depth],
    )[side]


side = _side

COMPOSED, SHOWN = _tables()
"""``COMPOSED[a][b]``: turn b, then turn a. ``SHOWN[turn][side]``: which side of the unturned block is seen
at a side of the turned one, and whether it is read backwards."""

TURN_THAT_SHOWS: Final = {(at, *SHOWN[turn][at]): turn for turn in range(8) for at in range(4)}
"""From (side, side of the unturned block, backwards) to the one turn that shows it there."""


def moved(place: tuple[int, int], turn: int) -> tuple[int, int]:
    """Where (row, column) comes to lie when all around (0, 0) is turned."""
    row = -place[0] if turn & 2 else place[0]
    column = -place[1] if turn & 1 else place[1]
    return (column, row) if turn & 4 else (row, column)


def cut(images: NDArray[Any], size: int) -> NDArray[Any]:
    """Blocks of images (n, height, width) or (n, height, width, 3): (blocks, n, channels, size, size)."""
    shaped = images[..., np.newaxis] if images.ndim == 3 else images
    n, height, width, channels = shaped.shape
    grid = shaped.reshape(n, height // size, size, width // size, size, channels)
    return grid.transpose(1, 3, 0, 5, 2, 4).reshape(-1, n, channels, size, size)


def joined(blocks: NDArray[Any], columns: int) -> NDArray[Any]:
    """Undo `cut`: (n, height, width), or (n, height, width, 3) where there are three channels."""
    count, n, channels, size, _ = blocks.shape
    grid = blocks.reshape(count // columns, columns, n, channels, size, size)
    images = grid.transpose(2, 0, 4, 1, 5, 3).reshape(n, count // columns * size, columns * size, channels)
    return images[..., 0] if channels == 1 else images
