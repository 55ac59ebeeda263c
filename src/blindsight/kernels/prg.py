"""Pseudorandom bytes: AES-256 in counter mode, keyed by the operating system's generator."""

from __future__ import annotations

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

SEED_BYTES = 32
_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)


def fresh_seed() -> bytes:
    """32 bytes from the operating system."""
    return os.urandom(SEED_BYTES)


class Stream:
    """The AES-256-CTR key stream of a 32-byte seed, counter from zero, read forward."""

    __slots__ = ("_encryptor",)

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError("a seed has 32 bytes")
        self._encryptor = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor()

    def read(self, count: int) -> NDArray[np.uint8]:
        """The next ``count`` bytes, uint8 (count,)."""
        out = np.empty(count, np.uint8)
        self.fill(out.data)
        return out

    def fill(self, out: memoryview) -> None:
        """Write the next ``len(out)`` bytes into a buffer of bytes."""
        for at in range(0, len(out), _PIECE):
            piece = out[at : at + _PIECE]
            self._encryptor.update_into(memoryview(_ZEROS)[: len(piece)], piece)
