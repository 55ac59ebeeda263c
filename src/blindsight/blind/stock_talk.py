"""What two parties say to each other about their stocks (specs/stock.md, sections 3, 4)."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from blindsight.blind.stock import MOST_BATCHES, MOST_FACES, NAME_BYTES, Batch, Stock, remove
from blindsight.core.errors import (
    MalformedMessageError,
    MismatchError,
    ReplayedError,
    StockEmptyError,
    UsageError,
)
from blindsight.schemes.dealerless.party import Party
from blindsight.schemes.dealerless.prepared import Prepared, prepare
from blindsight.schemes.dealerless.products import Maker
from blindsight.schemes.oblivious.resumed import Resumed
from blindsight.schemes.oblivious.session import setup
from blindsight.schemes.spdz2k.talk import Talk, swap

T = TypeVar("T")

_HELLO: Final = struct.Struct("<4s4B4IQ")
_ROW: Final = struct.Struct(f"<{NAME_BYTES}sQ")
_WANT: Final = struct.Struct(f"<{NAME_BYTES}sQQ")
_HAVE: Final = struct.Struct("<BQ")
_NONCE_BYTES: Final = 32
_NOBODY: Final = bytes(NAME_BYTES)


# -- making -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """What both sides are to hold.

    Attributes:
        faces: wanted by the one who wants less.
        level: there now, on both sides.
    """

    faces: int
    level: int


def agree(stock: Stock, batch_faces: int, faces: int) -> Talk[Order]:
    """Hello and table: bring both stocks to the same batches. Both hold the stocks' locks for making.

    Raises:
        MismatchError: the other party makes something else.
        MalformedMessageError: its table is none.

    """
    if not 0 < batch_faces <= MOST_FACES or not 0 <= faces < 1 << 62:
        raise UsageError(f"A batch has 1 to {MOST_FACES} faces.")
    kind, own = stock.kind, {batch.name: batch for batch in stock.batches()}
    if len(own) > MOST_BATCHES:
        raise UsageError(f"A stock has at most {MOST_BATCHES} batches; take larger ones.")
    sizes = kind.sizes.value_bits, kind.sizes.security_bits
    common = b"b2st", 1, *sizes, 0, kind.entries, kind.dimension, batch_faces
    hello = yield from swap(_HELLO.pack(*common, len(own), faces), _HELLO.size)
    *theirs, count, wanted = _HELLO.unpack(hello)
    if theirs[0] != b"b2st" or count > MOST_BATCHES:
        raise MalformedMessageError("The other party does not speak of a stock.")
    if tuple(theirs) != common:
        raise MismatchError(
            "The other party prepares for other sizes, another list or other batches; agree on them first."
        )
    table = b"".join(_ROW.pack(name, own[name].taken) for name in sorted(own))
    other = dict(_ROW.iter_unpack((yield from swap(table, _ROW.size * count))))
    if len(other) != count or list(other) != sorted(other):
        raise MalformedMessageError("The other party's table of batches is in disorder.")
    level = 0
    for name, batch in own.items():
        if name in other:
            level += max(0, batch.faces - max(batch.taken, other[name]))
        else:
            batch.void()
    return Order(min(faces, wanted), level)


def make_batch(stock: Stock, faces: int) -> Talk[Path]:
    """One batch, on both disks when this ends on both sides.

    Raises:
        AbortError: the other party cheated or is gone; the batch is dropped.
        StorageFullError: there is no room.

    """
    oblivious = yield from setup(stock.party, security=stock.kind.sizes.security_bits)
    maker = Maker(oblivious, stock.kind.sizes)
    prepared = yield from prepare(maker, stock.kind.entries, stock.kind.dimension, faces)
    if maker.unchecked:
        raise UsageError("What was opened was not checked; this is not to be kept.")
    part = stock.write(oblivious.session, oblivious.alpha, prepared)
    name = oblivious.session[:NAME_BYTES]
    try:
        if (yield from swap(name, NAME_BYTES)) != name:
            raise MalformedMessageError("The other party stored another batch.")
        return stock.keep(part)
    finally:
        remove(part)  # which is not there any more when it was kept


# -- using ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chosen:
    """Faces that both sides have. ``nonces`` are of this run, P0's first."""

    batch: Batch
    first: int
    count: int
    nonces: bytes


def use(stock: Stock, count: int, run: Callable[[Party, Prepared], Talk[T]]) -> Talk[T]:
    """Take preparations for ``count`` faces on both sides, and run a protocol with them.

    Both parties hold the stocks' locks for using. Whatever ends the run early makes the batch void.

    Raises:
        StockEmptyError: there is no batch with so many on both sides. Nothing was used.
        AbortError: the run's own, or `ReplayedError` where the parties do not mean the same faces.

    """
    chosen = yield from choose(stock, count)
    if chosen is None:
        raise StockEmptyError("Nothing is prepared for another face; let the parties prepare more.")
    return (yield from use_chosen(stock, chosen, run))


def use_chosen(stock: Stock, chosen: Chosen, run: Callable[[Party, Prepared], Talk[T]]) -> Talk[T]:
    """As `use`, with what `choose` found."""
    batch, first = chosen.batch, chosen.first
    ended = False
    try:
        prepared = batch.take(first, chosen.count)
        meant = _WANT.pack(batch.name, first, chosen.count)
        if (yield from swap(meant, _WANT.size)) != meant:
            raise ReplayedError("The other party means other faces of the stock.")
        place = batch.session + first.to_bytes(8, "little") + chosen.nonces
        session = hashlib.sha256(b"blindsight stock run 1\0" + place).digest()
        security = stock.kind.sizes.security_bits
        party = Party(Resumed(stock.party, session, batch.alpha, security), stock.kind.sizes)
        result = yield from run(party, prepared)
        ended = not party.over and not party.unchecked
    finally:
        if ended:
            batch.finish()
        else:
            batch.void()
    return result


def choose(stock: Stock, count: int) -> Talk[Chosen | None]:
    """The batch and the first face that both have; None where there is none. Nothing is used yet."""
    if not 0 < count <= MOST_FACES:
        raise UsageError(f"A run has 1 to {MOST_FACES} faces.")
    refused: set[bytes] = set()
    while True:
        own = {batch.name: batch for batch in stock.batches() if batch.left >= count}
        nonce = os.urandom(_NONCE_BYTES)
        if stock.party == 0:
            name = next((name for name in sorted(own) if name not in refused), _NOBODY)
            taken = own[name].taken if name in own else 0
            theirs = yield from swap(_WANT.pack(name, taken, count) + nonce, _WANT.size + _NONCE_BYTES)
            nonces, asked = nonce + theirs[-_NONCE_BYTES:], count
        else:
            theirs = yield from swap(bytes(_WANT.size) + nonce, _WANT.size + _NONCE_BYTES)
            name, taken, asked = _WANT.unpack(theirs[: _WANT.size])
            nonces = theirs[-_NONCE_BYTES:] + nonce
        if asked != count:
            raise MalformedMessageError("The other party runs with another number of faces.")
        if name == _NOBODY:
            return None
        if stock.party == 0:
            found, other = _HAVE.unpack((yield from swap(bytes(_HAVE.size), _HAVE.size)))
        else:
            found, other = int(name in own), taken
            taken = own[name].taken if found else 0
            yield from swap(_HAVE.pack(found, taken), _HAVE.size)
        if found not in (0, 1):
            raise MalformedMessageError("The other party does not say whether it has a batch.")
        first = max(taken, other)
        if found and first + count <= own[name].faces:
            return Chosen(own[name], first, count, nonces)
        refused.add(name)
