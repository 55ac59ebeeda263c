"""A party in a process that can be told to die at one point; forked, so that starting it is quick."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from blindsight.blind.party import Party, Timing
from blindsight.blind.party_log import PartyLog
from blindsight.blind.party_warm import warm
from blindsight.wire.channel import Channel
from blindsight.wire.tls import Identity

QUICK = Timing(round=3.0, silence=4.0, idle=0.1, busy=0.5, least=0.02, most=0.2)

for _party in (0, 1):
    warm(_party)


def die() -> None:
    """As if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    """Die at ``exchange N`` of a run's rounds, or ``before KIND`` or ``after KIND`` in the log."""
    when, _, what = point.partition(" ")
    if when == "exchange":
        original, seen = Channel.exchange, [0]

        def exchange(self: Channel, message: Any, *rest: Any) -> Any:
            if bytes(message[:2]) == b"b2":
                seen[0] += 1
                if seen[0] == int(what):
                    die()
            return original(self, message, *rest)

        Channel.exchange = exchange  # type: ignore[method-assign]
    elif when == "received":
        original, seen = Channel.exchange, [0]

        def exchange(self: Channel, message: Any, *rest: Any) -> Any:
            answer = original(self, message, *rest)
            if bytes(message[:2]) == b"b2":
                seen[0] += 1
                if seen[0] == int(what):
                    die()
            return answer

        Channel.exchange = exchange  # type: ignore[method-assign]
    elif when in ("before", "after"):
        append, agreed = PartyLog.append, [False]

        def appending(self: PartyLog, kind: str, **said: Any) -> None:
            agreed[0] |= kind == "agreed"  # what was left over from the last death is over with
            if not agreed[0]:
                return append(self, kind, **said)
            if (when, kind) == ("before", what):
                die()
            append(self, kind, **said)
            if (when, kind) == ("after", what):
                die()
            return None

        PartyLog.append = appending  # type: ignore[method-assign]


def serve(number: int, folder: str, identity: str, ports: tuple[int, int], said: Any, point: str) -> None:
    """Run a party until it is ended or dies; ``said`` is told of alerts."""
    if point:
        arm(point)
    party = Party(
        number,
        Identity(Path(identity)),
        Path(folder) / f"list{number}",
        Path(folder) / f"data{number}",
        ("127.0.0.1", ports[number]),
        ("127.0.0.1", ports[1]) if number == 0 else None,
        on_alert=lambda alert: said.send((alert.receipt, [entry for _, entry in alert.matches])),
        timing=QUICK,
    )
    said.send("listening")
    party.run()
