"""One encrypted SQLite file: keys, subjects, hints and an audit log.

Everything in it but its version is sealed with AES-256-GCM under a random vault key; the
vault key is wrapped under a key from Argon2id (passphrase) or a key file. Each record is
bound to its place, so records cannot be swapped. What is replaced or deleted is overwritten
in the file (``secure_delete``).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blindsight.core.errors import (
    CorruptVaultError,
    DuplicateError,
    NotFoundError,
    StorageFullError,
    UsageError,
    VaultError,
)
from blindsight.core.secrets import Secret
from blindsight.trusted.sealing import Seal, Unlock, pack, unpack

_VERSION = 1
_SCHEMA = """
CREATE TABLE vault (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER, lock BLOB);
CREATE TABLE galleries (place TEXT PRIMARY KEY, sealed BLOB NOT NULL);
CREATE TABLE blocks (place TEXT, block_id INTEGER, sealed BLOB NOT NULL, PRIMARY KEY (place, block_id));
CREATE TABLE audit (seq INTEGER PRIMARY KEY, sealed BLOB NOT NULL);
"""


class Vault:
    """An open vault. Threads may share it; processes may open it at the same time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, secret: Secret) -> None:
        self.path = path
        self._connection = connection
        self._seal = Seal(secret.derive("vault records"))
        self._secret = secret
        self._lock = threading.RLock()

    @classmethod
    def create(cls, path: str | os.PathLike[str], unlock: Unlock) -> Vault:
        """Make a new vault; `UsageError` where the file exists."""
        path = Path(path)
        wrapped = unlock.wrap(secret := Secret.fresh())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError as error:
            if not path.exists():
                raise VaultError(f"The vault {path} cannot be made: {path.parent} is no folder.") from error
            raise UsageError(f"{path} exists already; choose another name for the vault.") from error
        except OSError as error:
            raise VaultError(f"The vault {path} cannot be made: {error.strerror}.") from error
        try:
            with _translated(path):
                connection = _connect(path)
                connection.executescript("BEGIN;" + _SCHEMA + "COMMIT;")
                connection.execute("INSERT INTO vault VALUES (1, ?, ?)", (_VERSION, wrapped))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return cls(path, connection, secret)

    @classmethod
    def open(cls, path: str | os.PathLike[str], unlock: Unlock) -> Vault:
        """Open an existing vault; `WrongPassphraseError` where ``unlock`` does not fit."""
        path = Path(path)
        if not path.is_file():
            raise NotFoundError(f"There is no vault at {path}; make one with `blindsight init`.")
        with _translated(path):
            connection = _connect(path)
            row = connection.execute("SELECT version, lock FROM vault").fetchone()
        if row is None or row[0] != _VERSION:
            raise CorruptVaultError(f"{path} is not a vault of this version.")
        secret = unlock.unwrap(row[1])
        with _translated(path):
            # Records are sealed one by one; whether one is missing only the file's own order tells.
            if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
                raise CorruptVaultError(f"{path} is damaged; restore it from a backup.")
        return cls(path, connection, secret)

    def relock(self, unlock: Unlock) -> None:
        """From now on ``unlock`` opens this vault, and what did so before does not."""
        with self._writing() as connection:
            connection.execute("UPDATE vault SET lock = ?", (unlock.wrap(self._secret),))

    def close(self) -> None:
        self._connection.close()

    # -- galleries ---------------------------------------------------------------------------

    def galleries(self) -> dict[str, dict[str, Any]]:
        """All gallery records by place."""
        with self._lock, _translated(self.path):
            rows = self._connection.execute("SELECT place, sealed FROM galleries").fetchall()
        return {place: unpack(self._seal.open(f"gallery {place}", sealed)) for place, sealed in rows}

    def find(self, name: str) -> tuple[str, dict[str, Any]]:
        """Place and record of the gallery with this name; `NotFoundError` where there is none."""
        for place, fields in self.galleries().items():
            if fields.get("name") == name:
                return place, fields
        raise NotFoundError(f"This vault has no gallery named {name}; `blindsight gallery list` shows them.")

    def gallery(self, place: str) -> dict[str, Any]:
        """One gallery's record."""
        with self._lock, _translated(self.path):
            row = self._connection.execute(
                "SELECT sealed FROM galleries WHERE place = ?", (place,)
            ).fetchone()
        if row is None:
            raise NotFoundError("The gallery is no longer in this vault.")
        return unpack(self._seal.open(f"gallery {place}", row[0]))

    def add_gallery(self, fields: Mapping[str, Any], blocks: Mapping[int, bytes] | None = None) -> str:
        """Store a new gallery's record, and its blocks; its place.

        Raises `DuplicateError` where the name is taken.
        """
        place = os.urandom(16).hex()
        with self._writing():
            if any(other.get("name") == fields["name"] for other in self.galleries().values()):
                raise DuplicateError(f"This vault has a gallery named {fields['name']} already.")
            self.update(place, fields, blocks or {})
        return place

    def drop_gallery(self, place: str) -> None:
        """Forget a gallery, its key and all it knew of its blocks."""
        with self._writing() as connection:
            connection.execute("DELETE FROM blocks WHERE place = ?", (place,))
            connection.execute("DELETE FROM galleries WHERE place = ?", (place,))

    def update(
        self, place: str, fields: Mapping[str, Any], blocks: Mapping[int, bytes], *, replace_all: bool = False
    ) -> None:
        """In one transaction: a gallery's record, and those of its blocks that changed."""
        with self._writing() as connection:
            if replace_all:
                connection.execute("DELETE FROM blocks WHERE place = ?", (place,))
            connection.executemany(
                "INSERT INTO blocks VALUES (?, ?, ?) "
                "ON CONFLICT (place, block_id) DO UPDATE SET sealed = excluded.sealed",
                (
                    (place, block_id, self._seal.close(f"block {place} {block_id}", plain))
                    for block_id, plain in blocks.items()
                ),
            )
            self._put_gallery(connection, place, fields)

    def block(self, place: str, block_id: int) -> bytes | None:
        """The record of one block, if there is one."""
        with self._lock, _translated(self.path):
            row = self._connection.execute(
                "SELECT sealed FROM blocks WHERE place = ? AND block_id = ?", (place, block_id)
            ).fetchone()
        return None if row is None else self._seal.open(f"block {place} {block_id}", row[0])

    def amend(self, place: str, **changes: Any) -> None:
        """Change some fields of a gallery's record, as it is now."""
        with self.transaction():
            self.update(place, self.gallery(place) | changes, {})

    def blocks(self, place: str) -> Iterator[tuple[int, bytes]]:
        """The records of a gallery's blocks, by number."""
        with self._lock, _translated(self.path):
            rows = self._connection.execute(
                "SELECT block_id, sealed FROM blocks WHERE place = ? ORDER BY block_id", (place,)
            ).fetchall()
        for block_id, sealed in rows:
            yield block_id, self._seal.open(f"block {place} {block_id}", sealed)

    def _put_gallery(self, connection: sqlite3.Connection, place: str, fields: Mapping[str, Any]) -> None:
        connection.execute(
            "INSERT INTO galleries VALUES (?, ?) ON CONFLICT (place) DO UPDATE SET sealed = excluded.sealed",
            (place, self._seal.close(f"gallery {place}", pack(dict(fields)))),
        )

    # -- audit -------------------------------------------------------------------------------

    def record(self, action: str, **details: Any) -> None:
        """Append to the audit log: who asked is the vault's holder; scores are not recorded.

        Entries are chained by hash, so that one cannot be taken out of the middle.
        """
        with self._writing() as connection:
            seq, previous = 1, bytes(32)
            last = connection.execute("SELECT seq, sealed FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            if last is not None:
                if not isinstance(last[1], bytes):
                    raise CorruptVaultError("The audit log is damaged.")
                seq, previous = last[0] + 1, hashlib.sha256(last[1]).digest()
            fields = {"at": datetime.now(UTC).isoformat(), "action": action, "previous": previous, **details}
            connection.execute(
                "INSERT INTO audit VALUES (?, ?)", (seq, self._seal.close(f"audit {seq}", pack(fields)))
            )

    def audit(self) -> Iterator[dict[str, Any]]:
        """The audit log, oldest first; `CorruptVaultError` where the chain is broken."""
        with self._lock, _translated(self.path):
            rows = self._connection.execute("SELECT seq, sealed FROM audit ORDER BY seq").fetchall()
        previous = bytes(32)
        for expected, (seq, sealed) in enumerate(rows, start=1):
            fields = unpack(self._seal.open(f"audit {seq}", sealed))
            if seq != expected or fields.pop("previous", None) != previous:
                raise CorruptVaultError(f"The audit log is broken at entry {expected}.")
            previous = hashlib.sha256(sealed).digest()
            yield fields

    # -- SQLite ------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is read and written inside is one change: all or nothing, and nobody in between."""
        with self._writing():
            yield

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self.path):
            outer = self._connection.in_transaction  # this thread's own, since it has the lock
            if not outer:
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                if not outer:
                    self._connection.execute("COMMIT")
            except BaseException:
                if not outer and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise VaultError(f"The vault {path} was closed.") from error
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_FULL:
            raise StorageFullError(f"The disk of the vault {path} is full; nothing was changed.") from error
        if code in (None, sqlite3.SQLITE_ERROR):  # tables that are not there, text that is none
            raise CorruptVaultError(f"{path} is not a vault, or is damaged.") from error
        raise VaultError(f"The vault {path} cannot be used: {error}.") from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise CorruptVaultError(f"{path} is not a vault, or is damaged.") from error
