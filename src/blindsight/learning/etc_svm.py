"""Support vector machines, one for each class against the rest, over one Gram matrix."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from blindsight.learning.etc_judging import decisions, gram_matrix

F64 = NDArray[np.float64]


class KernelSvm(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """One-vs-rest SVMs with a linear or a Gaussian kernel; scikit-learn's SVC on precomputed kernels.

    A class's decision value says how well a sample fits that class, which verification thresholds.

    Args:
        kernel: ``linear`` or ``rbf``.
        C: penalty of samples on the wrong side.
        gamma: of the Gaussian, exp(-gamma · distance²); None for 1 / columns / variance.

    Attributes:
        classes_: sorted labels.
        vectors_: float64 (m, columns), all support vectors.
        dual_: float64 (machines, m); one machine where there are two classes.
        intercept_: float64 (machines,).
        gamma_: that was used.

    """

    def __init__(self, kernel: str = "linear", C: float = 1.0, gamma: float | None = None) -> None:
        self.kernel = kernel
        self.C = C
        self.gamma = gamma

    def fit(self, X: Any, y: Any) -> Self:
        """Train on X, (samples, columns) of numbers, and their labels."""
        if self.kernel not in ("linear", "rbf"):
            raise ValueError("the kernel is linear or rbf")
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("there is only one class; a classifier needs two classes or more")
        variance = float(X.var())
        self.gamma_ = self.gamma if self.gamma is not None else 1.0 / (X.shape[1] * (variance or 1.0))
        gram = gram_matrix(X, X, self.kernel, self.gamma_)
        machines = [1] if len(self.classes_) == 2 else range(len(self.classes_))
        dual = np.zeros((len(machines), len(X)))
        intercept = np.empty(len(machines))
        for row, code in enumerate(machines):
            machine = SVC(kernel="precomputed", C=self.C).fit(gram, codes == code)
            dual[row, machine.support_] = machine.dual_coef_[0]
            intercept[row] = machine.intercept_[0]
        used = np.flatnonzero(dual.any(axis=0))
        self.vectors_, self.dual_, self.intercept_ = X[used], dual[:, used], intercept
        return self

    def decision_function(self, X: Any) -> F64:
        """float64 (samples, classes); (samples,) where there are two classes."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        values = decisions(X, self.vectors_, self.dual_, self.intercept_, self.kernel, self.gamma_)
        return values[:, 0] if len(self.classes_) == 2 else values

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each sample's best class."""
        values = self.decision_function(X)
        best = (values > 0).astype(np.int64) if values.ndim == 1 else values.argmax(axis=1)
        found: NDArray[Any] = self.classes_[best]
        return found
