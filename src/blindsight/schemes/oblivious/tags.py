"""Tags T + K = α·x in Z_{2^ℓ} by vector linear evaluation (specification, section 6).

What SPDZ2k (ePrint 2018/482) does with s transfers a value, with s/4 trees of sixteen seeds.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import MalformedMessageError, WrongCorrelationError
from blindsight.kernels import wide
from blindsight.kernels.chunks import chunk_bits, join, multiply_sums, pack_differences, packed_bytes
from blindsight.kernels.leaves import DEPTH, Trees
from blindsight.schemes.oblivious.hashes import SEED_BYTES, weights
from blindsight.schemes.spdz2k.talk import Talk, swap

U64 = NDArray[np.uint64]

PART: Final = 1 << 17
"""Values that are tagged at a time; more take more rounds."""

MOST_VALUES: Final = 1 << 22


@dataclass(frozen=True, slots=True, repr=False)
class Tags:
    """What one party has of its own inputs and of the other's, modulo 2^ℓ.

    Attributes:
        own: T of this party's inputs, uint64 (n, 2).
        keys: K of the other party's inputs, uint64 (n, 2).
    """

    own: U64
    keys: U64


def correction_bytes(count: int, bits: int, chunks: int, checks: int = 1) -> int:
    """Length of round 1."""
    return (count + checks) * packed_bytes(bits, chunks)


def proof_bytes(bits: int, chunks: int, checks: int = 1) -> int:
    """Length of round 3."""
    return checks * (wide.element_bytes(bits) + packed_bytes(bits, chunks))


def message_bytes(count: int, bits: int, chunks: int, checks: int = 1) -> int:
    """Bytes that each party sends for so many values, all rounds."""
    parts = -(-count // PART)
    rest = SEED_BYTES + proof_bytes(bits, chunks, checks)
    return (count + parts * checks) * packed_bytes(bits, chunks) + parts * rest


class Inputs:
    """The half that has inputs and knows all seeds."""

    def __init__(self, trees: Trees, start: int, values: U64, bits: int, checks: int = 1) -> None:
        self._bits, self._chunks = bits, chunk_bits(bits, len(trees))
        self._checks = checks
        masks = wide.random(checks, bits)
        self._values = np.concatenate([wide.reduce(values, bits), masks])
        self._u, self._v = trees.fold_words(start, len(self._values))

    def correction(self) -> bytes:
        """Round 1."""
        return pack_differences(self._values, self._u, self._bits).tobytes()

    def proof(self, seed: bytes) -> bytes:
        """Round 3."""
        return b"".join(self._sums(seed, check) for check in range(self._checks))

    def _sums(self, seed: bytes, check: int) -> bytes:
        chi = _weights(seed, len(self._values) - self._checks, check, self._checks)
        sums = [wide.dot(self._values, chi), *wide.dot(self._v, chi)]
        rings = [self._bits, *self._chunks]
        return b"".join(wide.pack(wide.reduce(s, bits), bits) for s, bits in zip(sums, rings, strict=True))

    def tags(self) -> U64:
        """T, uint64 (n, 2)."""
        return join(self._v[:, : -self._checks], self._bits)


class Keys:
    """The half that has the MAC key and misses one seed of every tree."""

    def __init__(self, trees: Trees, start: int, alpha: int, count: int, bits: int, checks: int = 1) -> None:
        self._bits, self._chunks, self._count = bits, chunk_bits(bits, len(trees)), count
        self._checks = checks
        self._alpha = wide.from_ints(
            [alpha >> DEPTH * chunk & (1 << DEPTH) - 1 for chunk in range(len(trees))]
        )
        self._u, self._v = trees.fold_words(start, count + checks)
        self.seed = os.urandom(SEED_BYTES)

    def correct(self, correction: bytes) -> None:
        """Take round 1: from here on v + w = α·x in every chunk."""
        data = np.frombuffer(correction, np.uint8)
        if not multiply_sums(data, self._bits, self._alpha[:, 0].copy(), self._u, self._v):
            raise MalformedMessageError("The other party sent a number that is out of range.")

    def check(self, proof: bytes) -> None:
        """Take round 3; `WrongCorrelationError` where the inputs were not the same in all chunks."""
        size = len(proof) // self._checks
        for check in range(self._checks):
            self._verify(proof[check * size : (check + 1) * size], check)

    def _verify(self, proof: bytes, check: int) -> None:
        chi = _weights(self.seed, self._count, check, self._checks)
        own = wide.dot(self._v, chi)
        at, said = 0, []
        for bits in (self._bits, *self._chunks):
            size = wide.element_bytes(bits)
            try:
                said.append(wide.unpack(proof[at : at + size], bits)[0])
            except ValueError:
                raise MalformedMessageError("The other party sent a number that is out of range.") from None
            at += size
        got = wide.add(own, np.stack(said[1:]))
        expected = wide.mul(self._alpha, said[0])
        ones = np.stack([wide.masks(bits) for bits in self._chunks])
        if not hmac.compare_digest((got & ones).tobytes(), (expected & ones).tobytes()):
            raise WrongCorrelationError("The other party's inputs to the tags are not consistent.")

    def keys(self) -> U64:
        """K, uint64 (n, 2)."""
        return join(self._v[:, : self._count], self._bits)


def _weights(seed: bytes, count: int, check: int, checks: int) -> U64:
    """Of ``count`` inputs, and of the masks of all checks, of which only this check's own counts."""
    chi = np.zeros(count + checks, np.uint64)
    chi[:count] = weights(seed, count, check * count)[:, 0]
    chi[count + check] = 1  # this input is uniform and hides the rest
    return chi


def tagging(inputs: Inputs, keys: Keys, count: int, bits: int, chunks: int, checks: int = 1) -> Talk[Tags]:
    """Three rounds.

    Args:
        inputs: this party in the one direction.
        keys: this party in the other.
        count: how many values, each way.
        bits: of the ring.
        chunks: of a MAC key.
        checks: how many, each with weights and a mask of its own.

    """
    keys.correct((yield from swap(inputs.correction(), correction_bytes(count, bits, chunks, checks))))
    seed = yield from swap(keys.seed, SEED_BYTES)
    keys.check((yield from swap(inputs.proof(seed), proof_bytes(bits, chunks, checks))))
    return Tags(inputs.tags(), keys.keys())
