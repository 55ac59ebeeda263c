"""What a gallery needs of its encoding, and which of them a stored record names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import ArrayLike

from blindsight.core.types import F32, AnyArray, Probes, Templates
from blindsight.encoding.fixed_point import Encoding, Metric
from blindsight.encoding.linear import KIND, LinearEncoding


class GalleryEncoding(Protocol):
    """Vectors to integers whose inner product is the metric: `Encoding` or `LinearEncoding`."""

    @property
    def dimension(self) -> int: ...

    @property
    def metric(self) -> Metric: ...

    @property
    def radius(self) -> float: ...

    @property
    def width(self) -> int: ...

    @property
    def template_norm(self) -> int: ...

    @property
    def probe_norm(self) -> int: ...

    @property
    def score_bound(self) -> int: ...

    @property
    def larger_is_closer(self) -> bool: ...

    @property
    def score_unit(self) -> float:
        """What one integer of a score is: of a similarity, or of a squared distance."""
        ...

    @property
    def encoding_id(self) -> str: ...

    def templates(self, vectors: ArrayLike) -> Templates: ...

    def probes(self, vectors: ArrayLike) -> Probes: ...

    def check(self, vectors: ArrayLike, first: int = 0) -> None: ...

    def scores(self, raw: AnyArray, probes: Probes) -> F32: ...

    def fields(self) -> dict[str, Any]: ...


def stored_encoding(fields: Mapping[str, Any]) -> GalleryEncoding:
    """Parse what an encoding's ``fields`` gave; raises `MalformedError`."""
    return LinearEncoding.from_fields(fields) if fields.get("kind") == KIND else Encoding.from_fields(fields)
