"""A MAC key without its seeds: for checks of what was made in a session that is over (specs/stock.md)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import SessionOverError
from blindsight.schemes.oblivious.session import Oblivious
from blindsight.schemes.oblivious.tags import Tags
from blindsight.schemes.oblivious.transfers import RandomOTs
from blindsight.schemes.spdz2k.talk import Talk

U64 = NDArray[np.uint64]

_ENDED = "This session's seeds are gone; set up another to make something."


class Resumed(Oblivious):
    """Coins and commitments under a key of before; it makes nothing.

    Args:
        party: 0 or 1.
        session: 32 bytes for this run alone, the same on both sides, which neither could choose.
        alpha: this party's MAC key.
        security: its bits.

    """

    def __init__(self, party: int, session: bytes, alpha: int, security: int) -> None:
        self.party, self.session, self.alpha = party, session, alpha
        self._security = security
        self._calls = 0
        self._over = self._busy = False

    @property
    def security(self) -> int:
        """Bits of a MAC key."""
        return self._security

    def random_ots(self, choices: NDArray[np.bool_]) -> Talk[RandomOTs]:
        """Refused."""
        raise SessionOverError(_ENDED)

    def authenticate(self, values: U64, bits: int = 112, checks: int = 1) -> Talk[Tags]:
        """Refused."""
        raise SessionOverError(_ENDED)
