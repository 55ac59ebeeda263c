"""One open gallery: the slots its current state is made of, and who still reads older ones.

Copy-on-write: a commit fills free slots and publishes a new state; the slots it replaced are
*retired*, and are wiped and freed when the last reader that took its state before the commit
has gone. A reader *pins* the revision it reads.
"""

from __future__ import annotations

import heapq
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from blindsight.blind.tiles import TileFile
from blindsight.core.errors import NotFoundError
from blindsight.core.types import I64, U8

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a gallery: ``bodies[slots[i]]`` is the body of block ``block_ids[i]``.

    Attributes:
        block_ids: int64 (blocks,), ascending.
        slots: int64 (blocks,).
        bodies: uint8 (capacity, body_bytes), mapped and read-only.
    """

    revision: int
    block_ids: I64
    slots: I64
    bodies: U8


class OpenGallery:
    """A gallery's tile file and its states. Changing methods are for one writer at a time."""

    def __init__(self, tiles: TileFile, revision: int, block_ids: I64, slots: I64) -> None:
        self.tiles = tiles
        self._lock = threading.Lock()
        self._current = (revision, block_ids, slots)
        self._pins: Counter[int] = Counter()
        self._retired: list[tuple[int, list[int]]] = []
        self._wiping = 0
        self._farewell: Callable[[], None] | None = None
        self._gone = False
        self._before = tiles.capacity
        self.damaged = bool(len(slots)) and int(slots.max()) >= tiles.capacity
        self._free = [] if self.damaged else sorted(set(range(tiles.capacity)) - set(slots.tolist()))

    def tidy(self) -> None:
        """After a crash: wipe every unreferenced slot that is not blank, and cut the tail off."""
        if self.damaged:
            return
        stained = [slot for slot in self._free if not self.tiles.is_blank(slot)]
        for slot in stained:
            self.tiles.wipe(slot)
        if stained:
            self.tiles.sync()
        slots = self._current[2]
        end = int(slots.max()) + 1 if len(slots) else 0
        self.tiles.cut(end)
        self._free = [slot for slot in self._free if slot < end]

    # -- reading ---------------------------------------------------------------------------

    @contextmanager
    def pinned(self) -> Iterator[Snapshot]:
        """The current state, whose bytes stay as they are until the block is left."""
        with self._lock:
            if self._farewell:
                raise NotFoundError("This gallery has just been deleted.")
            revision, block_ids, slots = self._current
            self._pins[revision] += 1
        try:
            yield Snapshot(revision, block_ids, slots, self.tiles.view())
        finally:
            with self._lock:
                self._pins[revision] -= 1
                self._pins += Counter()  # drops what fell to zero
            self.reap()

    # -- changing --------------------------------------------------------------------------

    def take(self, count: int) -> list[int]:
        """That many free slots, growing the file where there are too few. Raises OSError."""
        with self._lock:
            missing = count - len(self._free)
            self._before = self.tiles.capacity
        if missing > 0:
            self.tiles.reserve(self._before + missing)
        with self._lock:
            for slot in range(self._before, self.tiles.capacity):
                heapq.heappush(self._free, slot)
            return [heapq.heappop(self._free) for _ in range(count)]

    def give_back(self, slots: Sequence[int]) -> None:
        """Undo the last `take`: blank its slots, and shrink the file if it grew."""
        self._wipe([slot for slot in slots if slot < self._before])
        with self._lock:
            self.tiles.cut(self._before)
            self._free = [slot for slot in self._free if slot < self._before]

    def publish(self, revision: int, block_ids: Sequence[int], slots: Sequence[int]) -> bool:
        """Make a committed state the current one; whether it replaced any block."""
        _, old_ids, old_slots = self._current
        order = np.argsort(block_ids)
        ids = np.asarray(block_ids, dtype=np.int64)[order]
        new = np.asarray(slots, dtype=np.int64)[order]
        at = np.searchsorted(old_ids, ids)
        known = np.zeros(len(ids), dtype=bool)
        known[at < len(old_ids)] = old_ids[at[at < len(old_ids)]] == ids[at < len(old_ids)]
        replaced = old_slots[at[known]].tolist()
        merged = old_slots.copy()
        merged[at[known]] = new[known]
        with self._lock:
            self._current = (
                revision,
                np.insert(old_ids, at[~known], ids[~known]),
                np.insert(merged, at[~known], new[~known]),
            )
            if replaced:
                self._retired.append((revision, replaced))
        return bool(replaced)

    def leave(self, farewell: Callable[[], None]) -> None:
        """Admit no more readers; ``farewell`` runs when the last one has gone, maybe now."""
        with self._lock:
            self._farewell = self._farewell or farewell
        self.reap()

    def reap(self) -> None:
        """Wipe and free what no reader can see any more. Any thread may call this."""
        while True:
            with self._lock:
                if self._farewell:
                    if self._pins or self._wiping or self._gone:
                        return
                    self._gone = True
                    break
                oldest = min(self._pins, default=None)
                ready = [entry for entry in self._retired if oldest is None or oldest >= entry[0]]
                if not ready:
                    return
                del self._retired[: len(ready)]  # they are in order of revision
                self._wiping += 1
            try:
                self._wipe([slot for _, slots in ready for slot in slots])
            finally:
                with self._lock:
                    self._wiping -= 1
        self._farewell()

    def _wipe(self, slots: Sequence[int]) -> None:
        if not slots:
            return
        try:
            for slot in slots:
                self.tiles.wipe(slot)
            self.tiles.sync()
        except OSError as error:
            # What was asked for is committed already, so this must not fail it. The slots
            # stay out of use, and opening the folder wipes them.
            _log.warning("%d replaced blocks could not be overwritten: %s", len(slots), error.strerror)
            return
        with self._lock:
            for slot in slots:
                heapq.heappush(self._free, slot)
