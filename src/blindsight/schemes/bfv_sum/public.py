"""The public key, and updates as residues."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import MalformedError
from blindsight.core.types import U8
from blindsight.kernels.packing import pack_bits, unpack_bits
from blindsight.schemes.bfv_sum.params import DEGREE, Params
from blindsight.schemes.seal.library import Context, context
from blindsight.schemes.seal.public import require_residues

U64 = NDArray[np.uint64]


def ring(params: Params) -> Context:
    """SEAL's context of a parameter set."""
    found = params.moduli
    return context("bfv", DEGREE, found.primes, found.special, found.plain)


@dataclass(frozen=True)
class PublicKey:
    """A public key: uint8 (params.key_bytes,), residues in 32-bit words."""

    data: bytes

    @property
    def key_id(self) -> bytes:
        """16 bytes that name the key."""
        return hashlib.sha256(b"bfv sum key" + self.data).digest()[:16]

    def residues(self, params: Params) -> U64:
        """uint64 (2, moduli, degree); `MalformedError` for bytes that are not a key of these."""
        if len(self.data) != params.key_bytes:
            raise MalformedError("A BFV public key has another length than its parameters say.")
        moduli = (*params.moduli.primes, params.moduli.special)
        found = np.frombuffer(self.data, "<u4").reshape(2, len(moduli), DEGREE).astype(np.uint64)
        require_residues(found, moduli)
        return found


def write(params: Params, residues: U64) -> bytes:
    """Residues, uint64 (groups, 2, primes, degree), without gaps between their bits."""
    return pack_bits(residues.reshape(-1, DEGREE), params.moduli.prime_bits).tobytes()


def read(params: Params, body: bytes) -> U64:
    """Undo `write`; `MalformedError` for a residue that is not below its prime."""
    if len(body) != params.update_bytes:
        raise MalformedError("A BFV update has another length than its parameters say.")
    rows: U8 = np.frombuffer(body, np.uint8).reshape(-1, params.polynomial_bytes)
    primes = params.moduli.primes
    found = unpack_bits(rows, DEGREE, params.moduli.prime_bits)
    shaped = found.reshape(params.groups, 2, len(primes), DEGREE)
    require_residues(shaped, primes)
    return shaped
