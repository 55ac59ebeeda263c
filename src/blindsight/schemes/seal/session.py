"""Evaluation keys, sent once (Yang et al., section 4.2): in pieces, named by their SHA-256."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Final, Generic, TypeVar

from blindsight.core.errors import ConflictError, MalformedError, NotFoundError

PIECE_BYTES: Final = 1 << 20
"""Evaluation keys travel in pieces of at most this."""

K = TypeVar("K")


def pieces(data: bytes, size: int = PIECE_BYTES) -> Iterator[bytes]:
    """Evaluation keys as they are sent."""
    return (data[at : at + size] for at in range(0, len(data), size))


class KeyRoom(Generic[K]):
    """Evaluation keys that a server has received, by digest: the latest few. Safe for several threads.

    Args:
        key_bytes: what whole keys have.
        load: parses and checks them.
        most: whole keys held; the one that was not used for longest goes first.
        unfinished: uploads held that are not whole yet; the oldest goes first.

    """

    def __init__(
        self, key_bytes: int, load: Callable[[bytes], K], *, most: int = 64, unfinished: int = 8
    ) -> None:
        self._key_bytes = key_bytes
        self._load = load
        self._most = most
        self._unfinished = unfinished
        self._lock = threading.Lock()
        self._keys: OrderedDict[str, K] = OrderedDict()
        self._parts: OrderedDict[str, bytearray] = OrderedDict()

    def received(self, digest: str) -> int:
        """How many bytes of these keys are here: all, some or none."""
        with self._lock:
            if digest in self._keys:
                return self._key_bytes
            return len(self._parts.get(digest, b""))

    def piece(self, digest: str, at: int, data: bytes) -> int:
        """Take the piece that begins at byte ``at``; how many bytes are here then.

        The last piece makes the keys usable. A piece that is here already is taken again.

        Raises:
            MalformedError: more bytes than keys have, or they are not the keys that the digest
                names; nothing of them is kept.
            ConflictError: a piece before this one is missing.

        """
        with self._lock:
            if digest in self._keys:
                return self._key_bytes
            held = self._parts.get(digest, bytearray())
            if at + len(data) > self._key_bytes:
                self._parts.pop(digest, None)
                raise MalformedError("More bytes of evaluation keys came than these parameters have.")
            if at > len(held):
                raise ConflictError("A piece of the evaluation keys is missing; go on where the server is.")
            held = held[:at] + data
            self._parts[digest] = held
            while len(self._parts) > self._unfinished:
                self._parts.popitem(last=False)
            if len(held) < self._key_bytes:
                return len(held)
            del self._parts[digest]
        if sha256(held).hexdigest() != digest:
            raise MalformedError("The evaluation keys were damaged on the way; send them again.")
        keys = self._load(bytes(held))
        with self._lock:
            self._keys[digest] = keys
            while len(self._keys) > self._most:
                self._keys.popitem(last=False)
        return self._key_bytes

    def receive(self, digest: str, parts: Iterable[bytes]) -> K:
        """Take all pieces, in order. Raises as `piece`; `MalformedError` where some are missing."""
        at = 0
        for part in parts:
            at = self.piece(digest, at, part)
        if at < self._key_bytes:
            with self._lock:
                self._parts.pop(digest, None)
            raise MalformedError("Evaluation keys came in fewer bytes than these parameters have.")
        return self[digest]

    def __getitem__(self, digest: str) -> K:
        with self._lock:
            if digest not in self._keys:
                raise NotFoundError(
                    "The server does not have these evaluation keys (any more); send them first."
                )
            self._keys.move_to_end(digest)
            return self._keys[digest]
