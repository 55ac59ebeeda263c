"""Files of models that were trained here: a MessagePack map and the SHA-256 of its bytes.

The digest tells damage, not forgery.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack

from blindsight.core.errors import ModelError
from blindsight.vision.images import shown

_MOST_BYTES: Final = 2**30
_DIGEST: Final = 32


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One kind of file.

    Attributes:
        kind: with its article, for sentences: "an attribute model".
        format: what its ``format`` says.
        version: what its ``version`` says.
        keys: of the map, all of them, ``format`` and ``version`` too.

    """

    kind: str
    format: str
    version: int
    keys: Set[str]

    def pack(self, fields: dict[str, Any]) -> bytes:
        """The map's bytes; equal fields in equal order give equal bytes."""
        return bytes(msgpack.packb({"format": self.format, "version": self.version} | fields))

    def model_id(self, prefix: str, fields: dict[str, Any]) -> str:
        """``prefix`` and 12 hex digits of the digest."""
        return prefix + hashlib.sha256(self.pack(fields)).hexdigest()[:12]

    def seal(self, fields: dict[str, Any]) -> bytes:
        """The file's bytes."""
        body = self.pack(fields)
        return body + hashlib.sha256(body).digest()

    def unseal(self, data: bytes, name: str) -> dict[str, Any]:
        """The map of a file's bytes, its keys and version checked; `ModelError` otherwise."""
        body, digest = data[:-_DIGEST], data[-_DIGEST:]
        if len(data) <= _DIGEST or hashlib.sha256(body).digest() != digest:
            raise ModelError(f"{name} is not {self.kind}, or damaged; copy or train it again.")
        try:
            fields = msgpack.unpackb(body, strict_map_key=True, max_bin_len=_MOST_BYTES)
        except Exception as error:  # msgpack's errors share no base class of their own.
            raise ModelError(f"{name} is not a file of {self.kind}; train it again.") from error
        if not isinstance(fields, dict) or fields.get("format") != self.format:
            raise ModelError(f"{name} is not a file of {self.kind}; train it again.")
        if type(fields.get("version")) is not int or fields["version"] != self.version:
            raise ModelError(f"{name} is of another version of this program; train it again.")
        if set(fields) != self.keys:
            raise ModelError(f"{name} lacks a part of {self.kind}, or has one too many.")
        return fields

    def write(self, path: str | os.PathLike[str], data: bytes) -> None:
        """Write the file, replacing one that is there at once; raises `ModelError`."""
        path = Path(path)
        part = path.with_name(path.name + f".{os.getpid()}.part")
        try:
            part.write_bytes(data)
            part.replace(path)
        except OSError:
            raise ModelError(
                f"{shown(path)} cannot be written; check the folder and the space in it."
            ) from None
        finally:
            part.unlink(missing_ok=True)

    def read(self, path: str | os.PathLike[str]) -> bytes:
        """Its bytes, if it is there and not too large; raises `ModelError`."""
        try:
            with Path(path).open("rb") as stream:
                data = stream.read(_MOST_BYTES + 1)
        except OSError:
            raise ModelError(f"The model {shown(path)} cannot be read; check its path.") from None
        if len(data) > _MOST_BYTES:
            raise ModelError(f"{shown(path)} is too large to be {self.kind}.")
        return data
