"""The classifier as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blindsight.core.errors import ModelError
from blindsight.learning.descent import Descent, descend, one_hot

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ModelError('Learning needs scikit-learn: pip install "blindsight[learning]".') from error


class ElasticNetClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """One linear classifier a class, against the rest, by elastic-net SGD.

    Args:
        alpha: strength of the regularisation.
        l1_ratio: its share of the L1 norm; more makes more weights zero.
        rate: step size, in units of 1 / (mean squared norm of the features).
        epochs: passes over the data.
        batch: samples of one step.
        intercept: whether to fit one; never regularised.
        random_state: draws the order of the samples.

    Attributes:
        classes_: the labels seen.
        coef_: float64 (classes, features).
        intercept_: float64 (classes,).
    """

    def __init__(
        self,
        *,
        alpha: float = 1e-4,
        l1_ratio: float = 0.5,
        rate: float = 1.0,
        epochs: int = 30,
        batch: int = 16,
        intercept: bool = True,
        random_state: Any = None,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.rate = rate
        self.epochs = epochs
        self.batch = batch
        self.intercept = intercept
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to features (n, d) and labels (n,)."""
        features, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, places = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("There is one class only; a classifier needs at least two classes.")
        how = Descent(self.alpha, self.l1_ratio, self.rate, self.epochs, self.batch)
        # check_random_state understands all that scikit-learn's users pass; a generator is grown from it.
        seed = check_random_state(self.random_state).randint(0, 2**31 - 1)
        if self.intercept:
            features = np.column_stack([features, np.ones(len(features))])
        weights = descend(
            np.zeros((features.shape[1], len(self.classes_))),
            features,
            one_hot(places, len(self.classes_)),
            how,
            np.random.default_rng(seed),
            free=int(self.intercept),
        )
        body = weights[:-1] if self.intercept else weights
        self.coef_ = body.T.copy()
        self.intercept_ = weights[-1].copy() if self.intercept else np.zeros(len(self.classes_))
        return self

    def _scores(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(features @ self.coef_.T + self.intercept_)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Scores (n, classes); with two classes (n,), over zero for the second."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The label of the highest score, (n,)."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[best])
