"""The demos' other computers: `blindsight` commands as processes of their own on this machine."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from blindsight.core.errors import UnavailableError

START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 25.0
_COMMAND_SECONDS: Final = 120.0
_KEPT: Final = "BLINDSIGHT_THREADS"

Told = dict[str, Any]


class Program:
    """A command that runs until it is stopped, and prints lines of JSON.

    Args:
        arguments: after ``blindsight``; ``--json`` is added.
        log: takes what it says on standard error.
        module: what is run with ``python -m``.

    """

    def __init__(self, *arguments: str | Path, log: Path, module: str = "blindsight") -> None:
        self._log = log
        self._said: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self.said: list[Told] = []
        with log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter, our own arguments
                [sys.executable, "-m", module, *map(str, arguments), "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def wait_for(self, event: str | None, seconds: float = START_SECONDS) -> Told:
        """The next line, or the next that has this ``event``; `UnavailableError` where none comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                told = self._said.get(timeout=min(left, 0.2))
            except queue.Empty:
                continue
            if told is None:
                break
            self.said.append(told)
            if event is None or told.get("event") == event:
                return told
        raise UnavailableError(
            f"A process did not do what it should; {self._log} says why: {self._log.read_text()[-500:]}"
        )

    def heard(self, event: str) -> list[Told]:
        """All lines with this ``event`` so far."""
        while True:
            try:
                told = self._said.get_nowait()
            except queue.Empty:
                break
            if told is not None:
                self.said.append(told)
        return [told for told in self.said if told.get("event") == event]

    def wait(self, seconds: float) -> int:
        """Wait for its own end; its exit code."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise UnavailableError("A process took too long.") from None

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._reader.join(1.0)
            if self._process.stdout is not None:
                self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                try:
                    told = json.loads(line)
                except ValueError:
                    continue
                if isinstance(told, dict):
                    self._said.put(told)
        except ValueError:
            pass  # closed by `stop`
        self._said.put(None)


def told(*arguments: str | Path, folder: Path) -> Told:
    """Run a command to its end in ``folder``; the one document that it prints."""
    done = subprocess.run(  # noqa: S603  our own interpreter, our own arguments
        [sys.executable, "-m", "blindsight", *map(str, arguments), "--json"],
        stdin=subprocess.DEVNULL, capture_output=True, env=_environment(), cwd=folder,
        timeout=_COMMAND_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        verbs = " ".join(map(str, arguments[:2]))
        raise UnavailableError(f"blindsight {verbs} failed: {done.stderr.decode(errors='replace')[-500:]}")
    document: Told = json.loads(done.stdout)
    return document


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("BLINDSIGHT_")}
    return own | ({_KEPT: os.environ[_KEPT]} if _KEPT in os.environ else {})


@contextmanager
def orderly() -> Iterator[None]:
    """Have SIGTERM and SIGHUP leave by the same way as Ctrl-C, past every ``finally``."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
