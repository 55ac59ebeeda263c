"""Every message between a client and a matching server, to bytes and back.

Decoding checks types, lengths and ranges and raises `MalformedError`; what comes out can be
trusted to have the right shape, and nothing more. ``specs/matcher.md`` lists all keys.
Bodies, probes and scores are views of the bytes that arrived and are not copied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from blindsight.core.errors import MalformedError
from blindsight.core.matching import Block, BlockInfo, Changes, GalleryInfo, GallerySpec, Wire
from blindsight.core.types import I64, U8
from blindsight.wire.fields import Fields, pack, unpack

MEDIA_TYPE: Final = "application/msgpack"
MAX_BLOCKS: Final = 1 << 18
MAX_COMMIT_BLOCKS: Final = 1024
MAX_BODY: Final = 64 << 20
MAX_RECORD: Final = 64 << 10
MAX_SEALED: Final = 4096
MAX_PROBES: Final = 4096
_MAX_VECTOR: Final = 1 << 20

GALLERY_ID: Final = re.compile(r"[0-9a-f]{32}")
_NAME: Final = re.compile(r"[a-z0-9._-]{1,64}")
_SCHEME: Final = re.compile(r"[a-z0-9_]{1,32}")
_VISIBLE: Final = re.compile(r"[!-~]{1,64}")

_SPEC: Final = frozenset({"name", "scheme", "params", "key_id", "sealed", "staged"})
_INFO: Final = _SPEC | {"gallery_id", "params_id", "revision", "blocks", "stored_bytes"}
_BLOCK: Final = frozenset({"block_id", "version", "head", "body", "record"})
_SEARCH: Final = frozenset({"key_id", "params_id", "count", "probes"})
_HEADER: Final = frozenset({"revision", "count", "blocks", "answer_bytes", "server_ms"})

Raw = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """``probes`` is uint8 (count, probe_bytes)."""

    key_id: str
    params_id: str
    probes: U8


@dataclass(frozen=True, slots=True)
class SearchHeader:
    """What precedes the block numbers (int64, little-endian) and the scores of an answer."""

    revision: int
    count: int
    blocks: int
    answer_bytes: int
    server_ms: float

    @property
    def data_bytes(self) -> int:
        """The size of what follows."""
        return self.blocks * (8 + self.count * self.answer_bytes)


# -- galleries -----------------------------------------------------------------------------


def encode_spec(spec: GallerySpec) -> bytes:
    """What `create` sends."""
    return pack(_spec_fields(spec))


def decode_spec(data: Raw) -> GallerySpec:
    """The gallery that is to be made."""
    fields = Fields(unpack(data), "gallery description", _SPEC)
    return GallerySpec(
        name=fields.text("name", _NAME),
        scheme=fields.text("scheme", _SCHEME),
        params=fields.wire("params"),
        key_id=fields.text("key_id", _VISIBLE),
        sealed=fields.blob("sealed", 0, MAX_SEALED),
        staged=fields.flag("staged"),
    )


def encode_info(info: GalleryInfo) -> bytes:
    """One gallery."""
    return pack(_info_fields(info))


def decode_info(data: Raw) -> GalleryInfo:
    """One gallery."""
    return _info(unpack(data))


def encode_infos(infos: Sequence[GalleryInfo]) -> bytes:
    """A list of galleries."""
    return pack({"galleries": [_info_fields(info) for info in infos]})


def decode_infos(data: Raw) -> list[GalleryInfo]:
    """A list of galleries."""
    fields = Fields(unpack(data), "list of galleries", frozenset({"galleries"}))
    return [_info(value) for value in fields.many("galleries", 0, 1 << 16)]


def encode_activate(replacing: str, revision: int) -> bytes:
    """What `activate` sends."""
    return pack({"replacing": replacing, "revision": revision})


def decode_activate(data: Raw) -> tuple[str, int]:
    """The gallery that is to be replaced, and its revision."""
    fields = Fields(unpack(data), "activation", frozenset({"replacing", "revision"}))
    return fields.text("replacing", GALLERY_ID), fields.integer("revision", 0)


# -- blocks --------------------------------------------------------------------------------


def encode_commit(blocks: Sequence[Block]) -> bytes:
    """What `commit` sends."""
    return pack({"blocks": [_block_fields(block) for block in blocks]})


def decode_commit(data: Raw) -> list[Block]:
    """The blocks of one commit, 1 to 1024; bodies uint8 (n,), not copied."""
    fields = Fields(unpack(data), "commit", frozenset({"blocks"}))
    return [_block(value) for value in fields.many("blocks", 1, MAX_COMMIT_BLOCKS)]


def encode_revision(revision: int) -> bytes:
    """What a commit is acknowledged with."""
    return pack({"revision": revision})


def decode_revision(data: Raw) -> int:
    """The revision that a commit led to."""
    return Fields(unpack(data), "receipt", frozenset({"revision"})).integer("revision", 0)


def encode_changes(changes: Changes) -> bytes:
    """A list of changes: a row of four for each block."""
    rows = [[block.block_id, block.version, block.changed, block.digest] for block in changes.blocks]
    return pack({"revision": changes.revision, "blocks": rows})


def decode_changes(data: Raw) -> Changes:
    """A list of changes, blocks in ascending order, none newer than its revision."""
    fields = Fields(unpack(data), "list of changes", frozenset({"revision", "blocks"}))
    revision = fields.integer("revision", 0)
    blocks = tuple(_change(row, revision) for row in fields.many("blocks", 0, MAX_BLOCKS))
    if any(one.block_id >= two.block_id for one, two in pairwise(blocks)):
        raise MalformedError("This list of changes is not in order.")
    return Changes(revision, blocks)


def encode_fetch(block_ids: Sequence[int]) -> bytes:
    """What `fetch` sends."""
    return pack({"block_ids": list(block_ids)})


def decode_fetch(data: Raw) -> list[int]:
    """The numbers of the blocks that are wanted."""
    fields = Fields(unpack(data), "fetch", frozenset({"block_ids"}))
    wanted = fields.many("block_ids", 0, MAX_BLOCKS)
    if not all(type(block_id) is int and 0 <= block_id < 1 << 32 for block_id in wanted):
        raise MalformedError("This fetch has a bad block_ids: not block numbers.")
    return wanted


def encode_block(block: Block) -> bytes:
    """One block, as a commit holds it and a fetch streams it."""
    return pack(_block_fields(block))


def decode_block(data: Raw) -> Block:
    """One block; its body uint8 (n,), not copied."""
    return _block(unpack(data))


# -- search --------------------------------------------------------------------------------


def encode_search(key_id: str, params_id: str, probes: U8) -> bytes:
    """What `search` sends; ``probes`` is uint8 (count, probe_bytes)."""
    return pack({"key_id": key_id, "params_id": params_id, "count": len(probes), "probes": _bytes(probes)})


def decode_search(data: Raw) -> SearchRequest:
    """The probes and what they were made for."""
    fields = Fields(unpack(data), "search", _SEARCH)
    count = fields.integer("count", 1, MAX_PROBES)
    probes = fields.blob("probes", count, MAX_BODY)
    if len(probes) % count:
        raise MalformedError("This search has a bad probes: not count probes of one size.")
    return SearchRequest(
        key_id=fields.text("key_id", _VISIBLE),
        params_id=fields.text("params_id", _VISIBLE),
        probes=np.frombuffer(probes, dtype=np.uint8).reshape(count, -1),
    )


def encode_header(header: SearchHeader) -> bytes:
    """The first piece of an answer."""
    return pack(
        {
            "revision": header.revision,
            "count": header.count,
            "blocks": header.blocks,
            "answer_bytes": header.answer_bytes,
            "server_ms": float(header.server_ms),
        }
    )


def decode_header(data: Raw) -> SearchHeader:
    """The first piece of an answer."""
    fields = Fields(unpack(data), "answer", _HEADER)
    return SearchHeader(
        revision=fields.integer("revision", 0),
        count=fields.integer("count", 1, MAX_PROBES),
        blocks=fields.integer("blocks", 0, MAX_BLOCKS),
        answer_bytes=fields.integer("answer_bytes", 1, MAX_BODY),
        server_ms=fields.number("server_ms"),
    )


def split_answer(header: SearchHeader, data: U8) -> tuple[I64, U8]:
    """Block numbers, int64 (blocks,) ascending, and scores, uint8 (count, blocks, answer_bytes)."""
    ids = data[: 8 * header.blocks].view("<i8").astype(np.int64, copy=False)
    if len(ids) and (ids.min() < 0 or ids.max() >> 32 or (np.diff(ids) <= 0).any()):
        raise MalformedError("This answer's blocks are not in order.")
    scores = data[8 * header.blocks :].reshape(header.count, header.blocks, header.answer_bytes)
    return ids, scores


# -- 1:1 ----------------------------------------------------------------------------------


def encode_pair(params: Wire, one: bytes, other: bytes) -> bytes:
    """Two protected vectors to compare."""
    return pack({"params": dict(params), "one": one, "other": other})


def decode_pair(data: Raw) -> tuple[Wire, bytes, bytes]:
    """Parameters as they travel, and two protected vectors."""
    fields = Fields(unpack(data), "pair", frozenset({"params", "one", "other"}))
    return fields.wire("params"), fields.blob("one", 1, _MAX_VECTOR), fields.blob("other", 1, _MAX_VECTOR)


def encode_compared(answer: bytes) -> bytes:
    """A protected distance."""
    return pack({"answer": answer})


def decode_compared(data: Raw) -> bytes:
    """A protected distance."""
    return Fields(unpack(data), "comparison", frozenset({"answer"})).blob("answer", 1, _MAX_VECTOR)


# -- parts ---------------------------------------------------------------------------------


def _bytes(array: U8) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).data


def _spec_fields(spec: GallerySpec | GalleryInfo) -> dict[str, Any]:
    return {
        "name": spec.name,
        "scheme": spec.scheme,
        "params": dict(spec.params),
        "key_id": spec.key_id,
        "sealed": spec.sealed,
        "staged": spec.staged,
    }


def _info_fields(info: GalleryInfo) -> dict[str, Any]:
    return _spec_fields(info) | {
        "gallery_id": info.gallery_id,
        "params_id": info.params_id,
        "revision": info.revision,
        "blocks": info.blocks,
        "stored_bytes": info.stored_bytes,
    }


def _info(value: Any) -> GalleryInfo:
    fields = Fields(value, "gallery", _INFO)
    return GalleryInfo(
        gallery_id=fields.text("gallery_id", GALLERY_ID),
        name=fields.text("name", _NAME),
        scheme=fields.text("scheme", _SCHEME),
        params=fields.wire("params"),
        params_id=fields.text("params_id", _VISIBLE),
        key_id=fields.text("key_id", _VISIBLE),
        sealed=fields.blob("sealed", 0, MAX_SEALED),
        staged=fields.flag("staged"),
        revision=fields.integer("revision", 0),
        blocks=fields.integer("blocks", 0, MAX_BLOCKS),
        stored_bytes=fields.integer("stored_bytes", 0),
    )


def _block_fields(block: Block) -> dict[str, Any]:
    return {
        "block_id": block.block_id,
        "version": block.version,
        "head": block.head,
        "body": _bytes(block.body),
        "record": block.record,
    }


def _block(value: Any) -> Block:
    fields = Fields(value, "block", _BLOCK)
    return Block(
        block_id=fields.integer("block_id", 0, (1 << 32) - 1),
        version=fields.integer("version", 1),
        head=fields.blob("head", 0, MAX_RECORD),
        body=np.frombuffer(fields.blob("body", 1, MAX_BODY), dtype=np.uint8),
        record=fields.blob("record", 0, MAX_RECORD),
    )


def _change(row: Any, revision: int) -> BlockInfo:
    if type(row) is not list or len(row) != 4:
        raise MalformedError("This list of changes has a bad row.")
    fields = Fields(
        dict(zip(("block_id", "version", "changed", "digest"), row, strict=True)),
        "change",
        frozenset({"block_id", "version", "changed", "digest"}),
    )
    return BlockInfo(
        block_id=fields.integer("block_id", 0, (1 << 32) - 1),
        version=fields.integer("version", 1),
        changed=fields.integer("changed", 1, max(revision, 1)),
        digest=fields.blob("digest", 32, 32),
    )
