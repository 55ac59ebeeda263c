"""A watch list as its owner serves it: templates in the open, probes encrypted.

The owner learns that somebody asked, and nothing of whom. It belongs on the trusted side
because it has templates; of the client it has no secret.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import DimensionError, ParameterError
from blindsight.core.matching import Wire
from blindsight.encoding import Encoding
from blindsight.schemes.bfv.watch import CLAIM, LEAKAGE, PlaintextGallery, WatchKeys
from blindsight.schemes.bfv.watch_params import LEAST_FLOOD, WatchParams
from blindsight.schemes.seal.session import KeyRoom
from blindsight.wire.watchlist import MAX_TEMPLATES, Description

SCALE = 160
"""Integers a unit of vectors and probes: at 128 coordinates the scores fit the smallest modulus."""

__all__ = ["CLAIM", "LEAKAGE", "SCALE", "WatchListOwner", "encoding_wire"]


class WatchListOwner:
    """The owner's side of `blindsight.trusted.watch_client.WatchList`. Safe for several threads.

    Args:
        vectors: (count, dimension), float.
        metric, radius: what scores mean; see `blindsight.encoding.Encoding`.
        model_id: of the model that made the vectors; clients of another model are refused.
        scale: integers a unit; larger ones make scores finer, and everything larger.
        flood_bits: see `blindsight.schemes.bfv.watch_params.WatchParams`.

    Raises the errors of `Encoding` and `WatchParams`.

    """

    def __init__(
        self,
        vectors: ArrayLike,
        *,
        model_id: str,
        metric: str = "cosine",
        radius: float = 1.0,
        scale: int = SCALE,
        flood_bits: int = LEAST_FLOOD,
    ) -> None:
        array = np.asarray(vectors, np.float32)
        if array.ndim != 2 or not 1 <= len(array) <= MAX_TEMPLATES:
            raise DimensionError(f"A watch list is an array of 1 to {MAX_TEMPLATES} vectors.")
        if not 1 <= len(model_id) <= 128:
            raise ParameterError("The model's name has 1 to 128 characters.")
        encoding = Encoding(array.shape[1], metric, scale, scale, radius)  # type: ignore[arg-type]
        self._params = WatchParams.integers(
            encoding.width,
            template_norm=encoding.template_norm,
            probe_norm=encoding.probe_norm,
            score_bound=encoding.score_bound,
            flood_bits=flood_bits,
        )
        self._gallery = PlaintextGallery(self._params, encoding.templates(array).values)
        self._keys = KeyRoom(self._params.key_bytes, lambda data: WatchKeys.load(self._params, data))
        self._description = Description(
            self._params.wire(), encoding_wire(encoding), model_id, self._gallery.count
        )

    def describe(self) -> Description:
        """What a client has to know before it asks."""
        return self._description

    def received(self, digest: str) -> int:
        """How many bytes of these evaluation keys are here."""
        return self._keys.received(digest)

    def piece(self, digest: str, at: int, data: bytes) -> int:
        """Take a piece of a client's evaluation keys; see `KeyRoom.piece`."""
        return self._keys.piece(digest, at, data)

    def score(self, digest: str, probe: bytes) -> tuple[bytes, float]:
        """The encrypted and flooded scores of a probe, and how many milliseconds they took."""
        keys = self._keys[digest]
        started = time.perf_counter()
        answer = self._gallery.answer(keys, probe)
        return answer, (time.perf_counter() - started) * 1e3

    def close(self) -> None:
        """Nothing is open."""


def encoding_wire(encoding: Encoding) -> Wire:
    """An encoding as it travels: flat, the radius in hexadecimal."""
    return encoding.fields() | {"radius": encoding.radius.hex()}
