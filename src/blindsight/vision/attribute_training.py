"""Training of attribute classifiers on labelled crops, and the choice of co-occurrences.

Seed 000 §II-A takes its features from Nishiyama et al. (ICPR 2016): confidences of attributes
and of *co-occurring* attributes, N = 95 together. Here each literal of the table that enough
people have and enough lack is an attribute, and the remaining places go to conjunctions of two
literals.

Classifiers are ridge regressions, one for each attribute, all solved at once in the dual, since
there are fewer crops than features. A model remembers the crops it was trained on, and is far
surer of them than of anybody else. Everything that is learned *from* confidences therefore uses
those of models that have not seen the person: the people are divided into folds, and each fold
is judged by classifiers trained on the others. The sigmoids are fitted to these (Platt), the
co-occurrences are chosen by them, and they are what a metric is to be trained on.

A conjunction is worth its place if it tells people apart across cameras, which is the variance
of its confidence between people over that within them, and if it says what the chosen ones do
not: it is taken greedily by the product of the first and of the share of its variance that no
combination of those chosen before explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import DimensionError, ModelError, UsageError, VectorError
from blindsight.core.types import F32
from blindsight.vision.attribute_model import AttributeModel
from blindsight.vision.attribute_table import Attribute, AttributeTable, Literal
from blindsight.vision.people_features import DIMENSION

F64 = NDArray[np.float64]
Numbers = NDArray[np.int64]

_MOST_CANDIDATES = 4000


@dataclass(frozen=True, slots=True, eq=False)
class TrainedAttributes:
    """What training gives.

    Attributes:
        model: to be used on people it has not seen.
        confidences: float32 (crops, N), of the training crops by models that have not seen
            the person: what a metric is trained on.
        auc: float64 (N,), area under the ROC curve of those confidences.

    """

    model: AttributeModel
    confidences: F32
    auc: F64


def train_attributes(
    features: F32,
    persons: Sequence[str],
    table: AttributeTable,
    *,
    dimension: int = 95,
    penalty: float = 1.0,
    folds: int = 5,
    least_people: int = 5,
    _seed: int = 0,
) -> TrainedAttributes:
    """Train on image features (crops, D) of known persons, (crops,), and their attributes.

    Args:
        dimension: N, attributes and co-occurring attributes together.
        penalty: of the ridge regression; the features have norm at most 1.
        folds: into which the people are divided, at least 2.
        least_people: of whom a literal must be true, and of whom it must be false. A
            conjunction needs them, and as many who have one of its literals without the other.

    Raises:
        UsageError: a person whom the table lacks, fewer than four people for each fold, a
            parameter outside its range, or a table that gives more or fewer than N attributes.
        DimensionError, VectorError: features of another shape, or not finite.
        ModelError: scikit-learn is not installed.

    """
    _check(features, persons, dimension, penalty, folds, least_people)
    names, owners = np.unique(np.asarray(persons, dtype=np.str_), return_inverse=True)
    people = [str(name) for name in names]
    if len(people) < 4 * folds:
        raise UsageError(f"Training attributes in {folds} folds needs {4 * folds} people, not {len(people)}.")
    singles, pairs = candidates(table, people, least_people)
    if not singles or len(singles) > dimension or len(singles) + len(pairs) < dimension:
        raise UsageError(
            f"These people give {len(singles)} attributes and {len(pairs)} co-occurring ones, which cannot "
            f"make {dimension}; choose another dimension or label more people."
        )
    tried = singles + pairs
    truth = np.stack([table.truth(one, people) for one in tried], axis=1)[owners].astype(np.float64)
    gram = features.astype(np.float64) @ features.astype(np.float64).T
    fold = np.random.default_rng(_seed).permutation(len(people))[owners] % folds
    unseen = _unseen(gram, truth, fold, penalty)
    chosen = choose(unseen, owners, len(singles), dimension)
    truth, unseen = truth[:, chosen], unseen[:, chosen]
    slope, offset = _sigmoids(unseen, truth)
    mean = truth.mean(axis=0)
    dual = np.linalg.solve(gram + penalty * np.eye(len(gram)), truth - mean)
    weights = dual.T @ features.astype(np.float64)
    model = AttributeModel(
        tuple(tried[at] for at in chosen),
        *(np.ascontiguousarray(part, dtype=np.float32) for part in (weights, mean, slope, offset)),
    )
    confidences = np.tanh((slope * unseen + offset) / 2).astype(np.float32)
    return TrainedAttributes(model, confidences, areas(unseen, truth > 0.5))


def candidates(
    table: AttributeTable, people: Sequence[str], least: int
) -> tuple[list[Attribute], list[Attribute]]:
    """The attributes and the conjunctions that enough of these people have and lack.

    A column of two values is one attribute, its larger value; one of more values is one
    attribute for each. Conjunctions are of any two values of two columns; the supports are as
    `train_attributes` says, and where there are too many the most even ones are kept.
    """
    values = table.values(people)
    literals = [
        Literal(column, int(value))
        for at, column in enumerate(table.columns)
        for value in np.unique(values[:, at])
    ]
    kept = {column: int(values[:, at].max()) for at, column in enumerate(table.columns)}
    binary = {column for at, column in enumerate(table.columns) if len(np.unique(values[:, at])) == 2}
    truth = np.stack(
        [values[:, table.columns.index(one.column)] == one.value for one in literals], axis=1
    ).astype(np.int64)
    count = truth.sum(axis=0)
    singles = [
        Attribute((one,))
        for one, c in zip(literals, count, strict=True)
        if least <= c <= len(people) - least and (one.column not in binary or one.value == kept[one.column])
    ]
    both = truth.T @ truth
    found: list[tuple[float, int, int]] = []
    for a, b in combinations(range(len(literals)), 2):
        c = int(both[a, b])
        alone = min(c, len(people) - c, int(count[a]) - c, int(count[b]) - c)
        if literals[a].column != literals[b].column and alone >= least:
            found.append((abs(c / len(people) - 0.5), a, b))
    return singles, [Attribute((literals[a], literals[b])) for _, a, b in sorted(found)[:_MOST_CANDIDATES]]


def choose(confidences: F64, owners: Numbers, singles: int, dimension: int) -> Numbers:
    """Columns of the confidences (crops, tried) to keep: the first ``singles``, then greedily.

    Returns:
        int64 (dimension,), in the order chosen. Ties go to the first; where no candidate says
        anything new, the rest is taken in that order too.
    """
    spread = confidences.std(axis=0)
    centred = (confidences - confidences.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    means = np.zeros((owners.max() + 1, centred.shape[1]))
    np.add.at(means, owners, centred)
    means /= np.bincount(owners)[:, np.newaxis]
    inside = ((centred - means[owners]) ** 2).mean(axis=0)
    worth = means.var(axis=0) / np.maximum(inside, 1e-9)
    residual = centred.copy()
    chosen: list[int] = []
    taken = np.zeros(centred.shape[1], dtype=np.bool_)
    while len(chosen) < dimension:
        if len(chosen) < singles:
            best = len(chosen)
        else:
            score = (residual**2).sum(axis=0) * worth
            score[taken] = -1.0
            best = int(score.argmax())
        chosen.append(best)
        taken[best] = True
        norm = float(np.linalg.norm(residual[:, best]))
        if norm > 1e-9:
            axis = residual[:, best] / norm
            residual -= np.outer(axis, axis @ residual)
    return np.asarray(chosen, dtype=np.int64)


def areas(scores: F64, truth: NDArray[np.bool_]) -> F64:
    """Area under the ROC curve of each column, (columns,), ties counting one half."""
    found = np.full(scores.shape[1], np.nan)
    for at in range(scores.shape[1]):
        true, false = np.sort(scores[truth[:, at], at]), scores[~truth[:, at], at]
        if len(true) and len(false):
            below = np.searchsorted(true, false, side="right") + np.searchsorted(true, false, side="left")
            found[at] = 1.0 - below.mean() / (2 * len(true))
    return found


def _check(
    features: F32, persons: Sequence[str], dimension: int, penalty: float, folds: int, least_people: int
) -> None:
    if features.ndim != 2 or features.shape != (len(persons), DIMENSION):
        raise DimensionError(
            f"Training takes features of shape ({len(persons)}, {DIMENSION}), a row for each person named."
        )
    if not np.isfinite(features).all():
        raise VectorError("An image feature is NaN or infinite; compute the features again.")
    if dimension < 1 or folds < 2 or least_people < 1 or not penalty > 0.0:
        raise UsageError("Training needs a dimension, a penalty and a support above 0 and 2 folds or more.")


def _unseen(gram: F64, truth: F64, fold: Numbers, penalty: float) -> F64:
    """Decision values (crops, tried) by classifiers trained without the crop's fold."""
    values = np.empty_like(truth)
    for number in np.unique(fold):
        here = fold == number
        mean = truth[~here].mean(axis=0)
        inner = gram[np.ix_(~here, ~here)]
        dual = np.linalg.solve(inner + penalty * np.eye(len(inner)), truth[~here] - mean)
        values[here] = gram[np.ix_(here, ~here)] @ dual + mean
    return values


def _sigmoids(values: F64, truth: F64) -> tuple[F64, F64]:
    """Slope and offset of each column by logistic regression, true and false weighing alike."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ModelError('Training needs scikit-learn: pip install "blindsight[people]".') from error
    slopes, offsets = np.empty(values.shape[1]), np.empty(values.shape[1])
    for at in range(values.shape[1]):
        column = values[:, at]
        middle, spread = column.mean(), max(float(column.std()), 1e-9)
        fitted = LogisticRegression(C=1e3, class_weight="balanced")
        fitted.fit(((column - middle) / spread)[:, np.newaxis], truth[:, at] > 0.5)
        # A slope below zero would turn an attribute that cannot be told into its opposite.
        slope = max(float(fitted.coef_[0, 0]), 1e-3) / spread
        slopes[at], offsets[at] = slope, float(fitted.intercept_[0]) - slope * middle
    return slopes, offsets
