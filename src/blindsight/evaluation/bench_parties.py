"""Both parties as processes of their own on this machine, connected by TLS, for the benchmark.

They are the parties that ``blindsight serve party`` runs, on a list founded for the occasion with
all signatures; this process is their camera.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.blind.dual_control import WatchlistFile
from blindsight.blind.party_list import compared
from blindsight.core import dual_control
from blindsight.core.dual_control import I16, Add, Founding, named
from blindsight.core.errors import UnavailableError
from blindsight.schemes.spdz2k.compute import Matches
from blindsight.schemes.spdz2k.messages import Header
from blindsight.schemes.spdz2k.public import Grant, Source
from blindsight.schemes.spdz2k.watchlist import Watchlist
from blindsight.trusted.operator import Operator
from blindsight.wire.channel import Channel, connect
from blindsight.wire.dual_control import encode_founding, encode_record
from blindsight.wire.party_messages import MOST_IN_RUN, Credit, Over, State, Stored, parse
from blindsight.wire.tls import Identity

_SECONDS: Final = 120.0
_CAMERA: Final = "bench"
_WHO: Final = (("party0", "p0"), ("party1", "p1"), ("camera", _CAMERA), ("provider", "dealer"))


class PartyProcesses:
    """Two parties' processes, their identities and a camera's. Use as a context; they are ended with it."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="blindsight-bench-")
        self.folder = Path(self._temporary.name)
        self.identities = [Identity.create(self.folder / role, role, name) for role, name in _WHO]
        for one in self.identities:
            for other in self.identities:
                if one is not other:
                    one.trust(other.folder / "certificate.pem")
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(_SECONDS)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        self._temporary.cleanup()

    def start(
        self, watchlist: Watchlist, model_id: str = "benchmark", *, normalised: bool = False
    ) -> tuple[Watchlist, list[tuple[str, int]]]:
        """Found a list with these entries, start both with it; the list, and where they listen."""
        paths = [self.folder / f"list{party}" for party in (0, 1)]
        agreed = _found(watchlist, paths, model_id, normalised)
        address = ""
        addresses: list[tuple[str, int]] = []
        for party in (1, 0):
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", _CODE, str(party), str(self.folder), address],
                stdin=subprocess.PIPE,  # ends when we do, also where we are killed; the party then stops
                stdout=subprocess.PIPE,
                text=True,
                process_group=0,  # Ctrl-C is for us; `__exit__` ends the parties
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
            self.processes.insert(0, process)
            address = said(process)["address"]
            host, _, port = address.rpartition(":")
            addresses.insert(0, (host, int(port)))
        return agreed, addresses


class Networked(PartyProcesses):
    """The parties, and this process as their camera."""

    def __init__(self, source: Source = Source.CAMERA) -> None:
        super().__init__()
        self.source = source
        self.network = "TLS 1.3 over loopback, two party processes and " + (
            "the camera" if source is Source.CAMERA else "a third that is provider and camera"
        )
        self._dealing: list[Channel] = []
        self.wire_bytes = 0
        self.online_seconds: float | None = None
        self.most_faces = MOST_IN_RUN
        self._channels: list[Channel] = []
        self._entries = 0

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in {*self._channels, *self._dealing}:
            channel.close()
        super().__exit__(kind, value, trace)

    # -- as `Parties` ------------------------------------------------------------------------

    def adopt(self, watchlist: Watchlist) -> Watchlist:
        """Found a list with these entries, and start both parties with it."""
        self._entries = len(watchlist)
        agreed, addresses = self.start(watchlist)
        for party, (host, port) in enumerate(addresses):
            self._channels.append(connect(self.identities[2], host, port, f"party{party}"))
        for channel in self._channels:
            state = _state(channel)
            while not state.open:
                state = _state(channel)
            if state.digest != agreed.digest:
                raise UnavailableError("The parties have another list than was founded for them.")
            self.most_faces = min(self.most_faces, state.window)
        self._dealing = self._channels
        if self.source is Source.PROVIDER:
            self._dealing = []
            for party, (host, port) in enumerate(addresses):
                self._dealing.append(connect(self.identities[3], host, port, f"party{party}"))
        return agreed

    def open(self, grants: tuple[Grant, Grant], watchlist: Watchlist) -> None:
        for channel, grant in zip(self._dealing, grants, strict=True):
            channel.send(grant.to_bytes(), _SECONDS)

    def compare(self, material: tuple[bytearray, bytearray], inputs: bytes) -> tuple[Matches, Matches]:
        for party in (1, 0):
            self._dealing[party].send(material[party], _SECONDS)
            if self.source is Source.CAMERA:
                self._channels[party].send(inputs, _SECONDS)
        if self.source is Source.PROVIDER:
            for party in (1, 0):
                _await_stored(self._dealing[party])
            for party in (1, 0):
                self._channels[party].send(inputs, _SECONDS)
        runs = [said(process) for process in self.processes]
        for channel in {*self._channels, *self._dealing}:
            while channel.waiting(0):
                channel.receive(State.at_most, _SECONDS)
        count = Header.parse(inputs).count
        if any(one["count"] != count for one in runs):
            raise UnavailableError("The parties did not take these faces in one run.")
        self.wire_bytes += runs[0]["wire_bytes"]
        self.online_seconds = max(one["seconds"] for one in runs)
        one, other = (self._matches(found) for found in runs)
        return one, other

    def _matches(self, run: dict[str, Any]) -> Matches:
        bits = np.zeros((run["count"], self._entries), np.bool_)
        for face, entry in run["pairs"]:
            bits[face - run["first"], entry] = True
        return Matches(bytes.fromhex(run["session"]), run["first"], bits, bytes.fromhex(run["receipt"]))


_CODE: Final = """
import sys
from blindsight.evaluation.bench_parties import serve
serve(int(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


def serve(number: int, folder: str, peer: str) -> None:
    """Run one party until SIGTERM, and print a line for each run; what a process of the benchmark does."""
    from blindsight.blind.party import Finished, Party

    place = Path(folder)
    host, _, port = peer.rpartition(":")

    def told(run: Finished) -> None:
        found = run.matches
        _say(
            session=found.session.hex(),
            first=found.first,
            count=len(found.bits),
            pairs=found.pairs(),
            receipt=found.receipt.hex(),
            seconds=run.seconds,
            wire_bytes=run.wire_bytes,
        )

    party = Party(
        number,
        Identity(place / f"party{number}"),
        place / f"list{number}",
        place / f"data{number}",
        peer=(host, int(port)) if peer else None,
        on_run=told,
    )

    def stop(*_: object) -> None:
        logging.disable()  # whichever party ends first breaks the link of the other, which is no news here
        party.stop()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_until_closed, args=(stop,), daemon=True).start()
    _say(address="{}:{}".format(*party.address))
    party.run()


def _until_closed(then: Callable[[], None]) -> None:
    sys.stdin.read()
    then()


def _say(**content: Any) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next thing that a party's process printed: where it listens, then a line for each run."""
    stream: IO[str] | None = process.stdout
    line = "" if stream is None else stream.readline()
    if not line:
        raise UnavailableError("A party's process ended; its messages say why.")
    content: dict[str, Any] = json.loads(line)
    return content


def _state(channel: Channel) -> State:
    return parse(channel.receive(State.at_most, _SECONDS), State)


def _await_stored(channel: Channel) -> None:
    while True:
        message: Any = parse(channel.receive(State.at_most, _SECONDS), State, Credit, Over, Stored)
        if isinstance(message, Stored):
            return
        if isinstance(message, Over):
            raise UnavailableError(f"A party ended the session: {message.reason}.")


def _found(watchlist: Watchlist, paths: list[Path], model_id: str, normalised: bool) -> Watchlist:
    """Two copies of a list with these entries, every one proposed, approved and numbered."""
    keys = [Ed25519PrivateKey.generate().private_bytes_raw() for _ in (0, 1)]
    operators = Operator(0, keys[0]), Operator(1, keys[1])
    p = watchlist.params
    founding = encode_founding(
        Founding(
            os.urandom(16), model_id, p.dimension, normalised, p.scale, p.norm, p.value_bits,
            watchlist.threshold, (operators[0].public_key, operators[1].public_key),
        )
    )  # fmt: skip
    copies = [WatchlistFile.create(path, founding) for path in paths]
    entries = {f"entry-{number:05}": row.astype(np.int16) for number, row in enumerate(watchlist.entries, 1)}
    records = approved(copies[0].state, operators, entries)
    for copy in copies:
        state = copy.extend(records)
        copy.close()
    return compared(state).watchlist


def approved(
    state: dual_control.Watchlist, operators: tuple[Operator, Operator], entries: Mapping[str, I16]
) -> list[bytes]:
    """Records that add these entries after ``state``, each signed by both operators; nobody has a photo."""
    head, records = state.head, []
    for number, (entry, values) in enumerate(entries.items(), state.number + 1):
        change = Add(entry, values, (sha256(entry.encode()).digest(),))
        signed = operators[0].propose(state.name, change, "generated")
        verdict = operators[1].decide(named("proposal", signed.value), True)
        records.append(encode_record(number, head, signed, verdict))
        head = named("record", records[-1])
    return records
