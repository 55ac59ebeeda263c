"""Shares of footage on a party's disk, and the index of them (specs/reveal.md, section 3)."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    NotFoundError,
    StorageFullError,
    TamperedError,
    TooLargeError,
    UsageError,
)
from blindsight.schemes.footage.compute import check
from blindsight.schemes.footage.public import (
    MAX_SHARE_BYTES,
    BodyShare,
    SeedShare,
    Share,
    StillShape,
    parse_share,
)
from blindsight.wire.state import sync_folder

_log = logging.getLogger(__name__)

HEAD_BYTES: Final = 4 + 1 + 32
_MAGIC: Final = b"BSFK\x01"
_BLOCK: Final = 4096
_BATCH: Final = 256
"""Shares that go in one transaction."""

_NAME: Final = re.compile(r"[0-9a-f]{64}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS share (
    digest BLOB PRIMARY KEY, camera TEXT NOT NULL, number TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL, came REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_time ON share (camera, first);
CREATE INDEX IF NOT EXISTS by_arrival ON share (came);
"""
_COLUMNS: Final = "digest, camera, number, first, last, kind, size, came"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much footage a party keeps.

    Attributes:
        days: since a share came.
        size: of all shares on disk, in bytes; 0 keeps none.
        reserve: bytes that stay free on the disk, for the log.
    """

    days: float = 7.0
    size: int = 10 * 10**9
    reserve: int = 64 << 20

    def __post_init__(self) -> None:
        if not 0.0 < self.days <= 3650.0 or not 0 <= self.size < 1 << 60:
            raise UsageError("Footage is kept for up to 3,650 days, in 0 bytes or more.")


@dataclass(frozen=True, slots=True)
class Entry:
    """A share in the index. ``first`` and ``last`` are in microseconds since 1970, ``came`` in seconds."""

    digest: bytes
    camera: str
    number: int
    first: int
    last: int
    kind: str
    size: int
    came: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """What went for ``reason``: ``age`` or ``bytes``; ``oldest`` and ``newest`` are arrivals."""

    reason: str
    count: int
    size: int
    oldest: float
    newest: float


@dataclass(frozen=True, slots=True)
class Found:
    """What opening found: index entries without a file, files taken in, and files set aside."""

    missing: int = 0
    adopted: int = 0
    damaged: int = 0


class FootageStore:
    """The shares of party ``party`` in a folder that one process holds; threads may share it.

    Raises `UsageError` where the folder cannot be used.
    """

    def __init__(self, folder: Path, party: int, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._folder, self._party = folder, party
        self._lock = threading.RLock()
        self._size = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._index = sqlite3.connect(folder / "index.sqlite", check_same_thread=False)
            (folder / "index.sqlite").chmod(0o600)
            self._index.execute("PRAGMA journal_mode=WAL")
            self._index.execute("PRAGMA synchronous=FULL")
            self._index.executescript(_TABLE)
            self.found = self._reconcile()
            (self._size,) = self._index.execute("SELECT COALESCE(SUM(size), 0) FROM share").fetchone()
        except sqlite3.DatabaseError as error:
            raise UsageError(
                f"{folder / 'index.sqlite'} cannot be used ({error}); move it away and start again."
            ) from None
        except OSError as error:
            raise UsageError(f"{folder} cannot hold footage: {error.strerror}.") from None

    def close(self) -> None:
        """Let go of the index. Calling it twice is harmless."""
        with self._lock:
            self._index.close()

    @property
    def size(self) -> int:
        """Bytes of all shares on disk, each rounded up to whole blocks."""
        with self._lock:
            return self._size

    # -- taking shares in --------------------------------------------------------------------

    def keep(self, data: bytes | bytearray, camera: str, key: Ed25519PublicKey) -> bytes:
        """Check a share and keep it; on disk when this returns. Its statement's digest.

        Args:
            data: the share as it came.
            camera: whose connection it came on; its name and ``key`` are in its certificate.

        Raises:
            MalformedError: not a share of form 0 or 1 for this party.
            TamperedError: not what the camera signed.
            UsageError: another camera's.
            TooLargeError: more than may be kept at all.
            StorageFullError: the disk is full; nothing was changed.
        """
        share = parse_share(data)
        if not isinstance(share, (SeedShare, BodyShare)) or share.party != self._party:
            raise MalformedError("This is not a share for this party to keep.")
        if share.statement.about.camera != camera:
            raise UsageError("A camera sent another camera's footage.")
        if _blocks(HEAD_BYTES + len(data)) > self.limits.size:
            raise TooLargeError("This share is larger than all that may be kept.")
        check(share, key)
        digest = share.statement.digest()
        if self.has(digest):
            return digest
        try:
            if shutil.disk_usage(self._folder).free < self.limits.reserve + len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = self._write(digest, key.public_bytes_raw(), data)
            self._insert(_entry(share, digest, written, time.time()))
        except (OSError, sqlite3.OperationalError) as error:
            with suppress(OSError):
                self._path(digest).unlink(missing_ok=True)
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise StorageFullError(f"Footage cannot be kept ({why}); make room on the disk.") from None
        return digest

    def has(self, digest: bytes) -> bool:
        """Whether this statement's share is in the index."""
        with self._lock:
            return (
                self._index.execute("SELECT 1 FROM share WHERE digest = ?", (digest,)).fetchone() is not None
            )

    def _write(self, digest: bytes, key: bytes, data: bytes | bytearray) -> int:
        path = self._path(digest)
        new = not path.parent.is_dir()
        path.parent.mkdir(mode=0o700, exist_ok=True)
        part = path.with_name(f".{path.name}.{threading.get_ident()}.part")
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + key)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
        if new:
            sync_folder(self._folder)
        return HEAD_BYTES + len(data)

    def _insert(self, entry: Entry) -> None:
        row = (
            entry.digest, entry.camera, str(entry.number), entry.first, entry.last, entry.kind, entry.size,
            entry.came,
        )  # fmt: skip
        with self._lock:
            with self._index:
                added = self._index.execute("INSERT OR IGNORE INTO share VALUES (?,?,?,?,?,?,?,?)", row)
            self._size += entry.size * added.rowcount

    # -- letting shares go -------------------------------------------------------------------

    def drop_old(self, now: float) -> list[Dropped]:
        """Let go of what is over the limits; ``now`` in seconds since 1970."""
        gone = [self._drop("age", now - 86_400 * self.limits.days), self._drop("bytes", None)]
        return [one for one in gone if one.count]

    def _drop(self, reason: str, before: float | None) -> Dropped:
        """Those that came ``before``, or, without it, the first ones until the size is right."""
        count, size, oldest, newest = 0, 0, 0.0, 0.0
        while True:
            gone: list[tuple[bytes, int, float]] = []
            with self._lock:
                left = self._size
                for row in self._index.execute(
                    "SELECT digest, size, came FROM share ORDER BY came, rowid LIMIT ?", (_BATCH,)
                ):
                    if left <= self.limits.size if before is None else row[2] >= before:
                        break
                    gone.append(row)
                    left -= row[1]
                self._remove(gone)
                self._size = left
            if gone:
                oldest, newest = (oldest if count else gone[0][2]), gone[-1][2]
                count, size = count + len(gone), size + sum(row[1] for row in gone)
            if len(gone) < _BATCH:
                return Dropped(reason, count, size, oldest, newest)

    def _remove(self, rows: list[tuple[bytes, int, float]]) -> None:
        with self._index:
            self._index.executemany("DELETE FROM share WHERE digest = ?", [(row[0],) for row in rows])
        for row in rows:
            with suppress(OSError):
                self._path(row[0]).unlink()

    # -- reading -----------------------------------------------------------------------------

    def held(self, camera: str, first: int, last: int) -> list[Entry]:
        """What there is of a camera that overlaps a range, by first instant, then digest."""
        with self._lock:
            rows = self._index.execute(
                f"SELECT {_COLUMNS} FROM share WHERE camera = ? AND first <= ? AND last >= ? "  # noqa: S608
                "ORDER BY first, digest",
                (camera, last, first),
            ).fetchall()
        return [_read(row) for row in rows]

    def share(self, digest: bytes) -> Share:
        """One share, checked as when it came.

        Raises:
            NotFoundError: it is not there any more.
            TamperedError: its file was damaged or altered.
        """
        if not self.has(digest):
            raise NotFoundError("This footage is not kept any more.")
        try:
            share, _ = read_kept(self._path(digest), self._party)
        except FileNotFoundError:
            raise TamperedError("The file of this footage is gone.") from None
        except (OSError, BlindsightError) as error:
            raise TamperedError("The file of this footage is damaged.") from error
        return share

    # -- opening -----------------------------------------------------------------------------

    def _reconcile(self) -> Found:
        """Make index and files say the same."""
        listed = {bytes(row[0]) for row in self._index.execute("SELECT digest FROM share")}
        present: set[bytes] = set()
        adopted = damaged = 0
        for path in self._files():
            if path.name.endswith(".part"):
                path.unlink()
                continue
            if not _NAME.fullmatch(path.name):
                continue
            digest = bytes.fromhex(path.name)
            if digest not in listed:
                try:
                    share, size = read_kept(path, self._party)
                except BlindsightError:
                    path.replace(path.with_name(path.name + ".damaged"))
                    damaged += 1
                    continue
                self._insert(_entry(share, digest, size, path.stat().st_mtime))
                adopted += 1
            present.add(digest)
        missing = listed - present
        with self._index:
            self._index.executemany("DELETE FROM share WHERE digest = ?", [(one,) for one in missing])
        return Found(len(missing), adopted, damaged)

    def _files(self) -> Iterator[Path]:
        for folder in sorted(self._folder.iterdir()):
            if folder.is_dir() and len(folder.name) == 2:
                yield from folder.iterdir()

    def _path(self, digest: bytes) -> Path:
        return kept_at(self._folder, digest)


def kept_at(folder: Path, digest: bytes) -> Path:
    """Where the share of a statement is."""
    name = digest.hex()
    return folder / name[:2] / name


def read_kept(path: Path, party: int | None) -> tuple[Share, int]:
    """The share in a file, checked, and its size in whole blocks. Raises OSError and `BlindsightError`."""
    with path.open("rb") as file:
        data = file.read(HEAD_BYTES + MAX_SHARE_BYTES + 1)
    if data[:5] != _MAGIC or len(data) < HEAD_BYTES:
        raise MalformedError(f"{path.name} holds no share of footage.")
    share = parse_share(memoryview(data)[HEAD_BYTES:])
    if share.statement.digest().hex() != path.name or (party is not None and share.party != party):
        raise MalformedError(f"{path.name} holds another share of footage.")
    check(share, Ed25519PublicKey.from_public_bytes(data[5:HEAD_BYTES]))
    return share, len(data)


def listed(folder: Path) -> list[Entry]:
    """The index of a store that another process may have open, by camera and time.

    Raises `NotFoundError` where there is none.
    """
    path = folder / "index.sqlite"
    if not path.is_file():
        raise NotFoundError(f"No footage was ever kept in {folder.parent}.")
    try:
        index = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            rows = index.execute(f"SELECT {_COLUMNS} FROM share ORDER BY camera, first, digest").fetchall()  # noqa: S608
        finally:
            index.close()
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None
    return [_read(row) for row in rows]


def _entry(share: Share, digest: bytes, written: int, came: float) -> Entry:
    about = share.statement.about
    kind = "still" if isinstance(share.statement.shape, StillShape) else "segment"
    first, last = ((at - _EPOCH) // _MICROSECOND for at in (about.first, about.last))
    return Entry(digest, about.camera, about.number, first, last, kind, _blocks(written), came)


def _read(row: tuple[bytes, str, str, int, int, str, int, float]) -> Entry:
    digest, camera, number, first, last, kind, size, came = row
    return Entry(bytes(digest), camera, int(number), first, last, kind, size, came)


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
