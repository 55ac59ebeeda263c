"""Where a camera's time goes, counted where the work is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

PICTURES: Final = ("decode", "detect", "track", "embed")
"""Stages of seeing: frames, faces in them, whose they are, embeddings (with alignment)."""
PROTECTION: Final = ("quantise", "deal", "share", "send")
"""Stages that are there because nobody else may see the face."""
FOOTAGE: Final = "footage"
"""Sharing stills, where they are kept; video is shared while it is decoded."""
_STAGES: Final = (*PICTURES, *PROTECTION, FOOTAGE)
_FADE: Final = 0.98


class StageClock:
    """Seconds spent in each stage; several threads may be in different stages at once.

    Waiting (for a frame, for room, for a tick) is no stage.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = dict.fromkeys(_STAGES, 0.0)
        self._counts = dict.fromkeys(_STAGES, 0)
        self._longest = dict.fromkeys(_STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what happens inside as ``stage``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self._seconds[stage] += took
                self._counts[stage] += 1
                self._longest[stage] = max(took, _FADE * self._longest[stage])

    def restart(self) -> None:
        """Forget what was counted, and keep what `longest` says."""
        with self._lock:
            for stage in self._seconds:
                self._seconds[stage], self._counts[stage] = 0.0, 0

    @property
    def seconds(self) -> Mapping[str, float]:
        """So far, by stage, in the order of the work."""
        with self._lock:
            return dict(self._seconds)

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each stage was entered."""
        with self._lock:
            return dict(self._counts)

    def longest(self, stage: str) -> float:
        """About the longest that this stage took of late, in seconds."""
        with self._lock:
            return self._longest[stage]

    @property
    def protection_share(self) -> float:
        """Which part of all stages' time was protection, footage too, 0 to 1; 0 before anything happened."""
        seconds = self.seconds
        everything = sum(seconds.values())
        return sum(seconds[stage] for stage in (*PROTECTION, FOOTAGE)) / everything if everything else 0.0
