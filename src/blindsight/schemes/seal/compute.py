"""The matcher's half: a block's inner products on SEAL's ciphertexts. No key that decrypts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import sha256
from typing import Any

import numpy as np

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import MalformedError
from blindsight.core.matching import Wire
from blindsight.core.types import I64, U8
from blindsight.schemes.seal.library import Context, guarded, sealapi
from blindsight.schemes.seal.params import SealParams
from blindsight.schemes.seal.public import (
    Arithmetic,
    check_body,
    check_probe,
    ciphertexts,
    relin_key,
    written,
)

LEAKAGE = Leakage(
    learns=(
        (
            "matcher",
            (
                "how many blocks a gallery has, and the width of a template",
                "when a gallery is changed, and which blocks",
                "when probes are made, and how many at once",
                "roughly how long the sealed names beside a block are",
            ),
        ),
        ("key holder", ("every score of every probe; enough scores of one template give the template",)),
    ),
    not_claimed=(
        "that the matcher answers correctly: it can shift a score by an amount of its choice",
        "that scores may be shown to the matcher: decrypted scores are never to be sent back",
        "security of old backups after a key leaks: rotate, and destroy the old key",
    ),
)

_PROBES_AT_ONCE = 8
"""Probes held as SEAL's objects together: about 17 MB each at 128 coordinates."""


_HELD_BYTES = 512 << 20
"""Memory for blocks as SEAL holds them, seeds expanded: 30 blocks of 128 coordinates."""


class _Held:
    """The last blocks that were searched, as SEAL's objects, by the SHA-256 of their bytes.

    Drawing half of each ciphertext from its seed takes longer than multiplying it. What is held
    is what the bytes say, so it need not be told when a block changes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[str, bytes], tuple[int, list[Any]]] = OrderedDict()
        self._bytes = 0

    def block(self, params: SealParams, context: Context, data: U8, scale: float) -> list[Any]:
        """The ciphertexts of a block."""
        key = (params.params_id, sha256(np.ascontiguousarray(data).data).digest())
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
                return self._blocks[key][1]
        found = _loaded(params, context, data, scale)
        size = 16 * params.ciphertexts * len(params.primes) * params.degree
        with self._lock:
            if key not in self._blocks and size <= _HELD_BYTES:
                self._blocks[key] = (size, found)
                self._bytes += size
            while self._bytes > _HELD_BYTES:
                self._bytes -= self._blocks.popitem(last=False)[1][0]
        return found


class SealEngine:
    """A `blindsight.core.matching.MatchingEngine` over SEAL, for one of its schemes."""

    claim = Claim.IND_CPA
    leakage = LEAKAGE

    def __init__(self, params: type[SealParams], arithmetic: Arithmetic) -> None:
        self.scheme = params.scheme
        self._params = params
        self._arithmetic = arithmetic
        self._held = _Held()

    def params(self, wire: Wire) -> SealParams:
        params = self._params.from_wire(wire)
        self._arithmetic.context(params)  # SEAL's own checks, and its tables
        return params

    def check_block(self, params: SealParams, head: bytes, body: U8) -> None:
        if len(head) != params.head_bytes:
            raise MalformedError(f"A block's head has {params.head_bytes} bytes, not {len(head)}.")
        if body.shape != (params.body_bytes,) or body.dtype != np.uint8:
            raise MalformedError(f"A block's body has {params.body_bytes} bytes, not {body.size}.")
        check_body(params, body)

    def check_probes(self, params: SealParams, probes: U8) -> None:
        if probes.ndim != 2 or not len(probes) or probes.shape[1] != params.probe_bytes:
            raise MalformedError(f"A probe has {params.probe_bytes} bytes; at least one is needed.")
        for probe in probes:
            check_probe(params, probe)

    def warm(self) -> None:
        """Nothing is compiled; contexts are made when a gallery is first used."""

    def match(self, params: SealParams, bodies: U8, slots: I64, probes: U8) -> U8:
        """``sum of G_i * P_i`` for every block and probe, relinearised once and switched down once."""
        slots = np.ascontiguousarray(slots, dtype=np.int64)
        if slots.size and not 0 <= slots.min() <= slots.max() < len(bodies):
            raise MalformedError("A block's slot lies outside the gallery's file.")
        context = self._arithmetic.context(params)
        of_template, of_probe, _ = self._arithmetic.scales(params)
        out = np.empty((len(probes), len(slots), params.answer_bytes), np.uint8)
        for first in range(0, len(probes), _PROBES_AT_ONCE):
            group = [
                (_loaded(params, context, probe, of_probe), context.switching_keys(*relin_key(params, probe)))
                for probe in probes[first : first + _PROBES_AT_ONCE]
            ]
            for place, slot in enumerate(slots.tolist()):
                block = self._held.block(params, context, bodies[slot], of_template)
                for k, (probe, relin) in enumerate(group):
                    with guarded("SEAL could not compute with these ciphertexts; they were made up."):
                        total = _products(context.evaluator, block, probe)
                        self._arithmetic.finish(params, total, relin)
                    residues = context.residues(total, 2, params.answer_primes)
                    out[first + k, place] = written(residues)
        return out


def _loaded(params: SealParams, context: Context, data: U8, scale: float) -> list[Any]:
    residues, seeds = ciphertexts(params, data)
    return [
        context.ciphertext(one[np.newaxis], scale, seed.tobytes())
        for one, seed in zip(residues, seeds, strict=True)
    ]


def _products(evaluator: Any, block: list[Any], probe: list[Any]) -> Any:
    total, product = sealapi().Ciphertext(), sealapi().Ciphertext()
    evaluator.multiply(block[0], probe[0], total)
    for one, other in zip(block[1:], probe[1:], strict=True):
        evaluator.multiply(one, other, product)
        evaluator.add_inplace(total, product)
    return total
