"""What the source ``none`` costs: preparing by oblivious transfer, and probing with what was prepared.

Each party is a process of its own, with TLS between the two (`Networked`), or both take turns in this
process (`InProcess`). Both generate the same list and faces from a seed; P0 holds the faces. What is
prepared is used at once, and every result is compared with the plaintext rule.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import numpy as np

from blindsight.blind.party_talk import run_over
from blindsight.core.errors import UnavailableError
from blindsight.evaluation.loopback import peak_bytes
from blindsight.schemes.dealerless.bits import edabits, random_bits
from blindsight.schemes.dealerless.compare import prepare_comparisons
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.prepared import prepare
from blindsight.schemes.dealerless.probe import probe
from blindsight.schemes.dealerless.products import Maker
from blindsight.schemes.oblivious.session import setup, tag_bits
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import quantise
from blindsight.schemes.spdz2k.talk import Talk
from blindsight.schemes.spdz2k.watchlist import Watchlist
from blindsight.wire.channel import Channel, connect, greet
from blindsight.wire.tls import Identity

T = TypeVar("T")

_THRESHOLD: Final = 1.1  # a usual squared distance for unit embeddings
_SECONDS: Final = 120.0
_TRANSFERS: Final = 1 << 18
_UNITS: Final = 2048


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        entries: N of the list.
        dim: d of a vector.
        faces: for how many faces to prepare; each is probed once.
        batch: how many are prepared together, which bounds the memory.
        together: how many are probed in one run, for ``online_ms_batched``.
        value_bits: k.
        units: whether to measure transfers, products and bits on their own too.
    """

    entries: int = 150
    dim: int = 128
    faces: int = 100
    batch: int = 5
    together: int = 16
    value_bits: int = 24
    units: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the benchmark. Bytes are of both directions together, TLS's own not counted.

    Attributes:
        entries: entries of the list.
        dim: coordinates of a face.
        faces: how many were prepared for and probed.
        offline_s_per_face: seconds of preparing, of all faces together, for each.
        offline_mb_per_face: 10^6 bytes between the parties for it.
        offline_cpu_s_per_face: processor seconds of both parties for it, which other work on the machine
            does not change.
        online_ms: one face: from what is prepared and the face at hand to both results; median.
        online_ms_batched: one face of ``together`` in one run; median of three.
        together: faces in that run.
        online_cpu_ms: processor time of both parties for a face on its own.
        online_kb: 10^3 bytes between the parties for it.
        online_rounds: messages of each party for it.
        security_bits: s.
        value_bits: k.
        setup_s: base transfers and seeds, once for each pair of parties.
        matches: how many (face, entry) matched; all results were those of the plaintext rule.
        peak_mb: largest resident memory of a party's process, 10^6 bytes.
        units: for one of each: microseconds and bytes. A transfer is one in each direction, a tag one
            of each party's values of 64 bits.
        network: how the parties are connected.
    """

    entries: int
    dim: int
    faces: int
    offline_s_per_face: float
    offline_mb_per_face: float
    offline_cpu_s_per_face: float
    online_ms: float
    online_ms_batched: float
    together: int
    online_cpu_ms: float
    online_kb: float
    online_rounds: int
    security_bits: int
    value_bits: int
    setup_s: float
    matches: int
    peak_mb: float
    units: dict[str, dict[str, float]]
    network: str


# -- one party ----------------------------------------------------------------------------------------


def _case(plan: Plan) -> tuple[Watchlist, Any]:
    """The list and the faces: every tenth face is an entry."""
    generator = np.random.default_rng(1)
    params = Params.for_radius(plan.dim, value_bits=plan.value_bits)
    points = generator.standard_normal((plan.entries + plan.faces, plan.dim))
    vectors = quantise(params, points / np.linalg.norm(points, axis=1, keepdims=True))
    entries, faces = vectors[: plan.entries], vectors[plan.entries :].copy()
    faces[::10] = entries[np.arange(len(faces[::10])) % plan.entries]
    return Watchlist(params, entries, params.threshold(_THRESHOLD)), faces


class _Clock:
    """Seconds, bytes and messages since the last question; ``counts`` has both directions' bytes."""

    def __init__(self, counts: Callable[[], tuple[int, int]]) -> None:
        self._counts = counts
        self._processor = time.process_time()
        self.lap()

    def lap(self) -> tuple[float, int, int]:
        now, (size, messages) = time.perf_counter(), self._counts()
        found = (now, size, messages)
        before = getattr(self, "_last", found)
        self._last = found
        return now - before[0], size - before[1], messages - before[2]

    def processor(self) -> float:
        """Processor seconds since the last question."""
        now = time.process_time()
        before, self._processor = self._processor, now
        return now - before


def measured(plan: Plan, party: int, counts: Callable[[], tuple[int, int]]) -> Talk[dict[str, Any]]:
    """One party's half of the benchmark, and what it found.

    Raises:
        AssertionError: a result differed from the plaintext rule.

    """
    watchlist, faces = _case(plan)
    clock = _Clock(counts)
    oblivious = yield from setup(party)
    setup_s = clock.lap()[0]
    maker = Maker(oblivious, Sizes(plan.value_bits, oblivious.security))
    # Once through everything first: compiled code is loaded, processors wake up.
    warm = yield from prepare(maker, plan.entries, plan.dim, 1)
    yield from probe(maker, 0, faces[:1] if party == 0 else None, watchlist, warm)
    units = (yield from _units(maker, clock)) if plan.units else {}
    offline_s = offline_bytes = offline_cpu = online_cpu = 0.0
    online = []
    matches = 0
    for start in range(0, plan.faces, plan.batch):
        count = min(plan.batch, plan.faces - start)
        clock.lap(), clock.processor()
        prepared = yield from prepare(maker, plan.entries, plan.dim, count)
        seconds, size, _ = clock.lap()
        offline_s, offline_bytes = offline_s + seconds, offline_bytes + size
        offline_cpu += clock.processor()
        for i in range(count):
            face, row = faces[start + i : start + i + 1], prepared.faces(i, i + 1)
            clock.lap(), clock.processor()
            found = yield from probe(maker, 0, face if party == 0 else None, watchlist, row)
            online.append(clock.lap())
            online_cpu += clock.processor()
            if not np.array_equal(found, watchlist.matches(face)):
                raise AssertionError("The protocol and the plaintext rule differ.")
            matches += int(found.sum())
    batched = []
    for _ in range(3):
        prepared = yield from prepare(maker, plan.entries, plan.dim, plan.together)
        some = faces[np.arange(plan.together) % len(faces)]
        clock.lap()
        found = yield from probe(maker, 0, some if party == 0 else None, watchlist, prepared)
        batched.append(clock.lap()[0] / plan.together)
        if not np.array_equal(found, watchlist.matches(some)):
            raise AssertionError("The protocol and the plaintext rule differ.")
    return {
        "online_ms_batched": float(np.median(batched)) * 1e3,
        "offline_s_per_face": offline_s / plan.faces,
        "offline_mb_per_face": offline_bytes / plan.faces / 1e6,
        "offline_cpu_s_per_face": offline_cpu / plan.faces,
        "online_cpu_ms": online_cpu / plan.faces * 1e3,
        "online_ms": float(np.median([seconds for seconds, _, _ in online])) * 1e3,
        "online_kb": online[-1][1] / 1e3,
        "online_rounds": online[-1][2],
        "security_bits": oblivious.security,
        "setup_s": setup_s,
        "matches": matches,
        "peak_mb": peak_bytes() / 1e6,
        "units": units,
    }


def _units(maker: Maker, clock: _Clock) -> Talk[dict[str, dict[str, float]]]:
    """One transfer, tag, product, bit and comparison, each measured on many."""
    numbers, truths = maker.sizes.numbers, maker.sizes.truths
    width = tag_bits(numbers, maker.sizes.security_bits)
    choices = np.zeros(_TRANSFERS, np.bool_)
    # What a cheap choice of inputs does not change: the kernels take no branch on them.
    protocols: dict[str, tuple[int, Callable[[], Talk[Any]]]] = {
        "transfer": (_TRANSFERS, lambda: maker.oblivious.random_ots(choices)),
        "tag": (_UNITS, lambda: maker.oblivious.authenticate(np.zeros((_UNITS, 2), np.uint64), width)),
        "triple": (_UNITS, lambda: maker.triples(_UNITS, numbers)),
        "and_triple": (_UNITS, lambda: maker.triples(_UNITS, truths, hidden=True)),
        "square": (_UNITS, lambda: maker.squares(_UNITS, numbers)),
        "random_bit": (_UNITS, lambda: random_bits(maker, _UNITS)),
        "edabit": (_UNITS // 16, lambda: edabits(maker, _UNITS // 16)),
        "comparison": (_UNITS // 16, lambda: prepare_comparisons(maker, _UNITS // 16)),
    }
    found = {}
    for name, (count, protocol) in protocols.items():
        yield from protocol()
        clock.lap()
        yield from protocol()
        seconds, size, _ = clock.lap()
        found[name] = {"us": round(seconds / count * 1e6, 3), "bytes": round(size / count, 1)}
    return found


# -- both parties -------------------------------------------------------------------------------------


def _row(plan: Plan, reports: list[dict[str, Any]], network: str, *, apart: bool) -> Row:
    """The slower party's times."""
    one, other = reports
    for name in ("offline_s_per_face", "online_ms", "online_ms_batched", "setup_s", "peak_mb"):
        one[name] = max(one[name], other[name])
    for name in ("offline_cpu_s_per_face", "online_cpu_ms"):
        # In one process each has counted both.
        one[name] = one[name] + other[name] if apart else max(one[name], other[name])
    digits = {"offline_s_per_face": 4, "offline_mb_per_face": 3, "offline_cpu_s_per_face": 4, "online_ms": 3}
    digits |= {"online_ms_batched": 3, "online_cpu_ms": 3, "setup_s": 3, "peak_mb": 1}
    for name, places in digits.items():
        one[name] = round(one[name], places)
    return Row(
        entries=plan.entries,
        dim=plan.dim,
        faces=plan.faces,
        together=plan.together,
        value_bits=plan.value_bits,
        network=network,
        **one,
    )


def in_process(plan: Plan) -> Row:
    """Both parties in turn in this process: the work of two processors on one, no network."""
    counted = [0, 0, 0]

    def counts() -> tuple[int, int]:
        return counted[0], counted[1]

    talks = [measured(plan, party, counts) for party in (0, 1)]
    reports: list[dict[str, Any]] = []
    messages = [next(talk) for talk in talks]
    while len(reports) < 2:
        counted[0] += len(messages[0]) + len(messages[1])
        counted[1] += 1
        answers = []
        for party, talk in enumerate(talks):
            try:
                answers.append(talk.send(messages[1 - party]))
            except StopIteration as stop:
                reports.append(stop.value)
        messages = answers
    return _row(plan, reports, "none: both parties in turn in one process", apart=False)


class Networked:
    """Two processes of this machine with TLS between them. Use as a context; they are ended with it."""

    network: Final = "TLS 1.3 over loopback, two party processes"

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="blindsight-bench-")
        folder = Path(self._temporary.name)
        zero, one = (Identity.create(folder / f"party{i}", f"party{i}", f"p{i}") for i in (0, 1))
        zero.trust(one.folder / "certificate.pem")
        one.trust(zero.folder / "certificate.pem")
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait(_SECONDS)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        self._temporary.cleanup()

    def measure(self, plan: Plan) -> Row:
        """Start both, and wait for what they report. `UnavailableError` where one ended before."""
        listening = self._start(1, 0, plan)
        port = int(_line(listening)["port"])
        started = [self._start(0, port, plan), listening]
        return _row(plan, [_line(process) for process in started], self.network, apart=True)

    def _start(self, party: int, port: int, plan: Plan) -> subprocess.Popen[str]:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = {"BLINDSIGHT_THREADS": str(max(1, cores // 2)), "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _CODE, str(party), str(self._folder), str(port), json.dumps(asdict(plan))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads,
        )
        self._processes.append(process)
        return process


_CODE: Final = """
import sys
from blindsight.evaluation.bench_dealerless import serve
serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
"""


def serve(party: int, folder: str, port: int, plan: str) -> None:
    """Run one party and print what it found; what a process of the benchmark does."""
    identity = Identity(Path(folder) / f"party{party}")
    with _reach(identity, party, port) as channel:
        messages = [0]

        def counts() -> tuple[int, int]:
            return channel.sent_bytes + channel.received_bytes, messages[0]

        talk = measured(Plan(**json.loads(plan)), party, counts)
        report = run_over(_counted(talk, messages), channel, _SECONDS)
    _say(**report)


def _counted(talk: Talk[T], messages: list[int]) -> Generator[bytes, bytes, T]:
    try:
        message = next(talk)
        while True:
            messages[0] += 1
            message = talk.send((yield message))
    except StopIteration as stop:
        result: T = stop.value
        return result


def _reach(identity: Identity, party: int, port: int) -> Channel:
    if party == 0:
        return connect(identity, "127.0.0.1", port, "party1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_SECONDS)
        _say(port=listener.getsockname()[1])
        raw, _ = listener.accept()
    return greet(identity, raw, "party0")


def _say(**content: Any) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = "" if process.stdout is None else process.stdout.readline()
    if not line:
        raise UnavailableError("A party's process ended; its messages say why.")
    said: dict[str, Any] = json.loads(line)
    return said
