"""The public key, and ciphertexts as bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import gmpy2
from gmpy2 import mpz

from blindsight.core.errors import MalformedError
from blindsight.schemes.paillier.params import check_modulus


@dataclass(frozen=True)
class PublicKey:
    """n, and the base ``h^n mod n^2`` of the randomisers.

    Raises `MalformedError` for numbers that cannot be a key, `InsecureParametersError` for a short
    one. That n is a product of two primes is the key generator's word.
    """

    n: mpz
    base: mpz

    def __post_init__(self) -> None:
        n = self.n
        check_modulus(n.bit_length(), n.bit_length() // 2)
        obvious = n % 2 == 0 or gmpy2.is_power(n) or gmpy2.is_prime(n)
        if obvious or not 1 < self.base < n * n or gmpy2.gcd(self.base, n) != 1:
            raise MalformedError("These numbers are not a Paillier key; ask the key holder for it again.")

    @cached_property
    def square(self) -> mpz:
        """n^2."""
        return self.n * self.n

    @property
    def modulus_bits(self) -> int:
        return int(self.n.bit_length())

    @cached_property
    def key_id(self) -> bytes:
        """16 bytes that name the key."""
        return hashlib.sha256(b"paillier key" + self.encode()).digest()[:16]

    def encode(self) -> bytes:
        """N and the base, little-endian, in as many bytes as n and n^2 have."""
        size = self.modulus_bits // 8
        return int(self.n).to_bytes(size, "little") + int(self.base).to_bytes(2 * size, "little")

    @classmethod
    def decode(cls, data: bytes) -> PublicKey:
        """Undo `encode`."""
        size, rest = divmod(len(data), 3)
        if rest or not 0 < size <= 1024:
            raise MalformedError("A Paillier public key is cut off or too long.")
        return cls(mpz(int.from_bytes(data[:size], "little")), mpz(int.from_bytes(data[size:], "little")))


def write(ciphertexts: list[mpz], size: int) -> bytes:
    """Ciphertexts one after the other, little-endian, ``size`` bytes each."""
    return b"".join(int(c).to_bytes(size, "little") for c in ciphertexts)


def read(key: PublicKey, data: bytes) -> list[mpz]:
    """Undo `write`; `MalformedError` for a number that is not a ciphertext: a unit modulo n^2."""
    size = key.modulus_bits // 4
    if len(data) % size:
        raise MalformedError("A list of ciphertexts is cut off.")
    found = [mpz(int.from_bytes(data[at : at + size], "little")) for at in range(0, len(data), size)]
    together = mpz(1)
    for c in found:
        if not 0 < c < key.square:
            raise MalformedError("A ciphertext is out of range; it was damaged on the way.")
        together = together * c % key.n
    if gmpy2.gcd(together, key.n) != 1:
        raise MalformedError("A ciphertext is not invertible; it was made up.")
    return found
