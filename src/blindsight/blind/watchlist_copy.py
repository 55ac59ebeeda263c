"""Two copies of one watchlist side by side: where their chains part, and every entry that differs.

A copy is taken for what it says and checked record by record, so that one that was altered can be
compared as well (specs/dual-control.md, section 4). Nothing is written.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from blindsight.blind.dual_control import require_schema
from blindsight.core.dual_control import (
    I16,
    Add,
    Difference,
    Record,
    Remove,
    SetThreshold,
    Watchlist,
    difference,
    named,
)
from blindsight.core.errors import (
    MalformedError,
    NotFoundError,
    ProtocolError,
    TamperedError,
    UsageError,
)
from blindsight.wire.dual_control import (
    MAX_COPY_BYTES,
    MAX_FOUNDING_BYTES,
    MAX_RECORD_BYTES,
    claimed_record,
    decode_copy,
    decode_founding,
    decode_record,
)

_SQLITE: Final = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy says of itself, as encodings; nothing has been checked."""

    founding: bytes
    records: tuple[bytes, ...]


def read_copy(path: Path) -> Copy:
    """A copy out of the file of a list, of this party or of the other, or out of what `dump` wrote.

    Raises:
        NotFoundError: there is no such file.
        TamperedError, MalformedError, UsageError: it is neither of the two, or cannot be read.

    """
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_SQLITE))
            if head != _SQLITE:
                return Copy(*decode_copy(head + stream.read(MAX_COPY_BYTES)))
    except FileNotFoundError:
        raise NotFoundError(f"There is no watchlist at {path}.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except MalformedError:
        raise MalformedError(f"{path} is neither a watchlist nor a copy of one.") from None
    try:
        with contextlib.closing(_connect(path)) as db:
            require_schema(db, path)
            sizes = (
                "SELECT (SELECT count(*) FROM founding) = 1"
                " AND (SELECT max(length(value)) FROM founding) <= ?"
                " AND (SELECT coalesce(max(length(value)), 0) FROM records) <= ?"
                " AND (SELECT coalesce(sum(length(value)), 0) FROM records) <= ?"
            )
            if db.execute(sizes, (MAX_FOUNDING_BYTES, MAX_RECORD_BYTES, MAX_COPY_BYTES)).fetchone() != (1,):
                raise TamperedError(f"{path} holds values larger than those of a watchlist.")
            (founding,) = db.execute("SELECT value FROM founding").fetchone()
            records = [value for (value,) in db.execute("SELECT value FROM records ORDER BY number")]
    except sqlite3.Error:
        raise TamperedError(f"{path} is damaged; ask for what `watchlist dump` writes.") from None
    if not all(type(value) is bytes for value in (founding, *records)):
        raise TamperedError(f"{path} holds values that are not those of a watchlist.")
    return Copy(founding, tuple(records))


def _connect(path: Path) -> sqlite3.Connection:
    """Read-only, and wary: the file may be somebody else's."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5, isolation_level=None)
    db.executescript("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = ON;")
    return db


@dataclass(frozen=True, slots=True)
class Examined:
    """A copy that was looked at from its founding on.

    Attributes:
        state: after the records that are valid.
        said: what the copy says it is, its other records believed: number, threshold and entries.
        fault: why record ``state.number + 1`` is not valid; None where all are.

    """

    state: Watchlist
    said: Watchlist
    fault: str | None


def examine(copy: Copy) -> Examined:
    """Check a copy, record by record. Raises `MalformedError` for a founding that is none."""
    founding = decode_founding(copy.founding)
    state = Watchlist.founded(founding, named("founding", copy.founding))
    fault = None
    records = []
    for encoded in copy.records:
        try:
            records.append(decode_record(encoded, founding.operators))
        except ProtocolError as error:
            fault = error.message
            break
    try:
        state = state.after(*records)
    except ProtocolError:
        for record in records:  # one by one, which is slower, to find which
            try:
                state = state.after(record)
            except ProtocolError as error:
                fault = error.message
                break
    if fault is None:
        return Examined(state, state, None)
    said = state
    for encoded in copy.records[state.number :]:
        try:
            said = _believed(said, claimed_record(encoded))
        except MalformedError:
            continue
    return Examined(state, replace(said, number=len(copy.records)), fault)


def _believed(state: Watchlist, record: Record) -> Watchlist:
    """The state after a record that nothing is checked of but its encoding."""
    entries: dict[str, I16] = dict(state.entries)
    threshold = state.threshold
    match record.proposal.change:
        case Add(entry=entry, values=values):
            entries[entry] = values
        case Remove(entry=entry):
            entries.pop(entry, None)
        case SetThreshold(threshold=wanted):
            threshold = wanted
    return replace(state, entries=MappingProxyType(entries), threshold=threshold, head=record.digest)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two copies, examined.

    Attributes:
        common: records that both have, byte for byte.
        parted: the records after those, here and there; None where one ends, or holds no record.
        difference: what the two say is on the list, compared; its ``fork`` is the first record that
            differs where neither merely goes on where the other ends.

    """

    here: Examined
    there: Examined
    common: int
    parted: tuple[Record | None, Record | None]
    difference: Difference

    @property
    def other_list(self) -> bool:
        """Whether the two were founded apart."""
        return self.here.state.name != self.there.state.name

    @property
    def same(self) -> bool:
        """Whether both are the same whole, and valid."""
        counts = {self.here.said.number, self.there.said.number}
        faults = {self.here.fault, self.there.fault}
        return not self.other_list and counts == {self.common} and faults == {None}


def compare(here: Copy, there: Copy) -> Compared:
    """Compare two copies. Raises `MalformedError` where a founding is none."""
    ours, theirs = examine(here), examine(there)
    common = 0
    if ours.state.name == theirs.state.name:
        for one, other in zip(here.records, there.records, strict=False):
            if one != other:
                break
            common += 1
    ends = common in (len(here.records), len(there.records))
    fork = None if ends and ours.state.name == theirs.state.name else common + 1
    return Compared(
        ours,
        theirs,
        common,
        (_record(here, common), _record(there, common)),
        difference(ours.said, theirs.said, fork),
    )


def _record(copy: Copy, index: int) -> Record | None:
    if index >= len(copy.records):
        return None
    with contextlib.suppress(MalformedError):
        return claimed_record(copy.records[index])
    return None
