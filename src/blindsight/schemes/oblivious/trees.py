"""Sixteen seeds for one party, all but one for the other (specification, section 4).

A puncturable pseudorandom function after Goldreich, Goldwasser and Micali, its halves of each level
handed over by base transfers, with the check of ePrint 2022/192, section 5.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import WrongCorrelationError
from blindsight.kernels.leaves import DEPTH, LEAVES
from blindsight.schemes.oblivious.hashes import SEED_BYTES, words

U64 = NDArray[np.uint64]

CHECK_BYTES: Final = 32
TREE_BYTES: Final = 2 * DEPTH * SEED_BYTES + 2 * CHECK_BYTES
"""What the party with all seeds says of one tree."""


def xor(*parts: bytes) -> bytes:
    """XOR of strings of one length."""
    total = 0
    for part in parts:
        total ^= int.from_bytes(part, "little")
    return total.to_bytes(len(parts[0]), "little")


def _children(node: bytes) -> tuple[bytes, bytes]:
    hashed = hashlib.sha256(b"blindsight tree v1\0" + node).digest()
    return hashed[:SEED_BYTES], hashed[SEED_BYTES:]


def _leaf(node: bytes) -> tuple[bytes, bytes]:
    hashed = hashlib.sha512(b"blindsight leaf v1\0" + node).digest()
    return hashed[:SEED_BYTES], hashed[SEED_BYTES : SEED_BYTES + CHECK_BYTES]


def choices_of(points: Sequence[int]) -> list[int]:
    """The choice bits of the base transfers for missing leaves: the complements of their paths."""
    return [1 ^ (point >> DEPTH - 1 - level & 1) for point in points for level in range(DEPTH)]


def plant(pairs: Sequence[tuple[bytes, bytes]]) -> tuple[U64, bytes]:
    """Draw trees.

    Args:
        pairs: both keys of `DEPTH` base transfers a tree.

    Returns:
        All seeds, uint64 (trees, 16, 2), and the message for the other party.

    """
    seeds, message = [], b""
    for first in range(0, len(pairs), DEPTH):
        nodes = [os.urandom(SEED_BYTES)]
        for keys in pairs[first : first + DEPTH]:
            nodes = [child for node in nodes for child in _children(node)]
            for side in (0, 1):
                message += xor(keys[side][:SEED_BYTES], *nodes[side::2])
        leaves = [_leaf(node) for node in nodes]
        checks = [check for _, check in leaves]
        message += xor(*checks) + hashlib.sha256(b"".join(checks)).digest()
        seeds.append(words([seed for seed, _ in leaves]))
    return np.stack(seeds), message


def gather(points: Sequence[int], keys: Sequence[bytes], message: bytes) -> U64:
    """The seeds of trees but for one each, in whose place random bytes stand.

    Args:
        points: for each tree the leaf that stays unknown.
        keys: `DEPTH` keys a tree, received with `choices_of`.
        message: of the other party, `TREE_BYTES` a tree.

    Returns:
        uint64 (trees, 16, 2).

    Raises:
        WrongCorrelationError: the message is not of one tree.

    """
    seeds, right = [], True
    for tree, point in enumerate(points):
        said = message[TREE_BYTES * tree : TREE_BYTES * (tree + 1)]
        nodes = [bytes(SEED_BYTES)]  # the unknown one is carried along as zeros
        for level in range(DEPTH):
            nodes = [child for node in nodes for child in _children(node)]
            missing, side = point >> DEPTH - 1 - level, 1 ^ (point >> DEPTH - 1 - level & 1)
            at = SEED_BYTES * (2 * level + side)
            known = xor(said[at : at + SEED_BYTES], keys[DEPTH * tree + level][:SEED_BYTES])
            nodes[missing] = nodes[missing ^ 1] = bytes(SEED_BYTES)
            nodes[missing ^ 1] = xor(known, *nodes[side::2])
        leaves = [_leaf(node) for node in nodes]
        at = 2 * DEPTH * SEED_BYTES
        checks = [check for _, check in leaves]
        checks[point] = bytes(CHECK_BYTES)
        checks[point] = xor(said[at : at + CHECK_BYTES], *checks)
        hashed = hashlib.sha256(b"".join(checks)).digest()
        right &= hmac.compare_digest(hashed, said[at + CHECK_BYTES :])
        found = [seed for seed, _ in leaves]
        found[point] = os.urandom(SEED_BYTES)
        seeds.append(words(found))
    if not right:
        raise WrongCorrelationError("The other party's seeds do not belong to one tree.")
    return np.stack(seeds)


assert LEAVES == 1 << DEPTH
