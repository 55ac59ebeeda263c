"""Exact integer inner products of plaintext: the reference for every protected search."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import MalformedError
from blindsight.core.matching import MatchingEngine, Wire
from blindsight.core.types import I64, U8, AnyArray
from blindsight.schemes.clear.params import LIMIT, Params

_PIECE: Final = 2048
"""Coordinates a float64 product may sum over: 2048·(2^21 − 1)² < 2^53, so every partial sum,
in whatever order, is an integer that float64 holds exactly."""

_GROUP_BYTES: Final = 8 << 20
"""Bodies widened to float64 at a time, so that memory does not grow with the gallery."""


class ClearEngine:
    """The keyless half, where there is no other half. Stateless."""

    scheme = "clear"
    claim = Claim.NONE
    leakage = Leakage(
        learns=(
            (
                "matcher",
                (
                    "Everything: every template, every probe, every score and every decision they imply.",
                    "Also when, how often and by which client it is asked.",
                ),
            ),
            ("network", ("Everything, where the connection is not TLS.",)),
        ),
        not_claimed=("Any protection at all.",),
    )

    def params(self, wire: Wire) -> Params:
        return Params.parse(wire)

    def check_block(self, params: Params, head: bytes, body: U8) -> None:
        if head:
            raise MalformedError("A block of the scheme clear has no head.")
        if body.dtype != np.uint8 or body.shape != (params.body_bytes,):
            raise MalformedError(f"A block's body is {params.body_bytes} bytes.")
        _check_range(body)

    def check_probes(self, params: Params, probes: U8) -> None:
        if probes.dtype != np.uint8 or probes.ndim != 2 or probes.shape[1] != params.probe_bytes:
            raise MalformedError(f"A probe is {params.probe_bytes} bytes.")
        _check_range(probes)

    def warm(self) -> None:
        pass

    def match(self, params: Params, bodies: U8, slots: I64, probes: U8) -> U8:
        count, blocks, rows = len(probes), len(slots), params.rows
        answer = np.empty((count, blocks, rows), dtype="<i8")
        wanted = np.ascontiguousarray(probes).view("<i4").astype(np.float64)
        group = max(1, _GROUP_BYTES // params.body_bytes)
        for first in range(0, blocks, group):
            taken = bodies[slots[first : first + group]]  # a copy, and so contiguous
            values = taken.view("<i4").reshape(-1, params.width).astype(np.float64)
            products = _products(wanted, values)
            answer[:, first : first + group] = products.reshape(count, -1, rows)
        return answer.view(np.uint8)


def _products(probes: AnyArray, templates: AnyArray) -> I64:
    """float64 (count, width) and (r, width), integers: their inner products, int64 (count, r)."""
    total = np.zeros((len(probes), len(templates)), dtype=np.int64)
    for first in range(0, probes.shape[1], _PIECE):
        columns = slice(first, first + _PIECE)
        total += (probes[:, columns] @ templates[:, columns].T).astype(np.int64)
    return total


def _check_range(values: U8) -> None:
    integers: Any = np.ascontiguousarray(values).view("<i4")
    if integers.size and (integers.max() >= LIMIT or integers.min() <= -LIMIT):
        raise MalformedError("A coordinate is 2^21 or more in absolute value.")


ENGINE: Final[MatchingEngine] = ClearEngine()
