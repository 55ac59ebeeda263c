"""Crops to the confidences of attributes: the trained model, its file and its name.

Seed 000 §II-A, step S1: a person is a vector of N confidences (95 in the paper), each between
-1 and 1. Each is one linear classifier on `people_features` and a sigmoid that was fitted to
what the classifier says of people it has not seen: with decision value v the confidence is
tanh((slope v + offset) / 2), that is twice the probability less one, an attribute that is true
and one that is false being equally likely beforehand.

The file is MessagePack and no pickle: a map of ``format`` ("blindsight-attributes"),
``version`` (1), ``features`` (names the image features), ``attributes`` (their texts),
``weights`` (N x D), ``bias``, ``slope``, ``offset`` (N each), little-endian float32 in row
order; then the SHA-256 of the map's bytes, which tells damage, not forgery. The weights say
something about the people they were trained on, in the aggregate; the file stays with the
trusted side.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from blindsight.core.errors import BlindsightError, DimensionError, ModelError, VectorError
from blindsight.core.types import F32, Embedding, frozen
from blindsight.vision.attribute_table import Attribute
from blindsight.vision.images import Image, shown
from blindsight.vision.model_file import ModelFile
from blindsight.vision.people_features import DIMENSION, FEATURES_ID, person_features

MAX_ATTRIBUTES = 4096
_FILE: Final = ModelFile(
    "an attribute model",
    "blindsight-attributes",
    1,
    {"format", "version", "features", "attributes", "weights", "bias", "slope", "offset"},
)


class PersonEmbedder(Protocol):
    """Turns a crop of a person into an `Embedding`. Safe to call from several threads."""

    @property
    def model_id(self) -> str:
        """Names the model and its preprocessing; equal on all machines."""
        ...

    @property
    def dimension(self) -> int: ...

    def embed(self, image: Image) -> Embedding:
        """The whole crop as a vector of values from -1 to 1."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class AttributeModel:
    """N attributes and their classifiers.

    Attributes:
        attributes: what each confidence is of, all different.
        weights: float32 (N, D), D of `people_features`.
        bias, slope, offset: float32 (N,); the slopes are positive.
        model_id: ``attributes-`` and 12 hex digits of the SHA-256 of its file.

    Raises:
        ModelError: arrays of other shapes, not finite, or a slope that is not positive.

    """

    attributes: tuple[Attribute, ...]
    weights: F32 = field(repr=False)
    bias: F32 = field(repr=False)
    slope: F32 = field(repr=False)
    offset: F32 = field(repr=False)
    model_id: str = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.attributes)
        if not 1 <= count <= MAX_ATTRIBUTES or len(set(self.attributes)) != count:
            raise ModelError(f"An attribute model has 1 to {MAX_ATTRIBUTES} attributes, each once.")
        shapes = {"weights": (count, DIMENSION), "bias": (count,), "slope": (count,), "offset": (count,)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ModelError(f"The {name} of an attribute model are finite float32 of shape {shape}.")
            object.__setattr__(self, name, frozen(np.ascontiguousarray(array)))
        if not (self.slope > 0.0).all():
            raise ModelError("The slopes of an attribute model are positive.")
        object.__setattr__(self, "model_id", _FILE.model_id("attributes-", self._fields()))

    @property
    def dimension(self) -> int:
        """N."""
        return len(self.attributes)

    def confidences(self, features: F32) -> F32:
        """Confidences from image features (m, D): float32 (m, N), each from -1 to 1.

        Raises:
            DimensionError: features of another shape.
        """
        if features.ndim != 2 or features.shape[1] != DIMENSION:
            raise DimensionError(f"Image features are an array of shape (crops, {DIMENSION}).")
        values = features @ self.weights.T + self.bias
        return np.asarray(np.tanh((self.slope * values + self.offset) / 2), dtype=np.float32)

    def embed(self, image: Image) -> Embedding:
        """The confidences of one crop; raises `VectorError` where the pixels give no number."""
        return Embedding(self.confidences(person_features(image)[np.newaxis])[0], self.model_id)

    # -- the file --------------------------------------------------------------------------------

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "features": FEATURES_ID,
            "attributes": [str(attribute) for attribute in self.attributes],
        }
        for name in ("weights", "bias", "slope", "offset"):
            fields[name] = getattr(self, name).astype("<f4").tobytes()
        return fields

    def to_bytes(self) -> bytes:
        """The file's bytes; equal models give equal bytes."""
        return _FILE.seal(self._fields())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, replacing one that is there at once; raises `ModelError`."""
        _FILE.write(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AttributeModel:
        """Read and validate what `save` wrote; raises `ModelError` with one sentence."""
        return cls.from_bytes(_FILE.read(path), shown(path))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the attribute model") -> AttributeModel:
        """Parse and validate; raises `ModelError`."""
        fields = _FILE.unseal(data, name)
        if fields["features"] != FEATURES_ID:
            raise ModelError(f"{name} is of another version of this program; train it again.")
        try:
            return cls._parsed(fields)
        except (BlindsightError, ValueError, TypeError, AttributeError) as error:
            raise ModelError(f"{name} holds an attribute model that cannot be; train it again.") from error

    @classmethod
    def _parsed(cls, fields: dict[str, Any]) -> AttributeModel:
        attributes = tuple(Attribute.parse(text) for text in fields["attributes"])
        arrays = {
            name: np.frombuffer(fields[name], dtype="<f4").astype(np.float32)
            for name in ("weights", "bias", "slope", "offset")
        }
        arrays["weights"] = arrays["weights"].reshape(len(attributes), DIMENSION)
        return cls(attributes, **arrays)


def embed_people(embedder: PersonEmbedder, images: Iterable[Image]) -> F32:
    """Vectors of many crops, float32 (crops, dimension), each value from -1 to 1.

    Raises:
        VectorError: a value outside, or a crop that the model fails on.
    """
    rows = [embedder.embed(image).vector for image in images]
    vectors = np.stack(rows) if rows else np.empty((0, embedder.dimension), dtype=np.float32)
    if vectors.size and np.abs(vectors).max() > 1.0:
        raise VectorError("The model gives values outside [-1, 1]; say in its description what they are.")
    return np.asarray(vectors, dtype=np.float32)
