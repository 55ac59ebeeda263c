"""Run one party's half of a protocol over a channel (specs/oblivious.md, section 9)."""

from __future__ import annotations

import contextlib
from typing import Final, NoReturn, TypeVar

from blindsight.core.errors import (
    AbortError,
    CounterpartAbortError,
    MalformedError,
    MalformedMessageError,
    OtherWatchlistError,
    ReplayedError,
    UnavailableError,
    VanishedError,
    WrongCorrelationError,
    WrongOpeningError,
    WrongResultError,
)
from blindsight.schemes.spdz2k.talk import MAX_BYTES, Talk
from blindsight.wire.channel import Channel

T = TypeVar("T")

_PARTING_SECONDS: Final = 2.0
_ROUND: Final = b"\0"
_ABORT: Final = b"\1"
_NUMBERS: Final[dict[type[AbortError], int]] = {
    MalformedMessageError: 1,
    WrongOpeningError: 2,
    WrongResultError: 3,
    OtherWatchlistError: 4,
    ReplayedError: 5,
    CounterpartAbortError: 6,
    VanishedError: 7,
    WrongCorrelationError: 8,
}
_CODES: Final = {number: cls.code for cls, number in _NUMBERS.items()}


def run_over(talk: Talk[T], channel: Channel, timeout: float | None = None) -> T:
    """The result of a protocol whose other half runs at the other end.

    After any error the channel is closed. ``timeout`` is for each round, in seconds.

    Raises:
        AbortError: the protocol's own; the other party is told its code and nothing else.
        CounterpartAbortError: the other party gave up.
        VanishedError: it did not answer in time, or the connection broke.

    """
    try:
        message = next(talk)
        while True:
            message = talk.send(_round(talk, channel, message, timeout))
    except StopIteration as stop:
        result: T = stop.value
        return result
    except AbortError as error:
        if not isinstance(error, CounterpartAbortError | VanishedError):
            notice = _ABORT + bytes([_NUMBERS.get(type(error), 0)])
            with contextlib.suppress(UnavailableError, MalformedError):
                # the other one may be in the middle of its next message and must be able to end it
                channel.exchange(notice, MAX_BYTES + 1, _PARTING_SECONDS)
        channel.close()
        raise
    except BaseException:
        channel.close()
        raise
    finally:
        talk.close()


def _round(talk: Talk[T], channel: Channel, message: bytes, timeout: float | None) -> bytes:
    """Exchange one message; what goes wrong is raised inside the protocol, which adds evidence."""
    try:
        answer = channel.exchange(_ROUND + message, MAX_BYTES + 1, timeout)
    except UnavailableError:
        _throw(talk, VanishedError("The other party did not answer; both parties set up again."))
    except MalformedError:
        _throw(talk, MalformedMessageError("The other party announced a message over the limit."))
    if answer[:1] == _ROUND:
        return bytes(memoryview(answer)[1:])
    if answer[:1] == _ABORT and len(answer) == 2:
        reason = _CODES.get(answer[1], "abort")
        _throw(talk, CounterpartAbortError(f"The other party gave up ({reason}); both parties set up again."))
    return _throw(talk, MalformedMessageError("The other party's message is no message of a round."))


def _throw(talk: Talk[T], error: AbortError) -> NoReturn:
    talk.throw(error)
    raise error  # a protocol that goes on after an abort
