"""Crops of people to the features that a gallery holds: attributes, learned metric, range.

One file holds all that seed 000 needs between a crop and its integers: the attribute classifiers
(§II-A), the metric's map L (Eq. 2), and the range and the bits of the quantisation (§II-C), so
that both cameras' people are made alike. ``specs/people-model.md`` has every byte of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from blindsight.core.errors import BlindsightError, ModelError
from blindsight.core.types import F32, Embedding
from blindsight.encoding import FeatureMap, Quantiser
from blindsight.vision.attribute_model import AttributeModel
from blindsight.vision.faces import Face, FaceBox
from blindsight.vision.images import Image, shown
from blindsight.vision.model_file import ModelFile
from blindsight.vision.people_features import person_features

MOST_BITS = 8
_FILE: Final = ModelFile(
    "a model of people",
    "blindsight-people",
    1,
    {"format", "version", "attributes", "components", "offset", "bits", "limit", "threshold"},
)


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
        object.__setattr__(self, "model_id", _FILE.model_id("people-", self._fields()))

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

    def _fields(self) -> dict[str, Any]:
        return {
            "attributes": self.attributes.to_bytes(),
            "components": self.map.components.astype("<f4").tobytes(),
            "offset": self.map.offset.astype("<f4").tobytes(),
            "bits": self.bits,
            "limit": self.limit,
            "threshold": self.threshold,
        }

    def to_bytes(self) -> bytes:
        """The file's bytes; equal models give equal bytes."""
        return _FILE.seal(self._fields())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, replacing one that is there at once; raises `ModelError`."""
        _FILE.write(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PeopleModel:
        """Read and validate what `save` wrote; raises `ModelError` with one sentence."""
        return cls.from_bytes(_FILE.read(path), shown(path))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the model") -> PeopleModel:
        """Parse and validate; raises `ModelError`."""
        fields = _FILE.unseal(data, name)
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
