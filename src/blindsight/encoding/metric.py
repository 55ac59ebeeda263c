"""Large-margin nearest neighbours: a learned metric, as a scikit-learn estimator.

K. Weinberger and L. Saul, "Distance Metric Learning for Large Margin Nearest Neighbor
Classification", JMLR 10 (2009) 207-244. Squared distances are (a - b)ᵀ M (a - b) with
M = LᵀL; a client applies L to its features before it protects them, and the server then
compares plain Euclidean distances (seed 000 §II-A, Eqs. 1 and 2, which also asks for
‖M‖_F ≤ 1). The learned L says something of the people it was trained on; it stays on the
trusted side.

Needs scikit-learn, so that `blindsight.encoding` itself does not import this module.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from blindsight.encoding.metric_objective import Objective, target_neighbors

F64 = NDArray[np.float64]

_SUFFICIENT = 1e-4
"""Share of the decrease that the slope promises which a step must reach (Armijo's rule)."""

_WINDOW = 5
"""Iterations over which the decrease is judged; a single short step ends nothing."""


class LMNN(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Large-margin nearest neighbours by gradient descent on L (JMLR 10, §3 and §A).

    Minimises (1 - mu) sum of squared distances to the target neighbours, the *pull*, plus mu
    sum of hinge losses [1 + pulled distance - distance to an impostor]_+, the *push* (Eqs. 11
    to 13). The step size follows Barzilai and Borwein and is halved until the objective
    decreases, so that it decreases in every iteration. The objective's unit is the root mean
    squared distance to the target neighbours, so that the scale of X does not matter.

    Parameters
    ----------
    n_neighbors : int, default=3
        Target neighbours of a sample; fewer where its class has fewer other samples.
    regularization : float in [0, 1], default=0.5
        mu, the weight of the push.
    max_iter : int, default=200
        Most iterations; `ConvergenceWarning` where they do not suffice. Stopping early
        regularises.
    tol : float or None, default=1e-5
        Stop where five iterations decrease the objective by less than this share of it; None
        for exactly ``max_iter`` iterations and no warning, which is early stopping.
    n_components : int or None, default=None
        Rows of L; None for as many as there are features. With fewer, the objective is not
        convex and descent starts from the principal components.
    init : {'identity', 'rca'}, default='identity'
        Where descent starts. 'rca' first whitens the scatter within classes (relevant
        component analysis, Bar-Hillel et al., JMLR 6, 2005) and finds target neighbours and
        descends in those coordinates. With many features and few samples a class, that start
        and three or four iterations recognise new classes best.
    shrinkage : float, default=0.5
        For 'rca': how much of its mean variance is added to the scatter along every axis.
    random_state : int, RandomState instance or None, default=None
        Breaks ties where ``n_components`` exceeds the rank of X and the start needs more
        directions than X has; otherwise fitting is deterministic.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        L, scaled so that ‖LᵀL‖_F = 1; ranks by distance do not depend on the scale.
    objective_ : ndarray of shape (n_iter_ + 1,)
        The objective before the first and after each iteration.
    scale_ : float
        ``components_ / scale_`` is the L whose objective is the last of ``objective_``.
    classes_ : ndarray
        The labels seen.
    n_iter_ : int
        Iterations done.
    n_features_in_ : int
        Features seen.

    """

    def __init__(
        self,
        n_neighbors: int = 3,
        regularization: float = 0.5,
        max_iter: int = 200,
        tol: float | None = 1e-5,
        n_components: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        *,
        init: str = "identity",
        shrinkage: float = 0.5,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.regularization = regularization
        self.max_iter = max_iter
        self.tol = tol
        self.n_components = n_components
        self.random_state = random_state
        self.init = init
        self.shrinkage = shrinkage

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn L from X (samples, features) and labels y (samples,).

        Raises:
            ValueError: NaN, infinity, other shapes, fewer than two classes, no class with two
                samples, or a parameter outside its range.

        """
        points, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        self._check(points.shape[1])
        if len(self.classes_) < 2:
            raise ValueError("LMNN needs samples of at least 2 classes; only one class was given.")
        points = points - points.mean(axis=0)  # distances do not depend on the mean
        first = self._first(points, numbers)
        points = points @ first.T
        targets = target_neighbors(points, numbers, self.n_neighbors)
        if not len(targets):
            raise ValueError("LMNN needs a class with at least 2 samples; every class has one.")
        pulled = points[targets[:, 0]] - points[targets[:, 1]]
        unit = math.sqrt(float(np.einsum("ij,ij->", pulled, pulled)) / len(targets)) or 1.0
        objective = Objective(points / unit, numbers, targets, self.regularization)
        components = self._descend(objective, self._start(points)) @ first
        norm = float(np.linalg.norm(components.T @ components))
        if not norm > 1e-20:  # descent starts near 1
            raise ValueError("LMNN found the zero metric; raise regularization, the weight of the push.")
        self.components_ = components / math.sqrt(norm)
        self.scale_ = unit / math.sqrt(norm)
        self._n_features_out = len(components)
        return self

    def transform(self, X: ArrayLike) -> F64:
        """X Lᵀ, float64 (samples, n_components)."""
        check_is_fitted(self)
        points = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(points @ self.components_.T)

    def get_mahalanobis_matrix(self) -> F64:
        """M = LᵀL, symmetric and positive semidefinite, (features, features), ‖M‖_F = 1."""
        check_is_fitted(self)
        return np.asarray(self.components_.T @ self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    # -- inside ----------------------------------------------------------------------------------

    def _check(self, features: int) -> None:
        most = features if self.n_components is None else self.n_components
        for name, value in (
            ("n_neighbors", self.n_neighbors), ("max_iter", self.max_iter), ("n_components", most)
        ):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} is a whole number of at least 1, not {value!r}.")
        if most > features:
            raise ValueError(f"n_components is at most the number of features, {features}, not {most}.")
        if not 0.0 <= self.regularization <= 1.0:
            raise ValueError(f"regularization lies between 0 and 1, not {self.regularization!r}.")
        if self.tol is not None and not self.tol >= 0.0:
            raise ValueError(f"tol is not negative, unlike {self.tol!r}.")
        if self.init not in ("identity", "rca"):
            raise ValueError(f"init is 'identity' or 'rca', not {self.init!r}.")
        if not self.shrinkage > 0.0:
            raise ValueError(f"shrinkage is positive, unlike {self.shrinkage!r}.")

    def _first(self, points: F64, numbers: NDArray[np.int64]) -> F64:
        """The fixed map before descent, (features, features): identity, or whitening."""
        features = points.shape[1]
        if self.init == "identity":
            return np.eye(features)
        means = np.zeros((numbers.max() + 1, features))
        np.add.at(means, numbers, points)
        means /= np.bincount(numbers)[:, np.newaxis]
        inside = points - means[numbers]
        scatter = inside.T @ inside / len(points)
        mean = float(np.trace(scatter)) / features
        if not mean > 0.0:
            return np.eye(features)  # classes without any spread: nothing to whiten
        values, axes = np.linalg.eigh(scatter + self.shrinkage * mean * np.eye(features))
        return np.asarray((axes / np.sqrt(values)) @ axes.T)

    def _start(self, points: F64) -> F64:
        """The identity, or the first principal components of centred points."""
        features = points.shape[1]
        if self.n_components is None or self.n_components == features:
            return np.eye(features)
        _, _, rows = np.linalg.svd(points, full_matrices=False)
        missing = self.n_components - len(rows)
        if missing > 0:
            more = check_random_state(self.random_state).normal(size=(missing, features))
            rows = np.linalg.qr(np.vstack([rows, more]).T)[0].T
        return np.asarray(rows[: self.n_components])

    def _descend(self, objective: Objective, components: F64) -> F64:
        """Gradient descent from ``components``; records ``objective_`` and ``n_iter_``."""
        value, gradient = objective(components)
        history = [value]
        slope = float(np.vdot(gradient, gradient))
        step = 0.1 * float(np.linalg.norm(components)) / math.sqrt(slope) if slope > 0.0 else 0.0
        converged = False
        while len(history) <= self.max_iter and not converged:
            moved = components - step * gradient
            found, next_gradient = objective(moved)
            while not found <= value - _SUFFICIENT * step * slope and step * math.sqrt(slope) > 1e-14:
                step /= 2.0
                moved = components - step * gradient
                found, next_gradient = objective(moved)
            if not found < value:
                converged = True  # no step along the gradient decreases it: a minimum, or a kink
                break
            change, turned = moved - components, next_gradient - gradient
            curvature = float(np.vdot(change, turned))
            length = float(np.vdot(change, change))
            components, value, gradient = moved, found, next_gradient
            slope = float(np.vdot(gradient, gradient))
            step = length / curvature if curvature > 1e-12 * length else 2.0 * step
            history.append(value)
            past = history[-1 - _WINDOW] if len(history) > _WINDOW else None
            converged = slope == 0.0 or (
                self.tol is not None and past is not None and past - value <= self.tol * past
            )
        self.objective_ = np.asarray(history)
        self.n_iter_ = len(history) - 1
        if not converged and self.tol is not None:
            warnings.warn(
                f"LMNN stopped after {self.max_iter} iterations before it converged; raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return components
