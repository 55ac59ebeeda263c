"""The key holders of `ckks`: of a gallery, and of 1:1 comparisons by either way."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import DimensionError, MalformedError, TamperedError, VectorError
from blindsight.core.secrets import Secret
from blindsight.core.types import AnyArray
from blindsight.kernels.prg import Stream
from blindsight.kernels.sampling import ternary
from blindsight.schemes.ckks.compute import ENGINE
from blindsight.schemes.ckks.distance import ANSWER_BYTES, DistanceParams
from blindsight.schemes.ckks.pairs import PairParams, element
from blindsight.schemes.ckks.params import Params
from blindsight.schemes.ckks.protect import Codec
from blindsight.schemes.ckks.public import ARITHMETIC
from blindsight.schemes.seal.library import sealapi
from blindsight.schemes.seal.packing import packed, unpacked
from blindsight.schemes.seal.reveal import SealKeyHolder
from blindsight.schemes.seal.secret import RingKey, SecretKey

_IMPOSSIBLE = "The server sent a distance that no two vectors have."


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
        values = _checked(vector, self.params)
        context, plain = self.params.context, sealapi().Plaintext()
        context.encoder.encode(values.tolist(), 2.0**self.params.scale_bits, plain)
        body, seed = context.seeded(self._key.encryptor.encrypt_symmetric(plain), 2)
        return packed(body, self.params.primes) + seed

    def reveal(self, answer: bytes) -> float:
        """The Euclidean distance; `TamperedError` for one that cannot be."""
        if len(answer) != self.params.answer_bytes:
            raise MalformedError(f"An answer of these parameters has {self.params.answer_bytes} bytes.")
        data, moduli = np.frombuffer(answer, np.uint8), self.params.moduli[:1]
        try:
            residues = unpacked(data, 2, moduli, self.params.degree)
            ciphertext = self.params.context.ciphertext(residues, self.params.scale)
        except MalformedError as error:
            raise TamperedError(_IMPOSSIBLE) from error
        plain = sealapi().Plaintext()
        self._key.decryptor.decrypt(ciphertext, plain)
        squared = self.params.context.encoder.decode_double(plain)[0]
        return _root(squared, self.params)


class DistanceKeyHolder:
    """1:1 comparisons without evaluation keys, as a client holds them; see `ckks.distance`."""

    def __init__(self, params: DistanceParams, secret: Secret) -> None:
        self.params = params
        name = "ckks distance"
        self._key = RingKey(name, params.context, secret)
        self.key_id = self._key.key_id
        small = ternary(Stream(secret.derive(f"{name} secret")), params.degree).astype(np.int64)
        self._turned = _turned(small), _turned(_negacyclic_square(small))

    @classmethod
    def generate(cls, params: DistanceParams) -> DistanceKeyHolder:
        """Under a new key from the operating system's generator."""
        return cls(params, Secret.fresh())

    def protect(self, vector: ArrayLike) -> bytes:
        """Encrypt one vector, (dimension,), of norm up to half the largest distance."""
        p = self.params
        values = np.tile(_checked(vector, p), p.copies)
        plain = sealapi().Plaintext()
        p.context.encoder.encode(values.tolist(), p.scale, plain)
        body, seed = p.context.seeded(self._key.encryptor.encrypt_symmetric(plain), 1)
        return packed(body, p.primes) + seed

    def reveal(self, answer: bytes) -> float:
        """The Euclidean distance; `TamperedError` for one that cannot be."""
        p = self.params
        if len(answer) != p.answer_bytes:
            raise MalformedError(f"An answer of these parameters has {p.answer_bytes} bytes.")
        wide = np.zeros((1 + 2 * p.degree, 8), np.uint8)
        wide[:, :ANSWER_BYTES] = np.frombuffer(answer, np.uint8).reshape(-1, ANSWER_BYTES)
        numbers, modulus = wide.view("<i8")[:, 0], 1 << (8 * ANSWER_BYTES)
        found = int(numbers[0])
        for part, turned in zip(numbers[1:].reshape(2, -1), self._turned, strict=True):
            found += int(part @ turned)  # below 2^63: 2^40 times the square's norms
        found = (found + modulus // 2) % modulus - modulus // 2
        return _root(found / modulus / p.unit, p)


def _checked(vector: ArrayLike, params: PairParams | DistanceParams) -> AnyArray:
    values = np.asarray(vector, np.float64)
    if values.shape != (params.dimension,):
        raise DimensionError(f"These keys compare vectors of {params.dimension} coordinates.")
    if not np.linalg.norm(values) <= params.largest_distance / 2 * (1 + 1e-6):
        raise VectorError("A vector is longer than these parameters allow, or not finite; normalise it.")
    return values


def _root(squared: float, params: PairParams | DistanceParams) -> float:
    slack = params.error
    if not -slack <= squared <= params.largest_distance**2 * (1 + 1e-5) + slack:
        raise TamperedError(_IMPOSSIBLE)
    return math.sqrt(max(squared, 0.0))


def _turned(polynomial: AnyArray) -> AnyArray:
    """What the product with another polynomial has as its constant coefficient is a dot product with this."""
    return np.concatenate([polynomial[:1], -polynomial[:0:-1]])


def _negacyclic_square(small: AnyArray) -> AnyArray:
    """A polynomial's square modulo X^n + 1, exactly: int64 (degree,)."""
    whole = np.convolve(small, small)
    square: AnyArray = whole[: len(small)].copy()
    square[: len(small) - 1] -= whole[len(small) :]
    return square
