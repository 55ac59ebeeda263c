"""The benchmark of W. Koch's thesis (2020, section 4) as a run: one face against a watchlist.

Every row is measured with two party processes that are connected by TLS, and a camera that deals.
*Online* begins when a party has its material and the masked face, and ends with the result; *total*
is everything, dealing and sending included. The thesis' own figures, and those that were measured
of other systems, stand here as data, with where they come from; they are not measured in the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from blindsight.evaluation.bench_parties import Networked
from blindsight.evaluation.bench_two_party import Row, bench_two_party
from blindsight.schemes.spdz2k.messages import Kind, Layout
from blindsight.schemes.spdz2k.params import Params


@dataclass(frozen=True, slots=True)
class ThesisRow:
    """One line of the thesis' table: 150 entries, 128 coordinates, MP-SPDZ on an AWS c5a.8xlarge.

    Attributes:
        threads: of MP-SPDZ.
        online_s: seconds.
        online_mb: both parties together, in MB.
        total_s: with the offline phase.
        total_mb: with the offline phase.
    """

    threads: int
    online_s: float
    online_mb: float
    total_s: float
    total_mb: float


THESIS: Final = (
    ThesisRow(1, 0.363, 4.229, 571.51, 104_551.0),
    ThesisRow(2, 0.179, 4.230, 279.93, 104_634.0),
    ThesisRow(4, 0.102, 4.231, 143.26, 104_805.0),
    ThesisRow(8, 0.066, 4.232, 81.36, 105_146.0),
    ThesisRow(16, 0.096, 4.235, 64.64, 105_817.0),
)
"""W. Koch, "Privacy-Preserving Face Recognition in Large-Scale Video Surveillance Systems", section 4."""

THESIS_32_S: Final = 0.105
"""Seconds online with 32 coordinates on one thread, the only figure of its text for these."""

THESIS_ENTRIES: Final = 150


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another system at one face, 150 entries and 128 coordinates; ranges from low to high.

    Attributes:
        name: system and form.
        security: against whom.
        batched: whether the figures are of one face of many.
        total_ms: everything included; None where it was not taken.
        online_ms: after preprocessing; None where it was not parted.
        total_mb: sent by all, where it was counted.
        online_mb: likewise, online.
    """

    name: str
    security: str
    batched: bool
    total_ms: tuple[float, float] | None
    online_ms: tuple[float, float] | None = None
    total_mb: float | None = None
    online_mb: float | None = None


ELSEWHERE: Final = "measured before, on two cores of one machine over loopback, and not in this run"

_LINEAR = "MP-SPDZ SPDZ2k, the distances linear as here"
_ACTIVE = "active, no dealer"

NEIGHBOURS: Final = (
    Neighbour(
        "MP-SPDZ SPDZ2k 64/64, the thesis' form, fixed-point squares",
        _ACTIVE, False, (182e3, 182e3), None, 38_456.0,
    ),
    Neighbour(
        "MP-SPDZ SPDZ2k 64/64, the thesis' form, integers",
        _ACTIVE, False, (5.7e3, 9.8e3), (18.0, 32.0), 1_689.0, 2.4,
    ),
    Neighbour(f"{_LINEAR}, s = 64, one of many", _ACTIVE, True, (280.0, 280.0), None, 41.0),
    Neighbour(f"{_LINEAR}, s = 40, one of many", _ACTIVE, True, (230.0, 230.0), None, 36.0),
    Neighbour(f"{_LINEAR}, online, one face", _ACTIVE, False, None, (3.4, 4.3)),
    Neighbour(f"{_LINEAR}, online, one of 32", _ACTIVE, True, None, (1.96, 1.96)),
    Neighbour("MP-SPDZ with a dealer, one face", "semi-honest, dealer", False, (1.5, 1.5)),
    Neighbour("MP-SPDZ with a dealer, one of a batch", "semi-honest, dealer", True, (0.55, 0.55)),
    Neighbour("SPU SEMI2K", "semi-honest, trusted first party", False, (12.0, 16.0)),
    Neighbour("MPyC, three parties", "semi-honest", False, (98.0, 98.0)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """One measured line: what a face costs at so many threads.

    Attributes:
        threads: that the kernels of each party, and of the dealer, may use.
        row: what was measured; see `bench_two_party.Row`.
        online_bytes: sent by all for one face once material is there: the masked face to both parties,
            and what these send each other.
        online_bytes_batched: the same for one face of a batch.
        total_bytes: with the material of both parties: everything that is sent for one face.
        total_bytes_batched: the same for one face of a batch.
    """

    threads: int
    row: Row
    online_bytes: int
    online_bytes_batched: int
    total_bytes: int
    total_bytes_batched: int

    @property
    def thesis(self) -> ThesisRow | None:
        """The thesis' line that this one repeats; None where it has none."""
        if (self.row.entries, self.row.dim) != (THESIS_ENTRIES, 128):
            return None
        return next((line for line in THESIS if line.threads == self.threads), None)

    @property
    def thesis_online_s(self) -> float | None:
        """The thesis' online time for this line, of its table or its text."""
        if (self.row.entries, self.row.dim, self.threads) == (THESIS_ENTRIES, 32, 1):
            return THESIS_32_S
        return None if self.thesis is None else self.thesis.online_s


def measure(
    entries: int,
    dim: int,
    threads: int,
    *,
    repeats: int = 50,
    batch: int = 32,
    progress: Callable[[str], None] = lambda _: None,
) -> Cost:
    """Measure one line with party processes of its own."""
    with _threads(threads), Networked() as parties:
        row = bench_two_party(entries, dim, repeats=repeats, batch=batch, parties=parties, progress=progress)
    layout = Layout(Params.for_radius(dim), entries)
    counts = (1, row.batch)
    online, total = [], []
    for count, wire in zip(counts, (row.wire_bytes, row.wire_bytes_batched), strict=True):
        sent = wire + _each(2 * layout.size(Kind.INPUTS, count), count)
        online.append(sent)
        dealt = layout.size(Kind.MATERIAL_0, count) + layout.size(Kind.MATERIAL_1, count)
        total.append(sent + _each(dealt, count))
    return Cost(threads, row, online[0], online[1], total[0], total[1])


def measure_all(
    lines: Sequence[tuple[int, int, int]],
    *,
    repeats: int = 50,
    batch: int = 32,
    progress: Callable[[int, int], None] = lambda done, of: None,
    told: Callable[[str], None] = lambda _: None,
) -> list[Cost]:
    """Measure lines of (entries, dim, threads), one after the other; fewer runs of long lists."""
    made = []
    for number, (entries, dim, threads) in enumerate(lines):
        progress(number, len(lines))
        runs = max(3, repeats * 1000 // max(entries, 1000))
        words = f"{entries:,} × {dim}, {threads} threads"

        def say(what: str, words: str = words) -> None:
            told(f"{words}: {what}")

        made.append(measure(entries, dim, threads, repeats=runs, batch=batch, progress=say))
    progress(len(lines), len(lines))
    return made


def _each(total: int, count: int) -> int:
    return -(-total // count)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Kernels use so many threads: here, and in the processes that are started meanwhile."""
    before = os.environ.get("BLINDSIGHT_THREADS")
    os.environ["BLINDSIGHT_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["BLINDSIGHT_THREADS"]
        else:
            os.environ["BLINDSIGHT_THREADS"] = before
