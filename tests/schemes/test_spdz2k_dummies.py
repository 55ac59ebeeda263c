from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core.errors import ParameterError
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import dummy_count


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_the_parties_count_the_larger_of_q_and_v(visible, q) -> None:
    assert visible + dummy_count(visible, q) == max(q, visible)


@st.composite
def _watchlists(draw):
    """Allowed parameters, an entry within the norm, a threshold within its range; edges often."""
    value_bits = draw(st.integers(8, 24))
    largest = math.isqrt((2 ** (value_bits - 1) - 1) // 4)
    norm = draw(st.one_of(st.just(1), st.just(largest), st.integers(1, largest)))
    dimension = draw(st.integers(2, 12))
    entry = np.zeros(dimension, np.int64)
    left = norm * norm
    for at in range(dimension):
        most = math.isqrt(left)
        entry[at] = draw(st.one_of(st.just(most), st.just(-most), st.integers(-most, most)))
        left -= int(entry[at]) ** 2
    most = 2 ** (value_bits - 1) - 1 - norm * norm
    threshold = draw(st.one_of(st.just(1), st.just(most), st.integers(1, most)))
    return value_bits, norm, entry, threshold


@settings(max_examples=60, deadline=None)
@given(_watchlists())
def test_a_dummy_matches_no_entry_at_no_threshold(case) -> None:
    value_bits, norm, entry, threshold = case
    assert sum(int(c) ** 2 for c in entry) <= norm**2
    row = [0] * len(entry) + [Params(len(entry), 1, norm, value_bits).dummy]
    squares = sum(int(c) ** 2 for c in entry)
    products = sum(x * int(c) for x, c in zip(row[:-1], entry, strict=True))
    difference = row[-1] - 2 * products + squares - threshold
    assert 0 <= difference < 2 ** (value_bits - 1)
    # As the parties compute: shares modulo 2^64, and the answer is bit k - 1.
    mask = np.random.default_rng(threshold).integers(0, 2**64, len(row), np.uint64)
    other = np.array(row, np.int64).astype(np.uint64) - mask
    weights = np.append(-2 * entry, 1).astype(np.uint64)
    total = int((mask * weights).sum()) + int((other * weights).sum()) + squares - threshold
    assert (total >> (value_bits - 1)) & 1 == 0


def test_a_real_face_at_its_own_entry_does_match_and_so_would_constant_values() -> None:
    """Why a dummy is no vector: any of allowed length may be on the watchlist."""
    constant = np.full(16, 10, np.int64)
    norm, value_bits, threshold = 40, 24, 1
    assert constant @ constant <= norm**2
    face = np.append(constant, constant @ constant)
    distance = face[-1] - 2 * face[:-1] @ constant + constant @ constant
    assert (int(distance - threshold) % 2**64 >> (value_bits - 1)) & 1 == 1


def test_a_threshold_above_the_allowed_range_would_match() -> None:
    """The proof needs the protocol's range: the first threshold beyond it is a counterexample."""
    norm, value_bits = 100, 20
    dummy = Params(8, 1, norm, value_bits).dummy
    beyond = 2 ** (value_bits - 1) - norm**2
    assert dummy - beyond < 0


def test_negative_numbers_are_refused() -> None:
    for numbers in ((-1, 2), (1, -2)):
        with pytest.raises(ParameterError):
            dummy_count(*numbers)
