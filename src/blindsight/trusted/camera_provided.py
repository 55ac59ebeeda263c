"""A camera's half of a session that a provider deals for (specs/party.md, section 2.1)."""

from __future__ import annotations

from collections import deque
from typing import Final

from blindsight.core.errors import MismatchError, ProtocolError
from blindsight.schemes.spdz2k.messages import HEADER_BYTES, Layout
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.public import Masks
from blindsight.schemes.spdz2k.share import Sharer
from blindsight.wire.party_messages import MOST_IN_RUN, Deal, Opened, State

_STOCK: Final = 2 * MOST_IN_RUN
"""Masks that a camera keeps in stock, or has asked for, at least."""


class ProvidedSession:
    """A session that a provider has opened; as `camera_link._Session` but that masks come from outside."""

    def __init__(self, opened: Opened, states: tuple[State, State], params: Params, ahead: int) -> None:
        self.id, self.digest = opened.session, opened.digest
        self._params = params
        self.sharer = Sharer(params, opened.session)
        self.unanswered: list[deque[tuple[int, int]]] = [deque(), deque()]
        self._most = min(MOST_IN_RUN, Layout(params, states[0].entries).most_faces)
        self._wanted = wanted(states, ahead)
        self._asked = self._wanted  # by the message that had it opened

    @property
    def room(self) -> int:
        """How many inputs may be sent together now."""
        return min(self.sharer.stock, self._most)

    def credited(self, party: int, faces: int) -> None:
        """A party took faces: room in a window that is the provider's to use."""

    def more(self) -> Deal | None:
        """What to ask the provider for now."""
        lacking = self._wanted - self.sharer.stock - self._asked
        if lacking < max(1, self._wanted // 2):
            return None  # not for every face
        self._asked += lacking
        return Deal(self.id, self.digest, lacking)

    def add(self, message: bytearray) -> None:
        """Take masks, and overwrite the message.

        Raises:
            ProtocolError: no masks for this camera's faces, of another session, for faces that were dealt for
                before, or more than were asked for.

        """
        masks = Masks.parse(message, self._params)
        if len(masks.values) > self._asked:
            raise ProtocolError("The provider sent more masks than it was asked for.")
        try:
            self.sharer.add(masks)
        except MismatchError as error:
            raise ProtocolError(error.message) from error
        self._asked -= len(masks.values)
        message[:] = bytes(len(message))


def wanted(states: tuple[State, State], ahead: int) -> int:
    """How many faces to have dealt for ahead: no more than both parties store."""
    return max(1, min(max(_STOCK, ahead), *(state.window for state in states)))


def most_bytes(params: Params) -> int:
    """The largest message of masks that a provider sends."""
    return HEADER_BYTES + MOST_IN_RUN * 8 * (params.dimension + 1)
