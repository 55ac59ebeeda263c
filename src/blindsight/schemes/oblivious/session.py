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

from blindsight.core.errors import InsecureParametersError, SessionOverError, UsageError
from blindsight.kernels import wide
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
"""Bits of a MAC key where nothing else is said, and the least."""

MOST_CHECKS: Final = 128
_WEIGHT_BITS: Final = 64


def tag_bits(kept: int, security: int = SECURITY) -> int:
    """The ring for `Oblivious.authenticate` whose tags are to hold modulo 2^kept.

    `security` + 8 bits more, in whole bytes where one more bit would begin a new one; 128 at most.
    """
    bits = kept + security + 8
    return min(bits - bits % 8 if bits % 8 == 1 else bits, wide.MOST_BITS)


def tag_checks(kept: int, security: int = SECURITY) -> int:
    """How often such tags are to be checked, in the ring of `tag_bits`, for an error of 2^-security.

    Once where the ring has `security` bits to spare; the fewer it has, the more often.
    """
    chunks = -(-security // DEPTH)
    pairs = max(1, chunks * (chunks - 1) // 2)
    each = min(_WEIGHT_BITS, tag_bits(kept, security) - kept + 1)
    return -(-((pairs << security) - 1).bit_length() // each)


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


def nibbles(value: int, count: int) -> list[int]:
    """The chunks of Δ or α, lowest first."""
    return [value >> DEPTH * i & (1 << DEPTH) - 1 for i in range(count)]


def setup(party: int, alpha: int | None = None, *, security: int = SECURITY) -> Talk[Oblivious]:
    """Base transfers and seeds in both directions; two rounds.

    Args:
        party: 0 or 1.
        alpha: this party's MAC key, 0 … 2^security − 1; drawn where not given.
        security: its bits, 40 to 64, a multiple of 4; the same on both sides.

    Raises:
        InsecureParametersError: less than 40 bits.
        AbortError: the other party's messages are not what they must be.

    """
    if party not in (0, 1):
        raise UsageError("The parties are 0 and 1.")
    if security < SECURITY:
        raise InsecureParametersError(f"A MAC key of {security} bits is too short; take at least {SECURITY}.")
    if security % DEPTH or security > _WEIGHT_BITS:
        raise UsageError(f"The bits of a MAC key are a multiple of {DEPTH}, up to {_WEIGHT_BITS}.")
    if alpha is None:
        alpha = int.from_bytes(os.urandom(8), "little") % (1 << security)
    if not 0 <= alpha < 1 << security:
        raise UsageError(f"A MAC key has {security} bits.")
    chunks = security // DEPTH
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

    def authenticate(self, values: U64, bits: int = 112, checks: int = 1) -> Talk[Tags]:
        """Tags of this party's values and keys of the other's; three rounds for every 2^17.

        Args:
            values: uint64 (n, 2), integers modulo 2^bits, n at most 2^22 and public.
            bits: of the ring. What passed one check holds modulo 2^(bits − s − 8); see `tag_bits`.
            checks: how often it is checked, 1 to 128; see `tag_checks`.

        Returns:
            own T + other K = other α · x modulo 2^bits.

        Raises:
            AbortError: the other party cheated, or does not speak this protocol.

        """
        count, chunks = len(values), len(self._keyed)
        if values.ndim != 2 or values.shape[1] != 2 or not 0 < count <= tags.MOST_VALUES:
            raise UsageError(f"Values are 1 to {tags.MOST_VALUES} pairs of words.")
        if not self.security < bits <= wide.MOST_BITS:
            raise UsageError(f"A ring for tags has {self.security + 1} to 128 bits.")
        if not 1 <= checks <= MOST_CHECKS:
            raise UsageError(f"Tags are checked 1 to {MOST_CHECKS} times.")
        with self._call() as call:
            made = []
            for first in range(0, count, tags.PART):
                part = values[first : first + tags.PART]
                start = self._word_blocks
                self._word_blocks += len(part) + checks
                inputs = self._inputs(self._tagged, start, part, bits, checks)
                keys = tags.Keys(self._keyed, start, self.alpha, len(part), bits, checks)
                talk = tags.tagging(inputs, keys, len(part), bits, chunks, checks)
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
