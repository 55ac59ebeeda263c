r"""A gallery in one encrypted file: its key, its records and, where wanted, its blocks.

    file     = "BLINDSIGHT ARCHIVE 1\n" frame*
    frame    = length (4 bytes, big-endian) content
    content  = the lock (first), then sealed records: identity, blocks, end

Each record is bound to its number and the last one says how many there are, so a file that
was cut, reordered or mixed with another is refused.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from blindsight.core.errors import CorruptVaultError, StorageFullError, UsageError, VaultError
from blindsight.core.matching import Block
from blindsight.core.secrets import Secret
from blindsight.core.types import U8
from blindsight.trusted.records import BlockState
from blindsight.trusted.sealing import Seal, Unlock, pack, unpack

_MAGIC = b"BLINDSIGHT ARCHIVE 1\n"
_LIMIT = 1 << 26


def write_archive(
    path: Path, unlock: Unlock, about: dict[str, Any], blocks: Iterable[tuple[Block | None, BlockState]]
) -> None:
    """Write a new file, whole or not at all; a block that is None keeps its state only."""
    secret = Secret.fresh()
    seal = Seal(secret.derive("archive"))
    partial: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(".partial", path.name + ".", path.parent)  # mode 0600
        partial = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_MAGIC)
            _put(file, unlock.wrap(secret))
            count = 0
            _put(file, seal.close("archive 0", pack(about)))
            for count, (block, state) in enumerate(blocks, start=1):
                body = block.body.tobytes() if block is not None else b""
                _put(file, seal.close(f"archive {count}", pack({"state": state.stored(), "body": body})))
            _put(file, seal.close(f"archive end {count}", b""))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        partial = None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFullError(f"The disk is full; {path} was not written.") from error
        raise VaultError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


class Archive:
    """An open archive: its identity record, and then its blocks one by one."""

    def __init__(self, path: Path, unlock: Unlock) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
        try:
            if self._file.read(len(_MAGIC)) != _MAGIC:
                raise UsageError(f"{path} is not a Blindsight archive.")
            self._seal = Seal(unlock.unwrap(self._next()).derive("archive"))
            self.about = unpack(self._seal.open("archive 0", self._next()))
        except BaseException:
            self._file.close()
            raise

    def blocks(self) -> Iterator[tuple[U8 | None, BlockState]]:
        """Bodies and states; `CorruptVaultError` where the file was cut or altered."""
        with self._file:
            number = 1
            while (sealed := self._next()) and not self._is_end(number - 1, sealed):
                fields = unpack(self._seal.open(f"archive {number}", sealed))
                body = np.frombuffer(fields["body"], np.uint8) if fields["body"] else None
                yield body, BlockState.load(fields["state"])
                number += 1
            if self._file.read(1):
                raise CorruptVaultError(f"{self._path} has something after its end.")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_end(self, count: int, sealed: bytes) -> bool:
        try:
            return self._seal.open(f"archive end {count}", sealed) == b""
        except CorruptVaultError:
            return False

    def _next(self) -> bytes:
        size = int.from_bytes(self._file.read(4), "big")
        if not 0 < size <= _LIMIT:
            raise CorruptVaultError(f"{self._path} was cut off or damaged.")
        data = self._file.read(size)
        if len(data) != size:
            raise CorruptVaultError(f"{self._path} was cut off or damaged.")
        return data


def _put(file: BinaryIO, content: bytes) -> None:
    file.write(len(content).to_bytes(4, "big") + content)
