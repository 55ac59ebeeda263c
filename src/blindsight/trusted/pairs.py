"""1:1: is this vector the one that was protected before? Asked of a machine that sees neither."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import ArrayLike

from blindsight.core.matching import Wire
from blindsight.core.secrets import Secret
from blindsight.schemes.ckks.distance import DistanceParams, compare_wire
from blindsight.schemes.ckks.reveal import DistanceKeyHolder

Compare = Callable[[Wire, bytes, bytes], bytes]
"""`blindsight.wire.client.RemoteMatcher.compare`, or `compare_wire` in this process."""


class PairVerifier:
    """Euclidean distances between protected vectors, computed by a machine without the key.

    The machine learns the dimension and that two vectors were compared. There are no evaluation
    keys to send: see ``specs/ckks.md``, section 7.1.

    Args:
        dimension: coordinates of a vector, 2 to 1024.
        radius: bound on the norm of vectors.
        compare: who compares; this process where it is not given.
        secret: 32 bytes that the key grows from, to reveal with a reference of an earlier
            session; fresh where it is not given.

    """

    def __init__(
        self,
        dimension: int,
        *,
        radius: float = 1.0,
        compare: Compare = compare_wire,
        secret: Secret | None = None,
    ) -> None:
        params = DistanceParams(
            dimension, largest_distance=2.0 * radius, error_limit=1e-3 * max(radius, 1e-9) ** 2
        )
        self._holder = DistanceKeyHolder(params, secret if secret is not None else Secret.fresh())
        self._wire = params.wire()
        self._compare = compare

    @property
    def largest_error(self) -> float:
        """How far a squared distance can be from the plaintext's."""
        return self._holder.params.error

    def protect(self, vector: ArrayLike) -> bytes:
        """A reference to keep anywhere: 14,400 bytes."""
        return self._holder.protect(vector)

    def distance(self, reference: bytes, vector: ArrayLike) -> float:
        """The Euclidean distance between a reference and a vector, (dimension,)."""
        return self._holder.reveal(self._compare(self._wire, reference, self._holder.protect(vector)))

    def verify(self, reference: bytes, vector: ArrayLike, threshold: float) -> bool:
        """Whether the distance is at most the threshold."""
        return self.distance(reference, vector) <= threshold
