"""The shapes of 1:N matching: what a scheme offers to each side, and what a matcher serves.

A scheme has two halves. `MatchingEngine` is the keyless one: the blind side holds it, and
there is no place in it for a secret. `KeyHolder` is the other one. Between them travel only
bytes: a gallery is a list of *blocks* of ``rows`` templates, each a small ``head`` and a
``body`` of fixed size; a probe is bytes; an answer is a fixed number of bytes for each block
and probe. A scheme that fits this shape gets the store, the server, the client and the
command line without another line of code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from blindsight.core.claims import Claim, Leakage
from blindsight.core.types import I32, I64, U8, AnyArray

Wire = Mapping[str, int | str]
"""A parameter set as it travels: flat, names to integers or short strings."""


class MatchingParams(Protocol):
    """A parameter set of a matching scheme: frozen, refused at construction if bad."""

    @property
    def params_id(self) -> str:
        """Names the set; equal sets have equal names."""
        ...

    @property
    def rows(self) -> int:
        """Templates in a block."""
        ...

    @property
    def batch(self) -> int:
        """Probes that one message carries; 1 where the scheme sends each by itself."""
        ...

    @property
    def width(self) -> int:
        """Integers in a template."""
        ...

    @property
    def head_bytes(self) -> int:
        """Size of a block's head."""
        ...

    @property
    def body_bytes(self) -> int:
        """Size of a block's body."""
        ...

    @property
    def probe_bytes(self) -> int:
        """Size of one probe."""
        ...

    @property
    def answer_bytes(self) -> int:
        """Size of the answer for one block and one probe."""
        ...

    @property
    def largest_error(self) -> float:
        """How far an honest score can be from the integer inner product; 0 where it is exact."""
        ...

    def wire(self) -> dict[str, int | str]:
        """The set as it travels."""
        ...


class MatchingEngine(Protocol):
    """The keyless half of a matching scheme. Stateless; safe to call from several threads."""

    @property
    def scheme(self) -> str: ...

    @property
    def claim(self) -> Claim: ...

    @property
    def leakage(self) -> Leakage: ...

    def params(self, wire: Wire) -> MatchingParams:
        """Parse and validate; raises `ParameterError` or `MalformedError`."""
        ...

    def check_block(self, params: Any, head: bytes, body: U8) -> None:
        """Raise `MalformedError` unless this can be a block (sizes, ranges)."""
        ...

    def check_probes(self, params: Any, probes: U8) -> None:
        """Raise `MalformedError` unless these can be probes: uint8 (count, probe_bytes)."""
        ...

    def warm(self) -> None:
        """Compile what has to be compiled, so that the first search is as fast as the next."""
        ...

    def match(self, params: Any, bodies: U8, slots: I64, probes: U8) -> U8:
        """Compare every probe with the blocks in ``bodies[slots]``.

        Args:
            bodies: uint8 (capacity, body_bytes), read-only, usually memory-mapped.
            slots: int64 (blocks,), rows of ``bodies`` in the order wanted in the answer.
            probes: uint8 (count, probe_bytes), checked.

        Returns:
            uint8 (count, blocks, answer_bytes).
        """
        ...


class KeyHolder(Protocol):
    """The half of a matching scheme that protects and reveals; it has the secret key."""

    @property
    def scheme(self) -> str: ...

    @property
    def params(self) -> MatchingParams: ...

    @property
    def key_id(self) -> str:
        """Names the key without saying anything about it."""
        ...

    def protect_block(self, templates: I32) -> tuple[bytes, U8]:
        """Protect up to ``rows`` templates, int32 (r, width): head and body, fresh randomness."""
        ...

    def protect_blocks(self, templates: I32) -> tuple[list[bytes], U8]:
        """Protect many at once: heads and bodies, uint8 (ceil(r / rows), body_bytes)."""
        ...

    def open_block(self, head: bytes, body: U8) -> I32:
        """The templates in a block, int32 (rows, width), exactly as they were protected."""
        ...

    def hints(self, heads: Sequence[bytes], bodies: U8) -> U8:
        """What reveal needs to know of each block, uint8 (blocks, hint_bytes). Secret."""
        ...

    def protect_probes(self, probes: I32) -> tuple[U8, Any]:
        """Protect probes, int32 (count, width): what to send, and what to keep for reveal.

        What is sent is uint8 (ceil(count / batch), probe_bytes).
        """
        ...

    def prepare(self, heads: Sequence[bytes], hints: U8) -> Any:
        """Expand a gallery's heads and hints once, for many calls of `reveal`."""
        ...

    def reveal(self, kept: Any, prepared: Any, answer: U8) -> AnyArray:
        """Scores from an answer uint8 (messages, blocks, answer_bytes): (count, blocks * rows).

        float32 where the scheme is approximate, int64 where it is exact; in units of the
        product of the two encodings' scales. Raises `TamperedError` where a score cannot be.
        """
        ...


# -- what a matcher stores and serves --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GallerySpec:
    """What a client says when it creates a gallery.

    Attributes:
        name: 1 to 64 of ``a-z 0-9 . _ -``, unique among active galleries.
        scheme: name of the matching scheme.
        params: the scheme's parameter set, as it travels.
        key_id: names the key the blocks are protected under; 1 to 64 characters.
        sealed: up to 4096 bytes that only the client can read (what the templates are).
        staged: whether to keep it aside, nameless, until `Matcher.activate`.
    """

    name: str
    scheme: str
    params: Wire
    key_id: str
    sealed: bytes = b""
    staged: bool = False


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """A gallery as the matcher knows it: all that it knows.

    ``gallery_id`` (32 hex digits) is the server's own and never reused. ``revision`` counts
    its commits, from 0. ``stored_bytes`` is what the blocks take on disk, all included.
    """

    gallery_id: str
    name: str
    scheme: str
    params: Wire
    params_id: str
    key_id: str
    sealed: bytes
    staged: bool
    revision: int
    blocks: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """A block without its body. ``version`` counts its replacements, from 1.

    ``changed`` is the gallery revision that wrote this version; ``digest`` is SHA-256 over
    head, body and record.
    """

    block_id: int
    version: int
    changed: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """A whole block. ``record`` is what only the client can read about its rows."""

    block_id: int
    version: int
    head: bytes
    body: U8
    record: bytes

    def digest(self) -> bytes:
        """SHA-256 over head, body and record, one after the other, 32 bytes.

        Head and body have the sizes that the parameters fix, so nothing can slide from one
        into the next.
        """
        hashed = hashlib.sha256(self.head)
        hashed.update(self.body.tobytes())
        hashed.update(self.record)
        return hashed.digest()


@dataclass(frozen=True, slots=True)
class Changes:
    """The blocks that changed after a revision, and the revision they lead to."""

    revision: int
    blocks: tuple[BlockInfo, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Protected scores of a whole gallery, and which state of it they are of.

    ``scores`` is uint8 (probes, blocks, answer_bytes), blocks in ascending ``block_id``;
    ``server_ms`` is the time the matcher says it computed.
    """

    revision: int
    block_ids: I64
    scores: U8
    server_ms: float


class Matcher(Protocol):
    """A matching server, local or remote: everything that the trusted side may ask of it.

    Galleries are named by ``gallery_id``. Every method raises the errors of
    `blindsight.core.errors`; one that changes something has, when it returns, put it on disk.
    """

    def create(self, spec: GallerySpec) -> GalleryInfo:
        """A new, empty gallery. `DuplicateError` where the name is taken by an active one."""
        ...

    def galleries(self) -> list[GalleryInfo]:
        """All active galleries, by name."""
        ...

    def info(self, gallery_id: str) -> GalleryInfo: ...

    def delete(self, gallery_id: str) -> None:
        """Drop a gallery, staged or active, and overwrite its blocks."""
        ...

    def activate(self, gallery_id: str, replacing: str, revision: int) -> GalleryInfo:
        """In one step: a staged gallery takes its name, and the one it replaces is deleted.

        ``revision`` is the replaced gallery's; `ConflictError` where that has moved on.
        """
        ...

    def commit(self, gallery_id: str, blocks: Sequence[Block]) -> int:
        """Write new or replaced blocks, all or none; the new revision.

        A block with version 1 is new; one with version v + 1 replaces version v. Any other
        version is a `ConflictError`. The very same commit sent twice succeeds twice. The
        bytes of what was replaced are overwritten before this returns, or as soon as the
        last search that still reads them ends.
        """
        ...

    def changes(self, gallery_id: str, since: int) -> Changes: ...

    def fetch(self, gallery_id: str, block_ids: Iterable[int]) -> Iterator[Block]:
        """Blocks by number, in the order asked; checked against their digest."""
        ...

    def search(self, gallery_id: str, key_id: str, params_id: str, probes: U8) -> Answer:
        """Compare probes, uint8 (count, probe_bytes), with every block."""
        ...

    def close(self) -> None: ...
