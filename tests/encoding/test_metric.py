from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from blindsight.encoding.metric import LMNN
from blindsight.encoding.metric_objective import Objective, target_neighbors


@parametrize_with_checks([LMNN(), LMNN(init="rca", max_iter=3, tol=None), LMNN(n_components=1)])
def test_scikit_learn_s_own_checks(estimator, check) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


def nuisance(seed: int, classes: int = 4, each: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Classes that two coordinates tell apart, under a third of forty times their spread."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), each)
    x = rng.normal(size=(len(y), 6)) * 0.3
    x[:, 0] += np.cos(y * 2 * np.pi / classes)
    x[:, 1] += np.sin(y * 2 * np.pi / classes)
    x[:, 5] = rng.normal(size=len(y)) * 12
    return x, y


def leave_one_out(x: np.ndarray, y: np.ndarray) -> float:
    return float(cross_val_score(KNeighborsClassifier(3), x, y, cv=LeaveOneOut()).mean())


@pytest.mark.parametrize("init", ["identity", "rca"])
def test_nearest_neighbours_improve_where_a_nuisance_dominates(init: str) -> None:
    x, y = nuisance(0)
    fresh, labels = nuisance(1)
    before = leave_one_out(fresh, labels)
    learned = LMNN(init=init, max_iter=1000).fit(x, y)
    after = leave_one_out(learned.transform(fresh), labels)
    assert before < 0.6
    assert after > 0.9
    weights = np.diag(learned.get_mahalanobis_matrix())
    assert weights[5] < 0.02 * weights[:2].min()


def test_in_a_pipeline_and_on_real_measurements() -> None:
    x, y = load_iris(return_X_y=True)
    classify = make_pipeline(LMNN(max_iter=60, tol=1e-4), KNeighborsClassifier(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert cross_val_score(classify, x, y, cv=5).mean() > 0.93


def test_the_objective_decreases_in_every_iteration_and_converges() -> None:
    x, y = nuisance(2)
    learned = LMNN(max_iter=500).fit(x, y)
    assert (np.diff(learned.objective_) < 0).all()
    assert learned.n_iter_ == len(learned.objective_) - 1 < 500
    # It is the objective of the metric that comes out. It is convex in M, and so a quasi-Newton
    # method finds the least value from anywhere; descent ends within 2 % of it.
    targets = target_neighbors(x, y, 3)
    centred = x - x.mean(axis=0)
    objective = Objective(centred, y, targets, 0.5)
    learned_value = objective(learned.components_ / learned.scale_)[0]
    assert learned_value == pytest.approx(learned.objective_[-1])
    unit = np.sqrt(np.mean(np.sum((x[targets[:, 0]] - x[targets[:, 1]]) ** 2, axis=1)))
    scaled = Objective(centred / unit, y, targets, 0.5)

    def flat(values):
        value, gradient = scaled(values.reshape(6, 6))
        return value, gradient.ravel()

    start = np.random.default_rng(1).normal(size=36)
    least = minimize(flat, start, jac=True, method="L-BFGS-B", options={"maxiter": 3000, "ftol": 1e-10}).fun
    assert 0.999 * least < learned_value < 1.02 * least


@pytest.mark.parametrize("rows", [5, 2])
def test_the_gradient_equals_finite_differences(rows: int) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 5)), np.repeat(np.arange(8), 5)
    objective = Objective(x, y, target_neighbors(x, y, 3), 0.3)
    at = rng.normal(size=(rows, 5)) * 0.7
    _, gradient = objective(at)
    for _ in range(10):
        step = rng.normal(size=at.shape) * 1e-6
        slope = (objective(at + step)[0] - objective(at - step)[0]) / 2
        assert slope == pytest.approx(float(np.vdot(gradient, step)), rel=1e-5)


def obvious(x, y, targets, mu, components):
    """Eqs. 11 to 13, pair by pair."""

    def d(a, b):
        return float(np.sum((components @ (x[a] - x[b])) ** 2))

    pull = sum(d(i, j) for i, j in targets)
    push = sum(
        max(0.0, 1.0 + d(i, j) - d(i, other))
        for i, j in targets
        for other in range(len(x))
        if y[other] != y[i]
    )  # fmt: skip
    return pull, push, (1 - mu) * pull + mu * push


def test_pull_and_push_by_hand() -> None:
    """On a line: class 0 at 0 and 1, class 1 at 1.5 and 4; one target neighbour each."""
    x, y = np.array([[0.0], [1.0], [1.5], [4.0]]), np.array([0, 0, 1, 1])
    targets = target_neighbors(x, y, 1)
    assert targets.tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]
    # Pull: 1 + 1 + 6.25 + 6.25. Push: of 0, 1 + 1 - 2.25 < 0; of 1, 2 - 0.25; of 1.5,
    # 7.25 - 2.25 and 7.25 - 0.25; of 4, 7.25 - 16 < 0 and 7.25 - 9 < 0.
    pull, push = Objective(x, y, targets, 0.5).terms(np.eye(1))
    assert pull == 14.5
    assert push == 1.75 + 5.0 + 7.0
    assert Objective(x, y, targets, 0.25)(np.eye(1))[0] == pytest.approx(0.75 * 14.5 + 0.25 * 13.75)


def test_agrees_with_the_obvious_twin_across_blocks(monkeypatch) -> None:
    monkeypatch.setattr("blindsight.encoding.metric_objective._BLOCK", 7)
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(33, 3)), rng.integers(0, 5, 33)
    y[0] = 9  # alone in its class: nobody's target, everybody's impostor
    targets = target_neighbors(x, y, 2)
    assert 0 not in targets
    components = rng.normal(size=(2, 3))
    objective = Objective(x, y, targets, 0.4)
    pull, push, value = obvious(x, y, targets, 0.4, components)
    assert objective.terms(components) == pytest.approx((pull, push))
    found, gradient = objective(components)
    assert found == pytest.approx(value)
    step = rng.normal(size=components.shape) * 1e-6
    slope = (objective(components + step)[0] - objective(components - step)[0]) / 2
    assert slope == pytest.approx(float(np.vdot(gradient, step)), rel=1e-4)


def test_target_neighbours_are_the_nearest_of_the_class() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(30, 4)), rng.integers(0, 4, 30)
    for i, j in target_neighbors(x, y, 1):
        others = [k for k in range(30) if y[k] == y[i] and k != i]
        assert j == min(others, key=lambda k: float(np.sum((x[i] - x[k]) ** 2)))


@pytest.mark.parametrize("components", [None, 2])
@pytest.mark.parametrize("init", ["identity", "rca"])
def test_the_norm_of_the_metric_and_the_transform(components: int | None, init: str) -> None:
    x, y = nuisance(6)
    learned = LMNN(n_components=components, max_iter=5, tol=None, init=init).fit(x * 1000, y)
    matrix = learned.get_mahalanobis_matrix()
    assert learned.components_.shape == (components or 6, 6)
    assert np.linalg.norm(matrix) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(learned.transform(x), x @ learned.components_.T)
    a, b = x[0] - x[1], learned.transform(x[:1]) - learned.transform(x[1:2])
    assert a @ matrix @ a == pytest.approx(float(np.sum(b**2)))
    assert len(learned.get_feature_names_out()) == (components or 6)
    # A metric of norm 1 shortens no less than it keeps: ‖Lx‖ ≤ ‖x‖.
    assert (np.linalg.norm(learned.transform(x), axis=1) <= np.linalg.norm(x, axis=1) * (1 + 1e-9)).all()


def test_the_scale_of_the_data_does_not_matter_and_fitting_repeats() -> None:
    x, y = nuisance(7)
    one, other = (LMNN(max_iter=20, tol=None).fit(part, y) for part in (x, x * 1e4 + 5))
    np.testing.assert_allclose(one.components_, other.components_, atol=1e-5)
    np.testing.assert_array_equal(one.components_, clone(one).fit(x, y).components_)


def test_says_when_it_has_not_converged() -> None:
    x, y = nuisance(8)
    with pytest.warns(ConvergenceWarning, match="2 iterations"):
        LMNN(max_iter=2).fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LMNN(max_iter=2, tol=None).fit(x, y).n_iter_ == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_neighbors": 0}, {"n_neighbors": 1.5}, {"regularization": 1.5}, {"max_iter": 0}, {"tol": -1.0},
        {"n_components": 7}, {"n_components": 0}, {"init": "lda"}, {"shrinkage": 0.0},
    ],
)  # fmt: skip
def test_wrong_parameters(wrong: dict[str, object]) -> None:
    x, y = nuisance(9)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LMNN(**wrong).fit(x, y)


def test_labels_that_cannot_teach() -> None:
    x, _ = nuisance(10)
    with pytest.raises(ValueError, match="2 classes"):
        LMNN().fit(x, np.zeros(len(x), dtype=int))
    with pytest.raises(ValueError, match="2 samples"):
        LMNN().fit(x[:4], np.arange(4) % 4)
    with pytest.raises(ValueError, match="zero metric"):
        LMNN(regularization=0.0, tol=0.0).fit([[0.0], [1.0], [5.0], [6.0]], [0, 0, 1, 1])
