"""The learner on this machine: takes scrambled images, trains, judges. It has no key."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blindsight.blind.learner_store import LearnerStore
from blindsight.core.errors import (
    BlindsightError,
    DuplicateError,
    ImageError,
    KeyMismatchError,
    MalformedError,
    RefusedError,
    TamperedError,
    TooLargeError,
    UnavailableError,
    UsageError,
)
from blindsight.core.learning import ModelInfo, ModelSpec, Prediction
from blindsight.core.types import I64, U8
from blindsight.learning.etc_model import Classifier, Condition, Images, Model
from blindsight.schemes.etc_image.codec import from_bytes
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.public import EtcImage
from blindsight.wire import learning


@dataclass(frozen=True, slots=True)
class LearnerLimits:
    """What one learner takes on; counts and bytes."""

    models: int = 64
    images: int = 100_000
    pixel_bytes: int = 4 << 30
    image_pixels: int = 4_000_000
    batch: int = learning.MAX_IMAGES
    versions: int = 1000


class LocalLearner:
    """A `blindsight.core.learning.Learner` over a folder. Safe to call from several threads.

    Raises `UsageError` where another process has the folder open.
    """

    def __init__(self, folder: str | Path, *, limits: LearnerLimits | None = None) -> None:
        self.limits = limits or LearnerLimits()
        self._lock = threading.RLock()
        self._training = threading.Lock()
        self._newest: tuple[str, int, Model] | None = None
        self._store = LearnerStore(Path(folder))

    def close(self) -> None:
        with self._lock:
            self._store.close()

    # -- models --------------------------------------------------------------------------------

    def create(self, spec: ModelSpec) -> ModelInfo:
        """A model without images; `UsageError` for a description that no image can fit."""
        checked = learning.decode_spec(learning.encode_spec(spec))
        params = Params.parse(checked.params_id)
        params.grid(checked.height, checked.width)
        if checked.height * checked.width > self.limits.image_pixels:
            raise TooLargeError(f"This learner takes images of at most {self.limits.image_pixels:,} pixels.")
        if len(set(checked.key_ids)) != len(checked.key_ids):
            raise UsageError("Two classes have the same key; with a key for each, every class has its own.")
        with self._lock:
            known = self._open().models()
            if any(info.spec.name == checked.name for info in known):
                raise DuplicateError(f"There is a model named {checked.name} already.")
            if len(known) >= self.limits.models:
                raise RefusedError(f"This learner keeps at most {self.limits.models} models; delete one.")
            return self._store.create(checked)

    def models(self) -> list[ModelInfo]:
        with self._lock:
            return self._open().models()

    def info(self, model_id: str) -> ModelInfo:
        with self._lock:
            return self._open().info(model_id)

    def delete(self, model_id: str) -> None:
        with self._lock:
            self._open().delete(model_id)
            self._newest = None

    # -- learning ------------------------------------------------------------------------------

    def add(self, model_id: str, labels: Sequence[int], images: Sequence[bytes]) -> ModelInfo:
        """Keep scrambled images with their classes: all of them, or none where one does not fit."""
        spec = self.info(model_id).spec
        if len(labels) != len(images) or any(not 0 <= label < spec.classes for label in labels):
            raise UsageError(f"Every image has a label from 0 to {spec.classes - 1}.")
        keys = [spec.key_ids[label if spec.condition == "each" else 0] for label in labels]
        pixels, _ = self._opened(spec, images, keys)
        with self._lock:
            info = self._open().info(model_id)
            count = info.images + len(images)
            if count > self.limits.images or count * pixels.shape[1] > self.limits.pixel_bytes:
                raise TooLargeError("This learner keeps no more images for one model.")
            self._store.add(model_id, pixels, np.asarray(labels, np.int64))
            return self._store.info(model_id)

    def train(self, model_id: str, classifier: str, ratio: int) -> ModelInfo:
        """Train on all images that are there, and keep the result as the next version."""
        # Judging does without scikit-learn, which takes a second to import.
        from blindsight.learning.etc_training import train

        try:
            wanted = Classifier(classifier)
        except ValueError:
            names = ", ".join(one.value for one in Classifier)
            raise UsageError(f"There is no classifier of this name; there are {names}.") from None
        with self._training:
            with self._lock:
                info = self._open().info(model_id)
                if info.versions >= self.limits.versions:
                    raise RefusedError("This learner keeps no more versions of one model.")
                pixels, labels = self._store.images(model_id)
            spec = info.spec
            _require_every_class(labels, spec.classes)
            images = Images(
                spec.params_id, spec.height, spec.width, Condition(spec.condition), tuple(spec.key_ids)
            )
            model = train(pixels, labels, images, wanted, ratio)
            with self._lock:
                self._open().add_version(model_id, model.encode())
                return self._store.info(model_id)

    def predict(self, model_id: str, images: Sequence[bytes], version: int = 0) -> Prediction:
        """Judge scrambled images; refused where model and image do not belong together."""
        with self._lock:
            spec = self._open().info(model_id).spec
            number, model = self._model(model_id, version)
        pixels, keys = self._opened(spec, images, None)
        for at, key_id in enumerate(keys):
            try:
                model.images.require(spec.params_id, spec.height, spec.width, key_id)
            except KeyMismatchError as error:
                raise _numbered(error, at, len(keys)) from None
        return Prediction(number, model.scores(pixels))

    # -- plumbing ------------------------------------------------------------------------------

    def _open(self) -> LearnerStore:
        if self._store.closed:
            raise UnavailableError("The learner is shutting down.")
        return self._store

    def _model(self, model_id: str, version: int) -> tuple[int, Model]:
        newest = self._newest
        if newest and newest[0] == model_id and version == newest[1]:
            return newest[1], newest[2]
        number, data = self._store.version(model_id, version)
        if newest is None or newest[:2] != (model_id, number):
            try:
                newest = (model_id, number, Model.decode(data))
            except MalformedError:
                raise TamperedError("A trained model on this learner's disk is damaged.") from None
            self._newest = newest
        return number, newest[2]

    def _opened(
        self, spec: ModelSpec, images: Sequence[bytes], keys: Sequence[str] | None
    ) -> tuple[U8, list[str]]:
        """Images as rows, and under whose keys they are; every one fits the model."""
        if not 1 <= len(images) <= self.limits.batch:
            raise TooLargeError(f"One request takes 1 to {self.limits.batch} images; send several.")
        params = Params.parse(spec.params_id)
        about = Images(spec.params_id, spec.height, spec.width, Condition(spec.condition), spec.key_ids)
        rows, found = [], []
        for at, data in enumerate(images):
            try:
                image = from_bytes(data, max_pixels=_most(params, spec))
                about.require(image.params.params_id, image.height, image.width, image.key_id)
                _require_shared_key(image)
                if keys is not None and image.key_id != keys[at]:
                    raise KeyMismatchError("The image is under another key than its class's.")
            except ImageError as error:  # what arrives here are messages, and this one is none
                raise _numbered(MalformedError(error.message), at, len(images)) from None
            except BlindsightError as error:
                raise _numbered(error, at, len(images)) from None
            rows.append(image.pixels.reshape(-1))
            found.append(image.key_id)
        return np.stack(rows), found


def _most(params: Params, spec: ModelSpec) -> int:
    """Pixels of a scrambled image of this size."""
    rows, columns = params.grid(spec.height, spec.width)
    return rows * columns * params.block**2


def _require_shared_key(image: EtcImage) -> None:
    if image.nonce is not None:
        raise KeyMismatchError("The image has a key of its own; nothing can be learned from such images.")


def _require_every_class(labels: I64, classes: int) -> None:
    there = set(labels.tolist())
    if len(there) < 2:
        raise UsageError("There is only one class of images; training needs two classes or more.")
    if missing := sorted(set(range(classes)) - there):
        raise UsageError(f"Class {missing[0]} has no image; send one or make the model without it.")


def _numbered(error: BlindsightError, at: int, count: int) -> BlindsightError:
    if count == 1:
        return error
    return type(error)(f"Image {at + 1} of {count}: {error.message}")
