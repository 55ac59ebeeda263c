"""Named arrays and a few facts about them as one block of bytes: no pickle, nothing that runs.

``specs/learner.md``, section 3, has the format.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import MalformedError
from blindsight.wire.fields import Fields, pack, unpack

MAGIC: Final = b"BSARRAY1"
MAX_HEADER: Final = 1 << 20
MAX_ARRAYS: Final = 32
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_DTYPES: Final = {"u1": "|u1", "i4": "<i4", "i8": "<i8", "f4": "<f4", "f8": "<f8"}
_ENTRY: Final = frozenset({"name", "dtype", "shape"})
_HEADER: Final = frozenset({"facts", "arrays"})


def encode(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Magic, length, header, the arrays one after the other, SHA-256 of all before it."""
    entries, bodies = [], []
    for name, array in arrays.items():
        kind = f"{array.dtype.kind}{array.dtype.itemsize}"
        if kind not in _DTYPES or not _NAME.fullmatch(name) or array.ndim > 3:
            raise ValueError(f"the array {name} has no place in this format")
        entries.append({"name": name, "dtype": kind, "shape": list(array.shape)})
        bodies.append(np.ascontiguousarray(array, _DTYPES[kind]).tobytes())
    header = pack({"facts": dict(facts), "arrays": entries})
    whole = b"".join([MAGIC, struct.pack("<I", len(header)), header, *bodies])
    return whole + hashlib.sha256(whole).digest()


def decode(data: bytes, what: str) -> tuple[Any, dict[str, NDArray[Any]]]:
    """The facts, still to be validated, and the arrays: read-only, native byte order.

    Raises `MalformedError` for anything that `encode` does not write: cut off, altered, too long.
    """
    wrong = MalformedError(f"This {what} is damaged, cut off, or of another version.")
    start = len(MAGIC) + 4
    if len(data) < start + 32 or not data.startswith(MAGIC):
        raise wrong
    if not hmac.compare_digest(hashlib.sha256(data[:-32]).digest(), data[-32:]):
        raise wrong
    length = struct.unpack("<I", data[len(MAGIC) : start])[0]
    if length > min(MAX_HEADER, len(data) - start - 32):
        raise wrong
    fields = Fields(unpack(data[start : start + length]), what, _HEADER)
    arrays: dict[str, NDArray[Any]] = {}
    at = start + length
    for entry in fields.many("arrays", 0, MAX_ARRAYS):
        one = Fields(entry, what, _ENTRY)
        name, kind = one.text("name", _NAME), one.text("dtype", re.compile("|".join(_DTYPES)))
        shape = one.many("shape", 0, 3)
        if name in arrays or any(type(side) is not int or not 0 <= side <= 1 << 40 for side in shape):
            raise wrong
        dtype = np.dtype(_DTYPES[kind])
        size = dtype.itemsize
        for side in shape:
            size *= side
        if size > len(data) - 32 - at:
            raise wrong
        count = size // dtype.itemsize
        arrays[name] = np.frombuffer(data, dtype, count, at).reshape(shape)
        at += size
    if at != len(data) - 32:
        raise wrong
    return fields.any("facts"), arrays
