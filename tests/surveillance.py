"""Two parties as real processes, a list that they agreed on, and cameras."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.blind.dual_control import WatchlistFile
from blindsight.core.dual_control import Add, Founding, named
from blindsight.schemes.spdz2k.params import Params
from blindsight.trusted.camera_link import CameraLink
from blindsight.trusted.operator import Operator
from blindsight.wire.dual_control import encode_founding, encode_record
from blindsight.wire.tls import Identity
from two_parties import vectors

PARAMS = Params(dimension=16, scale=100, norm=200, value_bits=20)
THRESHOLD = 2000


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def introduce(*identities: Identity) -> None:
    for one in identities:
        for other in identities:
            both_cameras = one.own.role == other.own.role in ("camera", "provider")
            if one is not other and not both_cameras:
                one.trust(other.folder / "certificate.pem")


class Process:
    """A party that was started by ``blindsight serve party``; everything it prints is kept."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.said: list[Any] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.errors = ""
        self._error_reader = threading.Thread(target=self._read_errors, daemon=True)
        self._error_reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.errors += line

    def wait_for(self, event: str, seconds: float = 30.0) -> Any:
        """The next line of this event."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            try:
                said = json.loads(self._lines.get(timeout=min(left, 0.2)))
            except queue.Empty:
                if self._process.poll() is not None and self._lines.empty():
                    break
                continue
            self.said.append(said)
            if said["event"] == event:
                return said
        raise AssertionError(f"no {event} came: {self.said}, {self.errors}")

    def alerts(self) -> list[Any]:
        """All alerts so far."""
        while not self._lines.empty():
            self.said.append(json.loads(self._lines.get()))
        return [said for said in self.said if said["event"] == "alert"]

    def kill(self) -> None:
        self._process.kill()
        self._end()

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        self._end()
        return self._process.returncode

    def running(self) -> bool:
        return self._process.poll() is None

    def _end(self) -> None:
        self._process.wait(30)
        self._reader.join(5)
        self._error_reader.join(5)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


class Town:
    """Identities, two copies of a watchlist, and the commands that serve them.

    ``people`` are on the list beside the drawn ``entries``; the list's numbers are those of ``params``.
    """

    def __init__(
        self,
        folder: Path,
        entries: int = 10,
        cameras: tuple[str, ...] = ("gate",),
        providers: tuple[str, ...] = (),
        *,
        params: Params = PARAMS,
        threshold: int = THRESHOLD,
        model_id: str = "test",
        people: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.identities = [
            Identity.create(folder / name, role, name)
            for name, role in (("north", "party0"), ("south", "party1"), *((c, "camera") for c in cameras))
        ]
        self.providers = [Identity.create(folder / name, "provider", name) for name in providers]
        introduce(*self.identities, *self.providers)
        self.operators = Operator(0, os.urandom(32)), Operator(1, os.urandom(32))
        keys = tuple(operator.public_key for operator in self.operators)
        self.founding = encode_founding(
            Founding(os.urandom(16), model_id, params.dimension, False, params.scale, params.norm,
                     params.value_bits, threshold, keys)
        )  # fmt: skip
        self.generator = np.random.default_rng(7)
        self.listed = vectors(params, entries, self.generator)
        self.names = [f"person-{i:03}" for i in range(entries)]
        copies = self.copies()
        self.add(copies, self.names, self.listed)
        if people:
            self.add(copies, list(people), list(people.values()))
        for copy in copies:
            copy.close()
        self.processes: list[Process | None] = [None, None]
        self.ports = [free_port(), free_port()]
        self.provider_port = free_port()

    def copies(self) -> list[WatchlistFile]:
        paths = [self.folder / f"list{party}" for party in (0, 1)]
        if not paths[0].exists():
            return [WatchlistFile.create(path, self.founding) for path in paths]
        return [WatchlistFile(path) for path in paths]

    def add(self, copies: list[WatchlistFile], names: list[str], listed: Any) -> None:
        """Put people on these copies, with both operators' signatures."""
        state = copies[0].state
        head, records = state.head, []
        for number, (name, values) in enumerate(zip(names, listed, strict=True), state.number + 1):
            change = Add(name, values.astype(np.int16), (sha256(name.encode()).digest(),))
            signed = self.operators[0].propose(state.name, change, "because")
            verdict = self.operators[1].decide(named("proposal", signed.value), True)
            records.append(encode_record(number, head, signed, verdict))
            head = named("record", records[-1])
        for copy in copies:
            copy.extend(records)

    def strangers(self, count: int) -> Any:
        """Faces that match nobody."""
        faces = vectors(PARAMS, count, self.generator, longest=True)
        apart = ((faces[:, np.newaxis].astype(int) - self.listed) ** 2).sum(axis=2)
        assert apart.min() > THRESHOLD
        return faces

    def serve(self, party: int, *options: str, code: str | None = None, **environment: str) -> Process:
        """Start a party; ``code`` runs in its process first."""
        arguments = [
            "party", "--id", str(party), "--identity", str(self.identities[party].folder),
            "--watchlist", str(self.folder / f"list{party}"),
            "--data", str(self.folder / f"data{party}"), "--listen", f"127.0.0.1:{self.ports[party]}",
            *(("--peer", f"127.0.0.1:{self.ports[1]}") if party == 0 else ()), *options,
        ]  # fmt: skip
        self.processes[party] = process = _served(arguments, code, environment)
        return process

    def provide(self, which: int = 0, code: str | None = None) -> Process:
        """Start a provider; ``code`` runs in its process first."""
        arguments = [
            "provider", "--identity", str(self.providers[which].folder),
            "--party0", f"127.0.0.1:{self.ports[0]}", "--party1", f"127.0.0.1:{self.ports[1]}",
            "--listen", f"127.0.0.1:{self.provider_port}",
        ]  # fmt: skip
        process = _served(arguments, code, {})
        self.processes.append(process)
        return process

    def camera(self, which: int = 0, *, provided: bool = False, **options: Any) -> CameraLink:
        addresses = tuple(("127.0.0.1", port) for port in self.ports)
        if provided:
            options["provider"] = ("127.0.0.1", self.provider_port)
        return CameraLink(self.identities[2 + which], addresses, **({"most_pause": 0.2} | options))

    def log(self, party: int) -> list[Any]:
        lines = (self.folder / f"data{party}" / "log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def kinds(self, party: int) -> list[str]:
        return [line["kind"] for line in self.log(party)]

    def close(self) -> None:
        for process in self.processes:
            if process is not None and process.running():
                process.kill()


def _served(arguments: list[str], code: str | None, environment: dict[str, str]) -> Process:
    start = ["-m", "blindsight"] if code is None else ["-c", code + _MAIN]
    command = [sys.executable, *start, "serve", *arguments, "--json"]
    process = Process(command, {"OPENBLAS_NUM_THREADS": "1", "BLINDSIGHT_THREADS": "1"} | environment)
    process.listening = process.wait_for("listening")
    return process


_MAIN = """
import sys
from blindsight.cli.app import main
main(sys.argv[1:])
"""


def until(condition: Any, seconds: float = 20.0) -> bool:
    """Wait for something to become true; whether it did."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
