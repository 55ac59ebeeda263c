"""A party's watchlist as it is compared with, and as it is kept in step with the other party's.

`PartyList` says what to send and takes what came; who sends is `party_peer` (specs/party.md,
section 3; specs/dual-control.md, section 3).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from blindsight.blind.dual_control import WatchlistFile
from blindsight.core import dual_control
from blindsight.core.errors import BlindsightError, TamperedError, UsageError
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.watchlist import Watchlist
from blindsight.wire.party_messages import MOST_RECORDS, MOST_WAITING, At, Proposed, Records, Relay, Sync

_RELAY_BYTES: Final = 1 << 19


class Relation(Enum):
    """How the other party's list stands to one's own."""

    SAME = "same"
    BEHIND = "behind"
    AHEAD = "ahead"
    FORK = "fork"


@dataclass(frozen=True, slots=True)
class Compared:
    """An agreed list as the protocol takes it. ``names`` are those of its rows."""

    names: tuple[str, ...]
    watchlist: Watchlist


def compared(state: dual_control.Watchlist) -> Compared:
    """The list that is compared with in this state.

    Raises `UsageError` where there is nothing on it, or its numbers are not ones that the protocol
    can compute with.
    """
    founding = state.founding
    params = Params(founding.dimension, founding.scale, founding.norm, founding.value_bits)
    names, templates = state.templates()
    if not names:
        raise UsageError("Nobody is on the watchlist.")
    return Compared(names, Watchlist(params, templates.astype(np.int32), state.threshold, state.head))


class PartyList:
    """The copy in ``file``, with what follows from its present state."""

    def __init__(self, file: WatchlistFile) -> None:
        self.file = file
        self.compared: Compared | None = None
        self._offered: set[bytes] = set()
        self.refresh()

    def greet(self) -> None:
        """A new link: what was offered on the last one may be offered again."""
        self._offered.clear()

    def refresh(self) -> None:
        """Look at the state again, after records were taken."""
        try:
            self.compared = compared(self.file.state)
        except UsageError:
            self.compared = None

    @property
    def at(self) -> At:
        state = self.file.state
        return At(state.number, state.head)

    def sync(self) -> Sync:
        """What stands here and what waits here."""
        state, waiting = self.file.state, self.file.waiting()[:MOST_WAITING]
        approved = tuple(one.digest for one in waiting if one.verdict is not None)
        return Sync(state.number, state.head, tuple(one.digest for one in waiting), approved)

    def relation(self, number: int, head: bytes) -> Relation:
        """How a list with this number and head stands to this one; a fork only shows to who is ahead."""
        own = self.file.state
        if number > own.number:
            return Relation.AHEAD
        if self.file.head(number) != head:
            return Relation.FORK
        return Relation.SAME if number == own.number else Relation.BEHIND

    def records(self, after: int) -> Records:
        """The next records after a number, as many as a message takes."""
        found = []
        for encoded in self.file.records(after):
            found.append(encoded)
            if len(found) == MOST_RECORDS:
                break
        return Records(tuple(found))

    def take(self, records: Records) -> None:
        """Write records that the other party has; `ProtocolError` where they do not follow."""
        if not records.records:
            raise TamperedError("The other party says that it is ahead and has no records to show.")
        self.file.extend(records.records)
        self.refresh()

    def relay(self, theirs: Sync) -> Relay:
        """What of what waits the other party lacks: one proposal, once a link, and verdicts."""
        known, approved = frozenset(theirs.waiting), frozenset(theirs.approved)
        rejected = self.file.rejections(theirs.waiting)
        proposals: list[Proposed] = []
        verdicts, size = list(rejected), 0
        for one in self.file.waiting():
            if one.digest in known:
                if one.verdict is not None and one.digest not in approved:
                    verdicts.append(one.verdict)
            elif one.verdict is None and not proposals and one.digest not in self._offered:
                self._offered.add(one.digest)
                proposals.append(Proposed(one.signed, tuple(self.file.photos(one.digest))))
        kept = []
        for verdict in verdicts[:MOST_WAITING]:
            size += len(verdict.value) + 128
            if size <= _RELAY_BYTES:
                kept.append(verdict)
        return Relay(tuple(proposals), tuple(kept))

    def receive(self, relay: Relay) -> bool:
        """Take what the other party relays; whether anything changed.

        What is refused stays away: the other party may have decided what is being decided here, and
        an invalid signature convinces nobody.
        """
        changed = False
        for proposed in relay.proposals:
            with contextlib.suppress(BlindsightError):
                self.file.propose(proposed.signed, proposed.photos)
                changed = True
        for verdict in relay.verdicts:
            with contextlib.suppress(BlindsightError):
                self.file.decide(verdict)
                changed = True
        return changed
