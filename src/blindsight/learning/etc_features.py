"""Fewer dimensions from scrambled images, chosen without a key and as they would be from plain ones.

Kawamura et al. (section 4.1) reduce 30,720 pixels to 1/20 and less "in the encrypted domain" and leave
open how. Pixels drawn at random positions would be other pixels than those drawn from plain images, and
so would be random projections. What scrambling under one key leaves of a pixel, over a set of images, is its
column of values up to their negative: so pixels are put in an order that depends on these columns
alone. The largest variance comes first, and of that order every ratio-th pixel is taken, which spreads
over all variances as drawing at random does. Each column is then given the sign that makes its first
value apart from the mean a larger one. The result is the same, to the last bit, for plain images and for
scrambled ones under a common key; whatever is learned from it is so, too.

That this is possible at all is a leak: it undoes permutation and negatives as far as statistics go.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from blindsight.learning.etc_judging import centred

F64 = NDArray[np.float64]

_COLUMNS_AT_ONCE = 4096


class EtcReducer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Every ``ratio``-th column in the order of variance, centred, its sign made canonical.

    Whole numbers below 2^20 are treated exactly for up to 2^13 samples, so that ties are ties.

    Args:
        ratio: of columns to columns that are kept, 1 or more; at least one is kept.

    Attributes:
        columns_: int64 (k,), which columns, in their order.
        signs_: float64 (k,), 1 or -1.
        sums_: float64 (k,), over the samples.
        count_: samples.
        n_features_in_: columns of what was fitted.

    """

    def __init__(self, ratio: int = 20) -> None:
        self.ratio = ratio

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose columns of X, (samples, columns) of numbers; ``y`` is not looked at."""
        if not self.ratio >= 1:
            raise ValueError("the ratio of columns to kept columns is at least 1")
        X = validate_data(self, X, dtype=[np.uint8, np.float64])
        count, wide = X.shape
        sums, spread = np.empty(wide), np.empty(wide)
        for first in range(0, wide, _COLUMNS_AT_ONCE):
            part = X[:, first : first + _COLUMNS_AT_ONCE].astype(np.float64)
            sums[first : first + _COLUMNS_AT_ONCE] = part.sum(axis=0)
            squares = np.einsum("ij,ij->j", part, part)
            spread[first : first + _COLUMNS_AT_ONCE] = count * squares - part.sum(axis=0) ** 2
        order = np.argsort(-spread, kind="stable")
        varied = int(np.count_nonzero(spread > 0)) or wide
        order = _untied(X, sums, spread, order[:varied])
        kept = min(max(1, int(wide // self.ratio)), len(order))
        ranks = ((np.arange(kept) + 0.5) * len(order) / kept).astype(np.int64)
        self.columns_ = order[ranks]
        self.sums_ = sums[self.columns_]
        self.count_ = count
        self.signs_ = _signs(count * X[:, self.columns_].astype(np.float64) - self.sums_)
        return self

    def transform(self, X: Any) -> F64:
        """The kept columns less their mean, with their sign: float64 (samples, k)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.uint8, np.float64], reset=False)
        return centred(X[:, self.columns_], self.sums_, self.count_, self.signs_)

    @property
    def _n_features_out(self) -> int:
        return len(self.columns_)


def _signs(apart: F64) -> F64:
    """1 where the first value of a column that is not its mean is above it, else -1."""
    first = np.argmax(apart != 0, axis=0)
    signs: F64 = np.where(apart[first, np.arange(apart.shape[1])] < 0, -1.0, 1.0)
    return signs


def _untied(X: NDArray[Any], sums: F64, spread: F64, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Columns of equal variance by their values, so that no order of the input is left in ``order``."""
    same = np.flatnonzero(np.diff(spread[order]) == 0)
    if not len(same):
        return order
    order = order.copy()
    starts = same[np.concatenate([[True], np.diff(same) > 1])]
    ends = same[np.concatenate([np.diff(same) > 1, [True]])] + 2
    for start, end in zip(starts, ends, strict=True):
        group = order[start:end]
        apart = len(X) * X[:, group].astype(np.float64) - sums[group]
        order[start:end] = group[np.lexsort((apart * _signs(apart))[::-1])]
    return order
