"""Combined transfers and elements without gaps, beside Python integers."""

from __future__ import annotations

import numpy as np
import pytest

from blindsight.kernels import products, wide

RINGS = [1, 7, 40, 41, 63, 64, 65, 72, 127, 128]


def drawn(rng, *shape):
    return rng.integers(0, 2**64, (*shape, 2), np.uint64)


@pytest.mark.parametrize("bits", RINGS)
def test_halves_of_a_product(bits):
    rng = np.random.default_rng(bits)
    n, depth, mod = 3, 50, 1 << bits
    values = wide.reduce(drawn(rng, n), bits)
    pads, factors = drawn(rng, 2, n * depth), wide.reduce(drawn(rng, 2, depth), bits)
    choices = rng.integers(0, 2, n * depth).astype(np.uint8)
    sent = products.corrections(pads, values, bits)
    zero, one, v = wide.to_ints(pads[0]), wide.to_ints(pads[1]), wide.to_ints(values)
    assert wide.to_ints(sent) == [(zero[j] - one[j] + v[j // depth]) % mod for j in range(n * depth)]
    received = np.where(choices[:, np.newaxis] == 1, pads[1], pads[0])
    chosen = products.chosen(choices, received, sent, factors, bits)
    kept = products.kept(pads[0], factors, bits)
    rho = [wide.to_ints(row) for row in factors]
    for i in range(n):
        for c in (0, 1):
            a = sum(rho[c][h] * int(choices[i * depth + h]) for h in range(depth)) % mod
            share = -sum(rho[c][h] * zero[i * depth + h] for h in range(depth)) % mod
            found = wide.to_ints(np.stack([chosen[i, c], chosen[i, 2 + c], kept[i, c]]))
            assert found[0] == a
            assert found[2] == share
            assert (found[1] + found[2] - a * v[i]) % mod == 0


@pytest.mark.parametrize("bits", RINGS)
@pytest.mark.parametrize("count", [0, 1, 2, 13, 64])
def test_elements_without_gaps(bits, count):
    rng = np.random.default_rng(count)
    values = wide.reduce(drawn(rng, count), bits)
    data = products.squeeze(values, bits)
    assert len(data) == products.squeezed_bytes(count, bits)
    low = min(bits, 64)
    number = sum((v % 2**low) << low * i for i, v in enumerate(wide.to_ints(values)))
    first = -(-count * low // 8)
    assert data[:first] == number.to_bytes(first, "little")
    if bits > 64:
        number = sum((v >> 64) << (bits - 64) * i for i, v in enumerate(wide.to_ints(values)))
        assert data[first:] == number.to_bytes(len(data) - first, "little")
    np.testing.assert_array_equal(products.stretch(data, count, bits), values)


def test_bytes_that_are_no_elements():
    data = products.squeeze(wide.from_ints([5, 6, 7]), 41)  # 123 bits, 5 filling
    for bad in (data + b"\0", data[:-1], data[:-1] + bytes([data[-1] | 0x80])):
        with pytest.raises(ValueError, match=r"elements|filling"):
            products.stretch(bad, 3, 41)
    data = products.squeeze(wide.from_ints([1 << 64, 6, 7]), 65)
    with pytest.raises(ValueError, match="filling"):
        products.stretch(data[:-1] + b"\x08", 3, 65)
