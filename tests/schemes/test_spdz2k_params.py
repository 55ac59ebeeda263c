"""Parameter sets and watchlists that must not exist, and the ones just inside."""

import math

import numpy as np
import pytest

from blindsight.core.errors import (
    DimensionError,
    InaccurateParametersError,
    InsecureParametersError,
    MalformedError,
    ParameterError,
    UsageError,
    VectorError,
)
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import quantise
from blindsight.schemes.spdz2k.watchlist import MAX_ENTRIES, Watchlist
from two_parties import SMALL, vectors

BASE = {"dimension": 128, "scale": 1023, "norm": 1030, "value_bits": 24}
RNG = np.random.default_rng(3)


def make(**changes):
    return Params(**{**BASE, **changes})


def exactly(error, **changes):
    with pytest.raises(ParameterError) as caught:
        make(**changes)
    assert type(caught.value) is error, caught.value


def test_the_base():
    p = make()
    assert (p.security_bits, p.levels) == (40, 23)
    assert p.largest_threshold == p.dummy == 2**23 - 1 - 1030**2


@pytest.mark.parametrize("bits", [25, 26, 32, 63])
def test_less_than_forty_bits_of_security_are_refused(bits):
    exactly(InsecureParametersError, value_bits=bits)


@pytest.mark.parametrize("bits", range(8, 25))
def test_norms_just_inside_and_just_outside(bits):
    most = math.isqrt((2 ** (bits - 1) - 1) // 4)
    assert 4 * most**2 < 2 ** (bits - 1)
    assert make(value_bits=bits, norm=most).security_bits == 64 - bits >= 40
    exactly(InaccurateParametersError, value_bits=bits, norm=most + 1)
    exactly(InaccurateParametersError, value_bits=bits, norm=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"dimension": 1}, {"dimension": 4097}, {"scale": 0}, {"scale": 65536}, {"value_bits": 7},
        {"value_bits": 64}, {"value_bits": 0}, {"value_bits": -24}, {"norm": "1030"}, {"norm": 1030.0},
        {"dimension": True}, {"scale": None}, {"value_bits": 24.0},
    ],
    ids=str,
)  # fmt: skip
def test_no_parameters(changes):
    exactly(ParameterError, **changes)


def test_every_square_distance_fits():
    """The extremes of D - t over all vectors and thresholds that may exist, by the definition."""
    for bits in range(8, 25):
        p = make(value_bits=bits, norm=math.isqrt((2 ** (bits - 1) - 1) // 4))
        assert (2 * p.norm) ** 2 - 1 < 2 ** (bits - 1)
        assert -p.largest_threshold >= -(2 ** (bits - 1))
        for t in (1, p.largest_threshold):
            for entry in (0, p.norm**2):
                assert 0 <= p.dummy + entry - t < 2 ** (bits - 1)


def test_wire():
    p = make()
    assert Params.from_wire(p.wire()) == p
    assert p.params_id.startswith("spdz2k-")
    assert len({make(**{name: BASE[name] - 1}).params_id for name in ("dimension", "scale", "norm")}) == 3
    for wire in ({}, {**p.wire(), "more": 1}, {"dimension": 4}):
        with pytest.raises(MalformedError):
            Params.from_wire(wire)
    with pytest.raises(ParameterError):
        Params.from_wire({**p.wire(), "norm": "1030"})
    with pytest.raises(InsecureParametersError):
        Params.from_wire({**p.wire(), "value_bits": 32})


@pytest.mark.parametrize("dimension", [2, 32, 128, 512])
@pytest.mark.parametrize("radius", [0.5, 1.0, 1.7, 40.0])
@pytest.mark.parametrize("bits", [18, 24])
def test_a_radius_fits(dimension, radius, bits):
    p = Params.for_radius(dimension, radius=radius, value_bits=bits)
    points = RNG.standard_normal((200, dimension))
    points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
    assert p.within(quantise(p, points))


@pytest.mark.parametrize("arguments", [(1,), (5000,), (2.5,)])
def test_a_radius_of_nothing(arguments):
    with pytest.raises(ParameterError):
        Params.for_radius(*arguments)


@pytest.mark.parametrize("radius", [0, -1, math.nan, math.inf])
def test_no_radius(radius):
    with pytest.raises(ParameterError):
        Params.for_radius(128, radius=radius)


def test_too_few_bits_for_the_radius():
    with pytest.raises(InsecureParametersError):
        Params.for_radius(128, value_bits=25)


def test_thresholds():
    p = make()
    assert p.threshold(1.1) == round(1.1 * 1023**2)
    for wrong in (0.0, -1.0, math.nan, math.inf, 1e-9, 1e9):
        with pytest.raises(ParameterError):
            p.threshold(wrong)


# -- embeddings to integers -------------------------------------------------------------------------


def test_quantise_rounds():
    p = make(dimension=2)
    assert quantise(p, [0.5, -0.25]).tolist() == [[512, -256]]  # 511.5 to even, 255.75
    assert quantise(p, [[0.5, 0.25]] * 3).shape == (3, 2)


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        ([0.1] * 3, DimensionError), ([[[0.1, 0.1]]], DimensionError), ([math.nan, 0], VectorError),
        ([math.inf, 0], VectorError), ([1.1, 0], VectorError), ([0.8, 0.8], VectorError),
        ([1e300, 0], VectorError), ([-1e300, 1e300], VectorError),
    ],
    ids=str,
)  # fmt: skip
def test_vectors_that_are_refused_and_never_clipped(vector, error):
    with pytest.raises(error):
        quantise(make(dimension=2), vector)


# -- watchlists -------------------------------------------------------------------------------------


def listed(**changes):
    fields = {"params": SMALL, "entries": vectors(SMALL, 5, np.random.default_rng(8)), "threshold": 99}
    return Watchlist(**{**fields, **changes})


def test_round_trip():
    w = listed(head=bytes(range(32)))
    again = Watchlist.parse(w.to_bytes())
    assert again == w
    assert hash(again) == hash(w)
    assert again.digest == w.digest
    np.testing.assert_array_equal(again.entries, w.entries)
    assert (again.threshold, again.head, again.params) == (99, bytes(range(32)), SMALL)


def test_everything_enters_the_digest():
    w = listed()
    other = w.entries.copy()
    other[4, 3] ^= 1
    digests = {
        w.digest,
        listed(threshold=100).digest,
        listed(head=b"\x01" + bytes(31)).digest,
        listed(entries=other).digest,
        listed(entries=w.entries[:4]).digest,
        listed(entries=w.entries[::-1].copy()).digest,
        listed(params=Params(4, 11, 50, 15)).digest,
        listed(params=Params(4, 10, 51, 15)).digest,
        listed(params=Params(4, 10, 50, 16)).digest,
    }
    assert len(digests) == 9


def test_nothing_changes_afterwards():
    mine = vectors(SMALL, 5, RNG)
    w = listed(entries=mine)
    before = w.entries.copy()
    mine[:] = 0
    np.testing.assert_array_equal(w.entries, before)
    with pytest.raises(ValueError, match="read-only"):
        w.entries[0, 0] = 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"entries": np.zeros((0, 4), np.int32)}, UsageError),
        ({"entries": np.zeros((MAX_ENTRIES + 1, 4), np.int32)}, UsageError),
        ({"entries": np.zeros((5, 3), np.int32)}, DimensionError),
        ({"entries": np.zeros((5, 4))}, DimensionError),
        ({"entries": np.zeros(4, np.int32)}, DimensionError),
        ({"entries": np.full((1, 4), 26, np.int32)}, VectorError),
        ({"entries": np.full((1, 4), -(2**31), np.int32)}, VectorError),
        ({"threshold": 0}, ParameterError), ({"threshold": -5}, ParameterError),
        ({"threshold": SMALL.largest_threshold + 1}, ParameterError), ({"threshold": 1.5}, ParameterError),
        ({"head": bytes(31)}, UsageError), ({"head": "0" * 32}, UsageError),
    ],
)  # fmt: skip
def test_no_watchlist(changes, error):
    with pytest.raises(error):
        listed(**changes)


def test_the_extremes_exist():
    assert len(listed(entries=np.zeros((MAX_ENTRIES, 4), np.int32))) == MAX_ENTRIES
    assert listed(threshold=SMALL.largest_threshold).threshold == SMALL.largest_threshold
    assert listed(entries=np.full((1, 4), -25, np.int32)).entries[0, 0] == -25


def test_damaged_bytes():
    data = listed().to_bytes()
    for stop in range(len(data)):
        with pytest.raises(MalformedError):
            Watchlist.parse(data[:stop])
    with pytest.raises(MalformedError):
        Watchlist.parse(data + b"\0")
    for place in range(len(data)):
        for flip in (1, 0x80, 0xFF):
            changed = bytearray(data)
            changed[place] ^= flip
            try:
                found = Watchlist.parse(bytes(changed))
            except (MalformedError, ParameterError, VectorError, UsageError):
                continue
            assert found.digest != listed().digest
