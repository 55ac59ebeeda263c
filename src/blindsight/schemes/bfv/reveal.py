"""The key holders of `bfv`: of an encrypted gallery, and of probes against a plaintext one."""

from __future__ import annotations

import numpy as np

from blindsight.core.errors import MalformedError, TamperedError
from blindsight.core.secrets import Secret
from blindsight.core.types import I32, AnyArray
from blindsight.schemes.bfv.compute import ENGINE
from blindsight.schemes.bfv.params import Params
from blindsight.schemes.bfv.protect import Codec
from blindsight.schemes.bfv.public import ARITHMETIC
from blindsight.schemes.bfv.watch_params import WatchParams
from blindsight.schemes.seal.library import guarded, sealapi
from blindsight.schemes.seal.packing import bits_unpacked, packed
from blindsight.schemes.seal.protect import require_vectors
from blindsight.schemes.seal.reveal import SealKeyHolder
from blindsight.schemes.seal.secret import RingKey, SecretKey


class BfvKeyHolder(SealKeyHolder):
    """The `bfv` scheme as a client holds it: integers come back exactly."""

    def __init__(self, params: Params, secret: Secret) -> None:
        key = SecretKey(params, ARITHMETIC.context(params), secret)
        super().__init__(key, Codec(params), ARITHMETIC, ENGINE, params.score_bound)

    @classmethod
    def generate(cls, params: Params) -> BfvKeyHolder:
        """Under a new key from the operating system's generator."""
        return cls(params, Secret.fresh())


class WatchKeyHolder:
    """Probes against a plaintext gallery as a client holds them; see `bfv.watch`."""

    def __init__(self, params: WatchParams, secret: Secret) -> None:
        self.params = params
        self._key = RingKey("bfv watch", params.context, secret)
        self.key_id = self._key.key_id

    @classmethod
    def generate(cls, params: WatchParams) -> WatchKeyHolder:
        """Under a new key from the operating system's generator."""
        return cls(params, Secret.fresh())

    def evaluation_keys(self) -> bytes:
        """What the server needs once: a public key and the rotations; nothing in it is secret."""
        p, made = self.params, self._key.key_generator()
        count = len(p.elements)
        public = sealapi().PublicKey()
        made.create_public_key(public)
        zero = p.context.public_residues(public)
        turns, seeds = p.context.switching_residues(made.create_galois_keys(list(p.elements)), count)
        # SEAL writes rotations in the order of their elements; the specification has that of `elements`.
        order = np.argsort(np.argsort(p.elements))
        bodies = np.concatenate([zero, turns[order].reshape(-1, *zero.shape[1:])])
        return packed(bodies, p.context.moduli) + seeds[order].tobytes()

    def protect(self, probe: I32) -> bytes:
        """Encrypt one probe, int32 (width,): its halves over and over in the two rows of slots."""
        p = self.params
        require_vectors(probe[np.newaxis], p.width, p.probe_norm)
        padded = np.zeros(2 * p.half, np.int64)
        padded[: p.width] = probe
        slots = np.concatenate([np.tile(part, p.rows // p.half) for part in padded.reshape(2, p.half)])
        plain = sealapi().Plaintext()
        p.context.encoder.encode(slots.tolist(), plain)
        body, seed = p.context.seeded(self._key.encryptor.encrypt_symmetric(plain), len(p.primes))
        return packed(body, p.primes) + seed

    def reveal(self, answer: bytes, count: int) -> AnyArray:
        """Scores of ``count`` templates, int64 (count,); `TamperedError` for what no gallery gives."""
        p = self.params
        blocks = -(-count // p.rows)
        if count < 1 or len(answer) != blocks * p.answer_bytes:
            raise MalformedError("The answer does not have one score for each template.")
        impossible = (
            "The answer holds scores that no templates have: the server is faulty, or not of this key."
        )
        cut = p.degree * p.answer_bits[0] // 8
        out = np.empty((blocks, p.rows), np.int64)
        for block, data in enumerate(np.frombuffer(answer, np.uint8).reshape(blocks, -1)):
            residues = np.empty((2, 1, p.degree), np.uint64)
            parts = (data[:cut], data[cut:])
            for k, (part, bits) in enumerate(zip(parts, p.answer_bits, strict=True)):
                numbers = bits_unpacked(part, p.degree, bits)
                residues[k, 0] = np.rint(numbers * (p.primes[0] / 2.0**bits)).astype(np.uint64)
            plain = sealapi().Plaintext()
            try:
                ciphertext = p.context.ciphertext(residues)
            except MalformedError as error:
                raise TamperedError(impossible) from error
            with guarded(impossible, TamperedError):
                self._key.decryptor.decrypt(ciphertext, plain)
                scores = np.array(p.context.encoder.decode_int64(plain), np.int64).reshape(2, p.rows)
            if not np.array_equal(scores[0], scores[1]) or np.abs(scores).max() > p.score_bound:
                raise TamperedError(impossible)
            out[block] = scores[0]
        if out.reshape(-1)[count:].any():
            raise TamperedError(impossible)
        return out.reshape(-1)[:count]
