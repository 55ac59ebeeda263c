"""The watchlist that two parties agree on: signed changes, chained by hash (specs/dual-control.md).

Koch's framework (sections 3.1 and 3.3) has each party keep its own copy of the list, and every
change proposed by one and approved by the other. Here a change takes effect only as a record
with both operators' signatures, and the *head*, a digest of the whole history, names the state
that a comparison is bound to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import ConflictError, TamperedError, UsageError
from blindsight.core.types import I64, frozen

I16 = NDArray[np.int16]

MAX_ENTRIES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Founding:
    """What a watchlist starts from. ``operators`` are the Ed25519 public keys of parties 0 and 1.

    Embeddings, ``normalised`` to length 1 or as the model gives them, are multiplied by ``scale``
    and rounded to integer templates, at most ``norm`` long; squared distances between those fit
    into ``value_bits`` bits with a sign. ``threshold`` is a squared distance.
    """

    nonce: bytes
    model_id: str
    dimension: int
    normalised: bool
    scale: int
    norm: int
    value_bits: int
    threshold: int
    operators: tuple[bytes, bytes]

    @property
    def largest_threshold(self) -> int:
        """Beyond it a comparison could not compute (specs/two-party.md, section 2)."""
        return int(2 ** (self.value_bits - 1)) - 1 - self.norm**2


@dataclass(frozen=True, slots=True)
class Add:
    """A new entry: its template, int16 (dimension,), and the SHA-256 of the photos behind it."""

    entry: str
    values: I16
    photos: tuple[bytes, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", frozen(np.ascontiguousarray(self.values, dtype="<i2")))


@dataclass(frozen=True, slots=True)
class Remove:
    """An entry that is to go."""

    entry: str


@dataclass(frozen=True, slots=True)
class SetThreshold:
    """Another threshold for all entries."""

    threshold: int


Change = Add | Remove | SetThreshold


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that party ``proposer`` wants, and why; ``at`` is in seconds since 1970."""

    watchlist: bytes
    nonce: bytes
    proposer: int
    at: int
    reason: str
    change: Change


@dataclass(frozen=True, slots=True)
class Verdict:
    """What party ``party`` says to the proposal with this digest."""

    proposal: bytes
    party: int
    approved: bool
    at: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A change that took effect. The encodings and signatures travel with the values they encode."""

    number: int
    previous: bytes
    proposal: Proposal
    proposal_digest: bytes
    verdict: Verdict
    digest: bytes


@dataclass(frozen=True, slots=True)
class Watchlist:
    """One state of the list: the same value at both parties, or their heads differ.

    Attributes:
        name: digest of the founding, 32 bytes.
        number: of the last record; 0 for a new list.
        head: digest of the last record, or ``name``.
        threshold: a squared distance between integer templates; smaller is a match.
        entries: templates by entry, int16 (dimension,).
        used: digests of all proposals in the chain.

    """

    founding: Founding
    name: bytes
    number: int
    head: bytes
    threshold: int
    entries: Mapping[str, I16]
    used: Set[bytes]

    @classmethod
    def founded(cls, founding: Founding, name: bytes) -> Watchlist:
        """The empty list that a founding describes."""
        nobody: Mapping[str, I16] = MappingProxyType({})
        return cls(founding, name, 0, name, founding.threshold, nobody, frozenset())

    def after(self, *records: Record) -> Watchlist:
        """The state after these records, in order, whose signatures were checked.

        Raises:
            TamperedError: a record does not follow, or is not approved by the other party.
            ConflictError: a change makes no sense here.

        """
        entries, used = dict(self.entries), set(self.used)
        state = replace(self, entries=MappingProxyType(entries), used=used)
        for record in records:
            state._require_next(record)
            match record.proposal.change:
                case Add(entry=entry, values=values):
                    entries[entry] = values
                case Remove(entry=entry):
                    del entries[entry]
                case SetThreshold(threshold=wanted):
                    state = replace(state, threshold=wanted)
            used.add(record.proposal_digest)
            state = replace(state, number=record.number, head=record.digest)
        return replace(state, used=frozenset(used))

    def _require_next(self, record: Record) -> None:
        proposal, verdict = record.proposal, record.verdict
        if record.number != self.number + 1 or record.previous != self.head:
            raise TamperedError(f"Record {record.number} does not follow record {self.number} of this list.")
        if verdict.proposal != record.proposal_digest or not verdict.approved:
            raise TamperedError(f"Record {record.number} carries no approval of its proposal.")
        if verdict.party == proposal.proposer:
            raise TamperedError(f"Record {record.number} is approved by the party that proposed it.")
        self.require_fits(proposal, record.proposal_digest)

    def require_fits(self, proposal: Proposal, digest: bytes) -> None:
        """Raise `TamperedError` or `ConflictError` unless the proposal could take effect now."""
        if proposal.watchlist != self.name:
            raise TamperedError("This proposal is for another watchlist.")
        if digest in self.used:
            raise TamperedError("This proposal has taken effect before; a new one is needed.")
        match proposal.change:
            case Add(entry=entry, values=values):
                if entry in self.entries:
                    raise ConflictError(f"{entry} is on the list already; remove it first.")
                if values.shape != (self.founding.dimension,):
                    raise ConflictError(
                        f"Templates of this list have {self.founding.dimension} coordinates, this one has "
                        f"{values.size}."
                    )
                if int((values.astype(np.int64) ** 2).sum()) > self.founding.norm**2:
                    raise ConflictError(f"Templates of this list are at most {self.founding.norm} long.")
                if len(self.entries) >= MAX_ENTRIES:
                    raise ConflictError(f"A list has at most {MAX_ENTRIES} entries; remove some first.")
            case Remove(entry=entry):
                if entry not in self.entries:
                    raise ConflictError(f"{entry} is not on the list.")
            case SetThreshold(threshold=wanted):
                if wanted == self.threshold:
                    raise ConflictError("The list has this threshold already.")
                if wanted > self.founding.largest_threshold:
                    raise ConflictError(
                        "This threshold is larger than the list's numbers can be compared with."
                    )

    def templates(self) -> tuple[tuple[str, ...], I64]:
        """Entries in ascending order and their templates, int64 (entries, dimension)."""
        names = tuple(sorted(self.entries))
        table = np.zeros((len(names), self.founding.dimension), dtype=np.int64)
        for row, name in enumerate(names):
            table[row] = self.entries[name]
        return names, table


@dataclass(frozen=True, slots=True)
class Difference:
    """What two copies disagree about. ``fork`` is the first record number that differs, if any does."""

    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    other_template: tuple[str, ...]
    thresholds: tuple[int, int]
    fork: int | None = None

    @property
    def none(self) -> bool:
        """Whether entries and thresholds are the same."""
        differing = self.only_here or self.only_there or self.other_template
        return not differing and self.thresholds[0] == self.thresholds[1]


def difference(here: Watchlist, there: Watchlist, fork: int | None = None) -> Difference:
    """Compare two copies, entry by entry."""
    both = here.entries.keys() & there.entries.keys()
    return Difference(
        tuple(sorted(here.entries.keys() - there.entries.keys())),
        tuple(sorted(there.entries.keys() - here.entries.keys())),
        tuple(sorted(e for e in both if not np.array_equal(here.entries[e], there.entries[e]))),
        (here.threshold, there.threshold),
        fork,
    )


def require_embedding_of(proposed: I16, recomputed: I16) -> None:
    """Raise `TamperedError` unless two templates are of the same photos (specs/dual-control.md, section 3).

    They are where no coordinate differs by more than 2, and so their distance is at most
    2 · √dimension: more than rounding on two machines makes, and far less than moves a decision.
    """
    if proposed.shape != recomputed.shape:
        raise UsageError("The proposed template has another dimension than this model's embeddings.")
    apart = np.abs(proposed.astype(np.int64) - recomputed.astype(np.int64))
    if apart.max(initial=0) > 2:
        raise TamperedError(
            "The proposed template is not the embedding of these photos; reject the proposal."
        )


def require_photos(change: Change, photos: Sequence[bytes]) -> None:
    """Raise `TamperedError` unless these are the photos that the change was signed with."""
    signed = change.photos if isinstance(change, Add) else ()
    if sorted(sha256(photo).digest() for photo in photos) != list(signed):
        raise TamperedError("The photos are not those that the proposal was signed with.")


def named(domain: str, encoding: bytes) -> bytes:
    """The digest that names a value: SHA-256 over domain and encoding."""
    return sha256(signable(domain, encoding)).digest()


def signable(domain: str, encoding: bytes) -> bytes:
    """What is hashed, and what is signed."""
    return f"blindsight watchlist 1 {domain}".encode() + b"\x00" + encoding
