"""One party's copy of the watchlist: a file that opens only if every record in it is approved.

It holds the founding, the chain of records, and the proposals that wait with their photos
(specs/dual-control.md). This side checks signatures and makes none.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from blindsight.core.dual_control import Add, Proposal, Record, Watchlist, named
from blindsight.core.errors import (
    ConflictError,
    NotFoundError,
    ProtocolError,
    StorageFullError,
    TamperedError,
    TooLargeError,
    UnavailableError,
    UsageError,
)
from blindsight.wire.dual_control import (
    MAX_PHOTOS,
    Signed,
    decode_founding,
    decode_record,
    encode_record,
    opened_proposal,
    opened_verdict,
)

MAX_WAITING: Final = 256
MAX_PHOTO_BYTES: Final = 8 << 20

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE founding (one INTEGER PRIMARY KEY CHECK (one = 1), value BLOB NOT NULL) STRICT;
CREATE TABLE records (number INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE waiting (
    digest BLOB PRIMARY KEY, value BLOB NOT NULL, signature BLOB NOT NULL,
    verdict BLOB, verdict_signature BLOB
) STRICT;
CREATE TABLE photos (proposal BLOB NOT NULL, digest BLOB NOT NULL, photo BLOB NOT NULL,
    PRIMARY KEY (proposal, digest)) STRICT;
CREATE TABLE rejected (digest BLOB PRIMARY KEY, verdict BLOB NOT NULL, signature BLOB NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A proposal that has not been decided, or is approved and has no number yet."""

    digest: bytes
    proposal: Proposal
    signed: Signed
    verdict: Signed | None


class WatchlistFile:
    """The copy at ``path``. Threads may share it; one process has it open.

    Opening raises `TamperedError` where the file does not hold a chain of approved records.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFoundError(f"There is no watchlist at {path}.")
        self._lock = threading.RLock()
        self._path = path
        with _translated(path):
            self._db = _connect(path)
        try:
            self._state = self._read()
        except BaseException:
            self._db.close()
            raise

    @classmethod
    def create(cls, path: Path, founding: bytes) -> WatchlistFile:
        """A new, empty list from the encoding of a founding; `UsageError` where the file exists."""
        decode_founding(founding)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise UsageError(f"{path} exists already.") from None
        with _translated(path):
            db = _connect(path)
            db.executescript("BEGIN;" + _SCHEMA + f"PRAGMA user_version = {_VERSION}; COMMIT;")
            db.execute("INSERT INTO founding VALUES (1, ?)", (founding,))
            db.close()
        return cls(path)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @property
    def state(self) -> Watchlist:
        """The list as it is now."""
        return self._state

    # -- the chain ---------------------------------------------------------------------------

    def founding(self) -> bytes:
        """The encoding that the list's name is the digest of."""
        return self._rows("SELECT value FROM founding")[0][0]

    def records(self, after: int) -> Iterator[bytes]:
        """Encodings of the records after a number, in order."""
        for (value,) in self._rows("SELECT value FROM records WHERE number > ? ORDER BY number", after):
            yield value

    def head(self, number: int) -> bytes | None:
        """The head after record ``number``; None where this copy has no such record."""
        if number == 0:
            return self._state.name
        rows = self._rows("SELECT value FROM records WHERE number = ?", number)
        return named("record", rows[0][0]) if rows else None

    def append(self, data: bytes) -> Watchlist:
        """Write a record that follows, on disk when this returns; the state after it.

        The record that is last already may be sent again. What waited for it is forgotten, with its
        photos. Raises as `Watchlist.after` does.
        """
        return self.extend([data])

    def extend(self, data: Sequence[bytes]) -> Watchlist:
        """Write records that follow each other, all or none; otherwise as `append`."""
        with self._lock:
            records = [decode_record(encoded, self._state.founding.operators) for encoded in data]
            if records and records[0].digest == self._state.head:
                records, data = records[1:], data[1:]
            after = self._state.after(*records)
            with self._writing() as db:
                for record, encoded in zip(records, data, strict=True):
                    db.execute("INSERT INTO records VALUES (?, ?)", (record.number, encoded))
                    _forget(db, record.proposal_digest)
            self._state = after
            return after

    def next_record(self) -> bytes | None:
        """The record that would follow from what waits approved, oldest first; None where nothing does.

        An approved proposal that has come to make no sense (its entry is on the list by another
        one) is dropped.
        """
        with self._lock:
            for waiting in self.waiting():
                if waiting.verdict is None:
                    continue
                try:
                    self._state.require_fits(waiting.proposal, waiting.digest)
                except ProtocolError:
                    self._drop(waiting.digest)
                    continue
                return encode_record(
                    self._state.number + 1, self._state.head, waiting.signed, waiting.verdict
                )
            return None

    # -- what waits --------------------------------------------------------------------------

    def propose(self, signed: Signed, photos: Sequence[bytes]) -> bytes:
        """Keep a proposal and its photos until it is decided; its digest. Sending it twice is harmless.

        Raises `ConflictError` for one that was rejected or withdrawn.
        """
        proposal, digest = opened_proposal(signed, self._state.founding.operators)
        expected = proposal.change.photos if isinstance(proposal.change, Add) else ()
        if len(photos) > MAX_PHOTOS or any(len(photo) > MAX_PHOTO_BYTES for photo in photos):
            raise TooLargeError(f"A proposal has at most {MAX_PHOTOS} photos of {MAX_PHOTO_BYTES >> 20} MiB.")
        digests = [sha256(photo).digest() for photo in photos]
        if sorted(digests) != list(expected):
            raise TamperedError("The photos are not those that the proposal was signed with.")
        with self._lock:
            if any(known.digest == digest for known in self.waiting()):
                return digest
            if self.rejections([digest]):
                raise ConflictError("This proposal was rejected; a new one is needed.")
            self._state.require_fits(proposal, digest)
            with self._writing() as db:
                if db.execute("SELECT count(*) FROM waiting").fetchone()[0] >= MAX_WAITING:
                    raise TooLargeError(f"{MAX_WAITING} proposals wait already; decide some first.")
                db.execute(
                    "INSERT INTO waiting (digest, value, signature) VALUES (?, ?, ?)",
                    (digest, signed.value, signed.signature),
                )
                db.executemany(
                    "INSERT INTO photos VALUES (?, ?, ?)",
                    [(digest, *pair) for pair in zip(digests, photos, strict=True)],
                )
        return digest

    def decide(self, signed: Signed) -> bool:
        """Note a verdict; whether it approves. A rejection, or a withdrawal, ends the proposal.

        Raises:
            NotFoundError: no such proposal waits.
            ConflictError: the proposer approves its own proposal, or the proposal was approved before.

        """
        verdict = opened_verdict(signed, self._state.founding.operators)
        with self._lock:
            waiting = next((w for w in self.waiting() if w.digest == verdict.proposal), None)
            if waiting is None:
                raise NotFoundError("No such proposal waits for a decision.")
            if not verdict.approved:
                if waiting.verdict is not None:
                    raise ConflictError("This proposal is approved already; propose the opposite change.")
                with self._writing() as db:
                    _forget(db, waiting.digest)
                    db.execute(
                        "INSERT OR REPLACE INTO rejected VALUES (?, ?, ?)",
                        (waiting.digest, signed.value, signed.signature),
                    )
                return False
            if verdict.party == waiting.proposal.proposer:
                raise ConflictError("A proposal is approved by the other party, not by the one that made it.")
            with self._writing() as db:
                db.execute(
                    "UPDATE waiting SET verdict = ?, verdict_signature = ? WHERE digest = ?",
                    (signed.value, signed.signature, waiting.digest),
                )
                db.execute("DELETE FROM photos WHERE proposal = ?", (waiting.digest,))
            return True

    def rejections(self, digests: Sequence[bytes]) -> list[Signed]:
        """The verdicts that ended those of these proposals that were rejected or withdrawn."""
        rows = [
            row
            for digest in digests
            for row in self._rows("SELECT verdict, signature FROM rejected WHERE digest = ?", digest)
        ]
        return [Signed(value, signature) for value, signature in rows]

    def waiting(self) -> list[Waiting]:
        """Proposals that are not in the chain, oldest first."""
        rows = self._rows(
            "SELECT digest, value, signature, verdict, verdict_signature FROM waiting ORDER BY rowid"
        )
        found = []
        for digest, value, signature, verdict, verdict_signature in rows:
            signed = Signed(value, signature)
            proposal, _ = opened_proposal(signed, self._state.founding.operators)
            said = None if verdict is None else Signed(verdict, verdict_signature)
            found.append(Waiting(digest, proposal, signed, said))
        return found

    def photos(self, proposal: bytes) -> list[bytes]:
        """The photos of a proposal that has not been decided."""
        rows = self._rows("SELECT photo FROM photos WHERE proposal = ? ORDER BY digest", proposal)
        return [photo for (photo,) in rows]

    # -- SQLite ------------------------------------------------------------------------------

    def _read(self) -> Watchlist:
        """The state, from the founding on, everything checked."""
        with _translated(self._path):
            if self._db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise UsageError(f"{self._path} is not a watchlist of this version.")
        encoded = self.founding()
        state = Watchlist.founded(decode_founding(encoded), named("founding", encoded))
        records: list[Record] = [decode_record(data, state.founding.operators) for data in self.records(0)]
        return state.after(*records)

    def _drop(self, digest: bytes) -> None:
        with self._writing() as db:
            _forget(db, digest)

    def _rows(self, sql: str, *values: int | bytes) -> list[tuple[bytes, ...]]:
        with self._lock, _translated(self._path):
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _forget(db: sqlite3.Connection, digest: bytes) -> None:
    db.execute("DELETE FROM photos WHERE proposal = ?", (digest,))
    db.execute("DELETE FROM waiting WHERE digest = ?", (digest,))


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    db.executescript("PRAGMA secure_delete = ON; PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;")
    return db


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise StorageFullError(f"The disk of {path} is full; nothing was changed.") from error
        raise UnavailableError(f"The watchlist {path} cannot be used: {error}.") from error
    except sqlite3.Error as error:
        raise TamperedError(f"{path} is not a watchlist, or is damaged; restore it from a backup.") from error
