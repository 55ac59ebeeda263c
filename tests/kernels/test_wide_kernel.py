"""Two-word integers against Python's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.kernels import wide
from reference import wide as twin

EDGES = [0, 1, 2**63, 2**64 - 1, 2**64, 2**127, 2**128 - 1]
NUMBERS = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**128 - 1))
LISTS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(LISTS)
def test_arithmetic_is_that_of_integers(pairs):
    x, y = zip(*pairs, strict=True)
    a, b = wide.from_ints(x), wide.from_ints(y)
    assert wide.to_ints(a) == twin.numbers(a) == list(x)
    assert twin.numbers(wide.add(a, b)) == [(p + q) % twin.MOD for p, q in pairs]
    assert twin.numbers(wide.sub(a, b)) == [(p - q) % twin.MOD for p, q in pairs]
    assert twin.numbers(wide.mul(a, b)) == [p * q % twin.MOD for p, q in pairs]
    assert twin.numbers(wide.negate(a)) == [-p % twin.MOD for p in x]
    assert twin.numbers(wide.mul(a, b[0])) == [p * y[0] % twin.MOD for p in x]
    assert twin.numbers(wide.sub(a[0], b)) == [(x[0] - q) % twin.MOD for q in y]
    assert twin.numbers(wide.dot(a, b)) == [twin.dot(x, y)]
    assert twin.numbers(wide.dot(a, b[:, 0].copy())) == [twin.dot(x, [q % 2**64 for q in y])]
    assert twin.numbers(wide.total(a)) == [sum(x) % twin.MOD]


@pytest.mark.parametrize("by", [0, 1, 24, 63, 64, 65, 127])
def test_shifts(by):
    a = np.concatenate([wide.from_ints(EDGES), wide.random(5, 128)])
    assert twin.numbers(wide.shift_left(a, by)) == [(x << by) % twin.MOD for x in twin.numbers(a)]
    assert twin.numbers(wide.shift_right(a, by)) == [x >> by for x in twin.numbers(a)]


def test_linear_forms_take_signed_coefficients():
    matrix = np.random.default_rng(1).integers(-(2**40), 2**40, (7, 5))
    matrix[0, 0] = -(2**63)
    values = wide.random(15, 128).reshape(3, 5, 2)
    out = wide.combine(matrix, values)
    for face in range(3):
        numbers = twin.numbers(values[face])
        assert twin.numbers(out[face]) == [twin.dot([int(c) for c in row], numbers) for row in matrix]


def test_shapes_broadcast():
    a, b = wide.random(6, 128).reshape(2, 3, 2), wide.random(3, 128)
    for row, summed, multiplied in zip(a, wide.add(a, b), wide.mul(b, a), strict=True):
        np.testing.assert_array_equal(summed, wide.add(row, b))
        np.testing.assert_array_equal(multiplied, wide.mul(row, b))
    assert wide.add(a, np.zeros(2, np.uint64)).shape == (2, 3, 2)
    assert wide.add(np.empty((0, 2), np.uint64), b[0]).shape == (0, 2)


def test_signed_numbers_are_widened_with_their_sign():
    assert twin.numbers(wide.widen(np.array([-1, 5, -(2**63)]))) == [2**128 - 1, 5, 2**128 - 2**63]
    assert twin.numbers(wide.widen(np.array([2**64 - 1], np.uint64))) == [2**64 - 1]


@pytest.mark.parametrize("bits", [1, 8, 41, 64, 65, 88, 106, 112, 128])
def test_elements_travel_in_whole_bytes(bits):
    values = wide.random(9, bits)
    data = wide.pack(values, bits)
    assert data == twin.pack(twin.numbers(values), bits)
    assert max(twin.numbers(values)) < 2**bits
    np.testing.assert_array_equal(wide.unpack(data, bits), values)
    np.testing.assert_array_equal(wide.reduce(values, bits), values)
    if bits > 8:
        with pytest.raises(ValueError, match="whole number"):
            wide.unpack(data[:-1], bits)


def test_an_element_above_its_ring_is_refused():
    with pytest.raises(ValueError, match="above its ring"):
        wide.unpack(b"\xff" * 14, 106)
    with pytest.raises(ValueError, match="128 bits"):
        wide.masks(129)
