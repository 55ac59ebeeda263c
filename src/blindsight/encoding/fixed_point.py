"""Vectors to integers whose inner product is the metric, up to a known rounding.

Three metrics, one inner product. With ``x`` a template and ``p`` a probe, both divided by
``radius`` (cosine: by their own norms), so that they lie in the unit ball:

    cosine, inner product   <x, p>
    Euclidean               <x, p> - |x|^2 / 2 = (|p|^2 - |x - p|^2) / 2

The Euclidean one takes one more coordinate: ``-|x|^2 / (2 c)`` in the template, ``c`` in the
probe. ``c = 1 / sqrt 2`` makes the longest template as long as the longest probe, which is
where the schemes' noise is least. In all three a larger integer is a better match.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import DimensionError, MalformedError, ParameterError, VectorError
from blindsight.core.types import F32, AnyArray, Probes, Templates

Metric = Literal["cosine", "inner_product", "euclidean"]
_METRICS = ("cosine", "inner_product", "euclidean")
_C = math.sqrt(0.5)
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Encoding:
    """How float vectors of one model become the integers that a scheme protects.

    Attributes:
        dimension: coordinates of a vector, 16 to 4096.
        metric: what scores mean.
        template_scale: integers a unit of a template, 2^4 to 2^16.
        probe_scale: the same for probes.
        radius: bound on the norm of vectors, 10^-12 to 10^12; 1 for the cosine, which normalises.

    Raises:
        ParameterError: a value outside its range, or a score that could reach 2^40.

    """

    dimension: int
    metric: Metric
    template_scale: int = 2**12
    probe_scale: int = 2**16
    radius: float = 1.0

    def __post_init__(self) -> None:
        if not all(type(n) is int for n in (self.dimension, self.template_scale, self.probe_scale)):
            raise ParameterError("The dimension and the scales are integers.")
        if type(self.radius) not in (int, float):
            raise ParameterError("The radius is a number.")
        object.__setattr__(self, "radius", float(self.radius))  # equal encodings have equal names
        if not 16 <= self.dimension <= 4096:
            raise ParameterError(f"Vectors have 16 to 4096 coordinates, not {self.dimension}.")
        if self.metric not in _METRICS:
            raise ParameterError(f"The metric is one of {', '.join(_METRICS)}, not {self.metric!r}.")
        if not all(2**4 <= scale <= 2**16 for scale in (self.template_scale, self.probe_scale)):
            raise ParameterError("Scales lie between 2^4 and 2^16.")
        if not 1e-12 <= self.radius <= 1e12:
            raise ParameterError("The radius lies between 10^-12 and 10^12; scores are single precision.")
        if self.metric == "cosine" and self.radius != 1.0:
            raise ParameterError("The cosine normalises its vectors; its radius is 1.")
        if self.score_bound >= 2**40:
            raise ParameterError("Scores would not fit; lower the scales.")

    @classmethod
    def integers(cls, dimension: int, metric: Metric, *, radius: float = 1.0, scale: int = 2**10) -> Encoding:
        """Ten bits on both sides: for schemes that give the integers back exactly."""
        return cls(dimension, metric, scale, scale, radius)

    # -- bounds that parameter sets are built on ---------------------------------------------

    @property
    def width(self) -> int:
        """Integers in an encoded vector."""
        return self.dimension + (self.metric == "euclidean")

    @property
    def template_norm(self) -> int:
        """Largest norm of an encoded template: the unit ball, rounding included."""
        return math.ceil(math.hypot(self._ball(self.template_scale), self._last_of_template))

    @property
    def probe_norm(self) -> int:
        """Largest norm of an encoded probe."""
        return math.ceil(math.hypot(self._ball(self.probe_scale), self._last_of_probe))

    @property
    def score_bound(self) -> int:
        """Largest absolute integer score."""
        points = self._ball(self.template_scale) * self._ball(self.probe_scale)
        return math.ceil(points + self._last_of_template * self._last_of_probe)

    def _ball(self, scale: int) -> float:
        """Largest norm of the rounded coordinates of a vector in the unit ball."""
        return scale * (1 + _SLACK) + math.sqrt(self.dimension) / 2

    @property
    def _last_of_template(self) -> float:
        """Largest absolute value of a template's additional coordinate; 0 where there is none."""
        if self.metric != "euclidean":
            return 0.0
        return self._ball(self.template_scale) ** 2 / (2 * _C * self.template_scale) + 0.5

    @property
    def _last_of_probe(self) -> int:
        """A probe's additional coordinate; 0 where there is none."""
        return round(_C * self.probe_scale) if self.metric == "euclidean" else 0

    # -- vectors to integers -------------------------------------------------------------------

    def templates(self, vectors: ArrayLike) -> Templates:
        """Encode gallery vectors, (m, dimension) or (dimension,).

        Raises:
            DimensionError: another dimension.
            VectorError: NaN, infinity, a zero vector under the cosine, a norm over the radius.

        """
        unit = self._unit(vectors)
        values = np.rint(unit * self.template_scale)
        if self.metric == "euclidean":
            last = -np.einsum("ij,ij->i", values, values) / (2 * _C * self.template_scale)
            values = np.column_stack([values, np.rint(last)])
        return Templates(values.astype(np.int32), self.encoding_id)

    def probes(self, vectors: ArrayLike) -> Probes:
        """Encode probe vectors; arguments and errors as in `templates`."""
        values = np.rint(self._unit(vectors) * self.probe_scale)
        if self.metric == "euclidean":
            values = np.column_stack([values, np.full(len(values), self._last_of_probe)])
        return Probes(values.astype(np.int32), self.encoding_id)

    def check(self, vectors: ArrayLike, first: int = 0) -> None:
        """Raise what `templates` would; ``first`` is the number of the first vector in messages."""
        self._unit(vectors, first)

    def _unit(self, vectors: ArrayLike, first: int = 0) -> AnyArray:
        array = np.asarray(vectors, dtype=np.float64)
        if array.ndim == 1:
            array = array[np.newaxis]
        if array.ndim != 2 or array.shape[1] != self.dimension:
            raise DimensionError(
                f"This gallery holds vectors of {self.dimension} coordinates, not an array of shape "
                f"{array.shape}."
            )
        broken = ~np.isfinite(array).all(axis=1)
        if broken.any():
            raise VectorError(f"Vector {first + int(broken.argmax())} has a NaN or an infinity in it.")
        largest = np.abs(array).max(axis=1, keepdims=True)
        if self.metric == "cosine":
            if not largest.all():
                where = first + int(largest.argmin())
                raise VectorError(f"Vector {where} is zero and has no direction; the cosine needs one.")
            array = array / largest  # so that no square over- or underflows
            return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True))
        with np.errstate(over="ignore"):
            array = array / self.radius
            norms = np.linalg.norm(array, axis=1)
        if len(norms) and not norms.max() <= 1 + _SLACK:
            where = int(norms.argmax())
            raise VectorError(
                f"Vector {first + where} has norm {norms[where] * self.radius:.4g}, over this gallery's "
                f"radius {self.radius:.4g}; create the gallery with a larger radius."
            )
        return array

    # -- integers to scores --------------------------------------------------------------------

    def scores(self, raw: AnyArray, probes: Probes) -> F32:
        """Integer inner products (m, rows) of probes (m) in the metric's units: float32.

        Similarities for the cosine and the inner product, distances for the Euclidean metric.
        """
        unit = float(self.template_scale * self.probe_scale)
        if self.metric != "euclidean":
            return np.asarray(raw * np.float32(self.radius**2 / unit), dtype=np.float32)
        points = probes.values[:, :-1].astype(np.float64) / self.probe_scale
        lengths = np.einsum("ij,ij->i", points, points)[:, np.newaxis].astype(np.float32)
        squared = np.maximum(lengths - raw * np.float32(2 / unit), np.float32(0))
        return np.asarray(np.sqrt(squared) * np.float32(self.radius), dtype=np.float32)

    @property
    def larger_is_closer(self) -> bool:
        """Whether scores are similarities."""
        return self.metric != "euclidean"

    @property
    def score_unit(self) -> float:
        """What one integer of a score is: of a similarity, or of a squared distance."""
        product = self.radius**2 / (self.template_scale * self.probe_scale)
        return 2 * product if self.metric == "euclidean" else product

    # -- as it is stored -------------------------------------------------------------------------

    def fields(self) -> dict[str, Any]:
        """Flat and plain, for a sealed record."""
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Encoding:
        """Parse what `fields` gave."""
        kinds = {"dimension": int, "metric": str, "template_scale": int, "probe_scale": int, "radius": float}
        if set(fields) != set(kinds) or any(type(fields[name]) is not kind for name, kind in kinds.items()):
            raise MalformedError("The stored encoding is not one of this version.")
        return cls(**cast(dict[str, Any], dict(fields)))

    @property
    def encoding_id(self) -> str:
        canonical = json.dumps(self.fields(), sort_keys=True).encode()
        return "fixed-" + hashlib.sha256(canonical).hexdigest()[:16]
