"""Packing, exact inner products and masks against their twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.kernels.dots import group_dots
from blindsight.kernels.masks import add_mask
from blindsight.kernels.packing import pack_bits, packed_bytes, unpack_bits
from reference import summing as twin


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 64), st.integers(1, 40), st.integers(0, 2**32))
def test_packing_is_its_twin_and_undone(bits, width, seed):
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 2**bits - 1, (3, width), np.uint64, endpoint=True)
    packed = pack_bits(values, bits)
    assert packed.shape == (3, packed_bytes(width, bits))
    assert [row.tobytes() for row in packed] == [twin.packed_row(row, bits) for row in values.tolist()]
    assert np.array_equal(unpack_bits(packed, width, bits), values)


def test_packing_many_rows():
    values = np.random.default_rng(1).integers(0, 2**24, (600, 5), np.uint64)
    assert np.array_equal(unpack_bits(pack_bits(values, 24), 5, 24), values)


@pytest.mark.parametrize("bits", [1, 15, 16, 31, 45])
def test_inner_products_are_exact(bits):
    generator = np.random.default_rng(bits)
    values = generator.integers(0, 2**bits - 1, (4, 300), np.uint64, endpoint=True)
    factors = generator.integers(0, 2**62 - 1, (4, 300), np.uint64, endpoint=True)
    values[0], factors[0] = 2**bits - 1, 2**62 - 1
    wanted = [twin.dot(v, f) for v, f in zip(values.tolist(), factors.tolist(), strict=True)]
    assert group_dots(values, factors) == wanted


def test_inner_products_of_the_longest_rows():
    values = np.full((1, 1 << 16), 2**45 - 1, np.uint64)
    factors = np.full((1, 1 << 16), 2**62 - 1, np.uint64)
    assert group_dots(values, factors) == [(1 << 16) * (2**45 - 1) * (2**62 - 1)]


@pytest.mark.parametrize("words", [1, 3, (1 << 15) - 1, (1 << 15) + 1])
def test_masks_are_their_twin_and_cancel(words):
    seed = bytes(range(16))
    total = np.arange(words, dtype=np.uint32)
    add_mask(total, seed, 1)
    assert total.tolist() == [(k + m) % 2**32 for k, m in enumerate(twin.mask(seed, words))]
    add_mask(total, seed, -1)
    assert np.array_equal(total, np.arange(words))
    for bad_seed, bad_sign in ((seed[:15], 1), (seed, 0)):
        with pytest.raises(ValueError, match="seed"):
            add_mask(total, bad_seed, bad_sign)
