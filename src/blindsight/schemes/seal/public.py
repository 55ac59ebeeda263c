"""Where the bytes of blocks, probes and answers lie, and what is checked of them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import MalformedError
from blindsight.core.types import U8, AnyArray
from blindsight.schemes.seal.library import Context
from blindsight.schemes.seal.params import SEED_BYTES, SealParams

U32 = NDArray[np.uint32]


class Arithmetic(Protocol):
    """What differs between the schemes on the side without keys."""

    def context(self, params: Any) -> Context:
        """SEAL's context of a parameter set."""
        ...

    def scales(self, params: Any) -> tuple[float, float, float]:
        """SEAL's scale of templates, of probes and of answers."""
        ...

    def finish(self, params: Any, total: Any, relin: Any) -> None:
        """Relinearise a sum of products in place, and switch it down to ``params.answer_primes``."""
        ...


def ciphertexts(params: SealParams, data: U8) -> tuple[U32, U8]:
    """A body, or a probe's first part: residues uint32 (ciphertexts, primes, degree), and seeds."""
    shape = (params.ciphertexts, len(params.primes), params.degree)
    end = 4 * params.ciphertexts * len(params.primes) * params.degree
    return _words(data[:end]).reshape(shape), data[end : params.body_bytes].reshape(-1, SEED_BYTES)


def relin_key(params: SealParams, probe: U8) -> tuple[U32, U8]:
    """A probe's second part: residues uint32 (1, digits, moduli, degree), and seeds (1, digits, 64)."""
    data = probe[params.body_bytes :]
    digits = len(params.primes)
    end = 4 * digits * (digits + 1) * params.degree
    shape = (1, digits, digits + 1, params.degree)
    return _words(data[:end]).reshape(shape), data[end:].reshape(1, digits, SEED_BYTES)


def answer_residues(params: SealParams, answer: U8) -> U32:
    """One answer as residues uint32 (2, primes, degree)."""
    return _words(answer).reshape(2, params.answer_primes, params.degree)


def written(residues: AnyArray, seeds: AnyArray | None = None) -> U8:
    """Residues as 32-bit little-endian words, and seeds behind them: uint8, flat."""
    words = np.ascontiguousarray(residues, dtype="<u4").view(np.uint8).reshape(-1)
    if seeds is None:
        return words
    return np.concatenate([words, np.ascontiguousarray(seeds, np.uint8).reshape(-1)])


def check_body(params: SealParams, data: U8) -> None:
    """Raise `MalformedError` for a residue that is not below its prime."""
    require_residues(ciphertexts(params, data)[0], params.primes)


def check_probe(params: SealParams, probe: U8) -> None:
    """The same of a probe: of its ciphertexts and of the relinearisation key that it carries."""
    check_body(params, probe)
    require_residues(relin_key(params, probe)[0], (*params.primes, params.special))


def in_range(residues: AnyArray, primes: tuple[int, ...]) -> bool:
    """Whether each residue in (..., primes, degree) is below its prime."""
    return all(int(residues[..., k, :].max(initial=0)) < prime for k, prime in enumerate(primes))


def require_residues(residues: AnyArray, primes: tuple[int, ...]) -> None:
    """Raise `MalformedError` unless they are `in_range`."""
    if not in_range(residues, primes):
        raise MalformedError("A ciphertext has a residue outside its modulus; it was damaged on the way.")


def _words(data: U8) -> U32:
    return np.ascontiguousarray(data).view("<u4")
