"""Slow, obvious twins of the ring kernels: Python integers, schoolbook products, transforms by definition.

Nothing here imports the project.
"""

from __future__ import annotations

import numpy as np

N = 256


def negacyclic(a, b, q):
    """Product of two polynomials modulo X^n + 1 and q; object integers in [0, q)."""
    a, b = np.array(a, dtype=object), np.array(b, dtype=object)
    n = len(a)
    full = np.zeros(2 * n, dtype=object)
    for i in range(n):
        full[i : i + n] += a[i] * b
    return (full[:n] - full[n:]) % q


def root_of_unity(q, n=N):
    """The 2n-th root of unity that the project settled on: g^((q-1)/2n), g the least non-residue."""
    g = 2
    while pow(g, (q - 1) // 2, q) != q - 1:
        g += 1
    return pow(g, (q - 1) // (2 * n), q)


def reversed_bits(i, bits):
    return int(format(i, f"0{bits}b")[::-1], 2)


def points(q, n=N):
    """Where a polynomial is evaluated, in the order in which the transform lists the values."""
    bits = n.bit_length() - 1
    root = root_of_unity(q, n)
    return [pow(root, 2 * reversed_bits(j, bits) + 1, q) for j in range(n)]


_POWERS: dict[tuple[int, int], np.ndarray] = {}


def powers(q, n=N):
    """int64 (n, n): point j to the power k. Below 2^30, so that one product fits int64."""
    if (q, n) not in _POWERS:
        rows = []
        for point in points(q, n):
            row = [1]
            for _ in range(n - 1):
                row.append(row[-1] * point % q)
            rows.append(row)
        _POWERS[q, n] = np.array(rows, dtype=np.int64)
    return _POWERS[q, n]


def ntt(coefficients, q):
    """Values of one polynomial at all `points`, int64 in [0, q)."""
    reduced = np.array([int(c) % q for c in coefficients], dtype=np.int64)
    return (powers(q, len(reduced)) * reduced % q).sum(axis=1) % q


def inverse_ntt(values, q):
    """Coefficients, int64 in [0, q), of the polynomial with these values: Lagrange at roots of unity."""
    n = len(values)
    reduced = np.array([int(v) % q for v in values], dtype=np.int64)
    table = powers(q, n)
    out = []
    for k in range(n):
        # The sum over the points of point^m is zero unless m = 0 mod 2n: point^-k = -point^(n-k).
        column = table[:, 0] if k == 0 else (q - table[:, n - k]) % q
        out.append(int((column * reduced % q).sum()) * pow(n, -1, q) % q)
    return np.array(out, dtype=np.int64)


def centred(value, q):
    """The representative in (-q/2, q/2), q odd."""
    value = int(value) % q
    return value - q if value > q // 2 else value


def crt(residues, primes):
    """The integer in (-Q/2, Q/2) with these residues, Q the product of the primes."""
    modulus = 1
    for prime in primes:
        modulus *= prime
    value = 0
    for residue, prime in zip(residues, primes, strict=True):
        others = modulus // prime
        value += int(residue) * others * pow(others, -1, prime)
    return centred(value, modulus)


def inner_product(rows, others, q):
    """Pointwise sum over i of rows[i] * others[i] mod q: int64 (positions,), one product at a time."""
    total = np.zeros(np.shape(rows)[1], dtype=np.int64)
    for a, b in zip(rows, others, strict=True):
        total = (total + np.asarray(a, np.int64) * np.asarray(b, np.int64)) % q
    return total


# -- the layout of rows -----------------------------------------------------------------------


def tile(values):
    """(limbs, width, 256) as int32 (limbs, 4, width, 64), written down position by position."""
    limbs, width, n = np.shape(values)
    out = np.empty((limbs, n // 64, width, 64), np.int32)
    for position in range(n):
        out[:, position // 64, :, position % 64] = np.asarray(values)[:, :, position]
    return out


def untile(tiled):
    """int32 (limbs, 4, width, 64) as int64 (limbs, width, 256)."""
    limbs, tiles, width, size = tiled.shape
    out = np.empty((limbs, width, tiles * size), np.int64)
    for position in range(tiles * size):
        out[:, :, position] = tiled[:, position // size, :, position % size]
    return out
