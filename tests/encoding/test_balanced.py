import numpy as np
import pytest

from blindsight.core.errors import DimensionError, ParameterError
from blindsight.encoding import FeatureMap, Quantiser


def distances(a):
    return ((a[:, None] - a[None]) ** 2).sum(axis=2)


def test_distances_stay_and_coordinates_even_out():
    rng = np.random.default_rng(0)
    metric = rng.normal(size=(24, 24)) * np.geomspace(1, 30, 24)[:, np.newaxis]
    features = rng.normal(size=(200, 24)) + 5.0
    mapped = FeatureMap.balanced(metric, features)
    made, plain = mapped.apply(features), features @ metric.T
    np.testing.assert_allclose(distances(made[:30].astype(float)), distances(plain[:30]), rtol=1e-3)
    np.testing.assert_allclose(made.mean(axis=0), 0.0, atol=1e-3)
    spread, before = made.std(axis=0), plain.std(axis=0)
    assert spread.max() / spread.min() < 0.3 * before.max() / before.min()
    again = FeatureMap.balanced(metric, features)
    np.testing.assert_array_equal(again.components, mapped.components)
    assert made.dtype == np.float32
    assert mapped.dimension == 24


def test_fewer_outputs_than_inputs():
    rng = np.random.default_rng(1)
    metric, features = rng.normal(size=(5, 16)), rng.normal(size=(50, 16))
    made = FeatureMap.balanced(metric, features).apply(features)
    np.testing.assert_allclose(
        distances(made.astype(float)), distances(features @ metric.T), rtol=1e-4, atol=1e-4
    )


def test_what_is_no_map():
    good = np.eye(3, dtype=np.float32)
    for components, offset in (
        (good, np.zeros(2)), (good * np.nan, np.zeros(3)), (good, np.full(3, np.inf)), (good[0], np.zeros(3)),
        (good[:0], np.zeros(0)),
    ):  # fmt: skip
        with pytest.raises(ParameterError):
            FeatureMap(components, offset)
    with pytest.raises(DimensionError):
        FeatureMap(good, np.zeros(3)).apply(np.zeros((2, 4)))
    with pytest.raises(DimensionError):
        FeatureMap.balanced(good, np.zeros((4, 2)))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_a_fitted_range_errs_less_than_the_widest(bits):
    values = np.random.default_rng(bits).standard_normal((400, 16))

    def error(quantiser):
        return float(np.mean((quantiser.restore(quantiser.quantise(values, clip=True)) - values) ** 2))

    fitted, widest = Quantiser.fitted(bits, values), Quantiser.spanning(bits, values)
    assert 0.1 * widest.limit <= fitted.limit <= widest.limit
    assert error(fitted) <= error(widest)
    finer = [error(Quantiser(bits, 16, widest.limit * part)) for part in np.linspace(0.05, 1.0, 400).tolist()]
    assert error(fitted) < 1.03 * min(finer)
    if bits <= 4:
        assert error(fitted) < 0.9 * error(widest)
