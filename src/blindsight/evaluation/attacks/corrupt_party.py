"""A party of `spdz2k` that computes with something else than was agreed, and one that does not check.

For experiments: what a corrupt party could do to its shares (W. Koch's thesis, section 3.3), as
`Meddling`; a `CorruptSession` that does it; and a `CredulousSession`, the protocol with its checks
of round 1 taken out, to see that they are what stops it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from blindsight.core.errors import AbortError
from blindsight.core.types import I32
from blindsight.kernels.distances import distances
from blindsight.schemes.spdz2k.compute import Comparison, Session, Step
from blindsight.schemes.spdz2k.messages import (
    HASH_BYTES,
    HEADER_BYTES,
    NAMED_BYTES,
    U64,
    Kind,
    Message,
    pack_bits,
)
from blindsight.schemes.spdz2k.public import Grant
from blindsight.schemes.spdz2k.watchlist import Watchlist


class Meddling(Protocol):
    """What a corrupt party does to its shares of the distances."""

    def change(self, party: int, watchlist: Watchlist, share: U64) -> U64:
        """What it adds to them.

        Args:
            party: 0 or 1: who is corrupt.
            watchlist: the agreed one.
            share: its shares of (x, |x|²), uint64 (count, d + 1).

        Returns:
            uint64 (count, N).
        """
        ...


@dataclass(frozen=True, slots=True)
class MoveShare:
    """Section 3.3 to the letter: moves its share of x by Δ = p − c where entry c is compared."""

    wanted: I32
    instead_of: int

    def change(self, party: int, watchlist: Watchlist, share: U64) -> U64:
        c = watchlist.entries[self.instead_of].astype(np.int64)
        added = np.zeros((len(share), len(watchlist)), np.uint64)
        added[:, self.instead_of] = np.array(2 * int(c @ (self.wanted - c)), np.int64).astype(np.uint64)
        return added


@dataclass(frozen=True, slots=True)
class SwapEntry:
    """Computes with p in the place of entry c: a watchlist altered in secret."""

    wanted: I32
    instead_of: int

    def change(self, party: int, watchlist: Watchlist, share: U64) -> U64:
        both = np.stack([self.wanted, watchlist.entries[self.instead_of]]).astype(np.int32)
        found = distances(both, np.pad(share, ((0, 0), (0, len(both)))))  # with nothing to add for either
        added = np.zeros((len(share), len(watchlist)), np.uint64)
        added[:, self.instead_of] = found[:, 0] - found[:, 1]
        if party == 0:
            squares = (both.astype(np.int64) ** 2).sum(axis=1)
            added[:, self.instead_of] += (squares[:1] - squares[1:]).astype(np.uint64)
        return added


@dataclass(frozen=True, slots=True)
class WidenThreshold:
    """Raises the threshold of entry c by |p − c|², so that photos of p match it as well.

    All that can be done to a sum of linear shares without knowing x is to add a constant.
    """

    wanted: I32
    instead_of: int

    def by(self, watchlist: Watchlist) -> int:
        """|p − c|², or less where the value bits do not hold so high a threshold."""
        difference = self.wanted.astype(np.int64) - watchlist.entries[self.instead_of]
        room = int(2 ** (watchlist.params.value_bits - 1)) - 1 - watchlist.threshold
        return min(int(difference @ difference), room)

    def change(self, party: int, watchlist: Watchlist, share: U64) -> U64:
        added = np.zeros((len(share), len(watchlist)), np.uint64)
        added[:, self.instead_of] -= np.uint64(self.by(watchlist))
        return added


class CorruptSession(Session):
    """A session of a party that meddles with every run, and otherwise follows the protocol."""

    def __init__(self, grant: Grant, watchlist: Watchlist, meddling: Meddling) -> None:
        super().__init__(grant, watchlist)
        self._meddling = meddling

    def _comparison(self, material: Message, inputs: Message) -> Comparison:
        return _Meddled(self, material, inputs, self._meddling)


class _Meddled(Comparison):
    def __init__(self, session: Session, material: Message, inputs: Message, meddling: Meddling) -> None:
        self._meddling = meddling
        super().__init__(session, material, inputs)

    def _prepare(self, inputs: U64) -> None:
        super()._prepare(inputs)
        share = self._half.values[:, 0, : inputs.shape[1]]  # party 0's with the input already
        self._shares += self._meddling.change(self._grant.party, self._session.watchlist, share)


class CredulousSession(Session):
    """A session of a party that does not check openings. INSECURE: a control of the experiments."""

    def _comparison(self, material: Message, inputs: Message) -> Comparison:
        return _Credulous(self, material, inputs)


class _Credulous(Comparison):
    def _bits(self, message: bytes) -> bytes:
        body = message[HEADER_BYTES + NAMED_BYTES : -HASH_BYTES]
        self._u = self._tokens(self._shares + np.frombuffer(body, "<u8").reshape(self.count, -1))
        self._own_bits = (self._u[..., 0] & np.uint64(1)).astype(np.uint8)
        return self._header(Kind.BITS) + pack_bits(self._own_bits)


def exchange(one: Comparison, other: Comparison) -> tuple[AbortError | None, AbortError | None]:
    """Carry the messages of one run between two parties; what each ended with, None for a result.

    A party that aborts sends its notice and nothing else, which ends the run of the other.
    """
    parties = one, other
    ends: list[AbortError | None] = [None, None]
    sent: list[bytes | None] = [one.start(), other.start()]
    while any(message is not None for message in sent):
        answers: list[bytes | None] = [None, None]
        for at, party in enumerate(parties):
            message = sent[1 - at]
            if message is None or ends[at] is not None or party.step is Step.DONE:
                continue
            try:
                answers[at] = party.receive(message)
            except AbortError as error:
                ends[at] = error
                answers[at] = error.notice or None
        sent = answers
    return ends[0], ends[1]
