"""Templates to blocks, probes to ciphertexts; the matcher cannot tell either from noise."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from blindsight.core.errors import DimensionError, VectorError
from blindsight.core.types import I32, I64, U8, AnyArray, frozen
from blindsight.kernels.prg import Stream, fresh_seed
from blindsight.schemes.seal.params import CHECKS, NONCE_BYTES, SealParams
from blindsight.schemes.seal.public import written
from blindsight.schemes.seal.secret import SecretKey


class Codec(Protocol):
    """What differs between the schemes on the side with the key: numbers to plaintexts and back."""

    def column(self, values: I64) -> Any:
        """A plaintext with one integer in each row, int64 (degree,)."""
        ...

    def constant(self, value: int) -> Any:
        """A plaintext with the same integer in every row."""
        ...

    def template_rows(self, plain: Any) -> AnyArray:
        """What `column` was given, from a decrypted ciphertext of a block."""
        ...

    def score_rows(self, plain: Any) -> AnyArray:
        """Scores by row, (degree,), from a decrypted answer."""
        ...

    def block_checks(self, words: AnyArray) -> I64:
        """Secret values of a block's check rows from uint64 (CHECKS,) random words."""
        ...

    def probe_checks(self, words: AnyArray) -> I64:
        """The same for a probe's additional coordinates."""
        ...

    def checked(self, found: AnyArray, block: I64, probe: I64) -> bool:
        """Whether an answer's check rows, (CHECKS,), are the products of these two."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What the key holder keeps of its probes.

    Attributes:
        checks: their messages' check values, int64 (messages, CHECKS).
        count: how many probes the messages carry.
        key_id: of the key that they were protected under.

    """

    checks: I64 = field(repr=False)
    count: int
    key_id: str


def protect_blocks(key: SecretKey, codec: Codec, templates: I32) -> tuple[list[bytes], U8]:
    """Encrypt templates in blocks, coordinate by coordinate, the last block filled up with zeros.

    The first `CHECKS` additional coordinates are zero for every template and a secret value for
    one check row each (specifications, section 4). Where a message carries several probes, every
    template is there once for each of them.

    Returns:
        Heads (nonce and tag), and bodies uint8 (blocks, body_bytes).

    """
    p = key.params
    require_vectors(templates, p.width, p.template_norm)
    blocks = -(-len(templates) // p.rows)
    heads, bodies = [], np.empty((blocks, p.body_bytes), np.uint8)
    columns = np.zeros((p.ciphertexts, p.degree), np.int64)
    for block in range(blocks):
        rows = templates[block * p.rows : (block + 1) * p.rows]
        nonce = os.urandom(NONCE_BYTES)
        columns[:] = 0
        for start in range(0, p.batch * p.rows, p.rows):
            columns[: p.width, start : start + len(rows)] = rows.T
        for k, value in enumerate(codec.block_checks(random_words(key.hint(nonce)))):
            columns[p.width + k, p.degree - CHECKS + k] = value
        bodies[block] = _encrypted(key, [codec.column(column) for column in columns])
        heads.append(nonce + key.tag(nonce, bodies[block]))
    return heads, bodies


def protect_probes(key: SecretKey, codec: Codec, probes: I32) -> tuple[U8, Kept]:
    """Encrypt probes: one ciphertext a coordinate, the same number in every row of a template's
    copy; and the relinearisation key that the matcher needs once for each block.

    Returns:
        What the matcher gets, uint8 (ceil(count / batch), probe_bytes), and what stays here.

    """
    p = key.params
    require_vectors(probes, p.width, p.probe_norm)
    messages = -(-len(probes) // p.batch)
    out = np.empty((messages, p.probe_bytes), np.uint8)
    checks = np.empty((messages, CHECKS), np.int64)
    for k in range(messages):
        checks[k] = codec.probe_checks(random_words(fresh_seed()))
        plaintexts = _spread(codec, p, probes[k * p.batch : (k + 1) * p.batch])
        plaintexts += [codec.constant(value) for value in checks[k].tolist()]
        out[k, : p.body_bytes] = _encrypted(key, plaintexts)
        out[k, p.body_bytes :] = key.relin()
    return out, Kept(frozen(checks), len(probes), key.key_id)


def _spread(codec: Codec, params: SealParams, probes: I32) -> list[Any]:
    """A plaintext a coordinate: each probe in the rows of its copy of the templates."""
    if params.batch == 1:
        return [codec.constant(value) for value in probes[0].tolist()]
    rows = np.zeros((params.width, params.degree), np.int64)
    for place, probe in enumerate(probes):
        rows[:, place * params.rows : (place + 1) * params.rows] = probe[:, np.newaxis]
    return [codec.column(row) for row in rows]


def random_words(seed: bytes) -> AnyArray:
    """uint64 (CHECKS,) from a 32-byte seed."""
    return Stream(seed).read(8 * CHECKS).view("<u8")


def _encrypted(key: SecretKey, plaintexts: list[Any]) -> U8:
    primes = len(key.params.primes)
    fresh = (key.context.seeded(key.encryptor.encrypt_symmetric(plain), primes) for plain in plaintexts)
    bodies, seeds = zip(*fresh, strict=True)
    return written(np.stack(bodies), np.frombuffer(b"".join(seeds), np.uint8))


def require_vectors(vectors: I32, width: int, norm: int) -> None:
    """Raise `DimensionError` or `VectorError` unless int32 (count, width), none longer than ``norm``."""
    if vectors.ndim != 2 or vectors.shape[1] != width or vectors.dtype != np.int32:
        raise DimensionError(
            f"This key protects int32 rows of {width} integers, not {vectors.dtype} {vectors.shape}."
        )
    # In floating point: sums of squares that wrap around int64 would pass for short vectors.
    if len(vectors) and np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).max() > norm**2:
        raise VectorError("A vector is longer than these parameters allow; normalise it or raise the radius.")
