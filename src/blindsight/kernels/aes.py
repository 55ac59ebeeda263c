"""AES-128 of many blocks under one public key, by the processor's instructions or by OpenSSL.

The one operation that the comparison functions of `kernels.dcf` need: ``mix`` replaces every
block X by AES(X) xor X, which is one-way even for who knows the key. Where the key is public, its
expansion may use tables (`round_keys`); the seeds of `kernels.leaves` are secret keys and are
expanded without (`secret_round_keys`). Blocks are secret, so what touches them uses no table either.

Blocks are pairs of uint64, the bytes in memory being AES's. `LANES` says which instructions
were found: 8 (VAES on 512-bit registers, four blocks at a time), 2 (AES-NI) or 0 (neither, or
not an x86 processor: `mix_portable`, through the ``cryptography`` package, on all levels).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

KEY_BYTES = 16
ROUNDS = 10

BLOCKS = 32
"""Blocks that one call of `mix` takes: enough to fill the pipeline of the AES unit."""


def _lanes() -> int:
    """64-bit lanes of the widest registers that this processor has AES instructions for."""
    if not llvm.get_process_triple().startswith("x86_64"):
        return 0
    features = llvm.get_host_cpu_features()
    if features.get("vaes", False) and features.get("avx512f", False):
        return 8
    return 2 if features.get("aes", False) else 0


LANES = _lanes()


def _sbox() -> NDArray[np.uint32]:
    """The substitution table of FIPS 197, section 5.1.1, from its definition."""
    table = [0x63] * 256
    p = q = 1
    while True:
        p = p ^ (p << 1 & 0xFF) ^ (0x1B if p & 0x80 else 0)  # times 3
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q = (q & 0xFF) ^ (0x09 if q & 0x80 else 0)  # divided by 3
        x = q
        for shift in (1, 2, 3, 4):
            x ^= (q << shift | q >> (8 - shift)) & 0xFF
        table[p] = x ^ 0x63
        if p == 1:
            return np.array(table, np.uint32)


_TABLE = _sbox()


@njit(nogil=True, cache=True)
def _schedules(words: NDArray[np.uint32], table: NDArray[np.uint32]) -> None:
    """Fill ``words``, uint32 (keys, 44), from the four words of each key at its beginning."""
    for k in range(words.shape[0]):
        constant = np.uint32(1)
        for i in range(4, words.shape[1]):
            word = words[k, i - 1]
            if i % 4 == 0:
                word = (
                    table[(word >> np.uint32(8)) & np.uint32(0xFF)]
                    | table[(word >> np.uint32(16)) & np.uint32(0xFF)] << np.uint32(8)
                    | table[word >> np.uint32(24)] << np.uint32(16)
                    | table[word & np.uint32(0xFF)] << np.uint32(24)
                ) ^ constant
                constant = np.uint32(constant << 1) ^ np.uint32(0x11B if constant & 0x80 else 0)
            words[k, i] = words[k, i - 4] ^ word


def round_keys(keys: Sequence[bytes]) -> U64:
    """The key schedules of FIPS 197, section 5.2, of public 16-byte keys: uint64 (keys, 11, 2)."""
    if any(len(key) != KEY_BYTES for key in keys):
        raise ValueError("an AES-128 key has 16 bytes")
    words = np.empty((len(keys), 4 * (ROUNDS + 1)), np.uint32)
    words[:, :4] = np.frombuffer(b"".join(keys), "<u4").reshape(-1, 4)
    _schedules(words, _TABLE)
    return words.view("<u8").reshape(len(keys), ROUNDS + 1, 2)


@njit(nogil=True, inline="always")
def _substitute(byte: np.uint32, table: NDArray[np.uint32]) -> np.uint32:
    """The table's entry, by looking at all of them."""
    found = np.uint32(0)
    for i in range(256):
        found |= table[i] & (np.uint32(0) - np.uint32(np.uint32(i) == byte))
    return found


@njit(nogil=True, cache=True)
def _secret_schedules(words: NDArray[np.uint32], table: NDArray[np.uint32]) -> None:
    """As `_schedules`, without an address that depends on a key."""
    for k in range(words.shape[0]):
        constant = np.uint32(1)
        for i in range(4, words.shape[1]):
            word = words[k, i - 1]
            if i % 4 == 0:
                turned = (word >> np.uint32(8)) | (word << np.uint32(24))
                word = constant
                for byte in range(4):
                    shift = np.uint32(8 * byte)
                    word ^= _substitute((turned >> shift) & np.uint32(0xFF), table) << shift
                constant = np.uint32(constant << 1) ^ np.uint32(0x11B if constant & 0x80 else 0)
            words[k, i] = words[k, i - 4] ^ word


def secret_round_keys(keys: U64) -> U64:
    """As `round_keys`, in a time and with memory accesses that say nothing of the keys.

    Args:
        keys: uint64 (..., 2).

    Returns:
        uint64 (..., 11, 2).

    """
    words = np.empty((keys.size // 2, 4 * (ROUNDS + 1)), np.uint32)
    words[:, :4] = np.ascontiguousarray(keys).reshape(-1, 2).view(np.uint32)
    _secret_schedules(words, _TABLE)
    return words.view("<u8").reshape(*keys.shape[:-1], ROUNDS + 1, 2)


def mix_portable(blocks: U64, key: bytes, out: U64) -> None:
    """AES(X) xor X for every block: uint64 (count, 2), C-contiguous; ``out`` is another such array."""
    size = blocks.nbytes
    room = np.empty(size + 15, np.uint8)  # OpenSSL's interface asks for a block of slack
    encryptor = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()  # noqa: S305 - one block is the use
    encryptor.update_into(blocks.reshape(-1).view(np.uint8).data, room.data)
    np.bitwise_xor(blocks, room[:size].view(np.uint64).reshape(blocks.shape), out=out)


_I64 = ir.IntType(64)
_BLOCK = ir.VectorType(_I64, 2)
_SIGNATURE = types.void(types.CPointer(types.uint64), types.CPointer(types.uint64))


def _mix(lanes: int) -> Any:
    """Build `mix` for registers of that many 64-bit lanes."""
    name = "llvm.x86.aesni.aes{}" + (f".{64 * lanes}" if lanes > 2 else "")

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, keys = args
        vector = ir.VectorType(_I64, lanes)
        kind = ir.FunctionType(vector, [vector, vector])
        middle = builder.module.declare_intrinsic(name.format("enc"), (), kind)
        final = builder.module.declare_intrinsic(name.format("enclast"), (), kind)
        spread = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [i % 2 for i in range(lanes)])

        def round_key(index: int) -> Any:
            place = builder.bitcast(builder.gep(keys, [_I64(2 * index)]), _BLOCK.as_pointer())
            one = builder.load(place, align=8)
            return builder.shuffle_vector(one, one, spread)

        count = BLOCKS * 2 // lanes
        at_once = min(count, 8)  # more blocks would not fit in 16 registers
        for first in range(0, count, at_once):
            places = [
                builder.bitcast(builder.gep(data, [_I64(lanes * i)]), vector.as_pointer())
                for i in range(first, first + at_once)
            ]
            before = [builder.load(place, align=8) for place in places]
            key = round_key(0)
            state = [builder.xor(block, key) for block in before]
            for index in range(1, ROUNDS + 1):
                key = round_key(index)
                step = final if index == ROUNDS else middle
                state = [builder.call(step, [block, key]) for block in state]
            for place, old, new in zip(places, before, state, strict=True):
                builder.store(builder.xor(old, new), place, align=8)
        return context.get_dummy_value()

    @intrinsic
    def mix(typing: Any, data: Any, keys: Any) -> Any:
        """Replace X by AES(X) xor X in `BLOCKS` blocks at ``data``, with 11 round keys at ``keys``."""
        return _SIGNATURE, emit

    return mix


mix: Any = _mix(LANES or 2)
"""For compiled code; not to be called where `LANES` is 0."""
