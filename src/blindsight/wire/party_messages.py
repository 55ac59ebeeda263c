"""What parties say to each other and to cameras beside the two-party protocol (specs/party.md).

Every message is a msgpack map of exactly the fields of one of these classes, and its kind. A
message that begins with ``b2`` is one of the two-party protocol and none of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Self, TypeVar

from blindsight.core.errors import MalformedError
from blindsight.wire.dual_control import MAX_PHOTOS, MAX_RECORD_BYTES, Signed, decode_signed
from blindsight.wire.fields import Fields, pack, unpack

VERSION: Final = 1
MOST_IN_RUN: Final = 32
MOST_DEALT: Final = 1024
MOST_WAITING: Final = 256
MOST_RECORDS: Final = 64
MAX_PHOTO_BYTES: Final = 8 << 20

_KIND: Final = re.compile(r"[a-z]{2,16}")
_REASON: Final = re.compile(r"[a-z-]{0,40}")
_MODEL: Final = re.compile(r"[ -~]{0,200}")


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all: how they are written. ``at_most`` is the largest size in bytes."""

    kind: ClassVar[str]
    at_most: ClassVar[int] = 32 << 10

    def pack(self) -> bytes:
        """As it travels."""
        return pack({"kind": self.kind} | {name: getattr(self, name) for name in _names(type(self))})

    @classmethod
    def read(cls, found: Fields) -> Self:
        """From fields whose names were checked."""
        raise NotImplementedError


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class State(Message):
    """What a party would compare with now; ``open`` is whether it takes sessions, else ``reason``."""

    kind: ClassVar[str] = "state"
    party: int
    open: bool
    reason: str
    model_id: str
    normalised: bool
    dimension: int
    scale: int
    norm: int
    value_bits: int
    entries: int
    digest: bytes
    head: bytes
    window: int

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(
            found.integer("party", 0, 1),
            found.flag("open"),
            found.text("reason", _REASON),
            found.text("model_id", _MODEL),
            found.flag("normalised"),
            found.integer("dimension", 2, 4096),
            found.integer("scale", 1, 65535),
            found.integer("norm", 1, 65535),
            found.integer("value_bits", 8, 24),
            found.integer("entries", 0, 1 << 16),
            found.blob("digest", 32, 32),
            found.blob("head", 32, 32),
            found.integer("window", 1, 1024),
        )


@dataclass(frozen=True, slots=True)
class Credit(Message):
    """So many faces more may be sent."""

    kind: ClassVar[str] = "credit"
    session: bytes
    faces: int

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.blob("session", 16, 16), found.integer("faces", 1, 1 << 20))


@dataclass(frozen=True, slots=True)
class Over(Message):
    """A camera session has ended."""

    kind: ClassVar[str] = "over"
    session: bytes
    reason: str

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.blob("session", 16, 16), found.text("reason", _REASON))


@dataclass(frozen=True, slots=True)
class Deal(Message):
    """A camera wants so many faces dealt for, in this session; in a new one where it is zeros."""

    kind: ClassVar[str] = "deal"
    session: bytes
    digest: bytes
    faces: int

    @classmethod
    def read(cls, found: Fields) -> Self:
        faces = found.integer("faces", 1, MOST_DEALT)
        return cls(found.blob("session", 16, 16), found.blob("digest", 32, 32), faces)


@dataclass(frozen=True, slots=True)
class Opened(Message):
    """A provider has opened a session for a camera, against the watchlist with this digest."""

    kind: ClassVar[str] = "opened"
    session: bytes
    digest: bytes

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.blob("session", 16, 16), found.blob("digest", 32, 32))


@dataclass(frozen=True, slots=True)
class Stored(Message):
    """A party has the material of all faces below this number."""

    kind: ClassVar[str] = "stored"
    session: bytes
    below: int

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.blob("session", 16, 16), found.integer("below", 1))


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """Which watchlist, and which results wait for the other side's confirmation."""

    kind: ClassVar[str] = "hello"
    name: bytes
    unresolved: tuple[bytes, ...]
    version: int = VERSION

    @classmethod
    def read(cls, found: Fields) -> Self:
        version = found.integer("version", VERSION, VERSION)
        return cls(found.blob("name", 32, 32), _digests(found, "unresolved"), version)


@dataclass(frozen=True, slots=True)
class Have(Message):
    """Which of the other's receipts are in the own log."""

    kind: ClassVar[str] = "have"
    receipts: tuple[bytes, ...]

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(_digests(found, "receipts"))


@dataclass(frozen=True, slots=True)
class Sync(Message):
    """Where a party's list stands, and the digests of what waits there."""

    kind: ClassVar[str] = "sync"
    number: int
    head: bytes
    waiting: tuple[bytes, ...]
    approved: tuple[bytes, ...]

    @classmethod
    def read(cls, found: Fields) -> Self:
        waiting, approved = _digests(found, "waiting"), _digests(found, "approved")
        return cls(found.integer("number", 0), found.blob("head", 32, 32), waiting, approved)


@dataclass(frozen=True, slots=True)
class Proposed:
    """A proposal on its way, with its photos."""

    signed: Signed
    photos: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Relay(Message):
    """What the other side lacks of what waits. Nothing in it has been checked."""

    kind: ClassVar[str] = "relay"
    at_most: ClassVar[int] = MAX_PHOTOS * MAX_PHOTO_BYTES + (1 << 20)
    proposals: tuple[Proposed, ...]
    verdicts: tuple[Signed, ...]

    def pack(self) -> bytes:
        proposals = [
            proposed.signed.wire() | {"photos": list(proposed.photos)} for proposed in self.proposals
        ]
        verdicts = [verdict.wire() for verdict in self.verdicts]
        return pack({"kind": self.kind, "proposals": proposals, "verdicts": verdicts})

    @classmethod
    def read(cls, found: Fields) -> Self:
        proposals = [_proposed(one) for one in found.many("proposals", 0, 1)]
        verdicts = [decode_signed(one) for one in found.many("verdicts", 0, MOST_WAITING)]
        return cls(tuple(proposals), tuple(verdicts))


@dataclass(frozen=True, slots=True)
class Get(Message):
    """Send the records after this number."""

    kind: ClassVar[str] = "get"
    after: int

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.integer("after", 0))


@dataclass(frozen=True, slots=True)
class Records(Message):
    """Encodings of records that follow each other."""

    kind: ClassVar[str] = "records"
    at_most: ClassVar[int] = MOST_RECORDS * (MAX_RECORD_BYTES + 8) + 64
    records: tuple[bytes, ...]

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(_blobs(found, "records", MOST_RECORDS, 1, MAX_RECORD_BYTES))


@dataclass(frozen=True, slots=True)
class At(Message):
    """Where a list stands after taking records."""

    kind: ClassVar[str] = "at"
    number: int
    head: bytes

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.integer("number", 0), found.blob("head", 32, 32))


@dataclass(frozen=True, slots=True)
class Run(Message):
    """Party 0 has these faces, and asks to compare them."""

    kind: ClassVar[str] = "run"
    session: bytes
    first: int
    count: int

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(
            found.blob("session", 16, 16), found.integer("first", 0), found.integer("count", 1, MOST_IN_RUN)
        )


@dataclass(frozen=True, slots=True)
class Go(Message):
    """Party 1 has these of them, and has begun."""

    kind: ClassVar[str] = "go"
    first: int
    count: int

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.integer("first", 0), found.integer("count", 0, MOST_IN_RUN))


@dataclass(frozen=True, slots=True)
class Confirm(Message):
    """The result with this receipt is on the sender's disk; ``log`` is the head of its log."""

    kind: ClassVar[str] = "confirm"
    receipt: bytes
    log: bytes

    @classmethod
    def read(cls, found: Fields) -> Self:
        return cls(found.blob("receipt", 32, 32), found.blob("log", 32, 32))


def parse(data: bytes | bytearray, *wanted: type[M]) -> M:
    """Read a message of one of these classes. Raises `MalformedError`."""
    value = unpack(data)
    kind = value.get("kind") if isinstance(value, Mapping) else None
    cls = next((cls for cls in wanted if cls.kind == kind), None)
    if cls is None or len(data) > cls.at_most:
        raise MalformedError("The other end sent another message than is due now.")
    return cls.read(Fields(value, f"{kind} message", _keys(cls)))


_NAMES: Final[dict[type[Message], tuple[str, ...]]] = {}
_KEYS: Final[dict[type[Message], frozenset[str]]] = {}


def _names(cls: type[Message]) -> tuple[str, ...]:
    """The fields of a class; asking the class itself takes longer than all the rest of a small message."""
    if cls not in _NAMES:
        _NAMES[cls] = tuple(field.name for field in fields(cls))
        _KEYS[cls] = frozenset({"kind", *_NAMES[cls]})
    return _NAMES[cls]


def _keys(cls: type[Message]) -> frozenset[str]:
    _names(cls)
    return _KEYS[cls]


def _proposed(value: Any) -> Proposed:
    found = Fields(value, "proposal", frozenset({"value", "signature", "photos"}))
    photos = _blobs(found, "photos", MAX_PHOTOS, 0, MAX_PHOTO_BYTES)
    return Proposed(Signed(found.blob("value", 1, MAX_RECORD_BYTES), found.blob("signature", 64, 64)), photos)


def _digests(found: Fields, key: str) -> tuple[bytes, ...]:
    return _blobs(found, key, MOST_WAITING, 32, 32)


def _blobs(found: Fields, key: str, most: int, low: int, high: int) -> tuple[bytes, ...]:
    values = found.many(key, 0, most)
    if any(type(value) is not bytes or not low <= len(value) <= high for value in values):
        raise MalformedError(f"This message has bad {key}.")
    return tuple(values)
