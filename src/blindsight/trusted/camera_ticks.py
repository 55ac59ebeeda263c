"""Faces and dummies at fixed moments, so that the parties learn neither from counts nor from times.

W. Koch's thesis, section 3.4, adds dummies to every frame. A camera that sends a person once and
not at every frame has no frames to add them to: here it is the *tick*, a fixed time, and in each
tick max(q, v) inputs are sent, v of them faces (specs/party.md, section 8).
"""

from __future__ import annotations

import math
import threading
import time
from typing import Final

import numpy as np

from blindsight.core.errors import BlindsightError, UsageError
from blindsight.core.types import I32
from blindsight.schemes.spdz2k.share import dummy_count
from blindsight.trusted.camera_link import CameraLink

SHORTEST: Final = 0.2
LONGEST: Final = 3600.0
_SETTLE: Final = 0.03
"""Seconds that sharing and sending of a tick take; the processor is left to them."""
_MARGIN: Final = 2.0


class Ticks:
    """A thread that sends what is due, every ``seconds``, with dummies up to ``least`` inputs.

    Args:
        link: to both parties.
        dimension: coordinates of a face.
        least: q, at least 1.
        seconds: `SHORTEST` to `LONGEST`.
        hold: whether to leave a tick out, and keep its faces, where the link has no room for it. A
            file is sent in full that way; of a live source the oldest go.

    """

    def __init__(self, link: CameraLink, dimension: int, least: int, seconds: float, *, hold: bool) -> None:
        if not SHORTEST <= seconds <= LONGEST:
            raise UsageError(f"A tick lasts {SHORTEST:g} to {LONGEST:,.0f} seconds.")
        if least < 1:
            raise UsageError("Ticks hide faces among dummies: ask for at least one input a tick.")
        self._link, self._dimension, self._hold = link, dimension, hold
        self._least, self._seconds = least, seconds
        self._changed = threading.Condition()
        self._due: list[I32] = []
        self._stopping = self._sending = False
        self._origin = math.inf
        self._count = self._over = 0
        self._failure: BlindsightError | None = None
        self._thread = threading.Thread(target=self._work, name="ticks", daemon=True)

    def start(self) -> None:
        """The first tick is one tick from now."""
        self._origin = time.monotonic()
        self._thread.start()

    def close(self) -> None:
        """No tick more; faces that were due are overwritten."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        for faces in self._due:
            faces.fill(0)
        self._due.clear()

    @property
    def count(self) -> int:
        """Ticks that were sent."""
        return self._count

    @property
    def over(self) -> int:
        """Ticks that had more faces than q, so that the parties learned how many."""
        return self._over

    def add(self, faces: I32) -> None:
        """Have these faces, int32 (count, d), sent at the next tick; they are taken over, not copied."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            self._due.append(faces)

    def due(self) -> int:
        """Faces that wait for the next tick."""
        with self._changed:
            return sum(map(len, self._due))

    def wait_sent(self, seconds: float) -> bool:
        """Wait until no face waits for a tick; whether that was so in time."""
        with self._changed:
            done = self._changed.wait_for(self._idle, seconds)
            if self._failure is not None:
                raise self._failure
            return done

    def _idle(self) -> bool:
        return self._failure is not None or not (self._due or self._sending)

    def keep_quiet(self, work: float) -> None:
        """Wait, where ``work`` seconds of work begun now could still go on when the tick comes.

        Work that depends on faces (embedders hold the interpreter's lock while they compute) would
        delay the tick by as much as there are faces. At most half a tick is kept free.
        """
        before = min(_MARGIN * work, self._seconds / 2.0)
        now = time.monotonic()
        passed = math.fmod(now - self._origin, self._seconds)
        if now < self._origin:
            return
        if self._seconds - passed < before:
            time.sleep(self._seconds - passed + _SETTLE)
        elif passed < _SETTLE < self._seconds - before:
            time.sleep(_SETTLE - passed)

    def _work(self) -> None:
        number = 0
        while True:
            number = max(number + 1, math.ceil((time.monotonic() - self._origin) / self._seconds))
            with self._changed:
                while not self._stopping:
                    left = self._origin + number * self._seconds - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                if self._stopping:
                    return
            try:
                self._tick()
            except BlindsightError as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return

    def _tick(self) -> None:
        with self._changed:
            due, self._due, self._sending = self._due, [], True
        faces = sum(map(len, due))
        dummies = dummy_count(faces, self._least)
        try:
            if self._hold and not self._link.wait_room(faces + dummies, 0.0):
                with self._changed:
                    self._due = due + self._due
                return
            rows = np.concatenate([np.empty((0, self._dimension), np.int32), *due])
            self._link.offer(rows, dummies)
            for array in (rows, *due):
                array.fill(0)
            self._count += 1
            self._over += faces > self._least
        finally:
            with self._changed:
                self._sending = False
                self._changed.notify_all()
