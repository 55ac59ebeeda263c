"""The transform against its definition: evaluation at the roots, in bit-reversed order."""

import numpy as np
import pytest
from numba import njit

from blindsight.kernels import ntt
from reference import ring as naive

PRIMES = (7681, 1_073_732_609, 1_073_738_753)


@njit
def montgomery_of(product, q, neg_inverse):
    return ntt.montgomery(product, q, neg_inverse)


def transform(polynomials, q):
    """Any number of polynomials through `forward`, sixteen at a time."""
    m = ntt.modulus(q)
    batch = np.zeros((ntt.N, ntt.BATCH), np.uint32)
    batch[:, : len(polynomials)] = np.array(polynomials, np.int64).T % q
    ntt.forward(batch, m.forward, m.constants)
    return batch.T[: len(polynomials)].astype(np.int64)


def transform_back(values, q):
    m = ntt.modulus(q)
    batch = np.zeros((ntt.N, ntt.BATCH), np.uint32)
    batch[:, : len(values)] = np.array(values, np.int64).T
    ntt.backward(batch, m.backward, m.constants)
    scaled = batch.T[: len(values)].astype(object) * pow(ntt.N, -1, q) % q
    return scaled.astype(np.int64)


def polynomials(q, seed=0):
    """Extremes first: all q - 1, alternating, one coefficient; then random ones."""
    rng = np.random.default_rng(seed)
    out = rng.integers(0, q, (16, 256))
    out[0], out[1] = q - 1, np.tile([0, q - 1], 128)
    out[2], out[3] = 0, (q - 1) // 2
    out[2, 255] = q - 1
    return out


@pytest.mark.parametrize("q", PRIMES)
def test_forward_is_evaluation_at_the_roots(q):
    data = polynomials(q)
    np.testing.assert_array_equal(transform(data, q), [naive.ntt(p, q) for p in data])


@pytest.mark.parametrize("q", PRIMES)
def test_backward_is_interpolation(q):
    data = polynomials(q, 1)
    expected = [naive.inverse_ntt(p, q) for p in data]
    np.testing.assert_array_equal(transform_back(data, q), expected)
    np.testing.assert_array_equal(transform_back(transform(data, q), q), data)


@pytest.mark.parametrize("q", PRIMES)
def test_forward_is_linear(q):
    data = polynomials(q, 2)
    a, b = transform(data[:8], q), transform(data[8:], q)
    np.testing.assert_array_equal(transform((3 * data[:8] + data[8:]) % q, q), (3 * a + b) % q)


@pytest.mark.parametrize("q", PRIMES)
def test_pointwise_products_are_negacyclic_products(q):
    data = polynomials(q, 3)
    values = transform(data, q)
    for i, j in ((0, 0), (0, 1), (2, 2), (4, 5)):
        product = transform_back([values[i].astype(object) * values[j] % q], q)[0]
        np.testing.assert_array_equal(product, naive.negacyclic(data[i], data[j], q).astype(np.int64))


def test_the_last_coefficient_wraps_with_a_minus_sign():
    """Checks the twin itself: X^255 * X = -1."""
    x, last = np.zeros(256, np.int64), np.zeros(256, np.int64)
    x[1] = last[255] = 1
    assert list(naive.negacyclic(x, last, 7681)) == [7680] + [0] * 255


@pytest.mark.parametrize("q", PRIMES)
def test_montgomery_over_its_whole_range(q):
    m = ntt.modulus(q)
    rng = np.random.default_rng(4)
    products = [0, 1, q - 1, q, q + 1, 2**32 - 1, 2**32, 2**32 + 1, (q - 1) ** 2, q * 2**32 - 1]
    products += [q * 2**32 - q, (q - 1) * 2**32, (q - 1) * (2**32 - 1)]
    products += [
        int(a) * 2**31 + int(b)
        for a, b in zip(rng.integers(0, q, 500), rng.integers(0, 2**31, 500), strict=True)
    ]
    inverse = pow(2**32, -1, q)
    for product in products:
        assert product < q * 2**32
        got = montgomery_of(np.uint64(product), m.constants[ntt.Q], m.constants[ntt.NEG_INVERSE])
        assert int(got) == product * inverse % q, product


@pytest.mark.parametrize("q", PRIMES)
def test_constants(q):
    c = [int(value) for value in ntt.modulus(q).constants]
    assert c[ntt.Q] == q
    assert (c[ntt.NEG_INVERSE] * q + 1) % 2**32 == 0
    # A factor f enters as montgomery(x * f) = x * f / 2^32.
    assert c[ntt.AFTER_SUM] * pow(2**32, -1, q) % q == 2**64 % q
    assert c[ntt.AFTER_SUM_AND_BACKWARD] * 256 * pow(2**32, -1, q) % q == 2**64 % q
    assert c[ntt.AFTER_BACKWARD] * 256 * pow(2**32, -1, q) % q == 1


@pytest.mark.parametrize(
    "q", [0, 1, 2, 257, 513, 1_073_738_754, 1_073_738_755, 2**30 + 513, 512 * 3 + 1 + 2**30]
)
def test_impossible_moduli_are_refused(q):
    with pytest.raises(ValueError, match="prime below"):
        ntt.modulus(q)
