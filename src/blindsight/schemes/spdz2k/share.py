"""The camera: embeddings to integers, integers to masked inputs, real or dummy."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import DimensionError, MismatchError, RefusedError, VectorError
from blindsight.core.types import I32
from blindsight.schemes.spdz2k.messages import MAX_FACES, U64, Header, Kind
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.public import Masks


def quantise(params: Params, vectors: ArrayLike) -> I32:
    """Embeddings as integers: rounded multiples of 1 / scale.

    Args:
        params: the parameter set.
        vectors: float (count, d) or (d,), in the embedder's units.

    Returns:
        int32 (count, d). Faces and entries are quantised alike.

    Raises:
        DimensionError: another dimension.
        VectorError: NaN, infinity, or longer than ``params.norm`` allows. Never clipped.

    """
    array = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    if array.ndim != 2 or array.shape[1] != params.dimension:
        raise DimensionError(f"These parameters are for vectors of {params.dimension} coordinates.")
    if not np.isfinite(array).all():
        raise VectorError("A vector has a NaN or an infinity in it; the model failed on this image.")
    if array.size and np.abs(array).max() * params.scale > params.norm + 1:
        raise VectorError("A vector is longer than these parameters allow; take a larger radius.")
    values = np.rint(array * params.scale).astype(np.int32)
    if not params.within(values):
        raise VectorError("A vector is longer than these parameters allow; take a larger radius.")
    return values


@dataclass(frozen=True, slots=True)
class Shared:
    """Masked inputs, ready to send.

    Attributes:
        message: the same bytes for both parties.
        numbers: the face number of each face that was shared, in the order given. Which numbers
            are dummies stays with the camera.
    """

    message: bytes
    numbers: tuple[int, ...]


class Sharer:
    """Masks inputs with what was dealt, each mask once.

    Not safe to call from several threads.
    """

    def __init__(self, params: Params, session: bytes) -> None:
        self._params = params
        self._session = session
        self._stock: deque[tuple[int, U64]] = deque()
        self._next = 0

    @property
    def stock(self) -> int:
        """Masks that are left."""
        return len(self._stock)

    def add(self, masks: Masks) -> None:
        """Take masks into stock. `MismatchError` where they are another session's, or not newer."""
        if masks.session != self._session:
            raise MismatchError("These masks were dealt for another session.")
        if masks.first < self._next or masks.values.shape[1] != self._params.dimension + 1:
            raise MismatchError("These masks were dealt before, or for other faces.")
        self._stock.extend((masks.first + i, row.copy()) for i, row in enumerate(masks.values))
        self._next = masks.first + len(masks.values)

    def share(self, faces: I32, *, dummies: int = 0) -> Shared:
        """Mask faces, and ``dummies`` more that match nothing, in a random order.

        Args:
            faces: int32 (count, d) of `quantise`; count + dummies is 1 to 1024.
            dummies: inputs to add.

        Raises:
            VectorError: a face longer than the parameters allow.
            RefusedError: fewer masks in stock than inputs, or a gap in their numbers.

        """
        p = self._params
        if faces.dtype != np.int32 or faces.ndim != 2 or faces.shape[1] != p.dimension:
            raise DimensionError(f"Faces are int32 rows of {p.dimension} integers.")
        if not p.within(faces):
            raise VectorError("A face is longer than these parameters allow; quantise it first.")
        count = len(faces) + dummies
        if not (1 <= count <= MAX_FACES and dummies >= 0):
            raise RefusedError(f"Share 1 to {MAX_FACES} inputs at a time.")
        if count > len(self._stock) or self._stock[count - 1][0] - self._stock[0][0] != count - 1:
            raise RefusedError("There is not enough dealt material for these faces; deal first.")
        inputs = np.zeros((count, p.dimension + 1), np.int64)
        inputs[: len(faces), :-1] = faces
        inputs[:, -1] = np.einsum("ij,ij->i", inputs[:, :-1], inputs[:, :-1])
        inputs[len(faces) :, -1] = p.dummy
        order = np.argsort(np.frombuffer(os.urandom(8 * count), np.uint64))  # a place says nothing
        places = np.empty(count, np.int64)
        places[order] = np.arange(count)
        first = self._stock[0][0]
        taken = [self._stock.popleft()[1] for _ in range(count)]
        masked = inputs[order].astype(np.uint64) - np.stack(taken)
        for mask in taken:
            mask.fill(0)
        inputs.fill(0)
        header = Header(Kind.INPUTS, self._session, first, count)
        message = header.pack() + masked.astype("<u8").tobytes()
        return Shared(message, tuple(int(first + place) for place in places[: len(faces)]))
