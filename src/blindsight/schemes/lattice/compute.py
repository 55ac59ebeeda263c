"""The matcher's half: inner products of ciphertexts. No key, and no place for one."""

from __future__ import annotations

import numpy as np

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import MalformedError
from blindsight.core.matching import Wire
from blindsight.core.types import I32, I64, U8, frozen
from blindsight.kernels import ring
from blindsight.kernels.accumulate import PROBES
from blindsight.kernels.ntt import BATCH
from blindsight.kernels.threads import split
from blindsight.schemes.lattice.params import Params
from blindsight.schemes.lattice.public import answer_type, tables, tiled

LEAKAGE = Leakage(
    learns=(
        (
            "matcher",
            (
                "how many blocks of 256 templates a gallery has, and the width of a template",
                "when a gallery is changed, and which blocks",
                "when probes are made, and how many at once",
                "roughly how long the sealed names beside a block are",
            ),
        ),
        ("key holder", ("every score of every probe; enough scores of one template give the template",)),
    ),
    not_claimed=(
        "that the matcher answers correctly: it can shift a score unless canaries catch it",
        "that scores may be shown to the matcher: decrypted scores are never to be sent back",
        "security of old backups after a key leaks: rotate, and destroy the old key",
    ),
)


class _Engine:
    scheme = "lattice"
    claim = Claim.IND_CPA
    leakage = LEAKAGE

    def params(self, wire: Wire) -> Params:
        return Params.from_wire(wire)

    def check_block(self, params: Params, head: bytes, body: U8) -> None:
        if len(head) != params.head_bytes:
            raise MalformedError(f"A block's head has {params.head_bytes} bytes, not {len(head)}.")
        if body.shape != (params.body_bytes,):
            raise MalformedError(f"A block's body has {params.body_bytes} bytes, not {body.size}.")
        _check_residues(body[np.newaxis], params)

    def check_probes(self, params: Params, probes: U8) -> None:
        if probes.ndim != 2 or not len(probes) or probes.shape[1] != params.probe_bytes:
            raise MalformedError(f"A probe has {params.probe_bytes} bytes; at least one is needed.")
        _check_residues(probes, params)

    def warm(self) -> None:
        bounds = {"template_norm": 1, "probe_norm": 1, "score_bound": 1}
        small = Params.approximate(16, **bounds, noise_limit=1e9), Params.integers(16, **bounds)
        for params in small:
            block = np.zeros((1, params.body_bytes), np.uint8)
            self.check_block(params, bytes(params.head_bytes), block[0])
            for count in (1, 2):
                self.match(params, block, np.zeros(1, np.int64), np.repeat(block, count, axis=0))

    def match(self, params: Params, bodies: U8, slots: I64, probes: U8) -> U8:
        """C = sum of B_i * beta_i for every block and probe, rounded (specification, section 6)."""
        rows, others = tiled(bodies, params, params.width), several(tiled(probes, params, params.width))
        t = tables(params.primes)
        out = np.empty((len(probes), len(slots), params.rows), answer_type(params))
        slots = frozen(np.ascontiguousarray(slots, dtype=np.int64))
        if slots.size and not 0 <= slots.min() <= slots.max() < len(bodies):
            raise MalformedError("A block's slot lies outside the gallery's file.")

        def work(start: int, stop: int) -> None:
            ring.rounded_products(
                rows, slots, others, t.constants, t.backward, t.lift, params.shift, out, start, stop
            )

        split(work, len(slots), BATCH)
        return out.view(np.uint8)


def several(others: I32) -> I32:
    """One row as it is; more padded with zero rows to what the kernels take at a time."""
    missing = -len(others) % PROBES if len(others) > 1 else 0
    if not missing:
        return others
    return frozen(np.concatenate([others, np.zeros((missing, *others.shape[1:]), others.dtype)]))


def _check_residues(data: U8, params: Params) -> None:
    for row in tiled(data, params, params.width):
        largest = ring.largest_residue(row)
        if any(int(value) > prime // 2 for value, prime in zip(largest, params.primes, strict=True)):
            raise MalformedError("A ciphertext has a residue outside its modulus; it was damaged on the way.")


ENGINE = _Engine()
"""The `lattice` scheme as a matcher holds it."""
