"""Sums over the streams of sixteen seeds: the inner loop of oblivious transfer and of tags.

Block i of the stream of a seed S is AES_S(i) xor i, i a 128-bit counter. For a tree of 2^4 seeds
with streams P_0 … P_15

    fold_bits   u = xor of all P_j,   v_e = xor of the P_j whose j has bit e set
    fold_words  u = sum of all P_j,   v = sum of j · P_j,   modulo 2^128, block by block

Whoever has 15 of the seeds and anything in the place of seed x gets u' and v' such that
v' - x·u' is what it would be with the right one (specs/oblivious.md, sections 5 and 6).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blindsight.kernels.accumulate import address
from blindsight.kernels.aes import BLOCKS, LANES, mix, mix_portable, secret_round_keys
from blindsight.kernels.threads import split

U64 = NDArray[np.uint64]

DEPTH = 4
"""Bits of a leaf's number."""

LEAVES = 1 << DEPTH


class Trees:
    """The seeds of some trees and their key schedules: uint64 (trees, 16, 2)."""

    __slots__ = ("_portable", "schedules", "seeds")

    def __init__(self, seeds: U64, *, portable: bool = LANES == 0) -> None:
        if seeds.ndim != 3 or seeds.shape[1:] != (LEAVES, 2):
            raise ValueError("a tree has sixteen seeds of two words")
        self._portable = portable
        self.seeds = seeds
        self.schedules = secret_round_keys(seeds)

    def __len__(self) -> int:
        return len(self.seeds)

    def fold_bits(self, start: int, blocks: int) -> tuple[U64, U64]:
        """Bit-wise sums over ``blocks`` blocks of every stream from number ``start`` on.

        Returns:
            u, uint64 (trees, 2 · blocks), and v, uint64 (trees, 4, 2 · blocks).

        """
        u = np.empty((len(self), 2 * blocks), np.uint64)
        v = np.empty((len(self), DEPTH, 2 * blocks), np.uint64)
        if self._portable:
            self._fold_bits_portable(start, u, v)
        else:
            split(lambda a, b: _fold_bits(self.schedules, np.uint64(start), a, b, u, v), blocks, BLOCKS)
        return u, v

    def fold_words(self, start: int, blocks: int) -> tuple[U64, U64]:
        """Sums modulo 2^128, a block being a number: u and v, uint64 (trees, blocks, 2) each."""
        u = np.empty((len(self), blocks, 2), np.uint64)
        v = np.empty((len(self), blocks, 2), np.uint64)
        if self._portable:
            self._fold_words_portable(start, u, v)
        else:
            split(lambda a, b: _fold_words(self.schedules, np.uint64(start), a, b, u, v), blocks, BLOCKS)
        return u, v

    def _stream(self, tree: int, leaf: int, start: int, blocks: int) -> U64:
        counters = np.zeros((blocks, 2), np.uint64)
        counters[:, 0] = np.arange(start, start + blocks, dtype=np.uint64)
        out = np.empty_like(counters)
        mix_portable(counters, self.seeds[tree, leaf].tobytes(), out)
        return out

    def _fold_bits_portable(self, start: int, u: U64, v: U64) -> None:
        u.fill(0)
        v.fill(0)
        for tree in range(len(self)):
            for leaf in range(LEAVES):
                stream = self._stream(tree, leaf, start, u.shape[1] // 2).reshape(-1)
                u[tree] ^= stream
                for bit in range(DEPTH):
                    if leaf >> bit & 1:
                        v[tree, bit] ^= stream

    def _fold_words_portable(self, start: int, u: U64, v: U64) -> None:
        for tree in range(len(self)):
            run, total = np.zeros(u.shape[1:], np.uint64), np.zeros(u.shape[1:], np.uint64)
            for leaf in range(LEAVES - 1, -1, -1):
                _accumulate(self._stream(tree, leaf, start, u.shape[1]), run)
                if leaf:
                    _accumulate(run, total)
            u[tree], v[tree] = run, total


@njit(nogil=True, cache=True)
def _accumulate(values: U64, total: U64) -> None:
    for i in range(values.shape[0]):
        low = total[i, 0] + values[i, 0]
        total[i, 1] += values[i, 1] + np.uint64(low < values[i, 0])
        total[i, 0] = low


@njit(nogil=True, inline="always")
def _count(first: np.uint64, blocks: U64) -> None:
    for i in range(blocks.shape[0]):
        blocks[i, 0] = first + np.uint64(i)
        blocks[i, 1] = np.uint64(0)


@njit(nogil=True, cache=True)
def _fold_bits(schedules: U64, start: np.uint64, first: int, stop: int, u: U64, v: U64) -> None:
    """Blocks ``first`` to ``stop`` of all trees."""
    stream = np.empty((BLOCKS, 2), np.uint64)
    words = stream.reshape(-1)
    sums = np.empty((DEPTH + 1, 2 * BLOCKS), np.uint64)
    trees, leaves = schedules.shape[0], schedules.shape[1]
    for tree in range(trees):
        for a in range(first, stop, BLOCKS):
            sums[:] = np.uint64(0)
            for leaf in range(leaves):
                _count(start + np.uint64(a), stream)
                mix(address(stream, 0), address(schedules, 22 * (tree * leaves + leaf)))
                for w in range(2 * BLOCKS):
                    sums[DEPTH, w] ^= words[w]
                for bit in range(DEPTH):
                    if leaf >> bit & 1:
                        for w in range(2 * BLOCKS):
                            sums[bit, w] ^= words[w]
            width = 2 * (min(a + BLOCKS, stop) - a)
            for w in range(width):
                u[tree, 2 * a + w] = sums[DEPTH, w]
            for bit in range(DEPTH):
                for w in range(width):
                    v[tree, bit, 2 * a + w] = sums[bit, w]


@njit(nogil=True, inline="always")
def _carry(halves: U64, i: int, out: U64) -> None:
    half = np.uint64(32)
    out[0] = halves[0, 2 * i] + (halves[1, 2 * i] << half)
    over = (halves[1, 2 * i] + (halves[0, 2 * i] >> half)) >> half
    out[1] = halves[0, 2 * i + 1] + (halves[1, 2 * i + 1] << half) + over


@njit(nogil=True, cache=True)
def _fold_words(schedules: U64, start: np.uint64, first: int, stop: int, u: U64, v: U64) -> None:
    """Numbers ``first`` to ``stop`` of all trees: a running sum from the last leaf on, and its sum.

    The halves of every word are summed apart, in 64 bits each, and carried at the end: sixteen
    streams, weighted, stay below 2^39.
    """
    stream = np.empty((BLOCKS, 2), np.uint64)
    words = stream.reshape(-1)
    sums = np.empty((4, 2 * BLOCKS), np.uint64)  # run, low and high halves; sum of runs, the same
    half, low_half = np.uint64(32), np.uint64(0xFFFFFFFF)
    trees, leaves = schedules.shape[0], schedules.shape[1]
    for tree in range(trees):
        for a in range(first, stop, BLOCKS):
            sums[:] = np.uint64(0)
            for step in range(leaves):
                leaf = leaves - 1 - step
                _count(start + np.uint64(a), stream)
                mix(address(stream, 0), address(schedules, 22 * (tree * leaves + leaf)))
                for w in range(2 * BLOCKS):
                    sums[2, w] += sums[0, w]  # before this leaf, so that leaf j is in j of them
                    sums[3, w] += sums[1, w]
                    sums[0, w] += words[w] & low_half
                    sums[1, w] += words[w] >> half
            for i in range(min(a + BLOCKS, stop) - a):
                _carry(sums[:2], i, u[tree, a + i])
                _carry(sums[2:], i, v[tree, a + i])
