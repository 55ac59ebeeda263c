"""Random oblivious transfers, many from the seeds of the setup (specification, section 5).

SoftSpokenOT (ePrint 2022/192) with the repetition code: small-field vector linear evaluation, one
correction a tree, a linear hash as check, and the hash of rows of 2019/074.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import WrongCorrelationError
from blindsight.kernels.bits import ROW_BITS, hash_rows, transpose
from blindsight.kernels.carryless import column_hashes
from blindsight.kernels.leaves import DEPTH, Trees
from blindsight.schemes.oblivious.hashes import SEED_BYTES, weights
from blindsight.schemes.spdz2k.talk import Talk, swap

U64 = NDArray[np.uint64]

BLOCKS_OF_DELTA: Final = ROW_BITS // DEPTH
MOST_TRANSFERS: Final = 1 << 22
_PROOF_BYTES: Final = 16 * (1 + ROW_BITS)


@dataclass(frozen=True, slots=True, repr=False)
class RandomOTs:
    """Transfers in both directions.

    Attributes:
        received: the strings of this party's choice bits, uint64 (n, 2).
        pads: both strings of the transfers that it sent, uint64 (2, n, 2).
    """

    received: U64
    pads: U64


def stream_blocks(count: int) -> int:
    """Blocks of every stream that so many transfers use up."""
    return -(-count // ROW_BITS) + 1


def message_bytes(count: int) -> int:
    """Bytes that each party sends for so many transfers, all rounds."""
    return 16 * BLOCKS_OF_DELTA * stream_blocks(count) + SEED_BYTES + _PROOF_BYTES


class Receiver:
    """The half that has choice bits and knows all seeds."""

    def __init__(self, trees: Trees, start: int, choices: NDArray[np.bool_]) -> None:
        self._count, blocks = len(choices), stream_blocks(len(choices))
        padded = np.frombuffer(os.urandom(16 * blocks), np.uint8).copy()
        bits = np.unpackbits(padded, bitorder="little")
        bits[: self._count] = choices
        self._bits = np.packbits(bits, bitorder="little").view(np.uint64)
        self._u, v = trees.fold_bits(start, blocks)
        self._columns = v.reshape(ROW_BITS, -1)

    def correction(self) -> bytes:
        """Round 1."""
        return (self._u ^ self._bits).tobytes()

    def proof(self, seed: bytes) -> bytes:
        """Round 3."""
        chi = _weights(seed, self._bits.size // 2)
        hashes = [column_hashes(columns, chi) for columns in (self._bits[np.newaxis], self._columns)]
        return b"".join(part.tobytes() for part in hashes)

    def strings(self, key: bytes) -> U64:
        """The strings of the choice bits."""
        rows = transpose(self._columns)[: self._count]
        return hash_rows(rows, np.zeros(2, np.uint64), key)


class Sender:
    """The half that has Δ and misses one seed of every tree."""

    def __init__(self, trees: Trees, start: int, delta: U64, count: int) -> None:
        self._count, self._delta = count, delta
        self._blocks = stream_blocks(count)
        self._u, v = trees.fold_bits(start, self._blocks)
        self._columns = v.reshape(ROW_BITS, -1)
        bits = np.unpackbits(delta.view(np.uint8), bitorder="little")
        self._masks = np.uint64(0) - bits.astype(np.uint64)  # all ones where Δ has a one
        self.seed = os.urandom(SEED_BYTES)

    @property
    def correction_bytes(self) -> int:
        """Length of the receiver's message of round 1."""
        return 16 * BLOCKS_OF_DELTA * self._blocks

    def correct(self, correction: bytes) -> None:
        """Take round 1: from here on column = receiver's column xor Δ's bit times the choices."""
        used = self._u
        used ^= np.frombuffer(correction, np.uint64).reshape(used.shape)
        columns = self._columns.reshape(BLOCKS_OF_DELTA, DEPTH, -1)
        masks = self._masks.reshape(BLOCKS_OF_DELTA, DEPTH, 1)
        for tree in range(BLOCKS_OF_DELTA):
            columns[tree] ^= masks[tree] & used[tree]

    def check(self, proof: bytes) -> None:
        """Take round 3; `WrongCorrelationError` where the choices were not the same in all trees."""
        said = np.frombuffer(proof, np.uint64).reshape(-1, 2)
        own = column_hashes(self._columns, _weights(self.seed, self._blocks))
        expected = said[1:] ^ (self._masks[:, np.newaxis] & said[0])
        if not hmac.compare_digest(own.tobytes(), expected.tobytes()):
            raise WrongCorrelationError("The other party's choices in the transfers are not consistent.")

    def strings(self, key: bytes) -> U64:
        """Both strings of every transfer, uint64 (2, n, 2)."""
        rows = transpose(self._columns)[: self._count]
        pads = np.empty((2, *rows.shape), np.uint64)
        for out, offset in zip(pads, (np.zeros_like(self._delta), self._delta), strict=True):
            hash_rows(rows, offset, key, out)
        return pads


def _weights(seed: bytes, blocks: int) -> U64:
    chi = weights(seed, blocks)
    chi[-1] = (1, 0)  # the last block is uniform and hides the rest
    return chi


def transfers(receiver: Receiver, sender: Sender, own_key: bytes, other_key: bytes) -> Talk[RandomOTs]:
    """Three rounds.

    Args:
        receiver: this party in the one direction.
        sender: this party in the other.
        own_key: of the hash in the direction in which this party sends.
        other_key: in the other direction.

    """
    sender.correct((yield from swap(receiver.correction(), sender.correction_bytes)))
    seed = yield from swap(sender.seed, SEED_BYTES)
    sender.check((yield from swap(receiver.proof(seed), _PROOF_BYTES)))
    return RandomOTs(receiver.strings(other_key), sender.strings(own_key))
