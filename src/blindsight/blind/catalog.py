"""What the store knows beside the bodies, in SQLite: galleries, blocks, their sealed records.

One connection, one lock: a call sees the state between two transactions. Every change is one
transaction, on disk when it returns. What is replaced or deleted is overwritten in the
database file (``secure_delete``); `forget` takes it out of the write-ahead log too.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blindsight.core.errors import DuplicateError, StorageFullError, UnavailableError, UsageError
from blindsight.core.matching import Block, BlockInfo, GallerySpec

_VERSION: Final = 1
_SHIFT: Final = 32
_ROW_BYTES: Final = 64
"""A block's digest, numbers and keys, roughly, for the statement of what is stored."""

# A page of 16 KiB holds seven records of 2.2 KiB; one of 4 KiB would hold one of them.
_PRAGMAS: Final = """
PRAGMA page_size = 16384;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA secure_delete = ON;
PRAGMA temp_store = MEMORY;
PRAGMA wal_autocheckpoint = 256;
"""

# A block's key is gallery << 32 | block_id: a gallery's blocks are one range, in order.
_SCHEMA: Final = """
BEGIN;
CREATE TABLE galleries (
    gallery INTEGER PRIMARY KEY AUTOINCREMENT,
    gallery_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    scheme TEXT NOT NULL,
    params TEXT NOT NULL,
    params_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    staged INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    blocks INTEGER NOT NULL DEFAULT 0,
    small_bytes INTEGER NOT NULL DEFAULT 0,
    body_bytes INTEGER NOT NULL,
    doomed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX active_names ON galleries (name) WHERE staged = 0 AND doomed = 0;
CREATE TABLE blocks (
    key INTEGER PRIMARY KEY,
    gallery INTEGER NOT NULL REFERENCES galleries (gallery),
    version INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    digest BLOB NOT NULL,
    head BLOB NOT NULL,
    UNIQUE (gallery, slot)
) STRICT;
CREATE TABLE records (
    key INTEGER PRIMARY KEY REFERENCES blocks (key) ON DELETE CASCADE,
    record BLOB NOT NULL
) STRICT;
PRAGMA user_version = 1;
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """A gallery as stored; ``gallery`` is its number in the database."""

    gallery: int
    gallery_id: str
    name: str
    scheme: str
    params: dict[str, int | str]
    params_id: str
    key_id: str
    sealed: bytes
    staged: bool
    revision: int
    blocks: int
    small_bytes: int
    body_bytes: int


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A block as stored, without its record and body."""

    block_id: int
    version: int
    changed: int
    slot: int
    digest: bytes
    head: bytes


class Catalog:
    """The database at ``path``, made where there is none. Safe to call from several threads.

    ``failed`` is set when a transaction ended in a way that leaves open whether it is on disk.
    Nothing that it may refer to must be overwritten then, until the database is opened anew.
    """

    def __init__(self, path: Path) -> None:
        self.failed = False
        self._lock = threading.RLock()
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
        try:
            self._db.executescript(_PRAGMAS)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if not version:
                self._db.executescript(_SCHEMA)
            elif version != _VERSION:
                raise UsageError(f"{path} was written by another version of this program (format {version}).")
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise UnavailableError(f"{path} cannot be opened: {error}.") from None

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- reading ---------------------------------------------------------------------------

    def galleries(self) -> list[GalleryRow]:
        """All galleries, staged ones too, by name."""
        rows = self._all("SELECT * FROM galleries WHERE doomed = 0 ORDER BY name, gallery")
        return [_gallery_row(row) for row in rows]

    def doomed(self) -> list[GalleryRow]:
        """Galleries that were deleted and are not gone yet."""
        return [_gallery_row(row) for row in self._all("SELECT * FROM galleries WHERE doomed = 1")]

    def gallery(self, gallery_id: str) -> GalleryRow | None:
        rows = self._all("SELECT * FROM galleries WHERE gallery_id = ? AND doomed = 0", gallery_id)
        return _gallery_row(rows[0]) if rows else None

    def blocks(self, gallery: int) -> list[BlockRow]:
        """All blocks of a gallery, by number."""
        rows = self._all(
            "SELECT key, version, changed, slot, digest, head FROM blocks"
            " WHERE key BETWEEN ? AND ? ORDER BY key",
            *_range(gallery),
        )
        return [_block_row(row) for row in rows]

    def some_blocks(self, gallery: int, block_ids: Iterable[int]) -> dict[int, BlockRow]:
        """Those of the named blocks that exist."""
        found = {}
        with self._reading() as db:
            for block_id in block_ids:
                row = db.execute(
                    "SELECT key, version, changed, slot, digest, head FROM blocks WHERE key = ?",
                    (_key(gallery, block_id),),
                ).fetchone()
                if row:
                    found[block_id] = _block_row(row)
        return found

    def changes(self, gallery: int, since: int) -> tuple[int, tuple[BlockInfo, ...]] | None:
        """The revision, and the blocks that changed after ``since``, of one moment."""
        with self._reading() as db:
            revision = db.execute("SELECT revision FROM galleries WHERE gallery = ?", (gallery,)).fetchone()
            if revision is None:
                return None
            rows = db.execute(
                "SELECT key, version, changed, digest FROM blocks"
                " WHERE key BETWEEN ? AND ? AND changed > ? ORDER BY key",
                (*_range(gallery), since),
            ).fetchall()
        return revision[0], tuple(BlockInfo(_block_id(r[0]), r[1], r[2], r[3]) for r in rows)

    def block(self, gallery: int, block_id: int) -> tuple[BlockRow, bytes] | None:
        """One block and its record."""
        rows = self._all(
            "SELECT key, version, changed, slot, digest, head, record FROM blocks JOIN records USING (key)"
            " WHERE key = ?",
            _key(gallery, block_id),
        )
        return (_block_row(rows[0][:6]), rows[0][6]) if rows else None

    def bytes_on_disk(self) -> tuple[int, int]:
        """The size of the database, and the sum of all galleries' ``small_bytes``."""
        with self._reading() as db:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            size = db.execute("PRAGMA page_size").fetchone()[0]
            total = db.execute("SELECT coalesce(sum(small_bytes), 0) FROM galleries").fetchone()[0]
        return pages * size, total

    # -- changing --------------------------------------------------------------------------

    def create(self, gallery_id: str, spec: GallerySpec, params_id: str, body_bytes: int) -> None:
        """Insert an empty gallery; `DuplicateError` where an active one has its name."""
        params = json.dumps(dict(spec.params), sort_keys=True, separators=(",", ":"))
        with self._transaction(spec.name) as db:
            db.execute(
                "INSERT INTO galleries (gallery_id, name, scheme, params, params_id, key_id, sealed, staged,"
                " body_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    gallery_id, spec.name, spec.scheme, params, params_id, spec.key_id,
                    spec.sealed, int(spec.staged), body_bytes,
                ),
            )  # fmt: skip

    def doom(self, gallery: int) -> None:
        """Make a gallery invisible, for `bury` to delete: a small step, possible on a full disk."""
        with self._transaction() as db:
            db.execute("UPDATE galleries SET doomed = 1 WHERE gallery = ?", (gallery,))

    def bury(self, gallery: int) -> None:
        """Delete a gallery and everything about it."""
        with self._transaction() as db:
            db.execute("DELETE FROM records WHERE key BETWEEN ? AND ?", _range(gallery))
            db.execute("DELETE FROM blocks WHERE key BETWEEN ? AND ?", _range(gallery))
            db.execute("DELETE FROM galleries WHERE gallery = ?", (gallery,))

    def activate(self, staged: GalleryRow, replaced: GalleryRow) -> None:
        """Doom one gallery and make the other active, in one step."""
        with self._transaction(staged.name) as db:
            db.execute("UPDATE galleries SET doomed = 1 WHERE gallery = ?", (replaced.gallery,))
            db.execute("UPDATE galleries SET staged = 0 WHERE gallery = ?", (staged.gallery,))

    def commit(
        self,
        gallery: int,
        revision: int,
        blocks: Sequence[Block],
        slots: Sequence[int],
        digests: Sequence[bytes],
        added: int,
    ) -> None:
        """Write blocks, new or replaced, and the gallery's new revision, in one step.

        ``added`` is how many of the blocks are new.
        """
        keys = [_key(gallery, block.block_id) for block in blocks]
        with self._transaction() as db:
            before = _small_bytes(db, keys)
            db.executemany(
                "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
                " version = excluded.version, changed = excluded.changed, slot = excluded.slot,"
                " digest = excluded.digest, head = excluded.head",
                [
                    (key, gallery, block.version, revision, slot, digest, block.head)
                    for key, block, slot, digest in zip(keys, blocks, slots, digests, strict=True)
                ],
            )
            db.executemany(
                "INSERT INTO records VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET record = excluded.record",
                [(key, block.record) for key, block in zip(keys, blocks, strict=True)],
            )
            after = sum(len(block.head) + len(block.record) + _ROW_BYTES for block in blocks)
            db.execute(
                "UPDATE galleries SET revision = ?, blocks = blocks + ?, small_bytes = small_bytes + ?"
                " WHERE gallery = ?",
                (revision, added, after - before, gallery),
            )

    def forget(self) -> bool:
        """Empty the write-ahead log, in which replaced bytes live on; False where it must wait."""
        with self._lock:
            try:
                busy: int = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.OperationalError:
                return False
        return not busy

    # -- plumbing --------------------------------------------------------------------------

    def _all(self, sql: str, *values: int | str) -> list[tuple[Any, ...]]:
        with self._reading() as db:
            return db.execute(sql, values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise _meaning(error, "") from None

    @contextmanager
    def _transaction(self, name: str = "") -> Iterator[sqlite3.Connection]:
        """All or none; ``name`` is the gallery name that a uniqueness error would be about."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                if not isinstance(error, sqlite3.Error):
                    raise
                meaning = _meaning(error, name)
                self.failed = self.failed or isinstance(meaning, UnavailableError)
                raise meaning from None


def _meaning(error: sqlite3.Error, name: str) -> DuplicateError | StorageFullError | UnavailableError:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_CONSTRAINT_UNIQUE and name:
        return DuplicateError(f"There is a gallery named {name} already; choose another name.")
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(
            "The server's disk is full; nothing was changed. Free some space and try again."
        )
    return UnavailableError(
        f"The server's database failed ({getattr(error, 'sqlite_errorname', 'unknown')})."
    )


def _small_bytes(db: sqlite3.Connection, keys: Sequence[int]) -> int:
    total = 0
    for key in keys:
        row = db.execute(
            "SELECT length(head) + length(record) FROM blocks JOIN records USING (key) WHERE key = ?", (key,)
        ).fetchone()
        total += row[0] + _ROW_BYTES if row else 0
    return total


def _key(gallery: int, block_id: int) -> int:
    return gallery << _SHIFT | block_id


def _block_id(key: int) -> int:
    return key & ((1 << _SHIFT) - 1)


def _range(gallery: int) -> tuple[int, int]:
    return gallery << _SHIFT, ((gallery + 1) << _SHIFT) - 1


def _gallery_row(row: tuple[Any, ...]) -> GalleryRow:
    fields = list(row)
    fields[4], fields[8] = json.loads(row[4]), bool(row[8])
    return GalleryRow(*fields[:-1])


def _block_row(row: Sequence[Any]) -> BlockRow:
    return BlockRow(_block_id(row[0]), *row[1:])
