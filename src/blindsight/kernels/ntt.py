"""The negacyclic number-theoretic transform of Z_q[X]/(X^256 + 1), sixteen at a time.

Residues are held in [0, q) as uint32, q < 2^30. A batch is an array (256, 16): position
first, so that every butterfly is one operation on sixteen neighbours. Montgomery products
with R = 2^32 (Montgomery 1985); Cooley-Tukey butterflies forward, Gentleman-Sande back
(Longa and Naehrig 2016, Algorithms 1 and 2). The transformed order is bit-reversed, which
matters to nobody, because only pointwise products happen there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

N = 256
"""Ring degree."""

BATCH = 16
"""Polynomials transformed together."""

Q, NEG_INVERSE, AFTER_SUM, AFTER_SUM_AND_BACKWARD, AFTER_BACKWARD = range(5)
"""Places in `Modulus.constants`: q; -q^-1 mod 2^32; and the factors, as `montgomery` wants
them, that undo what a sum of products (2^-64), a sum and `backward`, or `backward` alone
leave behind."""

_LOG_N = 8


@dataclass(frozen=True, slots=True)
class Modulus:
    """A prime q = 1 mod 512 below 2^30 and the constants that go with it.

    Attributes:
        q: the prime.
        constants: uint32 (5,), see `Q` and its neighbours.
        forward: uint32 (256,): powers of a 512-th root of unity in bit-reversed order, times 2^32.
        backward: the same of its inverse.

    """

    q: int
    constants: NDArray[np.uint32]
    forward: NDArray[np.uint32]
    backward: NDArray[np.uint32]


@lru_cache
def modulus(q: int) -> Modulus:
    """The tables of a prime modulus; ValueError where the transform does not exist."""
    if not (1 < q < 2**30 and q % (2 * N) == 1 and all(q % d for d in range(2, math.isqrt(q) + 1))):
        raise ValueError("the modulus must be a prime below 2^30, 1 modulo 512")
    generator = next(g for g in range(2, q) if pow(g, (q - 1) // 2, q) == q - 1)
    root = pow(generator, (q - 1) // (2 * N), q)
    order = [int(f"{i:0{_LOG_N}b}"[::-1], 2) for i in range(N)]

    def powers(base: int) -> NDArray[np.uint32]:
        table = np.array([pow(base, e, q) * 2**32 % q for e in order], dtype=np.uint32)
        table.flags.writeable = False
        return table

    constants = np.array(
        [q, -pow(q, -1, 2**32) % 2**32, 2**96 % q, 2**96 * pow(N, -1, q) % q, 2**32 * pow(N, -1, q) % q],
        dtype=np.uint32,
    )
    constants.flags.writeable = False
    return Modulus(q, constants, powers(root), powers(pow(root, -1, q)))


@njit(nogil=True, inline="always")
def montgomery(product: np.uint64, q: np.uint32, neg_inverse: np.uint32) -> np.uint32:
    """``product * 2^-32 mod q`` in [0, q), for product < q * 2^32."""
    m = np.uint32(np.uint32(product) * neg_inverse)
    high = np.uint32((product + np.uint64(m) * np.uint64(q)) >> np.uint64(32))
    return min(high, np.uint32(high - q))


@njit(nogil=True, cache=True)
def forward(batch: NDArray[np.uint32], table: NDArray[np.uint32], constants: NDArray[np.uint32]) -> None:
    """Transform a (256, 16) batch of residues in place."""
    q, neg_inverse = constants[Q], constants[NEG_INVERSE]
    half, groups = N // 2, 1
    while half:
        for group in range(groups):
            w = np.uint64(table[groups + group])
            start = 2 * group * half
            for j in range(start, start + half):
                for lane in range(BATCH):
                    u = batch[j, lane]
                    v = montgomery(np.uint64(batch[j + half, lane]) * w, q, neg_inverse)
                    total = np.uint32(u + v)
                    difference = np.uint32(np.uint32(u - v) + q)
                    batch[j, lane] = min(total, np.uint32(total - q))
                    batch[j + half, lane] = min(difference, np.uint32(difference - q))
        half //= 2
        groups *= 2


@njit(nogil=True, cache=True)
def backward(batch: NDArray[np.uint32], table: NDArray[np.uint32], constants: NDArray[np.uint32]) -> None:
    """Transform back in place, without the division by 256: scale by ``constants[AFTER_…]``."""
    q, neg_inverse = constants[Q], constants[NEG_INVERSE]
    half, groups = 1, N // 2
    while groups:
        for group in range(groups):
            w = np.uint64(table[groups + group])
            start = 2 * group * half
            for j in range(start, start + half):
                for lane in range(BATCH):
                    u = batch[j, lane]
                    v = batch[j + half, lane]
                    total = np.uint32(u + v)
                    difference = np.uint32(np.uint32(u - v) + q)
                    batch[j, lane] = min(total, np.uint32(total - q))
                    batch[j + half, lane] = montgomery(np.uint64(difference) * w, q, neg_inverse)
        half *= 2
        groups //= 2
