"""A trained classifier as arrays: what it was trained on, and how it judges. Immutable, no pickle."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import KeyMismatchError, MalformedError, ParamsMismatchError
from blindsight.core.types import U8, frozen
from blindsight.learning.etc_judging import centred, decisions
from blindsight.wire import arrays as container
from blindsight.wire.fields import Fields

F64 = NDArray[np.float64]

MAX_CLASSES: Final = 4096
_AT_ONCE: Final = 256
"""Images judged at a time, which bounds the memory."""


class Classifier(Enum):
    """How classes are told apart."""

    SVM_LINEAR = "svm-linear"
    SVM_RBF = "svm-rbf"
    NEIGHBOURS = "knn"
    FOREST = "forest"


class Condition(Enum):
    """Whose key images are scrambled under (the paper's key conditions)."""

    COMMON = "common"
    """1: one key for all clients."""

    EACH = "each"
    """2: a key for each client, who is one class."""


@dataclass(frozen=True, slots=True)
class Images:
    """What images a model takes.

    Attributes:
        params_id: layout and block.
        height: of the originals, in pixels.
        width: of the originals.
        condition: of keys.
        key_ids: one for `Condition.COMMON`, one for each class for `Condition.EACH`.
    """

    params_id: str
    height: int
    width: int
    condition: Condition
    key_ids: tuple[str, ...]

    def require(self, params_id: str, height: int, width: int, key_id: str) -> None:
        """Raise unless an image like this fits: size and layout, then the key."""
        if (params_id, height, width) != (self.params_id, self.height, self.width):
            raise ParamsMismatchError(
                f"This model takes images of {self.width} × {self.height} pixels scrambled as "
                f"{self.params_id}, "
                f"not {width} × {height} as {params_id}."
            )
        if key_id not in self.key_ids:
            other = "a key of each client's own" if self.condition is Condition.EACH else "one common key"
            raise KeyMismatchError(
                f"This model was trained on images under {other}, and this image's key is none of them."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A classifier with everything before it: choice of columns, z-scores.

    Attributes:
        classifier: which.
        images: that it takes.
        classes: how many; scores have a column for each.
        trained_on: images.
        parts: the arrays that ``specs/learner.md``, section 3, lists for this classifier.
    """

    classifier: Classifier
    images: Images
    classes: int
    trained_on: int
    parts: Mapping[str, NDArray[Any]] = field(repr=False)

    def __post_init__(self) -> None:
        _Check(self.parts, self.classes, self.classifier).all()
        object.__setattr__(self, "parts", {name: frozen(part) for name, part in self.parts.items()})

    def scores(self, pixels: U8) -> F64:
        """How well images fit each class: float64 (n, classes), larger is closer.

        ``pixels`` is uint8 (n, values), scrambled images as rows. Decision values of SVMs, shares of
        the nearest neighbours, mean probabilities of the forest.
        """
        found = [self._judge(pixels[at : at + _AT_ONCE]) for at in range(0, len(pixels), _AT_ONCE)]
        return np.concatenate(found) if found else np.empty((0, self.classes))

    def score(self, pixels: U8, label: int) -> F64:
        """The column ``label`` of `scores`, float64 (n,); quicker for SVMs."""
        if self.classifier not in (Classifier.SVM_LINEAR, Classifier.SVM_RBF) or self.classes == 2:
            return self.scores(pixels)[:, label]
        used = np.flatnonzero(self.parts["dual"][label])
        one = {
            "vectors": self.parts["vectors"][used],
            "dual": self.parts["dual"][label : label + 1, used],
            "intercept": self.parts["intercept"][label : label + 1],
            "gamma": self.parts["gamma"],
        }
        return _svm(self._z(pixels), one, 1)[:, 0]

    @property
    def values(self) -> int:
        """Of an image: the columns of ``pixels``."""
        return int(self.parts["wide"][0])

    def _judge(self, pixels: U8) -> F64:
        return _JUDGES[self.classifier](self._z(pixels), self.parts, self.classes)

    def _z(self, pixels: U8) -> F64:
        p = self.parts
        kept = centred(pixels[:, p["columns"]], p["sums"], self.trained_on, p["signs"])
        z: F64 = (kept - p["mean"]) / p["scale"]
        return z

    # -- bytes ---------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """As it is stored (``specs/learner.md``, section 3)."""
        facts = {
            "classifier": self.classifier.value,
            "params_id": self.images.params_id,
            "height": self.images.height,
            "width": self.images.width,
            "condition": self.images.condition.value,
            "key_ids": list(self.images.key_ids),
            "classes": self.classes,
            "trained_on": self.trained_on,
        }
        return container.encode(facts, self.parts)

    @classmethod
    def decode(cls, data: bytes) -> Model:
        """Undo `encode`; `MalformedError` for anything else, arrays that do not fit each other included."""
        facts, parts = container.decode(data, "model")
        f = Fields(facts, "model", _FACTS)
        key_ids = f.many("key_ids", 1, MAX_CLASSES)
        if not all(type(key_id) is str and _KEY_ID.fullmatch(key_id) for key_id in key_ids):
            raise MalformedError("This model names keys in another way than the specification says.")
        images = Images(
            f.text("params_id", _PARAMS_ID),
            f.integer("height", 1, 1 << 16),
            f.integer("width", 1, 1 << 16),
            Condition(f.text("condition", _CONDITION)),
            tuple(key_ids),
        )
        classifier = Classifier(f.text("classifier", _CLASSIFIER))
        classes, trained_on = f.integer("classes", 2, MAX_CLASSES), f.integer("trained_on", 2, 1 << 31)
        return cls(classifier, images, classes, trained_on, parts)


_FACTS: Final = frozenset(
    {"classifier", "params_id", "height", "width", "condition", "key_ids", "classes", "trained_on"}
)
_KEY_ID: Final = re.compile(r"[0-9a-f]{32}")
_PARAMS_ID: Final = re.compile(r"etc-[a-z]{1,8}-[0-9]{1,2}")
_CONDITION: Final = re.compile("|".join(one.value for one in Condition))
_CLASSIFIER: Final = re.compile("|".join(one.value for one in Classifier))


# -- judging ---------------------------------------------------------------------------------------------


def _svm(z: F64, p: Mapping[str, NDArray[Any]], classes: int) -> F64:
    kernel = "rbf" if p["gamma"][0] > 0 else "linear"
    values = decisions(z, p["vectors"], p["dual"], p["intercept"], kernel, float(p["gamma"][0]))
    return np.concatenate([-values, values], axis=1) if classes == 2 else values


def _neighbours(z: F64, p: Mapping[str, NDArray[Any]], classes: int) -> F64:
    trained, k = p["trained"], int(p["neighbours"][0])
    far = (
        np.einsum("ij,ij->i", z, z)[:, np.newaxis]
        + np.einsum("ij,ij->i", trained, trained)
        - 2 * z @ trained.T
    )
    nearest = np.argsort(far, axis=1, kind="stable")[:, :k]
    votes = np.zeros((len(z), classes))
    np.add.at(votes, (np.arange(len(z))[:, np.newaxis], p["labels"][nearest]), 1.0 / k)
    return votes


def _forest(z: F64, p: Mapping[str, NDArray[Any]], classes: int) -> F64:
    values = z.astype(np.float32)  # as the trees were grown
    total = np.zeros((len(z), classes))
    rows = np.arange(len(z))
    for root in p["roots"]:
        node = np.full(len(z), root)
        while (inner := p["left"][node] >= 0).any():
            below = values[rows, np.where(inner, p["feature"][node], 0)] <= p["threshold"][node]
            following = np.where(below, p["left"][node], p["right"][node])
            node = np.where(inner, following, node)
        total += p["value"][node]
    return total / len(p["roots"])


_JUDGES: Final[Mapping[Classifier, Callable[[F64, Mapping[str, NDArray[Any]], int], F64]]] = {
    Classifier.SVM_LINEAR: _svm,
    Classifier.SVM_RBF: _svm,
    Classifier.NEIGHBOURS: _neighbours,
    Classifier.FOREST: _forest,
}


# -- what arrays have to be ------------------------------------------------------------------------------

_BEFORE: Final = {"wide", "columns", "signs", "sums", "mean", "scale"}
_PARTS: Final = {
    Classifier.SVM_LINEAR: {"gamma", "vectors", "dual", "intercept"},
    Classifier.SVM_RBF: {"gamma", "vectors", "dual", "intercept"},
    Classifier.NEIGHBOURS: {"neighbours", "trained", "labels"},
    Classifier.FOREST: {"roots", "left", "right", "feature", "threshold", "value"},
}


class _Check:
    """Names, dtypes, shapes and ranges of a model's arrays, so that judging can neither fail nor hang."""

    def __init__(self, parts: Mapping[str, NDArray[Any]], classes: int, classifier: Classifier) -> None:
        self._parts, self._classes, self._classifier = parts, classes, classifier

    def all(self) -> None:
        if self._parts.keys() != _BEFORE | _PARTS[self._classifier]:
            self._refuse("has not the arrays of its classifier")
        wide = self._integers("wide", (1,), 1, 1 << 40)
        kept = len(self._integers("columns", (None,), 0, int(wide[0]) - 1))
        for name in ("signs", "sums", "mean", "scale"):
            self._numbers(name, (kept,))
        if kept < 1 or not (np.abs(self._parts["signs"]) == 1).all() or not (self._parts["scale"] > 0).all():
            self._refuse("has scales that are not positive")
        if self._classifier in (Classifier.SVM_LINEAR, Classifier.SVM_RBF):
            self._svm(kept)
        elif self._classifier is Classifier.NEIGHBOURS:
            self._neighbours(kept)
        else:
            self._forest(kept)

    def _svm(self, kept: int) -> None:
        machines = 1 if self._classes == 2 else self._classes
        vectors = len(self._numbers("vectors", (None, kept)))
        self._numbers("dual", (machines, vectors))
        self._numbers("intercept", (machines,))
        gamma = float(self._numbers("gamma", (1,))[0])
        if (gamma > 0) != (self._classifier is Classifier.SVM_RBF) or gamma < 0:
            self._refuse("has a kernel that is not its classifier's")

    def _neighbours(self, kept: int) -> None:
        trained = len(self._numbers("trained", (None, kept)))
        self._integers("labels", (trained,), 0, self._classes - 1)
        self._integers("neighbours", (1,), 1, trained)

    def _forest(self, kept: int) -> None:
        nodes = len(self._integers("left", (None,), -1, 1 << 40))
        right = self._integers("right", (nodes,), -1, nodes - 1)
        left = self._integers("left", (nodes,), -1, nodes - 1)
        self._integers("feature", (nodes,), 0, kept - 1)
        self._numbers("threshold", (nodes,))
        self._numbers("value", (nodes, self._classes))
        roots = self._integers("roots", (None,), 0, nodes - 1)
        above = np.arange(nodes)
        # Children lie behind their parents, so that every way down ends.
        down = ((left > above) & (right > above)) | ((left == -1) & (right == -1))
        if not len(roots) or not down.all():
            self._refuse("has trees that are none")

    def _numbers(self, name: str, shape: tuple[int | None, ...]) -> F64:
        found = self._shaped(name, np.dtype(np.float64), shape)
        if not np.isfinite(found).all():
            self._refuse(f"has numbers in {name} that are not finite")
        return found

    def _integers(self, name: str, shape: tuple[int | None, ...], low: int, high: int) -> NDArray[np.int64]:
        found = self._shaped(name, np.dtype(np.int64), shape)
        if found.size and (found.min() < low or found.max() > high):
            self._refuse(f"has numbers in {name} that are out of range")
        return found

    def _shaped(self, name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> NDArray[Any]:
        found = self._parts[name]
        fits = len(found.shape) == len(shape) and all(
            want is None or side == want for side, want in zip(found.shape, shape, strict=True)
        )
        if found.dtype != dtype or not fits:
            self._refuse(f"has an array {name} of another shape")
        return found

    def _refuse(self, why: str) -> None:
        raise MalformedError(f"This model {why}.")
