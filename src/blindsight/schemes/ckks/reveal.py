"""The key holders of `ckks`: of a gallery, and of 1:1 comparisons."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import DimensionError, MalformedError, TamperedError, VectorError
from blindsight.core.secrets import Secret
from blindsight.schemes.ckks.compute import ENGINE
from blindsight.schemes.ckks.pairs import PairParams, element, packed, unpacked
from blindsight.schemes.ckks.params import Params
from blindsight.schemes.ckks.protect import Codec
from blindsight.schemes.ckks.public import ARITHMETIC
from blindsight.schemes.seal.library import sealapi
from blindsight.schemes.seal.reveal import SealKeyHolder
from blindsight.schemes.seal.secret import RingKey, SecretKey


class CkksKeyHolder(SealKeyHolder):
    """The `ckks` scheme as a client holds it: scores are real numbers, templates come back exactly."""

    def __init__(self, params: Params, secret: Secret) -> None:
        key = SecretKey(params, ARITHMETIC.context(params), secret)
        most = math.ceil(params.score_bound + params.largest_error)
        super().__init__(key, Codec(params), ARITHMETIC, ENGINE, most)

    @classmethod
    def generate(cls, params: Params) -> CkksKeyHolder:
        """Under a new key from the operating system's generator."""
        return cls(params, Secret.fresh())


class PairKeyHolder:
    """1:1 comparisons as a client holds them: protects vectors, reveals distances."""

    def __init__(self, params: PairParams, secret: Secret) -> None:
        self.params = params
        self._key = RingKey("ckks pair", params.context, secret)
        self.key_id = self._key.key_id

    @classmethod
    def generate(cls, params: PairParams) -> PairKeyHolder:
        """Under a new key from the operating system's generator."""
        return cls(params, Secret.fresh())

    def evaluation_keys(self) -> bytes:
        """What the server needs once: a relinearisation key, and a key for each rotation."""
        made, steps = self._key.key_generator(), self.params.steps
        elements = [element(self.params, step) for step in steps]
        context = self.params.context
        relin = context.switching_residues(made.create_relin_keys(), 1)
        turns = context.switching_residues(made.create_galois_keys(elements), len(steps))
        # SEAL writes rotations in the order of their elements; the specification has that of the steps.
        order = np.argsort(np.argsort(elements))
        parts = [(relin[0][0], relin[1][0]), *((turns[0][k], turns[1][k]) for k in order)]
        return b"".join(packed(body, self.params.moduli) + seeds.tobytes() for body, seeds in parts)

    def protect(self, vector: ArrayLike) -> bytes:
        """Encrypt one vector, (dimension,), of norm up to half the largest distance."""
        values = np.asarray(vector, np.float64)
        if values.shape != (self.params.dimension,):
            raise DimensionError(f"These keys compare vectors of {self.params.dimension} coordinates.")
        if not np.linalg.norm(values) <= self.params.largest_distance / 2 * (1 + 1e-6):
            raise VectorError("A vector is longer than these parameters allow, or not finite; normalise it.")
        context, plain = self.params.context, sealapi().Plaintext()
        context.encoder.encode(values.tolist(), 2.0**self.params.scale_bits, plain)
        body, seed = context.seeded(self._key.encryptor.encrypt_symmetric(plain), 2)
        return packed(body, self.params.primes) + seed

    def reveal(self, answer: bytes) -> float:
        """The Euclidean distance; `TamperedError` for one that cannot be."""
        if len(answer) != self.params.answer_bytes:
            raise MalformedError(f"An answer of these parameters has {self.params.answer_bytes} bytes.")
        impossible = "The server sent a distance that no two vectors have."
        data, moduli = np.frombuffer(answer, np.uint8), self.params.moduli[:1]
        try:
            residues = unpacked(data, 2, moduli, self.params.degree)
            ciphertext = self.params.context.ciphertext(residues, self.params.scale)
        except MalformedError as error:
            raise TamperedError(impossible) from error
        plain = sealapi().Plaintext()
        self._key.decryptor.decrypt(ciphertext, plain)
        squared = self.params.context.encoder.decode_double(plain)[0]
        slack = self.params.error
        if not -slack <= squared <= self.params.largest_distance**2 * (1 + 1e-5) + slack:
            raise TamperedError(impossible)
        return math.sqrt(max(squared, 0.0))
