"""Linear classifiers, integers and federated rounds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from blindsight.core.errors import DimensionError, ParameterError, RoundError, VectorError
from blindsight.learning.classifier import ElasticNetClassifier
from blindsight.learning.descent import Descent, descend, one_hot, sparsity
from blindsight.learning.fixed_point import FixedPoint
from blindsight.learning.rounds import Model, Task, combined, first_model, updated


@parametrize_with_checks(
    [ElasticNetClassifier(epochs=10), ElasticNetClassifier(intercept=False, l1_ratio=1.0)]
)
def test_the_estimator_is_one(estimator, check):
    check(estimator)


def blobs(seed=1, n=120, d=12, classes=3):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    features = generator.standard_normal((n, d)) * 0.4
    features[np.arange(n), labels] += 2
    return features / np.linalg.norm(features, axis=1, keepdims=True), labels


def slow_descend(weights, features, targets, how, generator):
    """The same, sample by sample and weight by weight."""
    out = [[float(v) for v in row] for row in weights]
    scale = sum(float(x) ** 2 for row in features for x in row) / len(features)
    for epoch in range(how.epochs):
        step = how.rate / scale / (1 + epoch) ** 0.5
        order = generator.permutation(len(features))
        batches = [order[at : at + how.batch] for at in range(0, len(features), how.batch)]
        for rows in batches:
            gradient = [[0.0] * len(out[0]) for _ in out]
            for r in rows:
                for c in range(len(out[0])):
                    score = sum(features[r][d] * out[d][c] for d in range(len(out)))
                    error = 1 / (1 + np.exp(-score)) - targets[r][c]
                    for d in range(len(out)):
                        gradient[d][c] += features[r][d] * error
            for d in range(len(out)):
                for c in range(len(out[0])):
                    out[d][c] -= step * gradient[d][c] / len(rows)
        whole = step * len(batches) * how.alpha
        for row in out:
            for c, value in enumerate(row):
                kept = max(abs(value) - whole * how.l1, 0.0)
                row[c] = np.sign(value) * kept / (1 + whole * (1 - how.l1))
    return np.array(out)


def test_the_descent_is_its_slow_twin():
    features, labels = blobs(n=25, d=5)
    how = Descent(alpha=0.002, l1=0.7, rate=2.0, epochs=3, batch=4)
    start = np.random.default_rng(3).standard_normal((5, 3))
    fast = descend(start, features, one_hot(labels, 3), how, np.random.default_rng(9))
    slow = slow_descend(start, features, one_hot(labels, 3), how, np.random.default_rng(9))
    np.testing.assert_allclose(fast, slow, atol=1e-12)
    assert np.array_equal(fast == 0, slow == 0)


def test_more_regularisation_makes_fewer_weights():
    features, labels = blobs()
    shares = []
    for alpha in (0.0, 1e-3, 1e-2, 1.0):
        how = Descent(alpha=alpha, l1=0.9, rate=5.0, epochs=5)
        weights = descend(np.zeros((12, 3)), features, one_hot(labels, 3), how, np.random.default_rng(1))
        shares.append(sparsity(weights))
    assert shares[0] == 1
    assert shares[-1] == 0
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) > 2


def test_an_intercept_is_not_regularised():
    features, labels = np.zeros((20, 3)), np.r_[np.zeros(15, int), np.ones(5, int)]
    found = ElasticNetClassifier(alpha=10.0, random_state=1).fit(features, labels)
    assert not found.coef_.any()
    assert found.intercept_[0] > 0 > found.intercept_[1]


@pytest.mark.parametrize(
    "bad", [{"alpha": -1}, {"l1": 1.1}, {"rate": 0}, {"epochs": 0}, {"batch": 0}, {"alpha": np.nan}]
)
def test_descents_that_may_not_be(bad):
    with pytest.raises(ParameterError):
        Descent(**bad)


# -- integers ------------------------------------------------------------------------------------


def test_fixed_point_rounds_to_the_nearest_and_keeps_zeros():
    fixed = FixedPoint(bits=8, fraction=4)
    assert fixed.largest == 127 / 16
    weights = np.array([0.0, 1 / 16, 0.09, -7.9375, 7.9375])
    assert fixed.integers(weights).tolist() == [0, 1, 1, -127, 127]
    np.testing.assert_allclose(fixed.mean(np.array([32, -16]), 2), [1.0, -0.5])


@pytest.mark.parametrize("bad", [8.0, -8.0, np.nan, np.inf, -np.inf, 1e300])
def test_a_weight_outside_the_range_is_refused_and_not_clipped(bad):
    with pytest.raises(VectorError, match="fixed-point range"):
        FixedPoint(bits=8, fraction=4).integers(np.array([0.5, bad]))


def test_fixed_points_that_may_not_be():
    for bits, fraction in ((1, 0), (33, 1), (8, 8), (8, -1), (8.0, 2)):
        with pytest.raises(ParameterError):
            FixedPoint(bits, fraction)
    with pytest.raises(DimensionError):
        FixedPoint().mean(np.array([1]), 0)
    with pytest.raises(DimensionError):
        FixedPoint().mean(np.array([1.5]), 1)


# -- rounds --------------------------------------------------------------------------------------

TASK = Task(("a", "b", "c"), 12, Descent(alpha=1e-4, rate=5.0, epochs=3))


def test_rounds_learn():
    features, labels = blobs()
    test, wanted = blobs(seed=2)
    model = first_model(TASK)
    for number in range(1, 6):
        parts = [updated(TASK, model, features[u::4], labels[u::4], u) for u in range(4)]
        model = combined(TASK, model, number, sum(parts), 4)
    assert model.number == 5
    assert np.mean(model.predict(test) == wanted) > 0.9
    alone = combined(TASK, first_model(TASK), 1, updated(TASK, first_model(TASK), test, wanted, 0), 1)
    assert alone.scores(test).shape == (120, 3)


def test_steps_are_pure():
    features, labels = blobs()
    model = first_model(TASK)
    one, two = (updated(TASK, model, features, labels, 7) for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, updated(TASK, model, features, labels, 8))
    assert not model.weights.any()
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0] = 1


def test_what_does_not_fit_is_refused():
    features, labels = blobs()
    model = first_model(TASK)
    for bad in (
        (features[:, :5], labels),
        (features, labels[:3]),
        (features, labels + 3),
        (features, labels - 1),
        (features[:0], labels[:0]),
    ):
        with pytest.raises(DimensionError):
            updated(TASK, model, *bad, 0)
    with pytest.raises(DimensionError):
        updated(TASK, Model(np.zeros((3, 3)), 0), features, labels, 0)
    total = updated(TASK, model, features, labels, 0)
    for number in (0, 2):
        with pytest.raises(RoundError):
            combined(TASK, model, number, total, 1)
    with pytest.raises(DimensionError):
        combined(TASK, model, 1, total[:-1], 1)
    for bad_task in ((("a",), 3), (("a", "a"), 3), (("a", "b"), 0)):
        with pytest.raises(DimensionError):
            Task(*bad_task)
