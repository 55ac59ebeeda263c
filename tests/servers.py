"""Matching servers as real processes, and blocks to fill them with."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.core.matching import Block, GallerySpec
from blindsight.schemes.clear.params import Params
from blindsight.wire.client import RemoteMatcher

PARAMS = Params(width=16, rows=32)
KEY_ID = "none-0123456789abcdef"

_SERVE = """
import sys
from blindsight.blind.serve import serve
from blindsight.core.errors import BlindsightError
try:
    serve({folder!r}, **{options!r})
except BlindsightError as error:
    sys.exit(f"{{error.code}}: {{error.message}}")
"""


@dataclass
class ServerProcess:
    """A running server: ``url``, ``token``, and ways to end it."""

    process: subprocess.Popen[str]
    url: str
    token: str

    def client(self, **options: Any) -> RemoteMatcher:
        return RemoteMatcher(self.url, self.token, **options)

    def kill(self) -> None:
        """As if the power went for this process."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """In order; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def spawn(code: str, **options: Any) -> subprocess.Popen[str]:
    """Python code in a process of its own, with its output piped."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "OPENBLAS_NUM_THREADS": "1"},
        **options,
    )


def serving_code(folder: Path, **options: Any) -> str:
    settings = {"port": 0, "allow_insecure_clear": True} | options
    return _SERVE.format(folder=str(folder), options=settings)


@contextmanager
def server(folder: Path, *, before: str = "", **options: Any) -> Iterator[ServerProcess]:
    """A server on ``folder``; killed when the block is left, if it still runs.

    ``before`` is code that its process runs first.
    """
    process = spawn(before + serving_code(folder, **options))
    try:
        line = _line(process, 30)
        token_file = Path(options.get("token_file", folder / "token"))
        yield ServerProcess(
            process, line.removeprefix("listening on ").strip(), token_file.read_text().strip()
        )
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str], seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.2)[0]:
            line = process.stdout.readline()
            if line:
                return line
            break
        if process.poll() is not None:
            break
    process.kill()
    raise AssertionError(f"the server did not start: {process.communicate()[1]}")


def spec(name: str = "people", params: Params = PARAMS, **changes: Any) -> GallerySpec:
    fields = {"name": name, "scheme": "clear", "params": params.wire(), "key_id": KEY_ID, "sealed": b"sealed"}
    return GallerySpec(**(fields | changes))


def block(
    block_id: int, version: int = 1, fill: int | None = None, params: Params = PARAMS, record: bytes = b""
) -> Block:
    """A block whose contents follow from its numbers, or whose coordinates are all ``fill``."""
    seed = np.random.default_rng([block_id, version])
    values = (
        seed.integers(-1000, 1000, (params.rows, params.width), dtype=np.int32)
        if fill is None
        else np.full((params.rows, params.width), fill, dtype=np.int32)
    )
    return Block(
        block_id, version, b"", values.astype("<i4").view(np.uint8).reshape(-1), record or seed.bytes(300)
    )


def same(one: Block, two: Block) -> bool:
    return (one.block_id, one.version, one.digest()) == (two.block_id, two.version, two.digest())


def unit_probe(params: Params = PARAMS) -> np.ndarray:
    """A probe that picks out the first coordinate, uint8 (1, probe_bytes)."""
    probe = np.zeros((1, params.width), dtype="<i4")
    probe[0, 0] = 1
    return probe.view(np.uint8)


def scores(answer: Any) -> np.ndarray:
    """An answer of the scheme clear as int64 (count, blocks, rows)."""
    return np.ascontiguousarray(answer.scores).view("<i8")
