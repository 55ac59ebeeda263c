"""What cameras and revealers say to a party about footage (specs/reveal.md, sections 2 and 5).

A message that begins with ``BSFS`` is a share and none of these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from blindsight.core.errors import MalformedError
from blindsight.wire.consent import MAX_BYTES
from blindsight.wire.dual_control import Signed
from blindsight.wire.fields import Fields, pack
from blindsight.wire.party_messages import Message

PURPOSE: Final = "blindsight-footage"
SHARE: Final = b"BSFS"
MOST_ITEMS: Final = 256
REFUSALS: Final = ("malformed", "tampered", "other-camera", "too-large", "full")
GAPS: Final = ("withheld", "damaged", "gone")

_SENTENCE: Final = re.compile(r"[ -~\u00a0-\uffff]{1,400}")
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 and 9999, in microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Ready(Message):
    """Shares may come."""

    kind: ClassVar[str] = "ready"
    party: int

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.integer("party", 0, 1))


@dataclass(frozen=True, slots=True)
class Kept(Message):
    """The share of this statement is on disk."""

    kind: ClassVar[str] = "kept"
    digest: bytes

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.blob("digest", 32, 32))


@dataclass(frozen=True, slots=True)
class Refused(Message):
    """It is not, and why: one of `REFUSALS`."""

    kind: ClassVar[str] = "refused"
    digest: bytes
    reason: str

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.blob("digest", 32, 32), _one_of(found, "reason", REFUSALS))


@dataclass(frozen=True, slots=True)
class Ask(Message):
    """A request and the consents to it; nothing in it has been checked."""

    kind: ClassVar[str] = "ask"
    at_most: ClassVar[int] = 3 * (MAX_BYTES + 128)
    request: Signed
    consents: tuple[Signed, ...]

    def pack(self) -> bytes:
        consents = [one.wire() for one in self.consents]
        return pack({"kind": self.kind, "request": self.request.wire(), "consents": consents})

    @classmethod
    def read(cls, found: Fields) -> Self:
        consents = tuple(_signed(one) for one in found.many("consents", 2, 2))
        return cls(_signed(found.any("request")), consents)


@dataclass(frozen=True, slots=True)
class Denied(Message):
    """Nothing is given, for a reason that a person can read."""

    kind: ClassVar[str] = "denied"
    reason: str

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.text("reason", _SENTENCE))


@dataclass(frozen=True, slots=True)
class Granted(Message):
    """So many items may be fetched; ``log`` is the head of a log that has this reveal in it."""

    kind: ClassVar[str] = "granted"
    party: int
    items: int
    log: bytes

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(
            found.integer("party", 0, 1), found.integer("items", 0, 1 << 32), found.blob("log", 32, 32)
        )


@dataclass(frozen=True, slots=True)
class Page(Message):
    """List the items after so many."""

    kind: ClassVar[str] = "page"
    after: int

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.integer("after", 0, 1 << 32))


@dataclass(frozen=True, slots=True)
class Item:
    """A share that a party holds. ``first`` and ``last`` are in microseconds since 1970."""

    digest: bytes
    number: int
    first: int
    last: int
    size: int


@dataclass(frozen=True, slots=True)
class Items(Message):
    """A part of the list."""

    kind: ClassVar[str] = "items"
    at_most: ClassVar[int] = MOST_ITEMS * 80 + 64
    items: tuple[Item, ...]

    def pack(self) -> bytes:
        rows = [[one.digest, one.number, one.first, one.last, one.size] for one in self.items]
        return pack({"kind": self.kind, "items": rows})

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(tuple(_item(one) for one in found.many("items", 0, MOST_ITEMS)))


@dataclass(frozen=True, slots=True)
class Fetch(Message):
    """Send this one."""

    kind: ClassVar[str] = "fetch"
    digest: bytes

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.blob("digest", 32, 32))


@dataclass(frozen=True, slots=True)
class Gap(Message):
    """The share is not sent, and why: one of `GAPS`."""

    kind: ClassVar[str] = "gap"
    digest: bytes
    reason: str

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.blob("digest", 32, 32), _one_of(found, "reason", GAPS))


@dataclass(frozen=True, slots=True)
class Done(Message):
    """The revealer has all that it wants."""

    kind: ClassVar[str] = "done"

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls()


def _one_of(found: Fields, key: str, known: tuple[str, ...]) -> str:
    value = found.any(key)
    if type(value) is not str or value not in known:
        raise MalformedError(f"This message has a bad {key}.")
    return value


def _signed(value: Any) -> Signed:
    fields = Fields(value, "signed value", frozenset({"value", "signature"}))
    return Signed(fields.blob("value", 1, MAX_BYTES), fields.blob("signature", 64, 64))


def _item(value: Any) -> Item:
    good = type(value) is list and len(value) == 5 and type(value[0]) is bytes and len(value[0]) == 32
    if not good or any(type(one) is not int or abs(one) >= 1 << 64 for one in value[1:]):
        raise MalformedError("This message has bad items.")
    digest, number, first, last, size = value
    if number < 0 or size < 0 or not _FIRST <= first <= last <= _LAST:
        raise MalformedError("This message has bad items.")
    return Item(digest, number, first, last, size)
