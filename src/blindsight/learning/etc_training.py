"""Training on scrambled images (Kawamura et al., section 3.1): reduce, z-score, classify."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from blindsight.core.errors import UsageError
from blindsight.core.types import I64, U8
from blindsight.learning.etc_features import EtcReducer
from blindsight.learning.etc_model import Classifier, Condition, Images, Model
from blindsight.learning.etc_svm import KernelSvm

NEIGHBOURS: Final = 1
TREES: Final = 100


def pipeline(classifier: Classifier, ratio: int = 20) -> Pipeline:
    """The server's side: `EtcReducer`, StandardScaler (the z-score), the classifier. Has no key."""
    last: Any
    match classifier:
        case Classifier.SVM_LINEAR:
            last = KernelSvm("linear")
        case Classifier.SVM_RBF:
            last = KernelSvm("rbf")
        case Classifier.NEIGHBOURS:
            last = KNeighborsClassifier(NEIGHBOURS, algorithm="brute")
        case Classifier.FOREST:
            # The seed decides which columns a tree looks at; there is nothing secret about it.
            last = RandomForestClassifier(TREES, random_state=0)
    return make_pipeline(EtcReducer(ratio), StandardScaler(), last)


def train(pixels: U8, labels: I64, images: Images, classifier: Classifier, ratio: int = 20) -> Model:
    """Train on scrambled images.

    Args:
        pixels: uint8 (n, values), images as rows.
        labels: int64 (n,), 0 to the number of classes less one, each there at least once.
        images: what they are; for `Condition.EACH` with as many keys as classes.
        classifier: which.
        ratio: of pixels to pixels that are looked at, 1 or more.

    Raises:
        UsageError: one class only, a class without an image, a ratio below 1.

    """
    classes = int(labels.max()) + 1 if len(labels) else 0
    if classes < 2:
        raise UsageError("There is only one class of images; training needs two classes or more.")
    if len(np.unique(labels)) != classes or labels.min() < 0:
        raise UsageError("A class has no image; number the classes from 0 without a gap.")
    if not 1 <= ratio <= pixels.shape[1]:
        raise UsageError("The ratio of reduction is at least 1 and at most the number of pixels.")
    if len(images.key_ids) != (classes if images.condition is Condition.EACH else 1):
        raise UsageError("There is one key where keys are common, else one for each class.")
    fitted = pipeline(classifier, ratio).fit(pixels, labels)
    return Model(
        classifier, images, classes, len(pixels), _parts(fitted, classifier, pixels.shape[1], labels)
    )


def _parts(fitted: Pipeline, classifier: Classifier, wide: int, labels: I64) -> dict[str, NDArray[Any]]:
    reducer, scaler, last = (step for _, step in fitted.steps)
    parts: dict[str, NDArray[Any]] = {
        "wide": np.array([wide], np.int64),
        "columns": np.asarray(reducer.columns_, np.int64),
        "signs": reducer.signs_,
        "sums": reducer.sums_,
        "mean": np.asarray(scaler.mean_, np.float64),
        "scale": np.asarray(scaler.scale_, np.float64),
    }
    match classifier:
        case Classifier.SVM_LINEAR | Classifier.SVM_RBF:
            gamma = last.gamma_ if classifier is Classifier.SVM_RBF else 0.0
            parts |= {"vectors": last.vectors_, "dual": last.dual_, "intercept": last.intercept_,
                      "gamma": np.array([gamma], np.float64)}  # fmt: skip
        case Classifier.NEIGHBOURS:
            parts |= {"trained": np.asarray(last._fit_X, np.float64), "labels": labels.astype(np.int64),
                      "neighbours": np.array([min(NEIGHBOURS, len(labels))], np.int64)}  # fmt: skip
        case Classifier.FOREST:
            parts |= _trees(last)
    return parts


def _trees(forest: RandomForestClassifier) -> dict[str, NDArray[Any]]:
    """All trees' nodes one after the other; a leaf has no children and looks at column 0."""
    roots, at = [], 0
    columns: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("left", "right", "feature", "threshold", "value")
    }
    for grown in forest.estimators_:
        tree = grown.tree_
        leaf = tree.children_left < 0
        roots.append(at)
        columns["left"].append(np.where(leaf, -1, tree.children_left + at))
        columns["right"].append(np.where(leaf, -1, tree.children_right + at))
        columns["feature"].append(np.where(leaf, 0, tree.feature))
        columns["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        columns["value"].append(tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True))
        at += tree.node_count
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    integers = {name: joined[name].astype(np.int64) for name in ("left", "right", "feature")}
    numbers = {name: joined[name].astype(np.float64) for name in ("threshold", "value")}
    return {"roots": np.array(roots, np.int64)} | integers | numbers
