"""Messages between a client and a learner (``specs/learner.md``, section 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from blindsight.core.errors import MalformedError
from blindsight.core.learning import ModelInfo, ModelSpec, Prediction
from blindsight.wire.fields import Fields, pack, unpack

MODEL_ID: Final = re.compile(r"[0-9a-f]{32}")
NAME: Final = re.compile(r"[a-z0-9._-]{1,64}")
MAX_SEALED: Final = 1 << 20
MAX_IMAGES: Final = 256
MAX_CLASSES: Final = 4096
MAX_RATIO: Final = 10_000

_MAX_SIDE: Final = 1 << 16
_MAX_FILE: Final = 64 << 20
_PARAMS_ID: Final = re.compile(r"[a-z0-9-]{1,32}")
_CONDITION: Final = re.compile(r"common|each")
_CLASSIFIER: Final = re.compile(r"[a-z-]{1,32}")
_KEY_ID: Final = re.compile(r"[0-9a-f]{32}")

_SPEC: Final = frozenset(
    {"name", "params_id", "height", "width", "condition", "classes", "key_ids", "sealed"}
)
_INFO: Final = _SPEC | {"model_id", "images", "versions", "stored_bytes"}

Raw = bytes | bytearray | memoryview


def encode_spec(spec: ModelSpec) -> bytes:
    """A description as bytes."""
    return pack(_spec_fields(spec))


def decode_spec(data: Raw) -> ModelSpec:
    """Undo `encode_spec`; `MalformedError` for anything else, as everywhere here."""
    return _spec(Fields(unpack(data), "model description", _SPEC))


def encode_info(info: ModelInfo) -> bytes:
    """A model as bytes."""
    return pack(_info_fields(info))


def decode_info(data: Raw) -> ModelInfo:
    """Undo `encode_info`."""
    return _info(unpack(data))


def encode_infos(infos: Sequence[ModelInfo]) -> bytes:
    """Models as bytes."""
    return pack({"models": [_info_fields(info) for info in infos]})


def decode_infos(data: Raw) -> list[ModelInfo]:
    """Undo `encode_infos`."""
    fields = Fields(unpack(data), "list of models", frozenset({"models"}))
    return [_info(one) for one in fields.many("models", 0, 4096)]


def encode_images(labels: Sequence[int], images: Sequence[bytes]) -> bytes:
    """Image files and their labels as bytes."""
    return pack({"labels": list(labels), "images": list(images)})


def decode_images(data: Raw) -> tuple[list[int], list[bytes]]:
    """Undo `encode_images`: labels and files, as many of each."""
    fields = Fields(unpack(data), "batch of images", frozenset({"labels", "images"}))
    labels = fields.many("labels", 1, MAX_IMAGES)
    images = _files(fields, "images")
    if len(labels) != len(images) or any(
        type(one) is not int or not 0 <= one < MAX_CLASSES for one in labels
    ):
        raise MalformedError("A batch of images has a label, from 0, for each of them.")
    return labels, images


def encode_train(classifier: str, ratio: int) -> bytes:
    """A wish for training as bytes."""
    return pack({"classifier": classifier, "ratio": ratio})


def decode_train(data: Raw) -> tuple[str, int]:
    """Undo `encode_train`: classifier and ratio."""
    fields = Fields(unpack(data), "training", frozenset({"classifier", "ratio"}))
    return fields.text("classifier", _CLASSIFIER), fields.integer("ratio", 1, MAX_RATIO)


def encode_predict(version: int, images: Sequence[bytes]) -> bytes:
    """Image files to be judged as bytes."""
    return pack({"version": version, "images": list(images)})


def decode_predict(data: Raw) -> tuple[int, list[bytes]]:
    """Undo `encode_predict`: version and files."""
    fields = Fields(unpack(data), "request", frozenset({"version", "images"}))
    return fields.integer("version", 0, 1 << 31), _files(fields, "images")


def encode_prediction(prediction: Prediction) -> bytes:
    """Scores as bytes."""
    scores = np.ascontiguousarray(prediction.scores, "<f8")
    return pack({"version": prediction.version, "classes": scores.shape[1], "scores": scores.tobytes()})


def decode_prediction(data: Raw, images: int, classes: int) -> Prediction:
    """Raises `MalformedError` unless it has a finite score for each image and class."""
    fields = Fields(unpack(data), "prediction", frozenset({"version", "classes", "scores"}))
    fields.integer("classes", classes, classes)
    size = 8 * images * classes
    scores = np.frombuffer(fields.blob("scores", size, size), "<f8").reshape(images, classes)
    if not np.isfinite(scores).all():
        raise MalformedError("The learner's scores are no numbers.")
    return Prediction(fields.integer("version", 1, 1 << 31), scores.astype(np.float64))


def _files(fields: Fields, key: str) -> list[bytes]:
    found = fields.many(key, 1, MAX_IMAGES)
    if any(type(one) is not bytes or not 0 < len(one) <= _MAX_FILE for one in found):
        raise MalformedError("Images are files, each as bytes.")
    return found


def _spec_fields(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "params_id": spec.params_id,
        "height": spec.height,
        "width": spec.width,
        "condition": spec.condition,
        "classes": spec.classes,
        "key_ids": list(spec.key_ids),
        "sealed": spec.sealed,
    }


def _info_fields(info: ModelInfo) -> dict[str, Any]:
    return _spec_fields(info.spec) | {
        "model_id": info.model_id,
        "images": info.images,
        "versions": info.versions,
        "stored_bytes": info.stored_bytes,
    }


def _spec(fields: Fields) -> ModelSpec:
    condition, classes = fields.text("condition", _CONDITION), fields.integer("classes", 2, MAX_CLASSES)
    wanted = classes if condition == "each" else 1
    key_ids = fields.many("key_ids", wanted, wanted)
    if not all(type(key_id) is str and _KEY_ID.fullmatch(key_id) for key_id in key_ids):
        raise MalformedError("Keys are named by 32 hexadecimal digits.")
    return ModelSpec(
        fields.text("name", NAME),
        fields.text("params_id", _PARAMS_ID),
        fields.integer("height", 1, _MAX_SIDE),
        fields.integer("width", 1, _MAX_SIDE),
        condition,
        classes,
        tuple(key_ids),
        fields.blob("sealed", 0, MAX_SEALED),
    )


def _info(value: Any) -> ModelInfo:
    fields = Fields(value, "model", _INFO)
    return ModelInfo(
        fields.text("model_id", MODEL_ID),
        _spec(fields),
        fields.integer("images", 0),
        fields.integer("versions", 0),
        fields.integer("stored_bytes", 0),
    )
