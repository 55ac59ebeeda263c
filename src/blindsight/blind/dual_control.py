"""One party's copy of the watchlist: a file that opens only if every record in it is approved.

It holds the founding, the chain of records, and the proposals that wait with their photos
(specs/dual-control.md). This side checks signatures and makes none.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from blindsight.core.dual_control import Founding, Proposal, Record, Verdict, Watchlist, named, require_photos
from blindsight.core.errors import (
    ConflictError,
    NotFoundError,
    ParameterError,
    ProtocolError,
    StorageFullError,
    TamperedError,
    TooLargeError,
    UnavailableError,
    UsageError,
)
from blindsight.schemes.spdz2k.params import Params
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


_TABLES: Final = {(table.strip(),) for table in _SCHEMA.split(";") if table.strip()}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A proposal that has not been decided, or is approved and has no number yet."""

    digest: bytes
    proposal: Proposal
    signed: Signed
    verdict: Signed | None


class WatchlistFile:
    """The copy at ``path``. Threads may share it.

    One process serves from it and extends the chain; others may open it beside that process to propose
    and to decide (specs/dual-control.md, section 4). Opening raises `TamperedError` where the file
    does not hold a chain of approved records.
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
        """A new, empty list from the encoding of a founding.

        Raises:
            UsageError: the file exists, or cannot be made.
            ParameterError: a list that could not be compared with.

        """
        require_computable(decode_founding(founding))
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise UsageError(f"{path} exists already.") from None
        except OSError as error:
            raise UsageError(f"{path} cannot be made: {error.strerror}.") from None
        try:
            with _translated(path), contextlib.closing(_connect(path)) as db:
                db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_VERSION};")
                db.execute("INSERT INTO founding VALUES (1, ?)", (founding,))
                db.execute("COMMIT")
        except BaseException:
            path.unlink()
            raise
        return cls(path)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @property
    def state(self) -> Watchlist:
        """The list as it is now; in a process that does not serve from the file, as it last looked."""
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
        """Write records that follow each other, all or none; otherwise as `append`.

        An approved proposal that has thereby come to make no sense (its entry is on the list by another
        one) is dropped, at both parties alike.
        """
        records = [decode_record(encoded, self._state.founding.operators) for encoded in data]
        with self._lock:
            with self._writing() as db:
                if records and records[0].digest == self._state.head:
                    records, data = records[1:], data[1:]
                after = self._state.after(*records)
                for record, encoded in zip(records, data, strict=True):
                    db.execute("INSERT INTO records VALUES (?, ?)", (record.number, encoded))
                    _forget(db, record.proposal_digest)
                for waiting in self.waiting():
                    if waiting.verdict is not None and not _fits(after, waiting):
                        _forget(db, waiting.digest)
            self._state = after
            return after

    def next_record(self) -> bytes | None:
        """The record that would follow from what waits approved, oldest first; None where nothing does."""
        with self._lock:
            for waiting in self.waiting():
                if waiting.verdict is not None and _fits(self._state, waiting):
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
        if len(photos) > MAX_PHOTOS or any(len(photo) > MAX_PHOTO_BYTES for photo in photos):
            raise TooLargeError(f"A proposal has at most {MAX_PHOTOS} photos of {MAX_PHOTO_BYTES >> 20} MiB.")
        require_photos(proposal.change, photos)
        with self._writing() as db:
            if db.execute("SELECT 1 FROM waiting WHERE digest = ?", (digest,)).fetchone():
                return digest
            if self.rejections([digest]):
                raise ConflictError("This proposal was rejected; a new one is needed.")
            self._state.require_fits(proposal, digest)
            if db.execute("SELECT count(*) FROM waiting").fetchone()[0] >= MAX_WAITING:
                raise TooLargeError(f"{MAX_WAITING} proposals wait already; decide some first.")
            db.execute(
                "INSERT INTO waiting (digest, value, signature) VALUES (?, ?, ?)",
                (digest, signed.value, signed.signature),
            )
            db.executemany(
                "INSERT INTO photos VALUES (?, ?, ?)",
                [(digest, sha256(photo).digest(), photo) for photo in photos],
            )
        return digest

    def decide(self, signed: Signed) -> bool:
        """Note a verdict; whether it approves. A rejection, or a withdrawal, ends the proposal.

        Raises:
            NotFoundError: no such proposal waits.
            ConflictError: the proposer approves its own proposal, who approved it rejects it, or what is
                approved has come to make no sense.

        """
        verdict = opened_verdict(signed, self._state.founding.operators)
        with self._writing() as db:
            waiting = next((w for w in self.waiting() if w.digest == verdict.proposal), None)
            if waiting is None:
                raise NotFoundError("No such proposal waits for a decision.")
            proposers = verdict.party == waiting.proposal.proposer
            if verdict.approved:
                if proposers:
                    raise ConflictError(
                        "A proposal is approved by the other party, not by the one that made it."
                    )
                self._state.require_fits(waiting.proposal, waiting.digest)
                db.execute(
                    "UPDATE waiting SET verdict = ?, verdict_signature = ? WHERE digest = ?",
                    (signed.value, signed.signature, waiting.digest),
                )
                db.execute("DELETE FROM photos WHERE proposal = ?", (waiting.digest,))
            else:
                if waiting.verdict is not None and not proposers:
                    raise ConflictError("This proposal is approved already; propose the opposite change.")
                _forget(db, waiting.digest)
                db.execute(
                    "INSERT OR REPLACE INTO rejected VALUES (?, ?, ?)",
                    (waiting.digest, signed.value, signed.signature),
                )
        return verdict.approved

    def rejections(self, digests: Sequence[bytes]) -> list[Signed]:
        """The verdicts that ended those of these proposals that were rejected or withdrawn."""
        rows = [
            row
            for digest in digests
            for row in self._rows("SELECT verdict, signature FROM rejected WHERE digest = ?", digest)
        ]
        return [Signed(value, signature) for value, signature in rows]

    def ended(self) -> list[Verdict]:
        """All rejections and withdrawals, oldest first. What was proposed is forgotten."""
        rows = self._rows("SELECT verdict, signature FROM rejected")
        operators = self._state.founding.operators
        return sorted((opened_verdict(Signed(*row), operators) for row in rows), key=lambda one: one.at)

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
            require_schema(self._db, self._path)
        encoded = self.founding()
        state = Watchlist.founded(decode_founding(encoded), named("founding", encoded))
        records: list[Record] = []
        for number, data in enumerate(self.records(0), 1):
            try:
                records.append(decode_record(data, state.founding.operators))
            except ProtocolError as error:
                raise TamperedError(
                    f"Record {number} of {self._path} is not valid: {error.message}"
                ) from error
        return state.after(*records)

    def _catch_up(self) -> None:
        """Take what the process that serves from the file has added to the chain since."""
        added = [
            decode_record(data, self._state.founding.operators) for data in self.records(self._state.number)
        ]
        if added:
            self._state = self._state.after(*added)

    def _rows(self, sql: str, *values: int | bytes) -> list[tuple[bytes, ...]]:
        with self._lock, _translated(self._path):
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._catch_up()
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def require_computable(founding: Founding) -> None:
    """Raise `ParameterError` unless faces could be compared with a list so founded."""
    Params(founding.dimension, founding.scale, founding.norm, founding.value_bits)
    if founding.threshold > founding.largest_threshold:
        raise ParameterError("The threshold is larger than these numbers can be compared with.")


def require_schema(db: sqlite3.Connection, path: Path) -> None:
    """Raise unless the tables are exactly those of a watchlist: no view, no trigger, nothing beside."""
    version, tables = (
        db.execute("PRAGMA user_version").fetchone()[0],
        set(db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()),
    )
    if version != _VERSION:
        raise UsageError(f"{path} is not a watchlist of this version.")
    if tables != _TABLES or not db.execute("SELECT 1 FROM founding").fetchone():
        raise TamperedError(f"{path} is not a watchlist, or is damaged; restore it from a backup.")


def _fits(state: Watchlist, waiting: Waiting) -> bool:
    try:
        state.require_fits(waiting.proposal, waiting.digest)
    except ProtocolError:
        return False
    return True


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
