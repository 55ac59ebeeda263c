"""One session that a provider deals: what was asked for, what may be sent on, in which order.

No input or output of its own. Specification: specs/party.md, section 2.1.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from blindsight.core.errors import MalformedError
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.messages import Layout
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.public import Source
from blindsight.wire.party_messages import MOST_DEALT, State

_MOST_TOGETHER: Final = 32


class Dealing:
    """A session for ``camera`` against the list that both parties' states tell of.

    Attributes:
        session: its name, 16 bytes.
        digest: of the watchlist.
        grants: one for each party, as they travel.
    """

    def __init__(self, camera: str, states: tuple[State, State]) -> None:
        one = states[0]
        params = Params(one.dimension, one.scale, one.norm, one.value_bits)
        self._dealer = Dealer(params, one.digest, one.entries, camera=camera, source=Source.PROVIDER)
        self.session, self.digest = self._dealer.session, one.digest
        self.grants = tuple(grant.to_bytes() for grant in self._dealer.grants)
        self._most = min(_MOST_TOGETHER, Layout(params, one.entries).most_faces)
        self._wanted = 0
        self._credit = [state.window for state in states]
        self._stored = [0, 0]
        self._masks: deque[tuple[int, bytearray]] = deque()

    def want(self, faces: int) -> None:
        """The camera asks for so many more."""
        self._wanted = min(self._wanted + faces, MOST_DEALT)

    def credited(self, party: int, faces: int) -> None:
        """A party has room again."""
        self._credit[party] += faces

    def deal(self) -> tuple[bytearray, bytearray] | None:
        """Material for both parties, for as many faces as are wanted and have room now; None for none.

        The caller overwrites it once it is sent.
        """
        count = min(self._wanted, self._most, *self._credit)
        if count < 1:
            return None
        dealt = self._dealer.deal(count)
        self._wanted -= count
        self._credit = [credit - count for credit in self._credit]
        self._masks.append((self._dealer.next, bytearray(dealt.masks.to_bytes())))
        return dealt.material

    def stored(self, party: int, below: int) -> list[bytearray]:
        """A party has the material of all faces below a number; the masks that may go to the camera now.

        The caller overwrites them once they are sent.

        Raises:
            MalformedError: of faces that were not dealt for.

        """
        if not self._stored[party] < below <= self._dealer.next:
            raise MalformedError("A party has stored what was not dealt.")
        self._stored[party] = below
        ready = []
        while self._masks and self._masks[0][0] <= min(self._stored):
            ready.append(self._masks.popleft()[1])
        return ready
