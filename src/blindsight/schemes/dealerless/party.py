"""One party: inputs, openings, and the check that all openings wait for (specification, sections 4, 5).

Every protocol is a generator that yields its message of a round and is sent the other's (`Talk`). A
protocol that is left in the middle, or fails, ends the party: what it holds must not be used again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from functools import wraps
from inspect import GEN_RUNNING, getgeneratorstate
from typing import Concatenate, Final, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import (
    AbortError,
    BlindsightError,
    MalformedMessageError,
    ParameterError,
    SessionOverError,
    UsageError,
    WrongOpeningError,
)
from blindsight.core.evidence import Evidence
from blindsight.kernels import wide
from blindsight.kernels.prg import Stream
from blindsight.kernels.products import squeeze, squeezed_bytes, stretch
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.shared import Shared, stack
from blindsight.schemes.oblivious.session import Oblivious, tag_bits, tag_checks
from blindsight.schemes.spdz2k.talk import Talk

__all__ = ["SEED_BYTES", "Party", "whole"]

U64 = NDArray[np.uint64]
T = TypeVar("T")
P = ParamSpec("P")
S = TypeVar("S", bound="Party")

SEED_BYTES: Final = 32
_KEPT: Final = 16
"""Messages that evidence holds, and so that a party remembers."""

_SHOWN_BYTES: Final = 1024
_TAGGED: Final = 1 << 16
"""Values that are tagged in one call of the layer below."""


def whole(
    protocol: Callable[Concatenate[S, P], Talk[T]],
) -> Callable[Concatenate[S, P], Talk[T]]:
    """A protocol that ends its party unless it runs to its end, with evidence where it aborts."""

    @wraps(protocol)
    def run(party: S, *args: P.args, **kwargs: P.kwargs) -> Talk[T]:
        return (yield from party.run(protocol(party, *args, **kwargs)))

    return run  # type: ignore[return-value]


class Party:
    """One of the two.

    Args:
        oblivious: the layer below, set up with the other party.
        sizes: the same on both sides.

    Raises:
        ParameterError: the layer below has another number of security bits.

    """

    def __init__(self, oblivious: Oblivious, sizes: Sizes) -> None:
        if oblivious.security != sizes.security_bits:
            raise ParameterError(f"The parties were set up for {oblivious.security} bits of security.")
        self._oblivious = oblivious
        self.sizes = sizes
        self.number: int = oblivious.party
        self._alpha = wide.from_ints([oblivious.alpha])
        self._listed: dict[int, list[tuple[U64 | None, U64]]] = {}
        self._over = self._spoke = False
        self._running: Talk[object] | None = None
        self._sent: deque[bytes] = deque(maxlen=_KEPT)
        self._received: deque[bytes] = deque(maxlen=_KEPT)

    # -- state ----------------------------------------------------------------------------------

    @property
    def oblivious(self) -> Oblivious:
        """The layer below. Whoever asks for it is about to speak."""
        self._spoke = True
        return self._oblivious

    @property
    def over(self) -> bool:
        """Whether something failed, or was left in the middle."""
        return self._over

    @property
    def unchecked(self) -> bool:
        """Whether something was opened that no check has covered yet."""
        return bool(self._listed)

    def end(self) -> None:
        """End: nothing that was made in this session is good for anything."""
        self._over = True
        self._alpha = np.zeros((1, 2), np.uint64)
        self._listed.clear()
        self._oblivious.end()

    def run(self, talk: Talk[T]) -> Talk[T]:
        """A protocol of this party, alone or as a part of the one that is running.

        A request that is refused before anything was sent does not end the party.
        """
        if self._over:
            raise SessionOverError("These two parties' session has ended; set up another one.")
        if self._running is not None:
            if getgeneratorstate(self._running) != GEN_RUNNING:  # it waits for a message
                raise UsageError("Protocols of one party follow each other; finish the last one first.")
            return (yield from talk)
        self._running, self._spoke = talk, False
        self._sent.clear()
        self._received.clear()
        try:
            return (yield from talk)
        except BaseException as error:  # also GeneratorExit: the other party is gone
            if self._spoke or not isinstance(error, BlindsightError):
                self.end()
            if isinstance(error, AbortError) and error.evidence is None:
                error.evidence = self._evidence(error.code)
            raise
        finally:
            self._running = None

    def _evidence(self, code: str) -> Evidence:
        sent, received = (tuple(map(_shown, messages)) for messages in (self._sent, self._received))
        return Evidence(code, self.number, self._oblivious.session[:16], 0, 0, bytes(32), sent, received)

    # -- messages -------------------------------------------------------------------------------

    def exchange(self, message: bytes, size: int) -> Talk[bytes]:
        """Send, and receive a message of ``size`` bytes. `MalformedMessageError` where it has not."""
        self._spoke = True
        self._sent.append(message)
        theirs = yield message
        self._received.append(theirs)
        if len(theirs) != size:
            raise MalformedMessageError("The other party's message is not what is due now.")
        return bytes(theirs)

    def exchange_elements(self, values: U64, count: int, bits: int) -> Talk[U64]:
        """Send elements (n, 2), and receive ``count`` of the same ring."""
        return elements(
            (yield from self.exchange(squeeze(values, bits), squeezed_bytes(count, bits))), count, bits
        )

    # -- values ---------------------------------------------------------------------------------

    def plus(self, shared: Shared, constants: U64) -> Shared:
        """Add public numbers, uint64 (..., 2), broadcast."""
        constants = np.broadcast_to(constants, np.broadcast_shapes(shared.share.shape, constants.shape))
        added = constants if self.number == 0 else np.zeros_like(constants)
        tags = wide.add(shared.tag, wide.mul(constants, self._alpha[0]))
        return Shared(
            shared.bits,
            wide.reduce(wide.add(shared.share, added), shared.bits),
            wide.reduce(tags, shared.bits),
        )

    @whole
    def inputs(self, values: U64, bits: int) -> Talk[tuple[Shared, Shared]]:
        """Both parties' private inputs, as many on each side: own and the other's (Π_Auth).

        Args:
            values: own numbers below 2^bits, uint64 (n, 2).
            bits: of the ring.

        """
        security = self.sizes.security_bits
        width, checks = tag_bits(bits, security), tag_checks(bits, security)
        own, keys = [], []
        for at in range(0, len(values), _TAGGED):
            part = values[at : at + _TAGGED]
            tags = yield from self.oblivious.authenticate(part, width, checks)
            own.append(wide.reduce(wide.add(wide.mul(part, self._alpha[0]), tags.own), bits))
            keys.append(wide.reduce(tags.keys, bits))
        return (
            Shared(bits, values, np.concatenate(own)),
            Shared(bits, np.zeros_like(values), np.concatenate(keys)),
        )

    @whole
    def random(self, count: int, bits: int) -> Talk[Shared]:
        """Values that neither knows, uniform in the ring."""
        own, theirs = yield from self.inputs(self.draw(count, bits), bits)
        return own + theirs

    def draw(self, count: int, bits: int) -> U64:
        """Own uniform numbers."""
        return wide.random(count, bits)

    # -- openings ---------------------------------------------------------------------------------

    @whole
    def open(self, shared: Shared) -> Talk[U64]:
        """Show values to both: uint64 of the array's shape and (2,). Not to be believed before `check`."""
        share = self.opening(shared.share.reshape(-1, 2))
        theirs = yield from self.exchange_elements(share, len(share), shared.bits)
        opened = wide.reduce(wide.add(share, theirs), shared.bits)
        self._list(shared.bits, opened, shared.tag.reshape(-1, 2))
        return opened.reshape(shared.share.shape)

    @whole
    def show(self, own: Shared, theirs: Shared) -> Talk[tuple[U64, U64]]:
        """Show values that one party knows: own ones, and the other's, whose share here is 0."""
        shown = self.opening(own.share.reshape(-1, 2))
        found = yield from self.exchange_elements(shown, theirs.share.size // 2, theirs.bits)
        opened = found.reshape(theirs.share.shape)
        pairs = [(shown, own.tag), (opened, theirs.tag)]
        for values, tags in pairs[:: 1 - 2 * self.number]:
            self._list(own.bits, values.reshape(-1, 2), tags.reshape(-1, 2))
        return shown.reshape(own.share.shape), opened

    def opening(self, share: U64) -> U64:
        """What an opening sends: the share."""
        return share

    def require_zero(self, shared: Shared) -> None:
        """Have the next check fail unless these values are zero. Sends nothing."""
        self._list(shared.bits, None, shared.tag.reshape(-1, 2))

    def _list(self, bits: int, opened: U64 | None, tags: U64) -> None:
        if len(tags):
            self._listed.setdefault(bits, []).append((opened, tags))

    # -- the check ----------------------------------------------------------------------------------

    @whole
    def check(self) -> Talk[None]:
        """Π_MACCheck over all that was opened. `WrongOpeningError` where a value is not what was shared."""
        if not self._listed:
            return
        stream = Stream((yield from self.oblivious.coin(SEED_BYTES)))
        rings = sorted(self._listed, reverse=True)
        sums = [self._sum(bits, stream) for bits in rings]
        message = b"".join(squeeze(total, bits) for total, bits in zip(sums, rings, strict=True))
        self._sent.append(message)
        theirs = yield from self.oblivious.commit_and_open(message)
        self._received.append(theirs)
        expected = (wide.reduce(wide.negate(z), bits) for z, bits in zip(sums, rings, strict=True))
        due = b"".join(squeeze(z, bits) for z, bits in zip(expected, rings, strict=True))
        if not hmac.compare_digest(due, theirs):
            raise WrongOpeningError("The other party opened values that it did not share.")
        self._listed.clear()

    def _sum(self, bits: int, stream: Stream) -> U64:
        """Own z of one ring, uint64 (1, 2)."""
        low = np.uint64((1 << self.sizes.security_bits) - 1)
        tags = np.concatenate([tags for _, tags in self._listed[bits]])
        opened = np.concatenate([np.zeros_like(t) if y is None else y for y, t in self._listed[bits]])
        factors = stream.read(8 * len(tags)).view("<u8") & low
        seen = wide.mul(wide.dot(opened[np.newaxis], factors), self._alpha)
        return wide.reduce(wide.sub(wide.dot(tags[np.newaxis], factors), seen), bits)

    # -- products -----------------------------------------------------------------------------------

    @whole
    def multiply(self, x: Shared, y: Shared, triples: tuple[Shared, Shared, Shared]) -> Talk[Shared]:
        """x·y with a triple for each (thesis, section 2.1.3, Multiplication). One round.

        x, y and the triples have one shape and ring.
        """
        a, b, c = triples
        opened = yield from self.open(stack([x - a, y - b]))
        first, second = opened
        product = c + b.times(first) + a.times(second)
        return self.plus(product, wide.reduce(wide.mul(first, second), x.bits))


def elements(message: bytes, count: int, bits: int) -> U64:
    """Read elements (count, 2). `MalformedMessageError` where a filling bit is set."""
    try:
        return stretch(message, count, bits)
    except ValueError as error:
        raise MalformedMessageError("The other party's message is not what is due now.") from error


def _shown(message: bytes) -> bytes:
    return bytes(message) if len(message) <= _SHOWN_BYTES else hashlib.sha256(message).digest()
