"""Bytes of everything that travels: header, sizes, packing, parsing (specification, section 8).

Every length follows from the parameters, the number of entries and the number of faces, so a
receiver knows it before it reads.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import MalformedError
from blindsight.core.types import U8, frozen
from blindsight.kernels.dcf import correction_words
from blindsight.kernels.prg import SEED_BYTES
from blindsight.schemes.spdz2k.params import Params

U64 = NDArray[np.uint64]
Message = bytes | bytearray | memoryview
"""Bytes as they come from a channel."""

SESSION_BYTES: Final = 16
HASH_BYTES: Final = 32
NAMED_BYTES: Final = 16
"""How much of the watchlist's digest an opening shows; all of it is in the hash."""

MAX_FACES: Final = 1024
MAX_BYTES: Final = 1 << 28

_MAGIC: Final = b"b2"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<2sBB16sQI")
HEADER_BYTES: Final = _HEADER.size


class Kind(IntEnum):
    """What a message is."""

    GRANT = 1
    MATERIAL_0 = 2
    MATERIAL_1 = 3
    INPUTS = 4
    OPEN = 5
    BITS = 6
    CHECK = 7
    ABORT = 8
    MASKS = 9


_KINDS: Final = {int(kind): kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Header:
    """The first 32 bytes of every message."""

    kind: Kind
    session: bytes
    first: int
    count: int

    def pack(self) -> bytes:
        return _HEADER.pack(_MAGIC, _VERSION, self.kind, self.session, self.first, self.count)

    @classmethod
    def parse(cls, message: Message) -> Header:
        """Read a header. `MalformedError` where there is none of this version."""
        if len(message) < HEADER_BYTES:
            raise MalformedError("This message of the two-party protocol is cut off.")
        magic, version, number, session, first, count = _HEADER.unpack_from(message)
        kind = _KINDS.get(number)
        if magic != _MAGIC or version != _VERSION or kind is None:
            raise MalformedError("This is not a message of the two-party protocol, version 1.")
        if count > MAX_FACES or first >= 1 << 63 or (kind != Kind.GRANT) != (count > 0):
            raise MalformedError("This message is about an absurd number of faces.")
        return cls(kind, session, first, count)


@dataclass(frozen=True)
class Layout:
    """Sizes of all messages about ``count`` faces, for one parameter set and number of entries."""

    params: Params
    entries: int

    @cached_property
    def values(self) -> int:
        """V: authenticated values of a face."""
        return self.params.dimension + 1 + self.entries

    @cached_property
    def correction_words(self) -> int:
        """64-bit words of a face's corrections."""
        return correction_words(self.params.levels, self.entries)

    def corrections_at(self, party: int) -> int:
        """Where in a face's row of material the corrections begin, in 64-bit words."""
        return SEED_BYTES // 8 + (2 * self.values + 2 * self.entries if party else 0)

    def material_words(self, party: int) -> int:
        """64-bit words of a face's row of material."""
        return self.corrections_at(party) + self.correction_words

    def stream_words(self, party: int) -> int:
        """64-bit words that are drawn from a seed."""
        common = self.params.dimension + 1 + self.entries + 4 * self.entries
        return common if party else common + 2 * self.values + 2 * self.entries

    @property
    def bit_bytes(self) -> int:
        """Bytes of a face's bits."""
        return -(-self.entries // 8)

    @cached_property
    def most_faces(self) -> int:
        """How many faces fit into one run."""
        return min(MAX_FACES, (MAX_BYTES - HEADER_BYTES) // (8 * self.material_words(1)))

    @cached_property
    def _sizes(self) -> dict[Kind, tuple[int, int]]:
        """Bytes of each kind: for each face, and once beside the header."""
        inputs = 8 * (self.params.dimension + 1)
        return {
            Kind.MATERIAL_0: (8 * self.material_words(0), 0),
            Kind.MATERIAL_1: (8 * self.material_words(1), 0),
            Kind.INPUTS: (inputs, 0),
            Kind.MASKS: (inputs, 0),
            Kind.OPEN: (8 * self.entries, NAMED_BYTES + HASH_BYTES),
            Kind.BITS: (self.bit_bytes, 0),
            Kind.CHECK: (0, HASH_BYTES),
            Kind.ABORT: (0, 1),
        }

    def size(self, kind: Kind, count: int) -> int:
        """Bytes of a message, its header included; grants have no fixed size."""
        face, once = self._sizes[kind]
        return HEADER_BYTES + count * face + once


def cut(message: Message, layout: Layout, first: int, count: int) -> bytes:
    """The part of a material, inputs or masks message that is about some of its faces.

    Raises:
        MalformedError: not such a message, or one that does not hold all of these faces.

    """
    header = Header.parse(message)
    parts = (Kind.MATERIAL_0, Kind.MATERIAL_1, Kind.INPUTS, Kind.MASKS)
    if header.kind not in parts or len(message) != layout.size(header.kind, header.count):
        raise MalformedError("This message cannot be cut by faces.")
    if not (count > 0 and header.first <= first and first + count <= header.first + header.count):
        raise MalformedError("This message does not hold these faces.")
    face = layout.size(header.kind, 1) - HEADER_BYTES
    start = HEADER_BYTES + (first - header.first) * face
    part = Header(header.kind, header.session, first, count).pack()
    return part + bytes(memoryview(message)[start : start + count * face])


def body_words(message: Message, header: Header) -> U64:
    """A message's body as uint64 (count, words), read-only; its length was checked."""
    words = np.frombuffer(message, "<u8", offset=HEADER_BYTES).reshape(header.count, -1)
    return frozen(words if words.flags.aligned else words.copy())


def pack_bits(bits: U8) -> bytes:
    """Bits uint8 (count, entries), 0 or 1, as they travel."""
    return np.packbits(bits, axis=1, bitorder="little").tobytes()


def unpack_bits(body: Message, count: int, entries: int) -> U8:
    """Bits uint8 (count, entries). `MalformedError` where an unused bit is set."""
    rows = np.frombuffer(body, np.uint8).reshape(count, -1)
    bits = np.unpackbits(rows, axis=1, bitorder="little")
    if bits[:, entries:].any():
        raise MalformedError("Bits are set that belong to no entry.")
    return bits[:, :entries]
