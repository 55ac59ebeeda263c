"""Answers in pieces: frames of a kind, a length and a payload, closed by an end that counts.

A frame is one byte of kind, four of length (little-endian) and the payload. ``D`` carries
data; ``E`` ends the stream and carries the number of data bytes before it (8 bytes, little-
endian) and their SHA-256; ``X`` ends it too, with a problem document: something failed after
the answer had begun. A stream that stops without ``E`` or ``X`` was cut off.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from blindsight.core.errors import BlindsightError, MalformedError, UnavailableError
from blindsight.core.types import AnyArray
from blindsight.wire import problem

MEDIA_TYPE: Final = "application/vnd.blindsight.frames"
PIECE_BYTES: Final = 1 << 20
END_BYTES: Final = 5 + 40

_SMALL_BYTES: Final = 64 << 10
_HEAD: Final = struct.Struct("<BI")
_COUNT: Final = struct.Struct("<Q")
_DATA, _END, _ERROR = b"DEX"


def pieces(array: AnyArray) -> Iterator[memoryview]:
    """The bytes of a contiguous array, in pieces of at most `PIECE_BYTES`, not copied."""
    flat = memoryview(array.reshape(-1).view("u1").data)
    for first in range(0, len(flat), PIECE_BYTES):
        yield flat[first : first + PIECE_BYTES]


def framed_bytes(data_bytes: int, frames: int) -> int:
    """The length of a stream of that much data in that many frames."""
    return data_bytes + frames * _HEAD.size + END_BYTES


def frames(payloads: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """A stream: every payload in a frame of its own, then the end, or the error that came up."""
    total, hashed = 0, hashlib.sha256()
    waiting = bytearray()  # small parts leave together, large ones are not copied
    try:
        for payload in payloads:
            total += len(payload)
            hashed.update(payload)
            waiting += _HEAD.pack(_DATA, len(payload))
            if len(payload) < _SMALL_BYTES:
                waiting += payload
            if len(waiting) >= _SMALL_BYTES or len(payload) >= _SMALL_BYTES:
                yield bytes(waiting)
                waiting.clear()
            if len(payload) >= _SMALL_BYTES:
                yield payload
    except BlindsightError as error:
        told = problem.encode(error)
        yield bytes(waiting) + _HEAD.pack(_ERROR, len(told)) + told
        return
    end = _COUNT.pack(total) + hashed.digest()
    yield bytes(waiting) + _HEAD.pack(_END, len(end)) + end


def payloads(chunks: Iterable[bytes], max_payload: int) -> Iterator[bytes]:
    """The payloads of a stream that arrives in chunks of any size.

    Raises `MalformedError` for anything the format does not allow or a payload over
    ``max_payload``, `UnavailableError` where the stream was cut off, and the error that the
    server put in the stream. Only when this ends without raising was everything right.
    """
    source = _Source(chunks)
    total, hashed = 0, hashlib.sha256()
    while True:
        kind, size = _HEAD.unpack(source.take(_HEAD.size))
        if kind == _DATA:
            if size > max_payload:
                raise MalformedError("The server's answer announces a piece of absurd length.")
            payload = source.take(size)
            total += size
            hashed.update(payload)
            yield payload
        elif kind == _END:
            expected = _COUNT.pack(total) + hashed.digest()
            if size != len(expected) or source.take(size) != expected or not source.at_end():
                raise MalformedError("The server's answer does not add up; it was damaged on the way.")
            return
        elif kind == _ERROR and size <= problem.MAX_BYTES:
            raise problem.decode(500, problem.MEDIA_TYPE, source.take(size))
        else:
            raise MalformedError("The server's answer is not in the format that was agreed on.")


class _Source:
    """Exact numbers of bytes out of chunks of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def take(self, size: int) -> bytes:
        if size <= len(self._rest):
            taken, self._rest = self._rest[:size], self._rest[size:]
            return taken
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise UnavailableError("The server's answer stopped in the middle; try again.")
            parts.append(chunk[:missing])
            self._rest = chunk[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def at_end(self) -> bool:
        return not self._rest and not any(self._chunks)
