"""The immutable values that pass from stage to stage.

``Image → FaceCrop → Embedding → Template → protected → Decision``. Arrays inside are made
read-only; nothing reaches back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import DimensionError, ModelMismatchError, VectorError

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
AnyArray = NDArray[Any]


def frozen(array: AnyArray) -> AnyArray:
    """The same memory, read-only for whoever holds the result."""
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, slots=True)
class Embedding:
    """What a network says about one face or person.

    Attributes:
        vector: float32, shape (d,), finite and not zero.
        model_id: names the network, its weights and its preprocessing. Vectors of two
            models mean different things; comparing them raises.
    """

    vector: F32
    model_id: str

    def __post_init__(self) -> None:
        vector = np.ascontiguousarray(self.vector, dtype=np.float32)
        if vector.ndim != 1:
            raise DimensionError("An embedding is one vector; pass them one by one.")
        if not np.isfinite(vector).all():
            raise VectorError("The embedding has a NaN or an infinity in it; the model failed on this image.")
        if not vector.any():
            raise VectorError("The embedding is all zeros; the model failed on this image.")
        object.__setattr__(self, "vector", frozen(vector))

    def require_model(self, model_id: str) -> None:
        """Raise `ModelMismatchError` unless this embedding comes from that model."""
        if self.model_id != model_id:
            raise ModelMismatchError(
                f"This gallery holds templates of {model_id}, the photo was embedded with "
                f"{self.model_id}; use the gallery's embedder."
            )


@dataclass(frozen=True, slots=True)
class Templates:
    """Embeddings after encoding: integers, one row each, ready to be protected.

    Attributes:
        values: int32, shape (rows, width), made read-only.
        encoding_id: names the encoding whose integers these are; templates and probes of
            two encodings do not mix.
    """

    values: I32
    encoding_id: str

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.int32:
            raise DimensionError("Templates are an int32 array of shape (rows, width).")
        object.__setattr__(self, "values", frozen(np.ascontiguousarray(self.values)))

    def __len__(self) -> int:
        return int(self.values.shape[0])


@dataclass(frozen=True, slots=True)
class Probes:
    """Probe embeddings after encoding; `Templates`' counterpart with the probe's own scale."""

    values: I32
    encoding_id: str

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.int32:
            raise DimensionError("Probes are an int32 array of shape (probes, width).")
        object.__setattr__(self, "values", frozen(np.ascontiguousarray(self.values)))

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def __getitem__(self, part: slice) -> Probes:
        return Probes(self.values[part], self.encoding_id)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One subject that a probe may show.

    ``rank`` counts from 1. ``score`` is a similarity (larger is closer) or a distance
    (smaller is closer), as the gallery's metric has it, and None where the gallery's policy
    does not let this caller see scores.
    """

    subject: str
    rank: int
    score: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one probe.

    Attributes:
        match: whether the best candidate (verify: the claimed subject) passes the threshold.
        subject: the best candidate's name where ``match``, else None: explicitly unknown.
        rank: the rank of ``subject``; None where there is no match.
        score: the best score, or None where the policy hides scores.
        threshold: the threshold that was applied, in the metric's units.
        candidates: the best subjects, best first, matching or not.
        at: when, in UTC.
        scheme: the scheme that compared.
        timings: milliseconds by stage.
        traffic: bytes by direction, ``up`` and ``down``.
    """

    match: bool
    subject: str | None
    rank: int | None
    score: float | None
    threshold: float
    candidates: tuple[Candidate, ...]
    at: datetime
    scheme: str
    timings: Mapping[str, float] = field(default_factory=dict)
    traffic: Mapping[str, int] = field(default_factory=dict)
