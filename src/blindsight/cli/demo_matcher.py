"""The demo's matcher: a real server in a process of its own, and a record of what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blindsight.cli.demo_process import Program, orderly
from blindsight.core.matching import Answer
from blindsight.core.types import U8, AnyArray
from blindsight.wire.client import RemoteMatcher

_KEPT = 2


@dataclass(frozen=True, slots=True)
class Running:
    """A matcher that serves."""

    url: str
    token: str
    data: Path
    process_id: int


@contextmanager
def running_matcher(folder: Path) -> Iterator[Running]:
    """``blindsight serve matcher`` on a free port of this machine; stopped however this is left."""
    data = folder / "matcher"
    with orderly():
        program = Program("serve", "matcher", "--data", data, "--port", "0", log=folder / "matcher.log")
        try:
            said = program.wait_for(None)
            token = Path(said["token_file"]).read_text().strip()
            yield Running(said["url"], token, data, program.process_id)
        finally:
            program.stop()


class RecordingMatcher(RemoteMatcher):
    """A client that keeps a copy of the first probes it sends and of the answers it gets."""

    def __init__(self, running: Running) -> None:
        super().__init__(running.url, running.token)
        self.probes: list[U8] = []
        self.answers: list[U8] = []

    def search(self, gallery_id: str, key_id: str, params_id: str, probes: U8) -> Answer:
        answer = super().search(gallery_id, key_id, params_id, probes)
        if len(self.probes) < _KEPT:
            self.probes.append(probes.copy())
            self.answers.append(answer.scores.copy())
        return answer


def stored_numbers(data: Path, body_bytes: int) -> AnyArray:
    """What lies in the matcher's files of templates, as int32; free slots, all zero, left out."""
    slots = np.concatenate(
        [np.fromfile(file, np.uint8).reshape(-1, body_bytes) for file in sorted(data.glob("*.tiles"))]
    )
    return np.asarray(slots[slots.any(axis=1)].view("<i4"))


@dataclass(frozen=True, slots=True)
class Look:
    """How even the second byte of some numbers is distributed.

    Attributes:
        numbers: how many.
        chi_square: against 256 equally frequent values, by degree of freedom; 1 where even.
        entropy: bits, of 8.
        shape: 16 bars, values 0 to 255 in order.

    """

    numbers: int
    chi_square: float
    entropy: float
    shape: str


_BARS = "▁▂▃▄▅▆▇█"


def look(numbers: AnyArray) -> Look:
    """Bits 8 to 15 of integers.

    Not the lowest byte, which is even in plaintext too; and not a high one, which is never
    full because the modulus is below a power of two.
    """
    counts = np.bincount(((numbers.reshape(-1) >> 8) & 0xFF).astype(np.int64), minlength=256)
    total = int(counts.sum())
    expected = total / 256
    chi_square = float(((counts - expected) ** 2).sum() / expected / 255)
    share = counts[counts > 0] / total
    groups = counts.reshape(16, 16).sum(axis=1)
    bars = "".join(_BARS[min(7, int(8 * group / (groups.max() + 1)))] for group in groups)
    return Look(total, chi_square, float(-(share * np.log2(share)).sum()), bars)
