"""What both parties look for: entries, one threshold, and how they came to be agreed on."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from blindsight.core.errors import DimensionError, MalformedError, ParameterError, UsageError, VectorError
from blindsight.core.types import I32, frozen
from blindsight.schemes.spdz2k.params import Params

MAX_ENTRIES: Final = 65536
HEAD_BYTES: Final = 32

_LABEL: Final = b"blindsight two-party watchlist v1"
_NUMBERS: Final = struct.Struct("<6Q")


@dataclass(frozen=True, slots=True)
class Watchlist:
    """An agreed state of the watchlist. Its digest enters every comparison.

    Attributes:
        params: the parameter set that its integers are made for.
        entries: int32 (N, d), 1 to 65536 rows, norms within ``params.norm``; made read-only.
        threshold: a face matches an entry where the squared distance is below it.
        head: what the record of approvals ends in, 32 bytes; zeros where there is none.
        digest: SHA-256 of `to_bytes`.

    """

    params: Params
    entries: I32
    threshold: int
    head: bytes = bytes(HEAD_BYTES)
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        d = self.params.dimension
        if self.entries.dtype != np.int32 or self.entries.ndim != 2 or self.entries.shape[1] != d:
            raise DimensionError(f"Entries are int32 rows of {d} integers.")
        if not 1 <= len(self.entries) <= MAX_ENTRIES:
            raise UsageError(f"A watchlist has 1 to {MAX_ENTRIES} entries, not {len(self.entries)}.")
        if not self.params.within(self.entries):
            raise VectorError("An entry is longer than these parameters allow; embed it with the same model.")
        if type(self.threshold) is not int or not 0 < self.threshold <= self.params.largest_threshold:
            raise ParameterError(
                f"The threshold is a squared integer distance from 1 to {self.params.largest_threshold}."
            )
        if type(self.head) is not bytes or len(self.head) != HEAD_BYTES:
            raise UsageError(f"The head of the record of approvals has {HEAD_BYTES} bytes.")
        object.__setattr__(self, "entries", frozen(np.ascontiguousarray(self.entries).copy()))
        object.__setattr__(self, "digest", hashlib.sha256(self.to_bytes()).digest())

    def __len__(self) -> int:
        return len(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Watchlist) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_bytes(self) -> bytes:
        """As it is stored and hashed: specification, section 8."""
        p = self.params
        numbers = _NUMBERS.pack(p.dimension, p.scale, p.norm, p.value_bits, len(self), self.threshold)
        return _LABEL + numbers + self.head + self.entries.astype("<i4").tobytes()

    @classmethod
    def parse(cls, data: bytes) -> Watchlist:
        """Read what `to_bytes` wrote.

        Raises:
            MalformedError: not that.
            ParameterError, VectorError: that, but no watchlist that may exist.

        """
        start = len(_LABEL) + _NUMBERS.size + HEAD_BYTES
        if len(data) < start or data[: len(_LABEL)] != _LABEL:
            raise MalformedError("This is not a watchlist of this version.")
        dimension, scale, norm, bits, count, threshold = _NUMBERS.unpack_from(data, len(_LABEL))
        params = Params(dimension, scale, norm, bits)
        if not 1 <= count <= MAX_ENTRIES or len(data) != start + 4 * dimension * count:
            raise MalformedError("This watchlist does not have the length that it says.")
        entries = np.frombuffer(data, "<i4", offset=start).reshape(count, dimension).astype(np.int32)
        return cls(params, entries, threshold, bytes(data[start - HEAD_BYTES : start]))

    def matches(self, faces: I32) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """The plaintext rule: bool (faces, N), squared distance below the threshold.

        The reference that the protocol is tested against; who can call it has seen the faces.
        """
        if faces.ndim != 2 or faces.shape[1] != self.params.dimension:
            raise DimensionError(f"Faces are rows of {self.params.dimension} integers.")
        a, b = faces.astype(np.float64), self.entries.astype(np.float64)  # exact below 2^53
        squared = (a * a).sum(axis=1)[:, np.newaxis] + (b * b).sum(axis=1) - 2.0 * (a @ b.T)
        return np.asarray(squared < self.threshold)
