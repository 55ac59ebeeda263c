"""Square blocks of images: moved, turned, inverted, their colours exchanged; and the numbers drawn for it.

A *turn* is one of the eight symmetries of a square, three bits: transpose (4) first, then swap rows
top to bottom (2) and columns left to right (1). Pixel (r, c) of a turned block is, of the block it was
made from, the pixel that (r, c) becomes when it is transposed and then mirrored as the bits say.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blindsight.kernels.accumulate import address
from blindsight.kernels.pixels import (
    ORDERS,
    pack_8,
    pack_16,
    prefetch,
    spread_8,
    spread_16,
    transpose_8,
    transpose_16,
)
from blindsight.kernels.prg import Stream
from blindsight.kernels.threads import split

U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]

UNTURN = np.array([0, 1, 2, 3, 4, 6, 5, 7], np.uint8)
"""The turn that undoes each turn."""

CHANNELS = np.array(ORDERS, np.int64)
"""The orders of three channels: output channel k is input channel ``CHANNELS[code, k]``."""

UNCHANNEL = np.array([0, 1, 2, 4, 3, 5], np.uint8)
"""The order that undoes each order."""

_SMALL = 1 << 18
"""Bytes below which a second thread costs more than it saves."""


@njit(nogil=True, cache=True, inline="always")
def _origin(turn, size):
    """Row and column of the source of pixel (0, 0); rows and columns to go for a step down, and right."""
    row = size - 1 if turn & 2 else 0
    column = size - 1 if turn & 1 else 0
    over, along = -1 if turn & 2 else 1, -1 if turn & 1 else 1
    if turn & 4:
        return row, column, 0, along, over, 0
    return row, column, over, 0, 0, along


@njit(nogil=True, cache=True)
def _edge(source, turn, mask, channels, size, top, left, out, row, column):
    """One block, pixel by pixel, for blocks that reach over the image's edge, which is repeated there."""
    height, width = source.shape[0], source.shape[1]
    at, beside, down_row, down_column, right_row, right_column = _origin(turn, size)
    for r in range(size):
        for c in range(size):
            y = min(top + at + r * down_row + c * right_row, height - 1)
            x = min(left + beside + r * down_column + c * right_column, width - 1)
            for k in range(source.shape[2]):
                out[row + r, column + c, k] = source[y, x, channels[k]] ^ mask


@njit(nogil=True, cache=True)
def _grey(source, order, turns, masks, channels, size, first, last, out):
    """Blocks ``first`` to ``last`` of one plane: uint8 (height, width, 1) to (rows, columns, 1)."""
    height, width, wide = source.shape[0], source.shape[1], out.shape[1]
    columns = wide // size
    pixels, target = source.reshape(-1), out.reshape(-1)
    for block in range(first, last):
        origin = np.int64(order[block])
        top, left = (origin // columns) * size, (origin % columns) * size
        row, column = (block // columns) * size, (block % columns) * size
        turn, mask = turns[block], masks[block]
        if top + size > height or left + size > width:
            _edge(source, turn, mask, channels[0], size, top, left, out, row, column)
            continue
        at, beside, down_row, down_column, right_row, right_column = _origin(turn, size)
        start = (top + at) * width + left + beside
        down, right = down_row * width + down_column, right_row * width + right_column
        step = np.uint64(right)  # modulo 2^64, so that a step to the left is an addition, too
        for r in range(size):
            here, there = np.uint64(start + r * down), np.uint64((row + r) * wide + column)
            if right == 1:
                for c in range(np.uint64(size)):
                    target[there + c] = pixels[here + c] ^ mask
            else:
                for c in range(np.uint64(size)):
                    target[there + c] = pixels[here + c * step] ^ mask


@njit(nogil=True, cache=True)
def _colour(source, order, turns, masks, colours, channels, size, first, last, out):
    """As `_grey` for three channels; sizes that are multiples of 8 go through vector registers."""
    height, width, wide = source.shape[0], source.shape[1], out.shape[1]
    columns = wide // size
    words, turned = np.empty(size * size, np.uint32), np.empty(size * size, np.uint32)
    for block in range(first, last):
        origin = np.int64(order[block])
        top, left = (origin // columns) * size, (origin % columns) * size
        row, column = (block // columns) * size, (block % columns) * size
        turn, mask, code = turns[block], masks[block], np.int64(colours[block])
        if size % 8 or top + size > height or left + size > width:
            _edge(source, turn, mask, channels[code], size, top, left, out, row, column)
            continue
        if block + 1 < last:  # the next block lies anywhere; by the time it is due it is here
            following = np.int64(order[block + 1])
            soon = 3 * ((following // columns) * size * width + (following % columns) * size)
            for r in range(min(size, height - (following // columns) * size)):
                prefetch(address(source, soon + 3 * r * width))
                prefetch(address(source, soon + 3 * (r * width + size) - 1))
        for r in range(size):
            _spread_row(source, 3 * ((top + r) * width + left), words, r * size, size)
        block_words = words
        if turn & 4:
            _transpose_block(words, turned, size)
            block_words = turned
        # What is mirrored before it is transposed is mirrored the other way afterwards.
        upside_down = turn & 1 if turn & 4 else turn & 2
        mirrored = turn & 2 if turn & 4 else turn & 1
        way = code + 6 if mirrored else code
        for r in range(size):
            here = (size - 1 - r if upside_down else r) * size
            _pack_row(block_words, here, out, 3 * ((row + r) * wide + column), size, way, mask)


@njit(nogil=True, cache=True, inline="always")
def _transpose_block(words, turned, size):
    if size == 16:
        transpose_16(address(words, 0), address(turned, 0))
    elif size == 8:
        transpose_8(address(words, 0), address(turned, 0))
    else:
        for r in range(size):
            for c in range(size):
                turned[r * size + c] = words[c * size + r]


@njit(nogil=True, cache=True, inline="always")
def _spread_row(source, at, words, place, size):
    if size == 16:
        spread_16(address(source, at), address(words, place))
    else:
        for c in range(0, size, 8):
            spread_8(address(source, at + 3 * c), address(words, place + c))


@njit(nogil=True, cache=True, inline="always")
def _pack_row(words, at, out, place, size, way, mask):
    if size == 16:
        pack_16(address(words, at), address(out, place), way, mask)
    else:
        for c in range(0, size, 8):
            to = size - 8 - c if way >= 6 else c
            pack_8(address(words, at + c), address(out, place + 3 * to), way, mask)


def scramble(images: U8, order: I32, turns: U8, masks: U8, colours: U8, size: int) -> U8:
    """Put blocks elsewhere, turned, with other colours: all images of a batch in the same way.

    Args:
        images: uint8 (n, height, width) or (n, height, width, 3), contiguous. Where a side is no multiple
            of ``size``, its last row or column is repeated.
        order: int32 (blocks,); block i of the result, counted row by row, comes from block ``order[i]``.
        turns: uint8 (blocks,), 0 to 7, how block i of the result is turned.
        masks: uint8 (blocks,), combined by exclusive or with its pixels: 255 makes the negative.
        colours: uint8 (blocks,), 0 to 5, rows of `CHANNELS`; not looked at for grey images.
        size: of a block, in pixels.

    Returns:
        uint8, the shape of ``images`` with its sides rounded up to multiples of ``size``.
    """
    count, height, width = images.shape[:3]
    rows, columns = -(-height // size), -(-width // size)
    depth = 1 if images.ndim == 3 else 3
    out = np.empty((count, rows * size, columns * size, depth), np.uint8)
    source = images.reshape(count, height, width, depth)
    blocks = rows * columns

    def piece(start: int, stop: int) -> None:
        for number in range(start // blocks, -(-stop // blocks)):
            first, last = max(start - number * blocks, 0), min(stop - number * blocks, blocks)
            one, made = source[number], out[number]
            if depth == 1:
                _grey(one, order, turns, masks, CHANNELS, size, first, last, made)
            else:
                _colour(one, order, turns, masks, colours, CHANNELS, size, first, last, made)

    if images.nbytes < _SMALL:
        piece(0, count * blocks)
    else:
        split(piece, count * blocks)
    return out.reshape(out.shape[: images.ndim])


# -- drawing -----------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _shuffle(words, order, position):
    """Exchange ``order[position]`` with one at or below it, and go on downwards; where it stopped."""
    for word in words:
        if position == 0:
            return position
        mask = np.uint32(position)
        mask |= mask >> np.uint32(1)
        mask |= mask >> np.uint32(2)
        mask |= mask >> np.uint32(4)
        mask |= mask >> np.uint32(8)
        mask |= mask >> np.uint32(16)
        other = np.int64(word & mask)
        if other <= position:
            order[position], order[other] = order[other], order[position]
            position -= 1
    return position


def permutation(stream: Stream, count: int) -> I32:
    """A uniform permutation of ``range(count)``, int32 (count,): Durstenfeld's shuffle from the top.

    Each try takes a 32-bit little-endian word, keeps as many low bits as the position has, and is
    repeated where that is above the position; the result does not depend on how the stream is read.
    """
    order = np.arange(count, dtype=np.int32)
    position = count - 1
    while position > 0:
        position = _shuffle(stream.read(4 * (position + 64)).view("<u4"), order, position)
    return order


@njit(nogil=True, cache=True)
def _sixths(data, out, filled):
    for byte in data:
        if filled == out.size:
            break
        if byte < 252:
            out[filled] = byte % 6
            filled += 1
    return filled


def sixths(stream: Stream, count: int) -> U8:
    """``count`` values uniform in 0 to 5, uint8: a byte a try, 252 and above rejected."""
    out = np.empty(count, np.uint8)
    filled = 0
    while filled < count:
        filled = _sixths(stream.read(count - filled + 16), out, filled)
    return out
