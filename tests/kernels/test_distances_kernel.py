"""Distances as a linear map, against schoolbook sums."""

import os

import numpy as np
import pytest

from blindsight.kernels import distances as kernel
from blindsight.kernels.distances import distances
from reference import two_party as twin

RNG = np.random.default_rng(11)


def rows_of(count, width):
    return np.frombuffer(os.urandom(8 * count * width), np.uint64).reshape(count, width)


@pytest.mark.parametrize(("entries", "d", "count"), [(1, 2, 1), (5, 3, 4), (9, 33, 2), (2, 128, 35)])
@pytest.mark.parametrize("alone", [0, 1 << 40])
def test_wraps_like_the_twin(monkeypatch, entries, d, count, alone):
    monkeypatch.setattr(kernel, "_ALONE", alone)
    c = RNG.integers(-(2**31), 2**31, (entries, d)).astype(np.int32)
    rows = rows_of(count, d + 1 + entries)
    linear = np.array(twin.distances(c, rows[:, : d + 1]), np.uint64)
    np.testing.assert_array_equal(distances(c, rows), linear + rows[:, d + 1 :])


def test_is_the_squared_distance():
    c = RNG.integers(-900, 900, (20, 16)).astype(np.int32)
    x = RNG.integers(-900, 900, 16).astype(np.int64)
    squares = (c.astype(np.int64) ** 2).sum(axis=1)
    row = np.concatenate([x, [(x * x).sum()], squares]).astype(np.uint64)[np.newaxis]
    found = distances(c, row)[0].astype(np.int64)
    np.testing.assert_array_equal(found, ((x - c) ** 2).sum(axis=1))


def test_is_linear():
    c = RNG.integers(-900, 900, (7, 16)).astype(np.int32)
    one, other = rows_of(3, 24), rows_of(3, 24)
    np.testing.assert_array_equal(distances(c, one + other), distances(c, one) + distances(c, other))


def test_rows_of_another_width_are_refused():
    """Compiled code would read beyond them."""
    c = RNG.integers(-900, 900, (7, 16)).astype(np.int32)
    for width in (17, 23, 25):
        with pytest.raises(ValueError, match="each entry"):
            distances(c, rows_of(2, width))
