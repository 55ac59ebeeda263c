"""The key holder's secret: two primes, and the master of everybody's tags."""

from __future__ import annotations

import secrets
from typing import NoReturn

import gmpy2
from gmpy2 import mpz

from blindsight.core.errors import VaultError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.kernels.threads import split
from blindsight.schemes.paillier.params import check_modulus
from blindsight.schemes.paillier.public import PublicKey
from blindsight.schemes.tags.secret import Registrar

_ROUNDS = 40
"""Miller-Rabin rounds: a composite passes with probability below 4^-40."""


class SecretKey:
    """p, q and what decryption by CRT needs. Not pickled, not copied, not shown."""

    __slots__ = ("_inverse", "_master", "_p", "_q", "public")

    def __init__(self, p: mpz, q: mpz, base: mpz, master: Secret) -> None:
        self._p, self._q = mpz(p), mpz(q)
        self._inverse = gmpy2.invert(self._p, self._q)
        self._master = master
        self.public = PublicKey(self._p * self._q, mpz(base))

    @classmethod
    def generate(cls, modulus_bits: int = 3072) -> SecretKey:
        """A new key from the operating system's generator.

        As Damgard, Jurik and Nielsen ask: p = q = 3 mod 4, gcd(p - 1, q - 1) = 2, and
        ``h = -x^2``, which generates all elements of Jacobi symbol 1 but for a negligible chance.
        """
        check_modulus(modulus_bits, modulus_bits // 2)
        while True:
            p, q = _prime(modulus_bits // 2), _prime(modulus_bits // 2)
            if p != q and (p * q).bit_length() == modulus_bits and gmpy2.gcd(p - 1, q - 1) == 2:
                break
        n = p * q
        while True:
            x = mpz(secrets.randbelow(int(n)))
            if gmpy2.gcd(x, n) == 1:
                break
        base = gmpy2.powmod(-x * x % n, n, n * n)
        return cls(p, q, base, Secret.fresh())

    @property
    def registrar(self) -> Registrar:
        """Gives out what users need for their tags."""
        return Registrar(self._master)

    def decrypt(self, ciphertexts: list[mpz]) -> list[mpz]:
        """Plaintexts in [0, n), on all cores. Ciphertexts must be units modulo n^2.

        The time depends on p and q and hardly on the plaintexts; GMP's exponentiation is not
        constant-time (specification, section 6).
        """
        parts = split(lambda a, b: self._decrypt(ciphertexts[a:b]), len(ciphertexts))
        return [one for part in parts for one in part]

    def _decrypt(self, ciphertexts: list[mpz]) -> list[mpz]:
        p, q = self._p, self._q
        of_p, of_q = _half(ciphertexts, p, q), _half(ciphertexts, q, p)
        return [a + p * ((b - a) * self._inverse % q) for a, b in zip(of_p, of_q, strict=True)]

    def export(self, token: ExportToken) -> bytes:
        """The whole key as bytes: master, p, q, base."""
        size = self.public.modulus_bits // 16
        return (
            self._master.export(token)
            + int(self._p).to_bytes(size, "little")
            + int(self._q).to_bytes(size, "little")
            + int(self.public.base).to_bytes(4 * size, "little")
        )

    @classmethod
    def load(cls, data: bytes) -> SecretKey:
        """The key that `export` gave out."""
        size, rest = divmod(len(data) - 32, 6)
        numbers = [int.from_bytes(data[32 + a * size : 32 + b * size], "little") for a, b in _PLACES]
        if len(data) <= 32 or rest or not all(gmpy2.is_prime(mpz(n)) for n in numbers[:2]):
            raise VaultError("The stored Paillier key is damaged; restore it from a backup.")
        return cls(mpz(numbers[0]), mpz(numbers[1]), mpz(numbers[2]), Secret(data[:32]))

    def __repr__(self) -> str:
        return f"SecretKey({self.public.key_id.hex()}, <redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret key is neither copied nor pickled")


_PLACES = ((0, 1), (1, 2), (2, 6))


def _prime(bits: int) -> mpz:
    """A prime that is 3 modulo 4, its two highest bits set."""
    while True:
        candidate = mpz(secrets.randbits(bits)) | 3 << (bits - 2) | 3
        if gmpy2.is_prime(candidate, _ROUNDS):
            return candidate


def _half(ciphertexts: list[mpz], p: mpz, q: mpz) -> list[mpz]:
    """Plaintexts modulo p (Paillier 1999, section 7): g = n + 1 makes the factor -1/q."""
    square = p * p
    powers = gmpy2.powmod_base_list([c % square for c in ciphertexts], p - 1, square)
    factor = gmpy2.invert(-q, p)
    return [(power - 1) // p * factor % p for power in powers]
