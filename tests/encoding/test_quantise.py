from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from blindsight.core.errors import DimensionError, InaccurateParametersError, ParameterError, VectorError
from blindsight.encoding import Quantiser


def obvious(x: float, bits: int, limit: float) -> int:
    """Nearest of 2^g evenly spaced levels from -limit to limit; halves go up."""
    levels = [limit * (2 * q / (2**bits - 1) - 1) for q in range(2**bits)]
    distances = [abs(x - level) for level in levels]
    nearest = min(distances)
    return max(q for q, d in enumerate(distances) if d <= nearest + 1e-12 * limit)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("limit", [1.0, 0.3])
def test_agrees_with_the_obvious_definition(bits: int, limit: float) -> None:
    values = np.random.default_rng(bits).uniform(-limit, limit, (20, 5))
    quantiser = Quantiser(bits, 5, limit)
    wanted = [[obvious(x, bits, limit) for x in row] for row in values]
    assert quantiser.quantise(values).tolist() == wanted
    error = np.abs(quantiser.restore(quantiser.quantise(values)) - values)
    assert error.max() <= quantiser.step / 2 + 1e-12


def test_ends_middle_and_symmetry() -> None:
    quantiser = Quantiser(4, 3)
    assert quantiser.quantise([-1.0, 0.0, 1.0]).tolist() == [0, 8, 15]
    assert Quantiser(1, 3).quantise([-1e-9, 0.0, 1e-9]).tolist() == [0, 1, 1]
    values = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    np.testing.assert_array_equal(quantiser.quantise(-values), 15 - quantiser.quantise(values))


def test_batch_single_and_types() -> None:
    quantiser = Quantiser(8, 4)
    values = np.random.default_rng(1).uniform(-1, 1, (6, 4))
    whole = quantiser.quantise(values)
    assert whole.dtype == np.int32
    np.testing.assert_array_equal(whole[2], quantiser.quantise(values[2]))
    assert quantiser.quantise(np.empty((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("bits", range(1, 9))
def test_distances_are_exact_and_within_their_bounds(bits: int) -> None:
    rng = np.random.default_rng(bits)
    quantiser = Quantiser(bits, 95)
    a, b = rng.uniform(-1, 1, (7, 95)), rng.uniform(-1, 1, (9, 95))
    qa, qb = quantiser.quantise(a), quantiser.quantise(b)
    squared = quantiser.squared_distances(qa, qb)
    assert squared.dtype == np.int64
    assert squared.tolist() == [
        [sum((int(x) - int(y)) ** 2 for x, y in zip(u, v, strict=True)) for v in qb] for u in qa
    ]
    real = np.linalg.norm(a[:, None] - b[None], axis=2)
    shown = quantiser.distances(squared)
    assert np.abs(shown - real).max() <= quantiser.largest_error
    slack = quantiser.largest_error * (2 * shown + quantiser.largest_error)
    assert (np.abs(shown**2 - real**2) <= slack).all()


def test_the_largest_distance_is_reached_and_stays_below_the_bound() -> None:
    quantiser = Quantiser(16, 4096)
    ends = quantiser.quantise(np.stack([np.ones(4096), -np.ones(4096)]))
    squared = int(quantiser.squared_distances(ends[:1], ends[1:])[0, 0])
    assert squared == quantiser.largest_distance == 4096 * 65535**2 < quantiser.bound


def test_the_paper_s_modulus() -> None:
    assert Quantiser(4, 95, modulus=65537).bound == 24320
    Quantiser(4, 95).require_modulus(24321)
    for bits, p in ((5, 65537), (4, 24320)):
        with pytest.raises(InaccurateParametersError):
            Quantiser(bits, 95, modulus=p)
        with pytest.raises(InaccurateParametersError):
            Quantiser(bits, 95).require_modulus(p)


def test_out_of_range_is_refused_unless_clipping_is_asked() -> None:
    quantiser = Quantiser(4, 2)
    with pytest.raises(VectorError, match="Vector 1 "):
        quantiser.quantise([[0.0, 1.0], [0.0, math.nextafter(1.0, 2.0)]])
    assert quantiser.quantise([[-7.0, 7.0]], clip=True).tolist() == [[0, 15]]
    for bad in (math.nan, math.inf):
        for clip in (False, True):
            with pytest.raises(VectorError):
                quantiser.quantise([bad, 0.0], clip=clip)


def test_spanning_takes_the_largest_value() -> None:
    values = np.array([[0.1, -0.4], [0.2, 0.3]])
    quantiser = Quantiser.spanning(4, values)
    assert quantiser.limit == 0.4
    assert quantiser.quantise(values).min() == 0
    for bad, error in (
        (np.zeros((2, 2)), VectorError),
        ([[math.nan]], VectorError),
        ([1.0], DimensionError),
        (np.empty((0, 3)), DimensionError),
    ):
        with pytest.raises(error):
            Quantiser.spanning(4, bad)


@pytest.mark.parametrize(
    "arguments",
    [(0, 4), (17, 4), (4, 0), (4, 4097), (4.0, 4), (True, 4), (4, 4, 0.0), (4, 4, math.inf), (4, 4, "1")],
)
def test_bad_parameters(arguments: tuple[object, ...]) -> None:
    with pytest.raises(ParameterError):
        Quantiser(*arguments)  # type: ignore[arg-type]


def test_bad_arrays() -> None:
    quantiser = Quantiser(4, 3)
    for bad in (np.zeros(4), np.zeros((2, 4)), np.zeros((1, 1, 3)), np.float64(0)):
        with pytest.raises(DimensionError):
            quantiser.quantise(bad)
    with pytest.raises(DimensionError):
        quantiser.restore(np.zeros(4, dtype=np.int32))
    for bad in (np.zeros(3), np.array([0, 1, 16]), np.array([-1, 0, 0])):
        with pytest.raises(VectorError):
            quantiser.squared_distances(bad, np.zeros((1, 3), dtype=np.int32))


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Quantiser(4, 3).bits = 5  # type: ignore[misc]
