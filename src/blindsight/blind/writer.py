"""One thread on which a store's changes run, one after the other, whole.

Python raises KeyboardInterrupt in the main thread between any two instructions: also between a
transaction and the statement that notes its success, where what it made visible would look
like a failure's remains and be wiped. A change that runs here is not cut in two; the caller who
was interrupted merely does not learn how it ended.

Nothing but simple queues and plain locks stands between the two threads: both are C, and an
interrupt leaves them as they were. (An interrupt inside a `Condition`, and so inside a future or
an executor, can leave its lock taken for good.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from blindsight.core.errors import UnavailableError

_T = TypeVar("_T")
_Outcome = tuple[Any, BaseException | None]


class Writer:
    """Runs changes in the order in which they come. The thread is a daemon: changes are crash-safe."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Any], SimpleQueue[_Outcome]] | None] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._gate = threading.Lock()
        self._open = True
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def run(self, change: Callable[[], _T]) -> _T:
        """What ``change`` returns or raises; `UnavailableError` after `close`."""
        answer: SimpleQueue[_Outcome] = SimpleQueue()
        with self._gate:
            if not self._open:
                raise UnavailableError("The server is shutting down.")
            self._work.put((change, answer))
        result, error = answer.get()
        if error is not None:
            raise error
        done: _T = result
        return done

    def close(self) -> None:
        """Admit nothing more, and wait for what was admitted. Calling it twice is harmless."""
        with self._gate:
            if self._open:
                self._work.put(None)
            self._open = False
        self._ended.get()
        self._ended.put(None)  # for whoever closes it again

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            change, answer = item
            try:
                answer.put((change(), None))
            except BaseException as error:
                answer.put((None, error))
            del item, change, answer  # not to keep blocks in memory until the next change
        self._ended.put(None)
