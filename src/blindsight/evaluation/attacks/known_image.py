"""Known images: from one original and what it was scrambled to, the tables of the key.

Every block of the scrambled image is compared with every block of the original in all turns, negatives and
orders of channels; the cheapest one-to-one assignment is taken, so that JPEG's losses do not matter.
With the tables every other image under the same key is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from blindsight.core.types import I32, U8
from blindsight.evaluation.attacks.squares import INVERSE, cut, joined, turned
from blindsight.schemes.etc_image.secret import Tables

F64 = NDArray[np.float64]

_ORDERS = tuple(permutations(range(3)))


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """What the attack says of the key.

    Attributes:
        order: int32 (blocks,), which block of the original each scrambled one is.
        turns: uint8 (blocks,), how it was turned.
        masks: uint8 (blocks,), 255 where it is a negative.
        channels: int64 (blocks, 3): channel k of the scrambled block is this channel of the original.
        size: of a block.
        ambiguous: scrambled blocks that fit more than one block of the original exactly as well.
    """

    order: I32
    turns: U8
    masks: U8
    channels: NDArray[np.int64]
    size: int
    ambiguous: int

    def right(self, tables: Tables) -> int:
        """Blocks whose position the attack has found."""
        return int((self.order == tables.order).sum())

    def wholly_right(self, tables: Tables) -> int:
        """Blocks whose position, turn and negative it has found."""
        fits = (self.order == tables.order) & (self.turns == tables.turns) & (self.masks == tables.masks)
        return int(fits.sum())

    def open(self, scrambled: U8) -> U8:
        """Undo the scrambling of images (n, height, width) or (n, height, width, 3) under the same key."""
        blocks = cut(scrambled, self.size) ^ self.masks[:, np.newaxis, np.newaxis, np.newaxis, np.newaxis]
        made = np.empty_like(blocks)
        for at, (origin, turn, order) in enumerate(zip(self.order, self.turns, self.channels, strict=True)):
            block = turned(blocks[at], INVERSE[turn])
            for k in range(block.shape[1]):
                made[origin, :, order[k] if block.shape[1] == 3 else 0] = block[:, k]
        return joined(made, scrambled.shape[2] // self.size)


def known_image(originals: U8, scrambled: U8, size: int) -> Recovered:
    """Compare originals, uint8 (n, height, width) or (n, height, width, 3), with what they became.

    All pairs under one key; sides are multiples of ``size``.
    """
    before, after = cut(originals, size), cut(scrambled, size)
    count, channels = len(before), before.shape[2]
    orders = _ORDERS if channels == 3 else ((0,),)
    left = after.reshape(count, -1).astype(np.float64)
    squares_left = np.einsum("ij,ij->i", left, left)[:, np.newaxis]
    best = np.full((count, count), np.inf)
    how = np.zeros((count, count), np.int64)
    for number, (turn, order) in enumerate((t, o) for t in range(8) for o in orders):
        right = turned(before[:, :, list(order)], turn).reshape(count, -1).astype(np.float64)
        squares = np.einsum("ij,ij->i", right, right)
        products = left @ right.T
        straight = squares_left + squares - 2 * products
        inverted = 255.0 - right
        negative = squares_left + np.einsum("ij,ij->i", inverted, inverted)
        negative -= 2 * (255.0 * left.sum(axis=1)[:, np.newaxis] - products)
        for mask, cost in enumerate((straight, negative)):
            better = cost < best - 0.5  # whole numbers, so that rounding never wins
            best[better] = cost[better]
            how[better] = 2 * number + mask
    rows, origins = linear_sum_assignment(best)
    chosen = how[rows, origins]
    turns = (chosen // 2 // len(orders)).astype(np.uint8)
    channel_orders = np.array([(*order, 0, 0)[:3] if channels == 1 else order for order in orders], np.int64)
    found = best[rows, origins]
    alike = ((best <= found[:, np.newaxis] + 0.5).sum(axis=1) > 1).sum()
    return Recovered(
        origins.astype(np.int32),
        turns,
        (255 * (chosen % 2)).astype(np.uint8),
        channel_orders[chosen // 2 % len(orders)],
        size,
        int(alike),
    )
