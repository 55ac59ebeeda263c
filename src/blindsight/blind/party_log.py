"""A party's log: results, confirmations and aborts, on disk before they are acted on (specs/party.md)."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from blindsight.core.errors import StorageFullError, TamperedError
from blindsight.core.evidence import Evidence
from blindsight.wire.fields import pack
from blindsight.wire.state import sync_folder

MOST_EVIDENCE: Final = 1000

_LABEL: Final = b"blindsight party log 1\x00"


class PartyLog:
    """The log in a folder; threads may share it. Opening checks every line of it.

    Raises `TamperedError` where a line was altered, removed or put in.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log"
        self._evidence = folder / "evidence"
        self._evidence.mkdir(mode=0o700, exist_ok=True)
        self._lock = threading.RLock()
        self._results: dict[bytes, dict[str, Any]] = {}
        self._last: dict[bytes, str] = {}
        self.number, self.head = 0, bytes(32)
        end = self._read()
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        self._end = end
        sync_folder(folder)

    def close(self) -> None:
        """Let go of the file. Calling it twice is harmless."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def append(self, kind: str, **said: Any) -> None:
        """Write a line; on disk when this returns."""
        with self._lock:
            entry = {
                "n": self.number + 1,
                "previous": self.head.hex(),
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "kind": kind,
            } | said
            line = json.dumps(entry, separators=(",", ":")).encode()
            try:
                _write(self._file, line + b"\n")
                os.fsync(self._file)
            except OSError as error:
                os.ftruncate(self._file, self._end)
                os.lseek(self._file, self._end, os.SEEK_SET)
                raise StorageFullError(
                    f"The log cannot be written ({error.strerror}); make room and start the party again."
                ) from None
            self._end += len(line) + 1
            self._take(entry, line)

    def abort(self, evidence: Evidence, camera: str) -> None:
        """Keep the evidence of an abort, and log it."""
        digest = evidence.digest().hex()
        kept = sum(1 for _ in self._evidence.iterdir()) < MOST_EVIDENCE
        if kept:
            path = self._evidence / digest
            with path.open("wb") as file:
                file.write(pack(asdict(evidence)))
                file.flush()
                os.fsync(file.fileno())
            path.chmod(0o600)
            sync_folder(self._evidence)
        self.append(
            "abort",
            reason=evidence.reason,
            session=evidence.session.hex(),
            camera=camera,
            first=evidence.first,
            count=evidence.count,
            evidence=digest,
            kept=kept,
        )

    def has(self, receipt: bytes) -> bool:
        """Whether the result with this receipt is in the log."""
        with self._lock:
            return receipt in self._results

    def result(self, receipt: bytes) -> Mapping[str, Any]:
        """The line of a result."""
        with self._lock:
            return self._results[receipt]

    def unresolved(self) -> list[bytes]:
        """Receipts of results that were neither confirmed nor found missing at the other side."""
        return self._ending_in("result")

    def not_raised(self) -> list[bytes]:
        """Receipts that were confirmed, and whose alert may not have been handed on."""
        return self._ending_in("confirmed")

    def _ending_in(self, kind: str) -> list[bytes]:
        with self._lock:
            return [receipt for receipt, last in self._last.items() if last == kind]

    # -- reading -----------------------------------------------------------------------------

    def _read(self) -> int:
        """Check all lines; where the last whole one ends."""
        if not self._path.exists():
            return 0
        data = self._path.read_bytes()
        end = data.rfind(b"\n") + 1
        for line in data[:end].splitlines():
            try:
                entry = json.loads(line)
                if (entry["n"], entry["previous"]) != (self.number + 1, self.head.hex()):
                    raise ValueError
                self._take(entry, line)
            except (ValueError, KeyError, TypeError):
                raise TamperedError(
                    f"Line {self.number + 1} of {self._path} was altered, or lines before it were removed; "
                    "keep the file and find out by whom."
                ) from None
        return end

    def _take(self, entry: dict[str, Any], line: bytes) -> None:
        self.number, self.head = self.number + 1, sha256(_LABEL + line).digest()
        kind = entry["kind"]
        if kind in ("result", "confirmed", "raised", "unconfirmed"):
            receipt = bytes.fromhex(entry["receipt"])
            if kind == "result":
                self._results[receipt] = entry
            self._last[receipt] = kind


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
