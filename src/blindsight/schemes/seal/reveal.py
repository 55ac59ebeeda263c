"""Answers to scores, blocks back to templates; and the key holder that does it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blindsight.core.errors import DimensionError, KeyMismatchError, MalformedError, TamperedError
from blindsight.core.matching import MatchingEngine
from blindsight.core.secrets import ExportToken
from blindsight.core.types import I32, I64, U8, AnyArray, frozen
from blindsight.schemes.seal.library import guarded, sealapi
from blindsight.schemes.seal.params import CHECKS, HINT_BYTES, NONCE_BYTES, SealParams
from blindsight.schemes.seal.protect import Codec, Kept, protect_blocks, protect_probes, random_words
from blindsight.schemes.seal.public import Arithmetic, answer_residues, ciphertexts, in_range
from blindsight.schemes.seal.secret import SecretKey

_IMPOSSIBLE = "The answer holds scores that cannot be: the matcher is faulty or lies, or a block was damaged."


@dataclass(frozen=True, slots=True)
class Prepared:
    """The check values of a gallery's blocks, int64 (blocks, CHECKS)."""

    checks: I64 = field(repr=False)


class SealKeyHolder:
    """A scheme on SEAL as a client holds it; see `blindsight.core.matching.KeyHolder`.

    ``most`` is the largest absolute score that an honest answer decrypts to.
    """

    def __init__(
        self, key: SecretKey, codec: Codec, arithmetic: Arithmetic, engine: MatchingEngine, most: float
    ) -> None:
        self._key = key
        self._codec = codec
        self._arithmetic = arithmetic
        self._engine = engine
        self._most = most
        self.params: SealParams = key.params
        self.scheme = self.params.scheme
        self.key_id = key.key_id

    def export(self, token: ExportToken) -> bytes:
        """The secret key's 32 bytes."""
        return self._key.export(token)

    def protect_block(self, templates: I32) -> tuple[bytes, U8]:
        if not 1 <= len(templates) <= self.params.rows:
            raise DimensionError(f"A block holds 1 to {self.params.rows} templates, not {len(templates)}.")
        heads, bodies = protect_blocks(self._key, self._codec, templates)
        return heads[0], bodies[0]

    def protect_blocks(self, templates: I32) -> tuple[list[bytes], U8]:
        return protect_blocks(self._key, self._codec, templates)

    def protect_probes(self, probes: I32) -> tuple[U8, Kept]:
        return protect_probes(self._key, self._codec, probes)

    def open_block(self, head: bytes, body: U8) -> I32:
        """The templates in a block, int32 (rows, width), exactly; `TamperedError` unless its tag is ours."""
        p = self.params
        self._engine.check_block(p, head, body)
        if not self._key.tagged(head[:NONCE_BYTES], body, head[NONCE_BYTES:]):
            raise TamperedError(
                "A block is not what was protected; it was damaged or made under another key."
            )
        scale = self._arithmetic.scales(p)[0]
        residues, seeds = ciphertexts(p, body)
        templates = np.empty((p.rows, p.width), np.int32)
        for k in range(p.width):
            one = self._key.context.ciphertext(residues[k : k + 1], scale, seeds[k].tobytes())
            templates[:, k] = self._codec.template_rows(self._decrypted(one))[: p.rows]
        return templates

    def hints(self, heads: Sequence[bytes], bodies: U8) -> U8:
        """Seeds of the check rows, uint8 (blocks, 32)."""
        if bodies.shape != (len(heads), self.params.body_bytes):
            raise MalformedError("There is not one whole body for each head.")
        joined = b"".join(self._key.hint(head[:NONCE_BYTES]) for head in heads)
        return np.frombuffer(joined, np.uint8).reshape(len(heads), HINT_BYTES).copy()

    def prepare(self, heads: Sequence[bytes], hints: U8) -> Prepared:
        if hints.shape != (len(heads), HINT_BYTES):
            raise MalformedError("There is not one hint for each block; rebuild the hints.")
        if any(len(head) != self.params.head_bytes for head in heads):
            raise MalformedError(f"A block's head has {self.params.head_bytes} bytes.")
        checks = [self._codec.block_checks(random_words(hint.tobytes())) for hint in hints]
        return Prepared(frozen(np.array(checks, np.int64).reshape(len(heads), CHECKS)))

    def reveal(self, kept: Kept, prepared: Prepared, answer: U8) -> AnyArray:
        """Scores (count, blocks * rows); `TamperedError` for what no honest answer holds.

        Every answer must also show, in its check rows, the products of its block's and its
        probe's check values: so it is to this probe, and of this block, and not an old one.
        """
        if kept.key_id != self.key_id:
            raise KeyMismatchError("These probes were protected under another key.")
        p = self.params
        blocks = len(prepared.checks) if prepared is not None else 0
        if answer.shape != (len(kept.checks), blocks, p.answer_bytes) or answer.dtype != np.uint8:
            raise MalformedError("The answer does not have one score for each template and probe.")
        kind = np.float32 if p.largest_error else np.int64
        out = np.empty((len(kept.checks) * p.batch, blocks, p.rows), kind)
        used = p.batch * p.rows
        scale = self._arithmetic.scales(p)[2]
        for k, probe in enumerate(kept.checks):
            for block in range(blocks):
                residues = answer_residues(p, answer[k, block])
                if not in_range(residues, p.primes[: p.answer_primes]):
                    raise TamperedError(_IMPOSSIBLE)
                with guarded(_IMPOSSIBLE, TamperedError):
                    scores = self._codec.score_rows(
                        self._decrypted(self._key.context.ciphertext(residues, scale))
                    )
                checks = scores[p.degree - CHECKS :]
                honest = self._codec.checked(checks, prepared.checks[block], probe)
                if not honest or not np.abs(scores[:used]).max() <= self._most:
                    raise TamperedError(_IMPOSSIBLE)
                out[k * p.batch : (k + 1) * p.batch, block] = scores[:used].reshape(p.batch, p.rows)
        return out[: kept.count].reshape(kept.count, blocks * p.rows)

    def _decrypted(self, ciphertext: Any) -> Any:
        plain = sealapi().Plaintext()
        self._key.decryptor.decrypt(ciphertext, plain)
        return plain
