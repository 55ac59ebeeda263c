"""The statement that a camera signs, and the three forms of a share (specification, 2, 4 and 5)."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import MalformedError, ParameterError, UsageError
from blindsight.core.types import U8, frozen
from blindsight.schemes.footage.params import (
    MAX_NAME_BYTES,
    MAX_PIXELS,
    MAX_SEGMENT_BYTES,
    MAX_SIDE,
    Params,
)

CLAIM: Final = Claim.ACTIVE_2PC
LEAKAGE: Final = Leakage(
    learns=(
        ("party", ("which camera shared footage, when, of which size; of video the compressed length",)),
        ("revealer", ("the footage, except the regions that a party withholds, and where these are",)),
    ),
    not_claimed=(
        "Two parties who put their shares together read everything.",
        "The camera sees what it shares; nothing shows that it shares what it sees.",
    ),
)

MAX_SHARE_BYTES: Final = 3 * MAX_PIXELS + 1024
"""Of form 0 or 1."""
MAX_OPENING_BYTES: Final = MAX_SHARE_BYTES + (MAX_PIXELS >> 6) * 33 + (MAX_SIDE << 8)
"""Of form 2: 32 bytes and a bit for each tile; cut tiles at two edges come on top."""

SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
HASH_BYTES: Final = 32
ID_BYTES: Final = 16
_STATEMENT, _SHARE, _VERSION = b"BSFT", b"BSFS", 1
_STILL, _SEGMENT = 1, 2
_SEED, _BODY, _OPENING = 0, 1, 2
_SIGNED: Final = b"blindsight footage statement v1\x00"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MEDIA: Final = re.compile(r"[a-z0-9/+.-]{1,64}", re.ASCII)

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StillShape:
    """A still of ``height`` × ``width`` pixels in squares of ``tile``; raises `ParameterError`."""

    height: int
    width: int
    tile: int = Params().tile

    def __post_init__(self) -> None:
        Params(self.tile)
        if not (0 < self.height <= MAX_SIDE and 0 < self.width <= MAX_SIDE):
            raise ParameterError(f"A still's sides are between 1 and {MAX_SIDE} pixels; scale it down.")
        if self.height * self.width > MAX_PIXELS:
            raise ParameterError(f"A still has at most {MAX_PIXELS:,} pixels; scale it down.")

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return 3 * self.height * self.width

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.height // self.tile), -(-self.width // self.tile)

    @property
    def pieces(self) -> int:
        rows, columns = self.grid
        return rows * columns


@dataclass(frozen=True, slots=True)
class SegmentShape:
    """``size`` bytes of encoded video of a ``media`` type; raises `ParameterError`."""

    size: int
    media: str = "video/mp4"

    def __post_init__(self) -> None:
        if not 0 < self.size <= MAX_SEGMENT_BYTES:
            raise ParameterError(
                f"A segment has between 1 and {MAX_SEGMENT_BYTES:,} bytes; cut the video into shorter ones."
            )
        if not _MEDIA.fullmatch(self.media):
            raise ParameterError("A media type has up to 64 small letters, digits and / + - . in it.")

    @property
    def pieces(self) -> int:
        return 1


Shape = StillShape | SegmentShape


@dataclass(frozen=True, slots=True)
class About:
    """Whose footage, and of when.

    Attributes:
        camera: name, 1 to 64 bytes of UTF-8, printable.
        number: the camera's count of its stills and segments, from 0.
        first, last: instants with a time zone; ``first`` is not after ``last``.

    Raises `UsageError` for other values.
    """

    camera: str
    number: int
    first: datetime
    last: datetime

    def __post_init__(self) -> None:
        if not self.camera.isprintable() or not 0 < len(_utf8(self.camera)) <= MAX_NAME_BYTES:
            raise UsageError(f"A camera's name is printable and has 1 to {MAX_NAME_BYTES} bytes.")
        if not 0 <= self.number < 1 << 64:
            raise UsageError("Footage is counted from 0 to 2^64 - 1.")
        if self.first.tzinfo is None or self.last.tzinfo is None:
            raise UsageError("Footage needs times with a time zone.")
        if self.first > self.last:
            raise UsageError("Footage does not end before it begins; check the camera's clock.")


@dataclass(frozen=True, slots=True)
class Statement:
    """What both parties hold and the camera signs (specification, section 4).

    Attributes:
        footage_id: 16 random bytes, bound into every hash.
        seeded: the party, 0 or 1, whose share is a seed.
        roots: commitments to the shares of party 0 and party 1, 32 bytes each.
    """

    about: About
    shape: Shape
    footage_id: bytes
    seeded: int
    roots: tuple[bytes, bytes]

    def encode(self) -> bytes:
        """The bytes."""
        about, shape = self.about, self.shape
        kind = _STILL if isinstance(shape, StillShape) else _SEGMENT
        camera = _utf8(about.camera)
        times = struct.pack("<Qqq", about.number, _instant(about.first), _instant(about.last))
        if isinstance(shape, StillShape):
            form = struct.pack("<HHH", shape.height, shape.width, shape.tile)
        else:
            form = struct.pack("<IB", shape.size, len(shape.media)) + shape.media.encode()
        head = _STATEMENT + struct.pack("<BBB", _VERSION, kind, self.seeded) + self.footage_id
        return b"".join((head, bytes([len(camera)]), camera, times, form, *self.roots))

    @classmethod
    def parse(cls, data: bytes) -> Statement:
        """The inverse of `encode`; raises `MalformedError` for every other byte string."""
        reader = _Reader(data)
        if reader.take(4) != _STATEMENT:
            raise MalformedError("This is not a statement about footage.")
        version, kind, seeded = reader.unpack("<BBB")
        if version != _VERSION:
            raise MalformedError("This footage was shared by another version; use that one to open it.")
        if kind not in {_STILL, _SEGMENT} or seeded not in {0, 1}:
            raise MalformedError("This statement about footage is damaged.")
        footage_id = reader.take(ID_BYTES)
        try:
            camera = reader.take(reader.unpack("<B")[0]).decode()
            number, first, last = reader.unpack("<Qqq")
            about = About(camera, number, _EPOCH + first * _MICROSECOND, _EPOCH + last * _MICROSECOND)
            shape: Shape
            if kind == _STILL:
                shape = StillShape(*reader.unpack("<HHH"))
            else:
                size, letters = reader.unpack("<IB")
                shape = SegmentShape(size, reader.take(letters).decode("ascii"))
        except (UsageError, UnicodeDecodeError, OverflowError) as error:
            raise MalformedError("This statement about footage is out of range.") from error
        roots = (reader.take(HASH_BYTES), reader.take(HASH_BYTES))
        reader.end()
        return cls(about, shape, footage_id, seeded, roots)

    def signed(self) -> bytes:
        """What the camera's signature is over."""
        return _SIGNED + self.encode()

    def digest(self) -> bytes:
        """32 bytes that both parties compare to know that they hold halves of the same footage."""
        return hashlib.sha256(self.signed()).digest()


@dataclass(frozen=True, slots=True)
class SeedShare:
    """The share of the party that keeps 32 bytes."""

    statement: Statement
    signature: bytes
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _require(len(self.signature) == SIGNATURE_BYTES and len(self.seed) == SEED_BYTES)

    @property
    def party(self) -> int:
        return self.statement.seeded

    def encode(self) -> bytes:
        return _encoded(_SEED, self.statement, self.signature, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class BodyShare:
    """The share of the party that keeps bytes as long as the footage: uint8 (size,), read-only."""

    statement: Statement
    signature: bytes
    label_key: bytes = field(repr=False)
    body: U8 = field(repr=False)

    def __post_init__(self) -> None:
        _require(len(self.signature) == SIGNATURE_BYTES and len(self.label_key) == SEED_BYTES)
        _require(self.body.dtype == np.uint8 and self.body.shape == (self.statement.shape.size,))
        object.__setattr__(self, "body", frozen(self.body))

    @property
    def party(self) -> int:
        return 1 - self.statement.seeded

    def encode(self) -> bytes:
        return _encoded(_BODY, self.statement, self.signature, self.label_key, self.body.data)


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """A share made ready for one reveal, perhaps with pieces withheld.

    Attributes:
        withheld: bool (pieces,).
        marks: uint8 (pieces, 32): a piece's label, or its leaf where it is withheld.
        body: uint8 (size,): the share, masked where it is withheld.
    """

    statement: Statement
    signature: bytes
    party: int
    withheld: Bools
    marks: U8 = field(repr=False)
    body: U8 = field(repr=False)

    def __post_init__(self) -> None:
        shape = self.statement.shape
        _require(len(self.signature) == SIGNATURE_BYTES and self.party in {0, 1})
        _require(self.withheld.dtype == np.bool_ and self.withheld.shape == (shape.pieces,))
        _require(self.marks.dtype == np.uint8 and self.marks.shape == (shape.pieces, HASH_BYTES))
        _require(self.body.dtype == np.uint8 and self.body.shape == (shape.size,))
        for name in ("withheld", "marks", "body"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    def encode(self) -> bytes:
        bits = np.packbits(self.withheld, bitorder="little")
        parts = (bytes([self.party]), bits.data, np.ascontiguousarray(self.marks).data, self.body.data)
        return _encoded(_OPENING, self.statement, self.signature, *parts)


Share = SeedShare | BodyShare | Opening


def parse_share(data: bytes | bytearray | memoryview) -> Share:
    """A share of any form; raises `MalformedError` for bytes that are none."""
    reader = _Reader(data)
    if reader.take(4) != _SHARE:
        raise MalformedError("This is not a share of footage.")
    form, length = reader.unpack("<BH")
    statement = Statement.parse(reader.take(length))
    signature = reader.take(SIGNATURE_BYTES)
    share: Share
    if form == _SEED:
        share = SeedShare(statement, signature, reader.take(SEED_BYTES))
    elif form == _BODY:
        key = reader.take(SEED_BYTES)
        share = BodyShare(statement, signature, key, reader.array(statement.shape.size))
    elif form == _OPENING:
        (party,) = reader.unpack("<B")
        count = statement.shape.pieces
        bits = np.unpackbits(reader.array(-(-count // 8)), bitorder="little")
        _require(not bits[count:].any())
        marks = reader.array(HASH_BYTES * count).reshape(count, HASH_BYTES)
        body = reader.array(statement.shape.size)
        share = Opening(statement, signature, party, bits[:count].astype(np.bool_), marks, body)
    else:
        raise MalformedError("This share of footage has an unknown form.")
    reader.end()
    return share


def _encoded(form: int, statement: Statement, signature: bytes, *parts: bytes | memoryview) -> bytes:
    said = statement.encode()
    return b"".join((_SHARE, struct.pack("<BH", form, len(said)), said, signature, *parts))


def _require(holds: bool) -> None:
    if not holds:
        raise MalformedError("This share of footage does not fit its statement.")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError("A camera's name is valid Unicode.") from None


def _instant(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


class _Reader:
    """Exact numbers of bytes from the front."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).toreadonly()
        self._at = 0

    def array(self, count: int) -> U8:
        """The next bytes as uint8 (count,), not copied."""
        if count > len(self._data) - self._at:
            raise MalformedError("This share of footage is cut off; fetch it again.")
        self._at += count
        return np.frombuffer(self._data[self._at - count : self._at], np.uint8)

    def take(self, count: int) -> bytes:
        return self.array(count).tobytes()

    def unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def end(self) -> None:
        if self._at != len(self._data):
            raise MalformedError("This share of footage has more bytes than it should.")
