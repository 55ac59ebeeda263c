"""One file of fixed-size slots for each gallery: the bodies of its blocks.

Written with ``pwrite`` and never through a mapping, so that a full disk is an error that can
be handled and not a SIGBUS; read through a read-only mapping, so that a search copies
nothing. Which slot holds which block is the catalog's knowledge; an unreferenced slot holds
zeros, or is about to.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from pathlib import Path
from typing import Final

import numpy as np

from blindsight.core.errors import StorageFullError, UnavailableError
from blindsight.core.types import U8

_GROWTH_BYTES: Final = 64 << 20
"""Spare room is reserved in steps of at most this, and of at most a 32nd of the file."""

_ZEROS: Final = bytes(1 << 20)

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def storage_error(error: OSError) -> StorageFullError | UnavailableError:
    """What a failed write means to a client."""
    if error.errno in _FULL:
        return StorageFullError(
            "The server's disk is full; nothing was changed. Free some space and try again."
        )
    return UnavailableError(f"The server's disk failed ({os.strerror(error.errno or errno.EIO)}).")


class TileFile:
    """A file of ``capacity`` slots of ``body_bytes`` each, opened or made at ``path``.

    Writes to one slot by two threads are for the caller to prevent; everything else may
    happen at once. Methods that write raise OSError.
    """

    def __init__(self, path: Path, body_bytes: int) -> None:
        self.path = path
        self.body_bytes = body_bytes
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.capacity = os.fstat(self._fd).st_size // body_bytes
        self._mapping = threading.Lock()
        self._view: U8 | None = None

    def reserve(self, slots: int) -> None:
        """Make room for at least ``slots``; on failure the file is as long as before."""
        if slots <= self.capacity:
            return
        before = self.capacity
        spare = min(before // 32, _GROWTH_BYTES // self.body_bytes)
        for wanted in (max(slots, before + spare), slots):
            try:
                self._extend(wanted)
            except OSError as error:
                self.cut(before)
                if error.errno not in _FULL or wanted == slots:
                    raise
            else:
                self.capacity = wanted
                return

    def _extend(self, slots: int) -> None:
        end, start = slots * self.body_bytes, self.capacity * self.body_bytes
        while start < end:
            step = min(_GROWTH_BYTES, end - start)
            os.posix_fallocate(self._fd, start, step)
            start += step

    def cut(self, slots: int) -> None:
        """Give back everything from slot ``slots`` on; no reader may be referring to it."""
        with self._mapping:
            os.ftruncate(self._fd, slots * self.body_bytes)
            self.capacity = slots
            self._view = None

    def write(self, slot: int, body: U8) -> None:
        """Write one body; it is not durable before `sync`."""
        self._put(slot * self.body_bytes, np.ascontiguousarray(body).data)

    def wipe(self, slot: int) -> None:
        """Overwrite one slot with zeros; not durable before `sync`."""
        self._zero(slot * self.body_bytes, (slot + 1) * self.body_bytes)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def is_blank(self, slot: int) -> bool:
        """Whether a slot holds zeros only."""
        body = self.read(slot)
        return body.count(0) == len(body)

    def read(self, slot: int) -> bytes:
        """One body, copied; shorter where the file has been cut behind our back."""
        return os.pread(self._fd, self.body_bytes, slot * self.body_bytes)

    def view(self) -> U8:
        """All slots, uint8 (capacity, body_bytes), read-only and mapped."""
        with self._mapping:
            capacity = self.capacity  # once: a commit may be growing it
            if self._view is None or len(self._view) < capacity:
                self._view = self._map(capacity)
            return self._view

    def _map(self, capacity: int) -> U8:
        if not capacity:
            return np.empty((0, self.body_bytes), dtype=np.uint8)
        mapped = mmap.mmap(self._fd, capacity * self.body_bytes, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, dtype=np.uint8).reshape(capacity, self.body_bytes)

    def bytes_on_disk(self) -> int:
        try:
            return self.path.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        with self._mapping:
            self._view = None
        os.close(self._fd)

    def erase(self) -> None:
        """Overwrite the whole file with zeros, then unlink and close it."""
        try:
            self._zero(0, os.fstat(self._fd).st_size)
            os.fsync(self._fd)
        finally:
            self.path.unlink(missing_ok=True)
            self.close()

    def _zero(self, start: int, end: int) -> None:
        zeros = memoryview(_ZEROS)
        while start < end:
            step = min(len(zeros), end - start)
            self._put(start, zeros[:step])
            start += step

    def _put(self, offset: int, data: memoryview) -> None:
        data = data.cast("B")
        while data:
            written = os.pwrite(self._fd, data, offset)
            data, offset = data[written:], offset + written
