"""What a client asks of a learner, and what it hears back: for this process and over HTTP alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model to be made (``specs/learner.md``, section 2).

    Attributes:
        name: 1 to 64 of a-z, 0-9, dot, underscore, hyphen.
        params_id: of the scheme that protects the images.
        height: of the originals, in pixels.
        width: of the originals.
        condition: ``common``, one key, or ``each``, a key for each class.
        classes: how many.
        key_ids: one, or one for each class.
        sealed: what only clients can read: the names of the classes.
    """

    name: str
    params_id: str
    height: int
    width: int
    condition: str
    classes: int
    key_ids: tuple[str, ...]
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as a learner has it; ``versions`` counts trainings, ``images`` what was sent."""

    model_id: str
    spec: ModelSpec
    images: int
    versions: int
    stored_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """float64 (images, classes), larger is closer; of which version."""

    version: int
    scores: F64 = field(repr=False)


class Learner(Protocol):
    """The other side: trains and judges, and never has a key."""

    def create(self, spec: ModelSpec) -> ModelInfo: ...

    def models(self) -> list[ModelInfo]: ...

    def info(self, model_id: str) -> ModelInfo: ...

    def delete(self, model_id: str) -> None: ...

    def add(self, model_id: str, labels: Sequence[int], images: Sequence[bytes]) -> ModelInfo: ...

    def train(self, model_id: str, classifier: str, ratio: int) -> ModelInfo: ...

    def predict(self, model_id: str, images: Sequence[bytes], version: int = 0) -> Prediction: ...

    def close(self) -> Any: ...
