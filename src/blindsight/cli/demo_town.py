"""The demo of two parties: who is there, on this machine, and what is done with their commands."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from blindsight.cli.demo_process import Program, Told, told
from blindsight.core.errors import UnavailableError, UsageError

ENTRY: Final = "person-of-interest"
DUMMIES: Final = 2
_NAMES: Final = (("north", "party0"), ("south", "party1"), ("gate", "camera"), ("inspector", "revealer"))
_WATCH_SECONDS: Final = 300.0
_NORM, _COSINE = 1.43, 0.83
"""dlib's embeddings of LFW have this norm in the mean, and those of two people this cosine."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What the camera did while it watched the video once."""

    counts: Told
    alerts: tuple[list[Told], list[Told]]
    began: datetime
    ended: datetime


class Town:
    """Two parties, a camera and an inspector, each with a folder; processes while it is open."""

    def __init__(self, folder: Path, video: Path, tick: float = 0.25) -> None:
        self.folder, self.video, self._tick = folder, video, tick
        self._parties: list[Program | None] = [None, None]
        self._ports = [_free_port(), _free_port()]
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._ends.close()

    # -- who there is --------------------------------------------------------------------------

    def found(self, nobodies: int) -> Told:
        """Keys, certificates, operators, and a list of ``nobodies`` that both have signed."""
        from blindsight.blind.dual_control import WatchlistFile
        from blindsight.trusted.sealing import make_key_file
        from blindsight.wire.tls import Identity

        identities = [Identity.create(self.folder / name, role, name) for name, role in _NAMES]
        for one in identities:
            for other in identities:
                if one is not other:
                    one.trust(other.folder / "certificate.pem")
        for party in (0, 1):
            make_key_file(self._key(party))
        keys = [operator.public_key.hex() for operator in self._operators()]
        made = told(
            "watchlist", "new", self._list(0), "--operator-0", keys[0], "--operator-1", keys[1],
            folder=self.folder,
        )  # fmt: skip
        told("watchlist", "join", made["founding"], self._list(1), "--name", made["name"], folder=self.folder)
        copies = [WatchlistFile(self._list(party)) for party in (0, 1)]
        try:
            records = self._approved(copies[0], nobodies)
            for copy in copies:
                copy.extend(records)
        finally:
            for copy in copies:
                copy.close()
        return made

    def _approved(self, copy: Any, count: int) -> list[bytes]:
        """Records of generated templates, proposed by one operator and approved by the other."""
        from blindsight.evaluation.bench_parties import approved

        founding = copy.state.founding
        vectors = _strangers(founding.dimension, count)
        values = np.rint(vectors * founding.scale).astype(np.int16)
        entries = {f"generated-{number:03}": row for number, row in enumerate(values, 1)}
        return approved(copy.state, self._operators(), entries)

    def _operators(self) -> tuple[Any, Any]:
        from blindsight.trusted.operator import Operator
        from blindsight.trusted.sealing import read_key_file

        keys = [read_key_file(self._key(party))[:32] for party in (0, 1)]
        return Operator(0, keys[0]), Operator(1, keys[1])

    def _key(self, party: int) -> Path:
        return self.folder / f"operator-{party}.key"

    def _list(self, party: int) -> Path:
        return self.folder / f"list-{party}"

    def data(self, party: int) -> Path:
        """Where a party keeps its log, evidence and footage."""
        return self.folder / f"data-{party}"

    # -- processes -----------------------------------------------------------------------------

    def serve(self, party: int, *, cheating: bool = False) -> Program:
        """Start a party; one that cheats runs other code and says the same."""
        program = Program(
            "serve", "party", "--id", str(party), "--identity", self.folder / _NAMES[party][0],
            "--watchlist", self._list(party), "--data", self.data(party),
            "--listen", self._address(party), *(("--peer", self._address(1)) if party == 0 else ()),
            log=self.folder / f"party-{party}.log",
            module="blindsight.cli.demo_cheat" if cheating else "blindsight",
        )  # fmt: skip
        self._parties[party] = program
        program.wait_for("listening")
        return program

    def stop(self) -> None:
        """End the parties that run."""
        for party, program in enumerate(self._parties):
            self._parties[party] = None
            if program is not None:
                program.stop()

    def stop_party(self, party: int) -> None:
        program, self._parties[party] = self._parties[party], None
        if program is not None:
            program.stop()

    def watch(self, *, footage: str = "none", seconds: float | None = None) -> Watch:
        """Have the camera watch the video once."""
        began = datetime.now(UTC)
        before = [len(self._alerts(party)) for party in (0, 1)]
        camera = Program(
            "serve", "camera", "--source", self.video, "--identity", self.folder / "gate",
            "--party0", self._address(0), "--party1", self._address(1),
            "--dummies", str(DUMMIES), "--tick", str(self._tick), "--footage", footage,
            *(() if seconds is None else ("--seconds", str(seconds))),
            log=self.folder / "camera.log",
        )  # fmt: skip
        try:
            counts = camera.wait_for("over", _WATCH_SECONDS)
            camera.wait(30.0)
        finally:
            camera.stop()
        alerts = tuple(self._alerts(party)[before[party] :] for party in (0, 1))
        return Watch(counts, (alerts[0], alerts[1]), began, datetime.now(UTC))

    def _alerts(self, party: int) -> list[Told]:
        program = self._parties[party]
        return [] if program is None else program.heard("alert")

    def _address(self, party: int) -> str:
        return f"127.0.0.1:{self._ports[party]}"

    # -- what operators do -----------------------------------------------------------------------

    def list_person(self, photo: Path, reason: str) -> Told:
        """Party 0's operator proposes, party 1's looks and approves; both lists have it afterwards."""
        proposed = told(
            "watchlist", "propose", self._list(0), photo, "--add", ENTRY, "--reason", reason,
            "--key", self._key(0), folder=self.folder,
        )  # fmt: skip
        digest = str(proposed["proposal"])
        self._until(1, lambda shown: any(one["proposal"] == digest for one in shown["waiting"]))
        approved = told(
            "watchlist", "approve", self._list(1), digest, "--key", self._key(1), "--yes", folder=self.folder
        )
        for party in (0, 1):
            self._until(party, lambda shown: any(one["entry"] == ENTRY for one in shown["entries"]))
        return approved

    def _until(self, party: int, wanted: Any) -> Told:
        import time

        for _ in range(30):
            shown = told("watchlist", "list", self._list(party), folder=self.folder)
            if wanted(shown):
                return shown
            time.sleep(0.3)
        raise UnavailableError("The parties' lists did not come to agree; look at their logs.")

    def reveal(self, watched: Watch, out: Path, consents: Sequence[int] = (0, 1)) -> Told:
        """Request by party 0's operator, consents, and what the inspector gets."""
        request = self.folder / "footage.request"
        if not request.exists():
            told(
                "footage", "request", "--camera", "gate",
                "--from", _instant(watched.began), "--to", _instant(watched.ended + timedelta(seconds=1)),
                "--reason", "the alert of today", "--key", self._key(0),
                "--revealer", self.folder / "inspector" / "certificate.pem", "--out", request,
                folder=self.folder,
            )  # fmt: skip
        signed = []
        for party in consents:
            path = self.folder / f"footage.consent-{party}"
            if not path.exists():
                told(
                    "footage", "consent", request, "--key", self._key(party), "--out", path, "--yes",
                    folder=self.folder,
                )  # fmt: skip
            signed.append(path)
        while len(signed) < 2:
            signed.append(signed[0])
        return told(
            "footage", "reveal", request, *signed, "--party0", self._address(0),
            "--party1", self._address(1), "--identity", self.folder / "inspector", "--out", out,
            folder=self.folder,
        )  # fmt: skip

    # -- what is found afterwards --------------------------------------------------------------

    def log(self, party: int) -> list[Told]:
        """The lines of a party's log."""
        lines = (self.data(party) / "log").read_text().splitlines()
        return [json.loads(line) for line in lines]


def write_photo(path: Path) -> Path:
    """The portrait that is proposed for the list: another than any frame of the video."""
    try:
        import skimage.data
        from PIL import Image, ImageEnhance
    except ImportError as error:
        raise UsageError(f'The demo\'s photo needs {error.name}: pip install "blindsight[demo]".') from error
    samples: Any = skimage.data
    portrait = Image.fromarray(samples.astronaut()[0:300, 60:380])
    ImageEnhance.Brightness(portrait.rotate(4)).enhance(0.9).save(path)
    return path


def _strangers(dimension: int, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Random vectors, as far from each other as those of different people: nobody's."""
    generator = np.random.default_rng(int.from_bytes(os.urandom(8)))
    common, own = generator.standard_normal(dimension), generator.standard_normal((count, dimension))
    common /= np.linalg.norm(common)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    return np.asarray(_NORM * (np.sqrt(_COSINE) * common + np.sqrt(1 - _COSINE) * own))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _instant(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
