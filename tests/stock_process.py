"""Filling and using stocks in processes that can be told to die at one point.

`Nursery` is one process that has everything compiled and no threads, and forks the others.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.blind.party_link import link
from blindsight.blind.party_talk import run_over
from blindsight.blind.stock import Kind, Stock
from blindsight.blind.stock_filling import fill
from blindsight.blind.stock_talk import make_batch, use
from blindsight.core.errors import BlindsightError, StockEmptyError
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.probe import probe
from blindsight.schemes.spdz2k.talk import run_both
from blindsight.wire.tls import Identity
from surveillance import introduce
from two_parties import SMALL, vectors, watchlist

LISTED = watchlist(SMALL, 3, np.random.default_rng(8))
KIND = Kind(Sizes(SMALL.value_bits), len(LISTED), SMALL.dimension)
FACES = vectors(SMALL, 40, np.random.default_rng(9))


@dataclass
class Place:
    """Where two parties keep what they have."""

    folder: Path
    port: int

    def __post_init__(self) -> None:
        self.identities = [self.folder / f"identity{n}" for n in (0, 1)]
        self.stocks = [self.folder / f"stock{n}" for n in (0, 1)]
        self.logs = [self.folder / f"log{n}" for n in (0, 1)]
        if not self.identities[0].exists():
            introduce(
                *(Identity.create(path, f"party{n}", f"n{n}") for n, path in enumerate(self.identities))
            )

    def of(self, number: int) -> tuple[Any, ...]:
        return number, str(self.identities[number]), self.port, str(self.stocks[number])


def die() -> None:
    """As if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    """Die at ``before N`` or ``after N``: the N-th time that something is forced to the disk."""
    when, _, number = point.partition(" ")
    original, seen = os.fsync, [0]

    def fsync(file: int) -> None:
        seen[0] += 1
        if (when, seen[0]) == ("before", int(number)):
            die()
        original(file)
        if (when, seen[0]) == ("after", int(number)):
            die()

    os.fsync = fsync


def ask(number: int, stock: Stock, channel: Any, face: int) -> Any:
    """One face of party 0's against the list, with what the stock holds."""

    talk = use(stock, 1, lambda party, prepared: _probe(number, face, party, prepared))
    return run_over(talk, channel, 20.0)


def _probe(number: int, face: int, party: Any, prepared: Any) -> Any:
    mine = FACES[face : face + 1] if number == 0 else None
    return (yield from probe(party, 0, mine, LISTED, prepared))


def _make(number: int, identity: str, port: int, folder: str, faces: int, point: str) -> None:
    if point:
        arm(point)
    try:
        with link(number, Identity(Path(identity)), ("127.0.0.1", port), 20.0) as channel:
            fill(Stock(Path(folder), number, KIND), channel, faces, 2)
    except BlindsightError as error:
        os._exit(10 + (error.code == "abort-vanished"))
    os._exit(0)


def _use(number: int, identity: str, port: int, folder: str, log: str, most: int, point: str) -> None:
    """Ask until the stock is empty; the results go to the log, and what is used before it is used."""
    taking = Stock(Path(folder), number, KIND)
    original = Stock.batches.__globals__["Batch"].take

    def take(batch: Any, first: int, count: int) -> Any:
        prepared = original(batch, first, count)
        with Path(log).open("a") as file:
            file.write(f"used {batch.name.hex()} {first}\n")
        return prepared

    Stock.batches.__globals__["Batch"].take = take
    try:
        with (
            link(number, Identity(Path(identity)), ("127.0.0.1", port), 20.0) as channel,
            taking.using(),
        ):
            if point:
                arm(point)
            for face in range(most):
                bits = ask(number, taking, channel, face)
                with Path(log).open("a") as file:
                    file.write(f"found {face} {''.join(str(int(bit)) for bit in bits[0])}\n")
    except StockEmptyError:
        os._exit(20)
    except BlindsightError as error:
        os._exit(10 + (error.code == "abort-vanished"))
    os._exit(0)


# -- the process that forks them --------------------------------------------------------------------

_WORK = {"make": _make, "use": _use}


class Nursery:
    """Runs both parties, each in a process of its own."""

    def __init__(self) -> None:
        paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import stock_process; stock_process.nurse()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths, "BLINDSIGHT_THREADS": "1"},
        )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def make(self, place: Place, faces: int, points: tuple[str, str] = ("", "")) -> list[int]:
        """Both parties fill their stocks; their exit codes, -9 where one died."""
        return self._run("make", [(*place.of(n), faces, points[n]) for n in (0, 1)])

    def use(self, place: Place, most: int = 40, points: tuple[str, str] = ("", "")) -> list[int]:
        """Both parties use their stocks until they are empty (20), or have asked often enough (0)."""
        return self._run("use", [(*place.of(n), str(place.logs[n]), most, points[n]) for n in (0, 1)])

    def _run(self, work: str, arguments: list[Any]) -> list[int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([work, arguments]) + "\n")
        self._process.stdin.flush()
        codes: list[int] = json.loads(self._process.stdout.readline())
        return codes


def nurse() -> None:
    """What the process of a `Nursery` does."""
    with tempfile.TemporaryDirectory() as folder:
        stocks = [Stock(Path(folder) / str(n), n, KIND) for n in (0, 1)]
        run_both(*(make_batch(stock, 1) for stock in stocks))
        for stock in stocks:
            stock.__dict__["_known"] = {}
        run_both(*(use(stock, 1, lambda p, q: _probe(p.number, 0, p, q)) for stock in stocks))
    for line in sys.stdin:
        work, arguments = json.loads(line)
        children = [_fork(_WORK[work], given) for given in arguments]
        ends = time.monotonic() + 60
        codes: dict[int, int] = {}
        while len(codes) < 2 and time.monotonic() < ends:
            for child in children:
                if child not in codes:
                    done, status = os.waitpid(child, os.WNOHANG)
                    if done:
                        codes[child] = os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        for child in children:
            if child not in codes:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        print(json.dumps([codes.get(child, 1000) for child in children]), flush=True)


def _fork(work: Any, arguments: list[Any]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work(*arguments)
    finally:
        os._exit(99)
