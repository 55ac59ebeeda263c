"""One party's end of the layer: set up once, then transfers, tags and coins (specification).

    oblivious = yield from setup(party)
    transfers = yield from oblivious.random_ots(choices)
    tags = yield from oblivious.authenticate(values, bits=112)

All calls are generators that both parties run at the same time, with the same public arguments.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import SessionOverError, UsageError
from blindsight.kernels.leaves import DEPTH, Trees
from blindsight.schemes.oblivious import coins, tags, transfers
from blindsight.schemes.oblivious.base import BaseTransfers, base_transfers
from blindsight.schemes.oblivious.hashes import digest
from blindsight.schemes.oblivious.tags import Tags
from blindsight.schemes.oblivious.transfers import BLOCKS_OF_DELTA, RandomOTs
from blindsight.schemes.oblivious.trees import TREE_BYTES, choices_of, gather, plant
from blindsight.schemes.spdz2k.talk import Talk, swap, witnessed

U64 = NDArray[np.uint64]
T = TypeVar("T")

SECURITY: Final = 40
"""Bits of a MAC key."""


def tag_bits(kept: int, security: int = SECURITY) -> int:
    """The ring for `Oblivious.authenticate` whose tags are to hold modulo 2^kept.

    `security` + 8 bits more, in whole bytes where one more bit would begin a new one.
    """
    bits = kept + security + 8
    return bits - bits % 8 if bits % 8 == 1 else bits


@dataclass(frozen=True, slots=True, repr=False)
class Roots:
    """What a party has from the setup.

    Attributes:
        session: 32 bytes, the same on both sides.
        delta: the difference of the strings that this party sends, uint64 (2,).
        alpha: this party's MAC key.
        all: seeds that it knows whole, uint64 (32 + chunks, 16, 2): for its choices, for its inputs.
        punctured: seeds of which it misses one a tree, of the same shape: by Δ, by α.
    """

    session: bytes
    delta: U64
    alpha: int
    all: U64
    punctured: U64


def _chunks(security: int) -> int:
    if security % DEPTH or not 0 < security <= 64:
        raise UsageError("The bits of a MAC key are a multiple of 4, up to 64.")
    return security // DEPTH


def nibbles(value: int, count: int) -> list[int]:
    """The chunks of Δ or α, lowest first."""
    return [value >> DEPTH * i & (1 << DEPTH) - 1 for i in range(count)]


def setup(party: int, alpha: int | None = None, *, _security: int = SECURITY) -> Talk[Oblivious]:
    """Base transfers and seeds in both directions; two rounds.

    Args:
        party: 0 or 1.
        alpha: this party's MAC key, 0 … 2^40 − 1; drawn where not given.

    Raises:
        AbortError: the other party's messages are not what they must be.

    """
    if party not in (0, 1):
        raise UsageError("The parties are 0 and 1.")
    chunks = _chunks(_security)
    if alpha is None:
        alpha = int.from_bytes(os.urandom(8), "little") % (1 << _security)
    if not 0 <= alpha < 1 << _security:
        raise UsageError(f"A MAC key has {_security} bits.")
    return (
        yield from witnessed(_setup(party, alpha, chunks), party=party, session=bytes(16), first=0, count=0)
    )


def _setup(party: int, alpha: int, chunks: int) -> Talk[Oblivious]:
    delta = int.from_bytes(os.urandom(16), "little")
    points = nibbles(delta, BLOCKS_OF_DELTA) + nibbles(alpha, chunks)
    base: BaseTransfers = yield from base_transfers(party, choices_of(points))
    session = digest("blindsight oblivious session v1", bytes([DEPTH * chunks]), base.transcript)
    seeds, message = plant(base.pairs)
    theirs = yield from swap(message, TREE_BYTES * len(points))
    punctured = gather(points, base.chosen, theirs)
    words = np.frombuffer(delta.to_bytes(16, "little"), "<u8").astype(np.uint64)
    return Oblivious(party, Roots(session, words, alpha, seeds, punctured))


class Oblivious:
    """One party after the setup; for one thread at a time. Made by `setup`.

    After an abort, or a call that was left in the middle, it refuses all further use.
    """

    _receiver = transfers.Receiver  # what a cheating party of a test replaces
    _inputs = tags.Inputs

    def __init__(self, party: int, roots: Roots) -> None:
        self.party = party
        self.alpha = roots.alpha
        self.session = roots.session
        self._delta = roots.delta
        self._choosing, self._tagged = (Trees(part) for part in _parts(roots.all))
        self._sending, self._keyed = (Trees(part) for part in _parts(roots.punctured))
        self._calls = self._bit_blocks = self._word_blocks = 0
        self._over = self._busy = False

    @property
    def security(self) -> int:
        """Bits of a MAC key."""
        return DEPTH * len(self._keyed)

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return self._over

    def end(self) -> None:
        """Refuse all further use."""
        self._over = True

    @contextmanager
    def _call(self) -> Iterator[int]:
        """Number a call; whatever leaves it early ends everything."""
        if self._over:
            raise SessionOverError("This end of the oblivious layer has ended; both parties set up again.")
        if self._busy:
            raise SessionOverError(
                "Calls of the oblivious layer follow each other; finish the last one first."
            )
        self._busy = True
        self._calls += 1
        try:
            yield self._calls
        except BaseException:
            self._over = True
            raise
        finally:
            self._busy = False

    def _context(self, call: int) -> bytes:
        return self.session + call.to_bytes(8, "little")

    def random_ots(self, choices: NDArray[np.bool_]) -> Talk[RandomOTs]:
        """Transfers of random 128-bit strings, as many in each direction; three rounds.

        Args:
            choices: this party's bits as receiver, bool (n,), n at most 2^22 and public.

        Raises:
            AbortError: the other party cheated, or does not speak this protocol.

        """
        choices = np.asarray(choices)
        count = len(choices)
        if choices.ndim != 1 or choices.dtype != np.bool_ or not 0 < count <= transfers.MOST_TRANSFERS:
            raise UsageError(f"Choices are 1 to {transfers.MOST_TRANSFERS} bits.")
        with self._call() as call:
            start = self._bit_blocks
            self._bit_blocks += transfers.stream_blocks(count)
            receiver = self._receiver(self._choosing, start, choices)
            sender = transfers.Sender(self._sending, start, self._delta, count)
            keys = [self._row_key(party, call) for party in (self.party, 1 - self.party)]
            talk = transfers.transfers(receiver, sender, *keys)
            return (yield from self._witnessed(talk, call, count))

    def authenticate(self, values: U64, bits: int = 112) -> Talk[Tags]:
        """Tags of this party's values and keys of the other's; three rounds for every 2^17.

        Args:
            values: uint64 (n, 2), integers modulo 2^bits, n at most 2^22 and public.
            bits: of the ring. What passed the check holds modulo 2^(bits − s − 8); see `tag_bits`.

        Returns:
            own T + other K = other α · x modulo 2^bits.

        Raises:
            AbortError: the other party cheated, or does not speak this protocol.

        """
        count, chunks = len(values), len(self._keyed)
        if values.ndim != 2 or values.shape[1] != 2 or not 0 < count <= tags.MOST_VALUES:
            raise UsageError(f"Values are 1 to {tags.MOST_VALUES} pairs of words.")
        if not self.security < bits <= 128:
            raise UsageError(f"A ring for tags has {self.security + 1} to 128 bits.")
        with self._call() as call:
            made = []
            for first in range(0, count, tags.PART):
                part = values[first : first + tags.PART]
                start = self._word_blocks
                self._word_blocks += len(part) + 1
                inputs = self._inputs(self._tagged, start, part, bits)
                keys = tags.Keys(self._keyed, start, self.alpha, len(part), bits)
                talk = tags.tagging(inputs, keys, len(part), bits, chunks)
                made.append((yield from self._witnessed(talk, call, len(part))))
            return Tags(np.concatenate([m.own for m in made]), np.concatenate([m.keys for m in made]))

    def coin(self, count: int) -> Talk[bytes]:
        """Random bytes that neither party could choose; two rounds."""
        with self._call() as call:
            return (yield from self._witnessed(coins.toss(self.party, self._context(call), count), call, 0))

    def commit_and_open(self, message: bytes, size: int | None = None) -> Talk[bytes]:
        """Show a message and see the other party's, neither chosen after the other; two rounds.

        ``size`` is the length of the other party's message where it is not that of this one's.
        """
        with self._call() as call:
            talk = coins.commit_and_open(self.party, self._context(call), message, size)
            return (yield from self._witnessed(talk, call, 0))

    def _row_key(self, sender: int, call: int) -> bytes:
        place = self.session + bytes([sender]) + call.to_bytes(8, "little")
        return digest("blindsight oblivious rows v1", place)[:16]

    def _witnessed(self, talk: Talk[T], call: int, count: int) -> Talk[T]:
        return witnessed(talk, party=self.party, session=self.session, first=call, count=count)


def _parts(seeds: U64) -> tuple[U64, U64]:
    return seeds[:BLOCKS_OF_DELTA].copy(), seeds[BLOCKS_OF_DELTA:].copy()
