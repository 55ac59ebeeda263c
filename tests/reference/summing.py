"""Slow and obvious twins of what private sums are made of."""

from __future__ import annotations

from math import lcm

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def packed_row(values: list[int], bits: int) -> bytes:
    """Integers of so many bits, one after the other, little-endian."""
    total = sum(value << (bits * place) for place, value in enumerate(values))
    return total.to_bytes(-(-len(values) * bits // 8), "little")


def dot(values: list[int], factors: list[int]) -> int:
    return sum(v * f for v, f in zip(values, factors, strict=True))


def mask(seed: bytes, words: int) -> list[int]:
    stream = Cipher(algorithms.AES128(seed), modes.CTR(bytes(16))).encryptor().update(bytes(4 * words))
    return [int.from_bytes(stream[4 * k : 4 * k + 4], "little") for k in range(words)]


def paillier_encrypt(n: int, message: int, r: int) -> int:
    """Paillier 1999, scheme 1, with g = n + 1 and a full-length r."""
    return pow(n + 1, message, n * n) * pow(r, n, n * n) % (n * n)


def paillier_decrypt(p: int, q: int, ciphertext: int) -> int:
    """Paillier 1999, scheme 1, with Carmichael's lambda and no CRT."""
    n, exponent = p * q, lcm(p - 1, q - 1)

    def quotient(u: int) -> int:
        return (u - 1) // n

    factor = pow(quotient(pow(n + 1, exponent, n * n)), -1, n)
    return quotient(pow(ciphertext, exponent, n * n)) * factor % n


def lagrange_at_zero(points: dict[int, int], prime: int) -> int:
    total = 0
    for x, y in points.items():
        term = y
        for other in points:
            if other != x:
                term = term * -other * pow(x - other, -1, prime) % prime
        total += term
    return total % prime
