"""Fill a stock together with the other party, until it holds what is wanted (specs/stock.md, section 3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from blindsight.blind.party_talk import run_over
from blindsight.blind.stock import Stock
from blindsight.blind.stock_talk import agree, make_batch
from blindsight.wire.channel import Channel

ROUND_SECONDS: Final = 120.0
"""For which a party waits for a message; the other may have much to compute before."""


class StockMetrics:
    """Level and progress of a stock, in a registry of their own."""

    def __init__(self, stock: Stock) -> None:
        self.registry = CollectorRegistry()
        level = Gauge("blindsight_party_stock_faces", "Faces that are prepared.", registry=self.registry)
        level.set_function(stock.level)
        self.made = Counter(
            "blindsight_party_stock_made", "Faces prepared by this process.", registry=self.registry
        )

    def serve(self, port: int) -> int:
        """Answer on a loopback port, 0 for a free one; the port. Runs until the process ends."""
        server, _ = start_http_server(port, "127.0.0.1", self.registry)
        return int(server.server_port)


@dataclass(frozen=True, slots=True)
class Filled:
    """What filling did.

    Attributes:
        level: faces that both stocks hold now.
        made: faces that were made.
        batches: in how many batches.
        seconds: of making, the first setup included.
        sent_bytes: by this party, all in all.
        received_bytes: the same.
    """

    level: int
    made: int
    batches: int
    seconds: float
    sent_bytes: int
    received_bytes: int


def fill(
    stock: Stock,
    channel: Channel,
    faces: int,
    batch_faces: int,
    *,
    advance: Callable[[int, int], None] = lambda done, of: None,
    metrics: StockMetrics | None = None,
) -> Filled:
    """Make batches until the level is ``faces``, or what the other party wants if that is less.

    Whatever ends it early leaves whole batches behind and nothing else; called again, it goes on.

    Raises:
        AbortError: the other party cheated or is gone.
        MismatchError: it prepares something else.
        UsageError: another process makes for this stock.

    """
    with stock.making(), stock.recording():
        order = run_over(agree(stock, batch_faces, faces), channel, ROUND_SECONDS)
        level, batches = order.level, 0
        advance(level, order.faces)
        began = time.monotonic()
        while level < order.faces:
            count = min(batch_faces, order.faces - level)
            run_over(make_batch(stock, count), channel, ROUND_SECONDS)
            level, batches = level + count, batches + 1
            if metrics is not None:
                metrics.made.inc(count)
            advance(level, order.faces)
        seconds = time.monotonic() - began
    made = level - order.level
    return Filled(level, made, batches, seconds, channel.sent_bytes, channel.received_bytes)
