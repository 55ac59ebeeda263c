"""Distributed comparison functions, many at once (ePrint 2020/1392, figure 1).

Two keys for a secret point ρ and a secret payload Δ; each alone says nothing, and evaluated at a
public point m the two results XOR to Δ where m < ρ and to nothing elsewhere. Payloads are 128
bits; the generator is AES as in `kernels.aes`, one key a face: G_c(S) = mix(S xor c), c in
0 … 3 for left and right child, left and right value.

Shapes: ``faces`` × ``entries`` functions of ``levels`` input bits. Blocks are pairs of uint64;
seeds have their two low bits zero. Corrections lie inside rows ``words``, uint64 (faces, width),
as they travel: from word ``start``, levels × entries × (seed, value), then entries × last.
All additions are XOR. No branch and no address depends on anything but the public points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blindsight.kernels.accumulate import address
from blindsight.kernels.aes import BLOCKS, LANES, mix, mix_portable, round_keys
from blindsight.kernels.threads import split

U64 = NDArray[np.uint64]

_ONE, _TWO = np.uint64(1), np.uint64(2)
_SEED = np.uint64(2**64 - 4)  # all but the two low bits
_ALL = np.uint64(2**64 - 1)
_ASKED = BLOCKS // 2  # functions evaluated side by side
_MADE = BLOCKS // 8  # functions generated side by side
_ALONE = 4096, 1024  # functions below which a second thread costs more than it brings: to evaluate, to make


def correction_words(levels: int, entries: int) -> int:
    """Words of all corrections of one face, the last ones included."""
    return 4 * levels * entries + 2 * entries


def _shared(work: Callable[[int, int], None], points: U64, alone: int, step: int) -> None:
    """Do the entries in one go, or on several threads where there are many."""
    if points.size < alone:
        work(0, points.shape[1])
    else:
        split(work, points.shape[1], step)


# -- evaluation ------------------------------------------------------------------------------------


@njit(nogil=True, inline="always")
def _ask(points: U64, shift: np.uint64, seeds: U64, blocks: U64) -> None:
    """What the generator is asked at one level: the child and the value on the side of the point."""
    for i in range(points.size):
        side = (points[i] >> shift) & _ONE
        blocks[2 * i, 0] = seeds[i, 0] ^ side
        blocks[2 * i, 1] = seeds[i, 1]
        blocks[2 * i + 1, 0] = seeds[i, 0] ^ side ^ _TWO
        blocks[2 * i + 1, 1] = seeds[i, 1]


@njit(nogil=True, inline="always")
def _take(
    points: U64, shift: np.uint64, corrections: U64, blocks: U64, seeds: U64, control: U64, sums: U64
) -> None:
    """Go down one level with its answers; ``control`` is all ones where corrections apply."""
    for i in range(points.size):
        side = (points[i] >> shift) & _ONE
        mask = control[i]
        child, seed = blocks[2 * i, 0], corrections[4 * i] & mask
        seeds[i, 0] = (child ^ seed) & _SEED
        seeds[i, 1] = blocks[2 * i, 1] ^ (corrections[4 * i + 1] & mask)
        sums[i, 0] ^= blocks[2 * i + 1, 0] ^ (corrections[4 * i + 2] & mask)
        sums[i, 1] ^= blocks[2 * i + 1, 1] ^ (corrections[4 * i + 3] & mask)
        control[i] = np.uint64(0) - ((child ^ (seed >> side)) & _ONE)


@njit(nogil=True, inline="always")
def _begin(party: int, roots: U64, seeds: U64, control: U64, sums: U64) -> None:
    for i in range(roots.shape[0]):
        seeds[i, 0], seeds[i, 1] = roots[i, 0], roots[i, 1]
        sums[i, 0], sums[i, 1] = np.uint64(0), np.uint64(0)
        control[i] = _ALL if party else np.uint64(0)


@njit(nogil=True, inline="always")
def _end(last: U64, seeds: U64, control: U64, sums: U64, out: U64) -> None:
    for i in range(out.shape[0]):
        out[i, 0] = sums[i, 0] ^ seeds[i, 0] ^ (last[2 * i] & control[i])
        out[i, 1] = sums[i, 1] ^ seeds[i, 1] ^ (last[2 * i + 1] & control[i])


@njit(nogil=True, cache=True)
def _evaluate(
    party: int,
    points: U64,
    roots: U64,
    words: U64,
    start: int,
    levels: int,
    keys: U64,
    out: U64,
    first: int,
    stop: int,
) -> None:
    """The entries from ``first`` to ``stop`` of all faces."""
    faces, entries = points.shape
    blocks = np.zeros((BLOCKS, 2), np.uint64)
    seeds, sums = np.empty((_ASKED, 2), np.uint64), np.empty((_ASKED, 2), np.uint64)
    control = np.empty(_ASKED, np.uint64)
    end = start + 4 * levels * entries
    for face in range(faces):
        row = words[face]
        for a in range(first, stop, _ASKED):
            b = min(a + _ASKED, stop)
            _begin(party, roots[face, a:b], seeds, control, sums)
            for level in range(levels):
                shift = np.uint64(levels - 1 - level)
                at = start + 4 * (level * entries + a)
                _ask(points[face, a:b], shift, seeds, blocks)
                mix(address(blocks, 0), address(keys, 22 * face))
                _take(points[face, a:b], shift, row[at : at + 4 * (b - a)], blocks, seeds, control, sums)
            _end(row[end + 2 * a : end + 2 * b], seeds, control, sums, out[face, a:b])


@njit(nogil=True, cache=True)
def _begin_all(party: int, roots: U64, seeds: U64, control: U64, sums: U64) -> None:
    _begin(party, roots, seeds, control, sums)


@njit(nogil=True, cache=True)
def _ask_all(points: U64, shift: np.uint64, seeds: U64, blocks: U64) -> None:
    _ask(points, shift, seeds, blocks)


@njit(nogil=True, cache=True)
def _take_all(
    points: U64, shift: np.uint64, corrections: U64, blocks: U64, seeds: U64, control: U64, sums: U64
) -> None:
    _take(points, shift, corrections, blocks, seeds, control, sums)


@njit(nogil=True, cache=True)
def _end_all(last: U64, seeds: U64, control: U64, sums: U64, out: U64) -> None:
    _end(last, seeds, control, sums, out)


def _evaluate_portable(
    party: int, points: U64, roots: U64, words: U64, start: int, levels: int, keys: Sequence[bytes], out: U64
) -> None:
    """The same, level by level over all entries, the blocks through OpenSSL."""
    faces, entries = points.shape
    asked, blocks = np.empty((2 * entries, 2), np.uint64), np.empty((2 * entries, 2), np.uint64)
    seeds, sums = np.empty((entries, 2), np.uint64), np.empty((entries, 2), np.uint64)
    control = np.empty(entries, np.uint64)
    end = start + 4 * levels * entries
    for face in range(faces):
        row = words[face]
        _begin_all(party, roots[face], seeds, control, sums)
        for level in range(levels):
            shift = np.uint64(levels - 1 - level)
            at = start + 4 * level * entries
            _ask_all(points[face], shift, seeds, asked)
            mix_portable(asked, keys[face], blocks)
            _take_all(points[face], shift, row[at : at + 4 * entries], blocks, seeds, control, sums)
        _end_all(row[end:], seeds, control, sums, out[face])


def evaluate(
    party: int,
    points: U64,
    roots: U64,
    words: U64,
    start: int,
    levels: int,
    keys: Sequence[bytes],
    *,
    portable: bool = LANES == 0,
) -> U64:
    """One party's results at public points.

    Args:
        party: 0 or 1: whose key this is.
        points: uint64 (faces, entries), below 2^levels.
        roots: this party's seeds, uint64 (faces, entries, 2), low two bits zero.
        words: rows that hold the corrections, uint64 (faces, width); see the module.
        start: where in each row they begin.
        levels: input bits.
        keys: one public 16-byte AES key a face.
        portable: whether to go without AES instructions in compiled code.

    Returns:
        uint64 (faces, entries, 2); XOR of both parties': the payload where point < ρ, else 0.

    """
    out = np.empty((*points.shape, 2), np.uint64)
    words = words.view()
    words.flags.writeable = False
    if portable:
        _evaluate_portable(party, points, roots, words, start, levels, keys, out)
    else:
        schedules = round_keys(keys)

        def work(a: int, b: int) -> None:
            _evaluate(party, points, roots, words, start, levels, schedules, out, a, b)

        _shared(work, points, _ALONE[0], _ASKED)
    return out


# -- generation -----------------------------------------------------------------------------------


@njit(nogil=True, inline="always")
def _offer(seeds: U64, blocks: U64) -> None:
    """Ask the generator for both children and both values of both parties: 8 blocks a function."""
    for i in range(seeds.shape[0]):
        for party in range(2):
            for c in range(4):
                blocks[8 * i + 4 * party + c, 0] = seeds[i, party, 0] ^ np.uint64(c)
                blocks[8 * i + 4 * party + c, 1] = seeds[i, party, 1]


@njit(nogil=True, inline="always")
def _correct(
    points: U64, shift: np.uint64, payloads: U64, blocks: U64, seeds: U64, control: U64, sums: U64, out: U64
) -> None:
    """One level's corrections to ``out``, and both parties' seeds one level down, on the path of ρ."""
    for i in range(points.size):
        bit = (points[i] >> shift) & _ONE
        right = np.uint64(0) - bit  # all ones where the path goes right, and left is lost
        zero, one = 8 * i, 8 * i + 4
        turn_left = (blocks[zero, 0] ^ blocks[one, 0] ^ bit ^ _ONE) & _ONE
        turn_right = (blocks[zero + 1, 0] ^ blocks[one + 1, 0] ^ bit) & _ONE
        turn = turn_left ^ ((turn_left ^ turn_right) & right)
        for w in range(2):
            left, left_value = blocks[zero, w] ^ blocks[one, w], blocks[zero + 2, w] ^ blocks[one + 2, w]
            other, other_value = (
                blocks[zero + 1, w] ^ blocks[one + 1, w],
                blocks[zero + 3, w] ^ blocks[one + 3, w],
            )
            seed = other ^ ((left ^ other) & right)
            if w == 0:
                seed &= _SEED
            value = other_value ^ ((left_value ^ other_value) & right)
            value ^= sums[i, w] ^ (payloads[i, w] & right)
            kept = left_value ^ ((left_value ^ other_value) & right)
            sums[i, w] ^= kept ^ value
            out[4 * i + w] = seed | (turn_left | turn_right << _ONE if w == 0 else np.uint64(0))
            out[4 * i + 2 + w] = value
        for party in range(2):
            first = 8 * i + 4 * party
            mask = control[i, party]
            for w in range(2):
                child = blocks[first, w] ^ ((blocks[first, w] ^ blocks[first + 1, w]) & right)
                seeds[i, party, w] = child ^ (out[4 * i + w] & mask)
                if w == 0:
                    seeds[i, party, 0] &= _SEED
                    control[i, party] = np.uint64(0) - ((child ^ (turn & mask)) & _ONE)


@njit(nogil=True, inline="always")
def _plant(roots_0: U64, roots_1: U64, seeds: U64, control: U64, sums: U64) -> None:
    for i in range(roots_0.shape[0]):
        for w in range(2):
            seeds[i, 0, w], seeds[i, 1, w] = roots_0[i, w], roots_1[i, w]
            sums[i, w] = np.uint64(0)
        control[i, 0], control[i, 1] = np.uint64(0), _ALL


@njit(nogil=True, inline="always")
def _close(seeds: U64, sums: U64, last: U64) -> None:
    for i in range(last.size // 2):
        for w in range(2):
            last[2 * i + w] = seeds[i, 0, w] ^ seeds[i, 1, w] ^ sums[i, w]


@njit(nogil=True, cache=True)
def _generate(
    points: U64,
    payloads: U64,
    roots_0: U64,
    roots_1: U64,
    words: U64,
    start: int,
    levels: int,
    keys: U64,
    first: int,
    stop: int,
) -> None:
    """The entries from ``first`` to ``stop`` of all faces."""
    faces, entries = points.shape
    blocks = np.zeros((BLOCKS, 2), np.uint64)
    seeds, sums = np.empty((_MADE, 2, 2), np.uint64), np.empty((_MADE, 2), np.uint64)
    control = np.empty((_MADE, 2), np.uint64)
    end = start + 4 * levels * entries
    for face in range(faces):
        row = words[face]
        for a in range(first, stop, _MADE):
            b = min(a + _MADE, stop)
            _plant(roots_0[face, a:b], roots_1[face, a:b], seeds, control, sums)
            for level in range(levels):
                shift = np.uint64(levels - 1 - level)
                at = start + 4 * (level * entries + a)
                _offer(seeds[: b - a], blocks)
                mix(address(blocks, 0), address(keys, 22 * face))
                _correct(
                    points[face, a:b],
                    shift,
                    payloads[face, a:b],
                    blocks,
                    seeds,
                    control,
                    sums,
                    row[at : at + 4 * (b - a)],
                )
            _close(seeds, sums, row[end + 2 * a : end + 2 * b])


@njit(nogil=True, cache=True)
def _plant_all(roots_0: U64, roots_1: U64, seeds: U64, control: U64, sums: U64) -> None:
    _plant(roots_0, roots_1, seeds, control, sums)


@njit(nogil=True, cache=True)
def _offer_all(seeds: U64, blocks: U64) -> None:
    _offer(seeds, blocks)


@njit(nogil=True, cache=True)
def _correct_all(
    points: U64, shift: np.uint64, payloads: U64, blocks: U64, seeds: U64, control: U64, sums: U64, out: U64
) -> None:
    _correct(points, shift, payloads, blocks, seeds, control, sums, out)


@njit(nogil=True, cache=True)
def _close_all(seeds: U64, sums: U64, last: U64) -> None:
    _close(seeds, sums, last)


def _generate_portable(
    points: U64,
    payloads: U64,
    roots_0: U64,
    roots_1: U64,
    words: U64,
    start: int,
    levels: int,
    keys: Sequence[bytes],
) -> None:
    faces, entries = points.shape
    asked, blocks = np.empty((8 * entries, 2), np.uint64), np.empty((8 * entries, 2), np.uint64)
    seeds, sums = np.empty((entries, 2, 2), np.uint64), np.empty((entries, 2), np.uint64)
    control = np.empty((entries, 2), np.uint64)
    end = start + 4 * levels * entries
    for face in range(faces):
        row = words[face]
        _plant_all(roots_0[face], roots_1[face], seeds, control, sums)
        for level in range(levels):
            shift = np.uint64(levels - 1 - level)
            at = start + 4 * level * entries
            _offer_all(seeds, asked)
            mix_portable(asked, keys[face], blocks)
            here = row[at : at + 4 * entries]
            _correct_all(points[face], shift, payloads[face], blocks, seeds, control, sums, here)
        _close_all(seeds, sums, row[end : end + 2 * entries])


def generate(
    points: U64,
    payloads: U64,
    roots: tuple[U64, U64],
    words: U64,
    start: int,
    levels: int,
    keys: Sequence[bytes],
    *,
    portable: bool = LANES == 0,
) -> None:
    """Make the corrections for ``faces`` × ``entries`` functions, in place in ``words``.

    Args:
        points: ρ, uint64 (faces, entries), below 2^levels. Secret.
        payloads: Δ, uint64 (faces, entries, 2). Secret.
        roots: both parties' seeds, uint64 (faces, entries, 2) each, uniform, low two bits zero.
        words: uint64 (faces, width), written from ``start`` on; see the module.
        start: where in each row the corrections begin.
        levels: input bits.
        keys: one public 16-byte AES key a face.
        portable: whether to go without AES instructions in compiled code.

    """
    if portable:
        _generate_portable(points, payloads, *roots, words, start, levels, keys)
    else:
        schedules = round_keys(keys)

        def work(a: int, b: int) -> None:
            _generate(points, payloads, *roots, words, start, levels, schedules, a, b)

        _shared(work, points, _ALONE[1], _MADE)
