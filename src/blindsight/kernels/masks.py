"""Pseudorandom masks modulo 2^32: AES-128 in counter mode, added or taken off."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

SEED_BYTES = 16
_WORDS = 1 << 15
_ZEROS = bytes(4 * _WORDS)


def add_mask(total: NDArray[np.uint32], seed: bytes, sign: int) -> None:
    """Add (``sign`` 1) or take off (-1) a seed's mask, in place, modulo 2^32.

    Args:
        total: uint32 (n,), contiguous; word k of the mask is bytes 4k to 4k + 3 of the key
            stream, little-endian, counter from zero.
        seed: 16 bytes, used for one mask only.
        sign: 1 or -1.
    """
    if len(seed) != SEED_BYTES or sign not in (1, -1):
        raise ValueError("a mask has a seed of 16 bytes and a sign")
    stream = Cipher(algorithms.AES128(seed), modes.CTR(bytes(16))).encryptor()
    piece = np.empty(_WORDS, "<u4")
    combine = np.add if sign == 1 else np.subtract
    for at in range(0, len(total), _WORDS):
        part = total[at : at + _WORDS]
        stream.update_into(memoryview(_ZEROS)[: 4 * len(part)], piece.view(np.uint8).data)
        combine(part, piece[: len(part)], out=part)
