"""One party's faces against the agreed list, with what the stocks hold (specs/stock.md, section 6)."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from blindsight.blind.party_talk import run_over
from blindsight.blind.stock import Stock
from blindsight.blind.stock_talk import choose, use_chosen
from blindsight.core.errors import MalformedMessageError, MismatchError, StockEmptyError
from blindsight.schemes.dealerless.party import Party
from blindsight.schemes.dealerless.prepared import Prepared
from blindsight.schemes.dealerless.probe import probe
from blindsight.schemes.spdz2k.talk import Talk, swap
from blindsight.schemes.spdz2k.watchlist import Watchlist
from blindsight.wire.channel import Channel

T = TypeVar("T")
I32 = NDArray[np.int32]

ROUND_SECONDS: Final = 30.0
_AGAIN_SECONDS: Final = 0.5
_HELLO: Final = struct.Struct("<4s4xQ")
_MAGIC: Final = b"b2pq"
_MOST_FACES: Final = 1 << 32


def probes(
    stock: Stock, channel: Channel, watchlist: Watchlist, vectors: I32 | None, patience: float = 0.0
) -> Iterator[NDArray[np.bool_]]:
    """The match bits of one face after the other, on both sides.

    Args:
        stock: this party's.
        channel: to the other, who does the same.
        watchlist: this party's own agreed state.
        vectors: int32 (faces, d) within the norm on the side that asks, None on the other.
        patience: seconds to wait for preparations where there are none.

    Raises:
        StockEmptyError: none came.
        MismatchError: both ask, or neither.
        AbortError: the other party cheated or is gone; the batch that was used is void.

    """
    with stock.using(), stock.recording():
        asker, count = run_over(_hello(stock.party, vectors), channel, ROUND_SECONDS)
        for face in range(count):
            one = None if vectors is None else vectors[face : face + 1]

            def run(party: Party, prepared: Prepared, one: I32 | None = one) -> Talk[NDArray[np.bool_]]:
                return (yield from probe(party, asker, one, watchlist, prepared))

            yield ask(stock, channel, 1, run, patience)[0]


def ask(
    stock: Stock,
    channel: Channel,
    count: int,
    run: Callable[[Party, Prepared], Talk[T]],
    patience: float = 0.0,
) -> T:
    """One run with preparations for ``count`` faces, for which it waits up to ``patience`` seconds.

    Raises `StockEmptyError` where none came, and what the run raises.
    """
    ends = time.monotonic() + patience
    while True:
        chosen = run_over(choose(stock, count), channel, ROUND_SECONDS)
        if chosen is not None:
            return run_over(use_chosen(stock, chosen, run), channel, ROUND_SECONDS)
        if (left := ends - time.monotonic()) <= 0:
            raise StockEmptyError("Nothing is prepared for another face; let the parties prepare more.")
        time.sleep(min(_AGAIN_SECONDS, left))


def _hello(number: int, vectors: I32 | None) -> Talk[tuple[int, int]]:
    """Who asks, and how often."""
    own = 0 if vectors is None else len(vectors)
    magic, other = _HELLO.unpack((yield from swap(_HELLO.pack(_MAGIC, own), _HELLO.size)))
    if magic != _MAGIC or other > _MOST_FACES:
        raise MalformedMessageError("The other party does not come for probes.")
    if (own == 0) == (other == 0):
        raise MismatchError("One of the parties asks with a photo, and the other answers without.")
    return (number if own else 1 - number), own or other
