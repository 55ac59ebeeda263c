"""Crops of people to the features that a gallery holds: attributes, learned metric, range.

One file holds all that seed 000 needs between a crop and its integers: the attribute classifiers
(§II-A), the metric's map L (Eq. 2), and the range and the bits of the quantisation (§II-C), so
that both cameras' people are made alike. ``specs/people-model.md`` has every byte of it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from blindsight.core.errors import BlindsightError, ModelError
from blindsight.core.types import F32, Embedding
from blindsight.encoding import FeatureMap, Quantiser
from blindsight.vision.attribute_model import AttributeModel
from blindsight.vision.faces import Face, FaceBox
from blindsight.vision.images import Image, shown
from blindsight.vision.people_features import person_features

FORMAT = "blindsight-people"
VERSION = 1
MOST_BITS = 8
_MAX_BYTES = 2**30
_KEYS = {"format", "version", "attributes", "components", "offset", "bits", "limit", "threshold"}


@dataclass(frozen=True, slots=True, eq=False)
class PeopleModel:
    """A trained model: a `blindsight.vision.Embedder` of whole crops.

    Attributes:
        attributes: crop to N confidences.
        map: confidences to features, whose Euclidean distance is the metric's.
        bits: g, 1 to 8.
        limit: c; what lies outside [-c, c] is clipped. A single precision number.
        threshold: the largest distance of a match, from training.
        model_id: ``people-`` and 12 hex digits of the SHA-256 of its file.

    Raises:
        ModelError: a map of another dimension than the attributes', or a value outside its range.

    """

    attributes: AttributeModel
    map: FeatureMap = field(repr=False)
    bits: int
    limit: float
    threshold: float
    model_id: str = field(init=False)

    def __post_init__(self) -> None:
        inputs = self.map.components.shape[1]
        if inputs != self.attributes.dimension:
            raise ModelError(
                f"The metric takes {inputs} confidences and the attributes give "
                f"{self.attributes.dimension}; train the model again."
            )
        if type(self.bits) is not int or not 1 <= self.bits <= MOST_BITS:
            raise ModelError(f"A model of people quantises to 1 to {MOST_BITS} bits.")
        for value in (self.limit, self.threshold):
            if type(value) is not float or not 0.0 <= value < 1e12 or float(np.float32(value)) != value:
                raise ModelError("The range and the threshold of a model are single precision numbers.")
        try:
            Quantiser(self.bits, self.map.dimension, self.limit)
        except BlindsightError as error:
            raise ModelError(f"The model's quantiser cannot be: {error.message}") from None
        object.__setattr__(self, "model_id", "people-" + hashlib.sha256(self._body()).hexdigest()[:12])

    @property
    def dimension(self) -> int:
        """Coordinates of a feature vector."""
        return self.map.dimension

    @property
    def metric(self) -> Any:
        """Features are compared by Euclidean distance."""
        return "euclidean"

    @property
    def radius(self) -> float:
        """No feature vector is longer."""
        return float(self.limit * self.dimension**0.5)

    @property
    def quantiser(self) -> Quantiser:
        """What a gallery of these features quantises by."""
        return Quantiser(self.bits, self.dimension, self.limit)

    def features(self, confidences: F32) -> F32:
        """Features of confidences (m, N): float32 (m, dimension), clipped to the limit."""
        return np.clip(self.map.apply(confidences), np.float32(-self.limit), np.float32(self.limit))

    def embed(self, image: Image, face: Face | None = None) -> Embedding:
        """The features of a whole crop; ``face`` is where a pipeline found somebody, the crop itself."""
        confidences = self.attributes.confidences(person_features(image)[np.newaxis])
        return Embedding(self.features(confidences)[0], self.model_id)

    # -- the file --------------------------------------------------------------------------------

    def _body(self) -> bytes:
        fields = {
            "format": FORMAT,
            "version": VERSION,
            "attributes": self.attributes.to_bytes(),
            "components": self.map.components.astype("<f4").tobytes(),
            "offset": self.map.offset.astype("<f4").tobytes(),
            "bits": self.bits,
            "limit": self.limit,
            "threshold": self.threshold,
        }
        return bytes(msgpack.packb(fields))

    def to_bytes(self) -> bytes:
        """The file's bytes; equal models give equal bytes."""
        body = self._body()
        return body + hashlib.sha256(body).digest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, replacing one that is there at once; raises `ModelError`."""
        path = Path(path)
        part = path.with_name(path.name + f".{os.getpid()}.part")
        try:
            part.write_bytes(self.to_bytes())
            part.replace(path)
        except OSError:
            raise ModelError(
                f"{shown(path)} cannot be written; check the folder and the space in it."
            ) from None
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PeopleModel:
        """Read and validate what `save` wrote; raises `ModelError` with one sentence."""
        try:
            with Path(path).open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
        except OSError:
            raise ModelError(f"The model {shown(path)} cannot be read; check its path.") from None
        if len(data) > _MAX_BYTES:
            raise ModelError(f"{shown(path)} is too large to be a model of people.")
        return cls.from_bytes(data, shown(path))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the model") -> PeopleModel:
        """Parse and validate; raises `ModelError`."""
        body, digest = data[:-32], data[-32:]
        if len(data) <= 32 or hashlib.sha256(body).digest() != digest:
            raise ModelError(f"{name} is no model of people, or damaged; copy or train it again.")
        try:
            fields = msgpack.unpackb(body, strict_map_key=True, max_bin_len=_MAX_BYTES)
        except Exception as error:  # msgpack's errors share no base class of their own.
            raise ModelError(f"{name} is not a file of a model of people; train it again.") from error
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise ModelError(f"{name} is not a file of a model of people; train it again.")
        if type(fields.get("version")) is not int or fields["version"] != VERSION:
            raise ModelError(f"{name} is of another version of this program; train it again.")
        if set(fields) != _KEYS:
            raise ModelError(f"{name} lacks a part of a model of people, or has one too many.")
        try:
            attributes = AttributeModel.from_bytes(fields["attributes"], f"the attribute part of {name}")
            components = np.frombuffer(fields["components"], "<f4").reshape(-1, attributes.dimension)
            mapped = FeatureMap(components, np.frombuffer(fields["offset"], "<f4"))
            return cls(attributes, mapped, fields["bits"], fields["limit"], fields["threshold"])
        except ModelError:
            raise
        except (BlindsightError, ValueError, TypeError, AttributeError) as error:
            raise ModelError(f"{name} holds a model of people that cannot be; train it again.") from error


@dataclass(frozen=True, slots=True)
class WholeCrop:
    """A detector for crops: one person, as large as the picture."""

    def detect(self, image: Image) -> list[Face]:
        return [Face(FaceBox(0, 0, image.width, image.height))]
