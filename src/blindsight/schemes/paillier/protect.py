"""A user's half: integers to packed, tagged, encrypted updates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Generic, Protocol, TypeVar

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from blindsight.core.summing import Once, OneAnswer, checked_values
from blindsight.core.types import AnyArray
from blindsight.kernels.packing import pack_bits
from blindsight.schemes.paillier.compute import round_id
from blindsight.schemes.paillier.params import TAG_MODULUS, Params
from blindsight.schemes.paillier.public import PublicKey, write
from blindsight.schemes.tags.secret import Membership, tags

_WINDOW = 8
"""Bits of the exponent that one table entry stands for: bytes."""


class Encryptor:
    """Encryption under one public key, with the powers of its base in a table.

    The table takes ``exponent_bits / 8 * 256`` numbers modulo n^2: 17 MB at 2048 bits, 38 MB at
    3072. Every exponent costs the same number of products, whatever is encrypted.
    """

    def __init__(self, public: PublicKey, exponent_bits: int) -> None:
        self.public = public
        self._bytes = exponent_bits // _WINDOW
        self._table = []
        step, square = public.base, public.square
        for _ in range(self._bytes):
            row = [mpz(1)]
            for _ in range((1 << _WINDOW) - 1):
                row.append(row[-1] * step % square)
            self._table.append(row)
            step = row[-1] * step % square

    def randomiser(self) -> mpz:
        """``base^r mod n^2`` for a fresh r of ``exponent_bits`` bits from the operating system."""
        square = self.public.square
        out = mpz(1)
        for row, digit in zip(self._table, os.urandom(self._bytes), strict=True):
            out = out * row[digit] % square
        return out

    def encrypt(self, plaintext: mpz) -> mpz:
        """``(1 + n)^m base^r mod n^2``; the plaintext is in [0, n)."""
        public = self.public
        return (1 + plaintext * public.n) * self.randomiser() % public.square


_encryptor: Encryptor | None = None


def _start(public: bytes, exponent_bits: int) -> None:
    global _encryptor  # noqa: PLW0603
    _encryptor = Encryptor(PublicKey.decode(public), exponent_bits)


def _encrypt_rows(data: bytes, size: int, out: int) -> bytes:
    assert _encryptor is not None
    rows = [mpz(int.from_bytes(data[at : at + size], "little")) for at in range(0, len(data), size)]
    return write([_encryptor.encrypt(row) for row in rows], out)


class Workers:
    """Processes that encrypt, each with a table of its own. Plaintexts go to them through pipes."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self._pool = pool
        self._count = count

    def encrypt(self, plaintexts: list[mpz], size: int) -> bytes:
        """As `write` would of `Encryptor.encrypt`; ``size`` bytes a ciphertext."""
        each = -(-len(plaintexts) // self._count)
        pieces = [plaintexts[at : at + each] for at in range(0, len(plaintexts), each)]
        jobs = [self._pool.submit(_encrypt_rows, write(p, size // 2), size // 2, size) for p in pieces]
        return b"".join(job.result() for job in jobs)


@contextmanager
def workers(public: PublicKey, exponent_bits: int, count: int) -> Iterator[Workers]:
    """Several cores for one user's encryption; closed at the end."""
    context = get_context("spawn")
    key = (public.encode(), exponent_bits)
    with ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=key) as pool:
        yield Workers(pool, count)


class _Sizes(Protocol):
    @property
    def ciphertext_bytes(self) -> int: ...

    @property
    def exponent_bits(self) -> int: ...


P = TypeVar("P", bound=_Sizes)
M = TypeVar("M")


class EncryptingUser(Generic[P, M]):
    """What a user under a Paillier key is, whatever it encrypts; over the rounds of a federation.

    Args:
        params: of the federation.
        public: the key holder's key.
        member: what this user was given.
        last: the last round that this user took part in.
        encryptor: one that was made for this key, else it is made with the first update.
        pool: processes that encrypt; without them this one does.
    """

    def __init__(
        self,
        params: P,
        public: PublicKey,
        member: M,
        *,
        last: int = 0,
        encryptor: Encryptor | None = None,
        pool: Workers | None = None,
    ) -> None:
        self._params = params
        self._public = public
        self._member = member
        self._once = Once(last)
        self._encryptor = encryptor
        self._pool = pool

    def _encrypted(self, plaintexts: list[mpz]) -> bytes:
        size = self._params.ciphertext_bytes
        if self._pool is not None:
            return self._pool.encrypt(plaintexts, size)
        if self._encryptor is None:
            self._encryptor = Encryptor(self._public, self._params.exponent_bits)
        return write([self._encryptor.encrypt(m) for m in plaintexts], size)


class PaillierUser(EncryptingUser[Params, Membership]):
    """One user: packs all its integers, with tags."""

    def round(self, number: int, values: AnyArray) -> OneAnswer:
        """Take part in a round with these integers; `RoundError` for a round that is past."""
        identity = round_id(self._params, self._public, number)
        checked = checked_values(self._params, values)
        self._once.use(number)
        plaintexts = packed(self._params, self._member, number, checked)
        return OneAnswer(identity, self._member.user, lambda: self._encrypted(plaintexts))


def packed(params: Params, member: Membership, number: int, values: NDArray[np.int64]) -> list[mpz]:
    """Plaintexts: offset integers from the lowest slot upwards, the tag above them."""
    slots = np.zeros((params.groups, params.slots), np.uint64)
    slots.reshape(-1)[: params.weights] = (values + (1 << (params.bits - 1))).astype(np.uint64)
    of = member.coefficients(number, params.groups, params.slots, TAG_MODULUS)
    plus = member.offsets(number, params.groups, TAG_MODULUS)
    above = params.slots * params.slot_bits
    rows = pack_bits(slots, params.slot_bits)
    return [
        mpz(int.from_bytes(row.tobytes(), "little") + (tag << above))
        for row, tag in zip(rows, tags(slots, of, plus, TAG_MODULUS), strict=True)
    ]
