"""Scrambled images alone: a jigsaw puzzle, of one image or of many that were cut and mixed alike.

Sides that belong together continue each other: each is carried half a pixel outwards from its last two
rows of pixels, and the squared difference of two such lines, summed over all images, says how badly they
fit. Lines are tried backwards, as negatives and in all orders of channels, since the key may have done
that. Pieces are then joined as Gallagher does (CVPR 2012, "Jigsaw puzzles with pieces of unknown
orientation"): the surest pair first, sure being how much better it fits than the next best, and groups
that would overlap or grow beyond the image are not joined.

With one image this is the puzzle attack of the scheme's literature; with many under one key the same code
is an attack on the key itself, and each image more makes it surer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from blindsight.core.types import U8
from blindsight.evaluation.attacks.squares import (
    COMPOSED,
    INVERSE,
    OPPOSITE,
    SHOWN,
    STEP,
    TURN_THAT_SHOWS,
    cut,
    moved,
    side,
    turned,
)
from blindsight.schemes.etc_image.secret import Tables

F32 = NDArray[np.float32]

_ORDERS = tuple(permutations(range(3)))
_CANDIDATES = 4
"""Partners of each side that are tried."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A piece where it is put: cell, turn, negative, and which of its channels is shown as each channel."""

    row: int
    column: int
    turn: int = 0
    negative: bool = False
    channels: tuple[int, ...] = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Match:
    """Side ``one[1]`` of piece ``one[0]`` continues in a side of another piece, read backwards or not."""

    one: tuple[int, int]
    two: tuple[int, int]
    backwards: int
    negative: bool
    channels: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Groups of pieces, the largest first: piece to place."""

    groups: tuple[dict[int, Placed], ...] = field(repr=False)
    rows: int
    columns: int
    size: int

    def neighbours(self, tables: Tables) -> float:
        """Share of all neighbours in the original that lie side by side here, both turned the right way."""
        truth = _truth(tables, self.columns)
        at = {(piece.row, piece.column): number for number, piece in truth.items()}
        home = {number: group for group in self.groups for number in group}
        right = total = 0
        for number, piece in truth.items():
            for down, along in STEP[1:3]:
                other = at.get((piece.row + down, piece.column + along))
                if other is None:
                    continue
                total += 1
                group = home[number]
                right += other in group and _agree(group[number], group[other], piece, truth[other])
        return right / total

    def aligned(self, tables: Tables) -> tuple[dict[int, Placed], int]:
        """The largest group turned and shifted to where most of it is right, and how many pieces are then.

        A whole image may come out turned or as its negative; whoever looks at it turns it back.
        """
        truth, group = _truth(tables, self.columns), self.groups[0]
        votes: dict[tuple[int, int, int, bool, tuple[int, ...]], int] = {}
        for number, piece in group.items():
            wanted = truth[number]
            turn = COMPOSED[wanted.turn][INVERSE[piece.turn]]
            row, column = moved((piece.row, piece.column), turn)
            shift = (turn, wanted.row - row, wanted.column - column, wanted.negative != piece.negative,
                     tuple(piece.channels.index(k) for k in wanted.channels))  # fmt: skip
            votes[shift] = votes.get(shift, 0) + 1
        turn, down, along, negative, channels = max(votes, key=lambda vote: votes[vote])
        made = {
            number: _with(piece, turn, (down, along), negative, channels) for number, piece in group.items()
        }
        return made, sum(made[number] == truth[number] for number in made)

    def picture(self, placed: dict[int, Placed], scrambled: U8, blank: int = 128) -> U8:
        """Images with the pieces where they are put and grey elsewhere, shape of ``scrambled``."""
        pieces = cut(scrambled, self.size)
        out = np.full_like(scrambled, blank)
        for number, piece in placed.items():
            if 0 <= piece.row < self.rows and 0 <= piece.column < self.columns:
                block = turned(pieces[number], piece.turn)
                block = 255 - block if piece.negative else block
                top, left = piece.row * self.size, piece.column * self.size
                window = (slice(None), slice(top, top + self.size), slice(left, left + self.size))
                if scrambled.ndim == 3:
                    out[window] = block[:, 0]
                else:
                    out[window] = np.moveaxis(block[:, list(piece.channels)], 1, -1)
        return out


def solve(scrambled: U8, size: int) -> Solution:
    """Put together images that were scrambled under one key: uint8 (n, height, width) or (…, 3)."""
    rows, columns = scrambled.shape[1] // size, scrambled.shape[2] // size
    groups = {number: _Group({number: Placed(0, 0)}) for number in range(rows * columns)}
    member = {number: number for number in groups}
    for found in _matches(cut(scrambled, size)):
        match = found
        a, b = member[match.one[0]], member[match.two[0]]
        if a == b:
            continue
        if len(groups[a].pieces) < len(groups[b].pieces):
            a, b = b, a
            match = _swapped(match)
        joined = _join(groups[a].pieces, groups[b].pieces, match)
        if groups[a].take(joined, (rows, columns)):
            member.update(dict.fromkeys(joined, a))
            del groups[b]
    ordered = sorted((group.pieces for group in groups.values()), key=len, reverse=True)
    return Solution(tuple(ordered), rows, columns, size)


class _Group:
    """Pieces that lie fast to each other, the cells they take, and how far they reach."""

    def __init__(self, pieces: dict[int, Placed]) -> None:
        self.pieces = pieces
        self._cells = {(piece.row, piece.column) for piece in pieces.values()}
        self._box = (0, 0, 0, 0)

    def take(self, others: dict[int, Placed], most: tuple[int, int]) -> bool:
        """Add pieces unless a cell is taken already, or the whole would not fit into the image."""
        cells = {(piece.row, piece.column) for piece in others.values()}
        if not cells.isdisjoint(self._cells):
            return False
        top = min(self._box[0], *(row for row, _ in cells))
        left = min(self._box[1], *(column for _, column in cells))
        bottom = max(self._box[2], *(row for row, _ in cells))
        right = max(self._box[3], *(column for _, column in cells))
        tall, wide = bottom - top + 1, right - left + 1
        if max(tall, wide) > max(most) or min(tall, wide) > min(most):
            return False
        self.pieces |= others
        self._cells |= cells
        self._box = (top, left, bottom, right)
        return True


# -- which sides fit -----------------------------------------------------------------------------------


def _matches(pieces: NDArray[np.uint8]) -> Iterator[Match]:
    """Pairs of sides, the surest first."""
    count, _, channels = pieces.shape[:3]
    lines = _lines(pieces)
    best, how, orders = _fits(lines, channels)
    owner = np.arange(4 * count) // 4
    best[owner[:, np.newaxis] == owner] = np.inf
    nearest = np.argpartition(best, _CANDIDATES, axis=1)[:, : _CANDIDATES + 1]
    values = np.take_along_axis(best, nearest, axis=1)
    second = np.sort(values, axis=1)[:, 1] + 1e-6
    one = np.repeat(np.arange(4 * count), nearest.shape[1])
    two = nearest.ravel()
    fit = values.ravel()
    # A pair is as sure as it is better than the next best partner of either side.
    unsure = fit / np.minimum(second[one], second[two])
    for at in np.lexsort((fit, unsure)):
        if one[at] < two[at] or not (nearest[two[at]] == one[at]).any():
            backwards, negative, order = _hypothesis(int(how[one[at], two[at]]))
            yield Match(
                (int(one[at]) // 4, int(one[at]) % 4),
                (int(two[at]) // 4, int(two[at]) % 4),
                backwards,
                negative,
                orders[order],
            )


def _lines(pieces: NDArray[np.uint8]) -> F32:
    """Each side carried half a pixel outwards: float32 (4 · pieces, n, channels, size)."""
    values = pieces.astype(np.float32)
    sides = [1.5 * side(values, at) - 0.5 * side(values, at, 1) for at in range(4)]
    stacked = np.stack(sides, axis=1).reshape(-1, *sides[0].shape[1:])
    return stacked.astype(np.float32, copy=False)


def _fits(lines: F32, channels: int) -> tuple[F32, NDArray[np.int16], tuple[tuple[int, ...], ...]]:
    """The least squared difference of every two sides over all hypotheses, and which one it was."""
    orders: tuple[tuple[int, ...], ...] = _ORDERS if channels == 3 else ((0, 1, 2),)
    count = len(lines)
    left = lines.reshape(count, -1) - np.float32(127.5)  # about the middle, a negative is a change of sign
    squares = np.einsum("ij,ij->i", left, left)
    total = squares[:, np.newaxis] + squares
    best = np.full((count, count), np.inf, np.float32)
    how = np.zeros((count, count), np.int16)
    for number, order in enumerate(orders):
        for backwards in (0, 1):
            other = lines[:, :, list(order)] if channels == 3 else lines
            other = other[..., ::-1] if backwards else other
            products = left @ (other.reshape(count, -1) - np.float32(127.5)).T
            for negative in (0, 1):
                cost = np.maximum(total + (2 if negative else -2) * products, 0)
                better = cost < best
                np.copyto(best, cost, where=better)
                how[better] = 4 * number + 2 * backwards + negative
    return best, how, orders


def _hypothesis(code: int) -> tuple[int, bool, int]:
    return code // 2 % 2, bool(code % 2), code // 4


def _swapped(match: Match) -> Match:
    back = tuple(match.channels.index(k) for k in range(3))
    return Match(match.two, match.one, match.backwards, match.negative, back)


# -- joining -------------------------------------------------------------------------------------------


def _join(group: dict[int, Placed], other: dict[int, Placed], match: Match) -> dict[int, Placed]:
    """``other`` as it has to lie beside ``group``."""
    (one, edge_one), (two, edge_two) = match.one, match.two
    fixed, loose = group[one], other[two]
    shown = next(at for at in range(4) if SHOWN[fixed.turn][at][0] == edge_one)
    backwards = SHOWN[fixed.turn][shown][1] ^ match.backwards
    wanted = TURN_THAT_SHOWS[OPPOSITE[shown], edge_two, backwards]
    turn = COMPOSED[wanted][INVERSE[loose.turn]]
    row, column = moved((loose.row, loose.column), turn)
    down, along = STEP[shown]
    shift = (fixed.row + down - row, fixed.column + along - column)
    negative = fixed.negative ^ loose.negative ^ match.negative
    # Channel a of the one is channel match.channels[a] of the other.
    order = tuple(loose.channels.index(match.channels[k]) for k in fixed.channels)
    return {number: _with(piece, turn, shift, negative, order) for number, piece in other.items()}


def _with(
    piece: Placed, turn: int, shift: tuple[int, int], negative: bool, channels: tuple[int, ...]
) -> Placed:
    row, column = moved((piece.row, piece.column), turn)
    return Placed(
        row + shift[0],
        column + shift[1],
        COMPOSED[turn][piece.turn],
        piece.negative ^ negative,
        tuple(piece.channels[k] for k in channels),
    )


# -- how right it is -----------------------------------------------------------------------------------


def _truth(tables: Tables, columns: int) -> dict[int, Placed]:
    from blindsight.kernels.pixels import ORDERS

    found = {}
    for number, (origin, turn, mask, code) in enumerate(
        zip(tables.order, tables.turns, tables.masks, tables.colours, strict=True)
    ):
        order = ORDERS[code]
        shown = tuple(order.index(k) for k in range(3))
        row, column = divmod(int(origin), columns)
        found[number] = Placed(row, column, INVERSE[turn], bool(mask), shown)
    return found


def _agree(one: Placed, two: Placed, true_one: Placed, true_two: Placed) -> bool:
    """Whether two pieces lie to each other as they should, whatever the whole group's turn is."""
    turn = COMPOSED[true_one.turn][INVERSE[one.turn]]
    apart = moved((two.row - one.row, two.column - one.column), turn)
    return COMPOSED[turn][two.turn] == true_two.turn and apart == (
        true_two.row - true_one.row,
        true_two.column - true_one.column,
    )
