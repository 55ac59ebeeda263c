"""A learned metric made ready for few bits: centred and turned, distances unchanged.

Seed 000 §II-C quantises every coordinate of f' = L f in one range. Two changes of coordinates
leave all its distances as they are and make that range a better fit:

- the training features' mean is subtracted, since a range that is symmetric about zero spends
  levels on a common offset;
- the features are turned by a fixed orthogonal matrix Q, so that no coordinate is much larger
  than the others: |Q L (f - m) - Q L (f' - m)| = |L f - L f'|, and (Q L)ᵀ(Q L) = LᵀL = M.

Q is random but always the same; it need not be secret, and the same training gives the same map.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blindsight.core.errors import DimensionError, ParameterError
from blindsight.core.types import F32, frozen

F64 = NDArray[np.float64]

_TURN = 20180904
"""Any number would do: it makes Q the same everywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """f to f' = components f + offset.

    Attributes:
        components: float32 (outputs, N), finite.
        offset: float32 (outputs,), finite.

    Raises:
        ParameterError: arrays of other shapes, or not finite.

    """

    components: F32 = field(repr=False)
    offset: F32 = field(repr=False)

    def __post_init__(self) -> None:
        for name, dimensions in (("components", 2), ("offset", 1)):
            array = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if array.ndim != dimensions or not array.size or not np.isfinite(array).all():
                raise ParameterError(f"The {name} of a feature map are finite numbers.")
            object.__setattr__(self, name, frozen(array))
        if len(self.components) != len(self.offset):
            raise ParameterError("A feature map has an offset for each of its outputs.")

    @classmethod
    def balanced(cls, components: ArrayLike, features: ArrayLike) -> FeatureMap:
        """The map of a metric L, (outputs, N), centred on training features (m, N), and turned."""
        learned, known = np.asarray(components, np.float64), np.asarray(features, np.float64)
        if learned.ndim != 2 or known.ndim != 2 or learned.shape[1] != known.shape[1] or not len(known):
            raise DimensionError("A metric and its training features have the same number of columns.")
        turn = np.linalg.qr(np.random.default_rng(_TURN).normal(size=(len(learned), len(learned))))[0]
        turned = turn @ learned
        return cls(turned.astype(np.float32), (-turned @ known.mean(axis=0)).astype(np.float32))

    @property
    def dimension(self) -> int:
        """Coordinates of f'."""
        return len(self.offset)

    def apply(self, features: ArrayLike) -> F32:
        """Features (m, N) to float32 (m, outputs); raises `DimensionError` for another N."""
        array = np.asarray(features, np.float64)
        if array.ndim != 2 or array.shape[1] != self.components.shape[1]:
            raise DimensionError(
                f"This map takes features of {self.components.shape[1]} coordinates, not an array of shape "
                f"{array.shape}."
            )
        return np.asarray(array @ self.components.T.astype(np.float64) + self.offset, dtype=np.float32)
