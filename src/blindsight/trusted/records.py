"""What the client knows of a block: which template lies in which row, and whose it is.

The same bytes live in two places: sealed under the gallery's record key beside the block on
the server, so that a second client, or one whose vault was lost, can read them; and in the
vault, together with the block's head and hint, so that a search needs nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blindsight.core.errors import CorruptVaultError, TamperedError
from blindsight.core.matching import Block
from blindsight.core.types import I64, U8, frozen
from blindsight.trusted.sealing import Seal, pack, unpack

EMPTY = -1
"""The identifier of a row without a template."""

CANARY = -2
"""The identifier of a row whose score is known beforehand; see `blindsight.trusted.canaries`."""

_PAD = 512
"""Sealed records are padded to multiples of this, so their length says little about names."""


@dataclass(frozen=True, slots=True)
class Label:
    """Whose template it is, from which photo (SHA-256 of the file), and since when (UTC, ISO)."""

    subject: str
    photo: bytes
    enrolled: str


@dataclass(frozen=True, slots=True)
class BlockState:
    """A block as its client knows it.

    Attributes:
        version: the server's version of it that this describes.
        digest: SHA-256 of that version, head, body and sealed record.
        head: the block's public head.
        hint: the scheme's hint, uint8 (hint_bytes,). Secret.
        ids: int64 (rows,), `EMPTY` where a row is free, `CANARY` where it holds one.
        labels: by row, for galleries of people.

    """

    version: int
    digest: bytes
    head: bytes
    hint: U8 = field(repr=False)
    ids: I64 = field(repr=False)
    labels: Mapping[int, Label] = field(default_factory=dict, repr=False)

    def free(self) -> I64:
        """The free rows."""
        return np.flatnonzero(self.ids == EMPTY)

    def stored(self) -> bytes:
        """As the vault keeps it."""
        fields = _rows(self.ids, self.labels)
        fields |= {
            "version": self.version,
            "digest": self.digest,
            "head": self.head,
            "hint": self.hint.tobytes(),
        }
        return pack(fields)

    @classmethod
    def load(cls, data: bytes) -> BlockState:
        """Undo `stored`."""
        fields = unpack(data)
        try:
            ids, labels = _parsed(fields)
            hint = frozen(np.frombuffer(fields["hint"], np.uint8))
            return cls(fields["version"], fields["digest"], fields["head"], hint, ids, labels)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptVaultError("A block's record in the vault cannot be read.") from error


def seal_record(
    seal: Seal, place: str, block_id: int, version: int, content: bytes, ids: I64, labels: Mapping[int, Label]
) -> bytes:
    """A block's record for the server, bound to gallery, block, version and content."""
    plain = pack(_rows(ids, labels) | {"content": content})
    padded = len(plain).to_bytes(4, "big") + plain
    padded += bytes(-len(padded) % _PAD)
    return seal.close(f"record {place} {block_id} {version}", padded)


def open_record(seal: Seal, place: str, block: Block) -> tuple[I64, Mapping[int, Label]]:
    """Identifiers and labels of a block from the server; `TamperedError` where they are not its own."""
    try:
        padded = seal.open(f"record {place} {block.block_id} {block.version}", block.record)
        fields = unpack(padded[4 : 4 + int.from_bytes(padded[:4], "big")])
        ids, labels = _parsed(fields)
    except (CorruptVaultError, KeyError, TypeError, ValueError) as error:
        raise TamperedError(
            f"Block {block.block_id} from the server is not one that this gallery's key sealed there."
        ) from error
    if fields.get("content") != content_digest(block.head, block.body):
        raise TamperedError(f"Block {block.block_id} from the server was damaged or exchanged.")
    return ids, labels


def content_digest(head: bytes, body: U8) -> bytes:
    """SHA-256 over a block's head and body."""
    hashed = hashlib.sha256(head)
    hashed.update(np.ascontiguousarray(body).data)
    return hashed.digest()


def _rows(ids: I64, labels: Mapping[int, Label]) -> dict[str, Any]:
    return {
        "ids": np.ascontiguousarray(ids, "<i8").tobytes(),
        "labels": [[row, label.subject, label.photo, label.enrolled] for row, label in labels.items()],
    }


def _parsed(fields: Mapping[str, Any]) -> tuple[I64, Mapping[int, Label]]:
    ids = np.frombuffer(fields["ids"], "<i8").astype(np.int64)
    labels = {int(row): Label(str(s), bytes(p), str(e)) for row, s, p, e in fields["labels"]}
    return frozen(ids), labels
