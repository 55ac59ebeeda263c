"""Protocols of two parties as generators that do no input or output.

Each ``yield`` hands out this party's message of a round and takes the other's message of the same
round; both send in every round, if only nothing. Protocols compose with ``yield from``. Who runs
them moves the messages: `run_both` in one process, `blindsight.blind.party_talk` over a channel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar

from blindsight.core.errors import AbortError, MalformedMessageError, UsageError
from blindsight.core.evidence import Evidence

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")

Talk: TypeAlias = Generator[bytes, bytes, T]

MAX_BYTES: Final = 1 << 28
"""No message is longer; a protocol with more to say says it in parts."""

_KEPT_BYTES: Final = 1 << 16


def swap(message: bytes, size: int) -> Talk[bytes]:
    """One round: send a message, take one of exactly ``size`` bytes.

    Raises `MalformedMessageError` where the other party's message has another length.
    """
    if len(message) > MAX_BYTES:
        raise UsageError(f"A message has at most {MAX_BYTES} bytes; do less at a time.")
    answer = yield message
    if len(answer) != size:
        raise MalformedMessageError("The other party sent a message of another length than agreed.")
    return bytes(answer)


def witnessed(
    talk: Talk[T], *, party: int, session: bytes, first: int, count: int, watchlist: bytes = bytes(32)
) -> Talk[T]:
    """The same protocol; an `AbortError` out of it carries its messages as evidence.

    Messages over 64 KiB stand in the evidence as their SHA-256.
    """
    sent: list[bytes] = []
    received: list[bytes] = []
    try:
        message = next(talk)
        while True:
            sent.append(message)
            answer = yield message
            received.append(answer)
            message = talk.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    except AbortError as error:
        if error.evidence is None:
            error.evidence = Evidence(
                error.code,
                party,
                session[:16],
                first,
                count,
                watchlist,
                tuple(map(_kept, sent)),
                tuple(map(_kept, received)),
            )
        raise
    finally:
        talk.close()


def _kept(message: bytes) -> bytes:
    return message if len(message) <= _KEPT_BYTES else hashlib.sha256(message).digest()


def run_both(
    talk0: Talk[A], talk1: Talk[B], alter: Callable[[int, int, bytes], bytes] | None = None
) -> tuple[A, B]:
    """Run both parties in this process.

    Args:
        talk0: party 0.
        talk1: party 1.
        alter: the network: ``alter(round, sender, message)`` is what arrives.

    Raises the first error of either; the other party is then closed where it stands.

    """
    ends: list[object] = [None, None]
    talks = (talk0, talk1)
    waiting = [True, True]
    answers: list[bytes | None] = [None, None]
    number = 0
    try:
        while True:
            messages = [b"", b""]
            for party, talk in enumerate(talks):
                if waiting[party]:
                    try:
                        answer = answers[party]
                        messages[party] = next(talk) if answer is None else talk.send(answer)
                    except StopIteration as stop:
                        ends[party], waiting[party] = stop.value, False
            if not any(waiting):
                return ends[0], ends[1]  # type: ignore[return-value]
            if not all(waiting):
                raise UsageError("One party is through and the other is not; they run different protocols.")
            if alter is not None:
                messages = [alter(number, party, message) for party, message in enumerate(messages)]
            answers = [messages[1], messages[0]]
            number += 1
    finally:
        talk0.close()
        talk1.close()
