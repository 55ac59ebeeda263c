"""A matcher of its own for a measurement: another process, loopback HTTP, a folder that goes with it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blindsight.core.errors import UnavailableError

# Its standard input ends when we do, also where we are killed, and then it stops.
_SERVE = """
import os, signal, sys, threading
from blindsight.blind.serve import serve

def outlived():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=outlived, daemon=True).start()
serve(sys.argv[1], port=0, allow_insecure_clear=sys.argv[2] == "insecure")
"""

_PATIENCE = 10
"""Seconds for a search under way to end."""


@contextmanager
def matcher_process(folder: Path, *, insecure_clear: bool = False) -> Iterator[tuple[str, str, int]]:
    """Start a matcher over ``folder/matcher``: address, token, process number; it ends with the block.

    Raises:
        UnavailableError: it did not start.
    """
    kind = "insecure" if insecure_clear else "protected"
    command = [sys.executable, "-c", _SERVE, str(folder / "matcher"), kind]
    piped = subprocess.PIPE
    with subprocess.Popen(command, stdin=piped, stdout=piped, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            found = re.fullmatch(r"listening on (http://\S+)\n", process.stdout.readline())
            if not found:
                raise UnavailableError(
                    "The matcher process did not start; it needs blindsight[server] and a free port."
                )
            token = (folder / "matcher" / "token").read_text().strip()
            yield found[1], token, process.pid
        finally:
            process.terminate()
            try:  # Popen itself hardly waits where Ctrl-C brought us here, and the folder goes next.
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def peak_bytes(pid: int | str = "self") -> int:
    """Peak resident memory of a process in bytes, mapped pages included; 0 where it is not known."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def forget_peak(pid: int | str = "self") -> bool:
    """Have `peak_bytes` count from now on; False where the system does not let us (Linux does)."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return False
    return True
