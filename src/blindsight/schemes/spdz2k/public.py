"""What dealers hand out: grants, masks. What may travel, and to whom, stands with each type."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Final

import numpy as np

from blindsight.core.errors import MalformedError, ParamsMismatchError, UsageError
from blindsight.schemes.spdz2k.messages import (
    HASH_BYTES,
    HEADER_BYTES,
    SESSION_BYTES,
    U64,
    Header,
    Kind,
    Layout,
    Message,
    body_words,
)
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.watchlist import MAX_ENTRIES

_FIELDS: Final = struct.Struct("<BBB5xIIIIII32sQ")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LABEL: Final = b"blindsight two-party v1"
_GENERATOR: Final = b"blindsight two-party generator v1"


class Source(IntEnum):
    """Who deals the randomness."""

    CAMERA = 1
    PROVIDER = 2


@dataclass(frozen=True)
class Grant:
    """One party's half of a camera session. For that party alone: ``alpha`` is its secret.

    Attributes:
        session: 16 random bytes of the dealer's.
        party: 0 or 1: whose grant this is.
        source: who deals.
        camera: its name, 1 to 64 of ``A-Z a-z 0-9 . _ -``.
        params: the parameter set.
        entries: N, entries of the watchlist.
        watchlist: digest of the watchlist that the session is for, 32 bytes.
        alpha: the key that checks the *other* party's shares, uniform below 2^64.
    """

    session: bytes
    party: int
    source: Source
    camera: str
    params: Params
    entries: int
    watchlist: bytes
    alpha: int = field(repr=False)

    def __post_init__(self) -> None:
        if self.party not in (0, 1) or len(self.session) != SESSION_BYTES:
            raise UsageError("A grant is for party 0 or 1 and names a session in 16 bytes.")
        if not isinstance(self.source, Source):
            raise UsageError("The source of the randomness is a camera or a provider.")
        if not _NAME.fullmatch(self.camera):
            raise UsageError("A camera's name is 1 to 64 letters, digits, dots, underscores and hyphens.")
        if not 1 <= self.entries <= MAX_ENTRIES or len(self.watchlist) != HASH_BYTES:
            raise UsageError(f"A grant is for 1 to {MAX_ENTRIES} entries; their digest has 32 bytes.")
        if self.layout.most_faces < 1:
            raise UsageError("Material for so many entries does not fit into a message.")
        if not 0 <= self.alpha < 1 << 64:
            raise UsageError("The checking key has 64 bits.")

    @cached_property
    def layout(self) -> Layout:
        """Sizes of the session's messages."""
        return Layout(self.params, self.entries)

    @cached_property
    def context(self) -> bytes:
        """Names all that both parties must agree on, 32 bytes; equal in both grants."""
        return hashlib.sha256(_LABEL + self._pack(0, 0)).digest()

    def _pack(self, party: int, alpha: int) -> bytes:
        p = self.params
        numbers = (p.dimension, p.scale, p.norm, p.value_bits, self.entries, 0)
        fields = _FIELDS.pack(party, self.source, len(self.camera), *numbers, self.watchlist, alpha)
        return Header(Kind.GRANT, self.session, 0, 0).pack() + fields + self.camera.encode()

    def to_bytes(self) -> bytes:
        """As it travels, to the party it is for, under encryption."""
        return self._pack(self.party, self.alpha)

    @classmethod
    def parse(cls, message: bytes) -> Grant:
        """Read what `to_bytes` wrote. `MalformedError`, or `ParameterError` for a set that may not exist."""
        header = Header.parse(message)
        start = HEADER_BYTES + _FIELDS.size
        if header.kind is not Kind.GRANT or not start < len(message) <= start + 64:
            raise MalformedError("This is not a grant.")
        party, source, length, d, scale, norm, bits, entries, _, digest, alpha = _FIELDS.unpack_from(
            message, HEADER_BYTES
        )
        try:
            camera = bytes(message[start:]).decode("ascii")
            params = Params(d, scale, norm, bits)
            grant = cls(header.session, party, Source(source), camera, params, entries, digest, alpha)
        except (ValueError, UsageError) as error:
            if isinstance(error, UsageError) and type(error) is not UsageError:
                raise
            raise MalformedError("This grant is not written as the specification says.") from error
        if length != len(camera) or grant.to_bytes() != bytes(message):
            raise MalformedError("This grant is not written as the specification says.")
        return grant


@dataclass(frozen=True, slots=True)
class Masks:
    """Input masks of consecutive faces: from the dealer to the camera, to nobody else.

    Attributes:
        session: the session they belong to.
        first: number of the first face.
        values: uint64 (count, d + 1), uniform. Secret.
    """

    session: bytes
    first: int
    values: U64 = field(repr=False)

    def to_bytes(self) -> bytes:
        """As they travel from a provider to the camera, under encryption."""
        header = Header(Kind.MASKS, self.session, self.first, len(self.values))
        return header.pack() + self.values.astype("<u8").tobytes()

    @classmethod
    def parse(cls, message: Message, params: Params) -> Masks:
        """Read what `to_bytes` wrote; ``values`` may be a view of it. Raises `MalformedError`."""
        header = Header.parse(message)
        if header.kind is not Kind.MASKS or len(message) != Layout(params, 1).size(Kind.MASKS, header.count):
            raise MalformedError("These are not masks for this camera's faces.")
        return cls(header.session, header.first, body_words(message, header))


def generator_key(session: bytes, number: int) -> bytes:
    """The public AES-128 key of one face's comparison functions (specification, section 5)."""
    return hashlib.sha256(_GENERATOR + session + number.to_bytes(8, "little")).digest()[:16]


def msb_mask(values: U64, params: Params) -> U64:
    """All ones where bit k-1 is set, else zero, of the same shape."""
    return np.uint64(0) - ((values >> np.uint64(params.levels)) & np.uint64(1))


def require_params(found: Params, expected: Params) -> None:
    """Raise `ParamsMismatchError` unless both are the same."""
    if found != expected:
        raise ParamsMismatchError("The camera uses other parameters than this watchlist; agree on one set.")
