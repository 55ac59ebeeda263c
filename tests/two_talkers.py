"""Two ends of the oblivious layer in one process, dealt by the test where the setup is not the point."""

from __future__ import annotations

import copy
import os
from typing import Any

import numpy as np

from blindsight.schemes.oblivious.session import Oblivious, Roots, nibbles


def words(*shape: int) -> Any:
    return np.frombuffer(os.urandom(8 * int(np.prod(shape))), np.uint64).reshape(shape).copy()


def bits(count: int) -> Any:
    return np.frombuffer(os.urandom(count), np.uint8) % 2 == 1


def deal(
    security: int = 40, alphas: tuple[int, int] | None = None, deltas: tuple[int, int] | None = None
) -> tuple[Oblivious, Oblivious]:
    """What `setup` gives both parties, without base transfers: in tests of what comes after it."""
    session, chunks = os.urandom(32), security // 4
    deltas = deltas or tuple(int.from_bytes(os.urandom(16), "little") for _ in range(2))
    alphas = alphas or tuple(int.from_bytes(os.urandom(8), "little") % 2**security for _ in range(2))
    seeds = [words(32 + chunks, 16, 2) for _ in range(2)]
    ends = []
    for party in (0, 1):
        punctured = copy.deepcopy(seeds[1 - party])
        points = nibbles(deltas[party], 32) + nibbles(alphas[party], chunks)
        for tree, point in enumerate(points):
            punctured[tree, point] = words(2)
        delta = np.frombuffer(deltas[party].to_bytes(16, "little"), np.uint64)
        ends.append(Oblivious(party, Roots(session, delta, alphas[party], seeds[party], punctured)))
    return ends[0], ends[1]
