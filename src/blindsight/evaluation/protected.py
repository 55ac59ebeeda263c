"""Scores under encryption, by the way that users take, and what each step of it costs.

1:N: an `EncryptedIndex` on a matcher holds the gallery, and probes search it, several at a time.
1:1: a pair is such a search in a gallery of one, under a key of its own. (`ckks` has a protocol
for pairs besides; see `blindsight.evaluation.distances`.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.matching import Matcher
from blindsight.core.types import F32, I64, AnyArray
from blindsight.encoding import Metric
from blindsight.evaluation.loopback import forget_peak, peak_bytes
from blindsight.evaluation.scores import F64
from blindsight.schemes.seal.library import sealapi
from blindsight.trusted.index import EncryptedIndex
from blindsight.trusted.schemes import Precision

Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """A matching scheme as it is compared: ``name`` is what users call it."""

    name: str
    scheme: str
    precision: Precision


CONTENDERS = {
    found.name: found
    for found in (
        Contender("clear", "clear", "approximate"),
        Contender("lattice", "lattice", "approximate"),
        Contender("lattice-exact", "lattice", "exact"),
        Contender("ckks", "ckks", "approximate"),
        Contender("bfv", "bfv", "exact"),
    )
}


def contenders(names: Sequence[str]) -> tuple[Contender, ...]:
    """The schemes of these names, all where none is given; ``clear``, the reference, always first.

    Raises:
        UsageError: a name that is none.
        ModelError: a scheme whose library is not installed; says which extra has it.
    """
    for name in names:
        if name not in CONTENDERS:
            raise UsageError(f"There is no scheme {name!r}; choose among {', '.join(CONTENDERS)}.")
    chosen = tuple(c for c in CONTENDERS.values() if c.name == "clear" or not names or c.name in names)
    if any(contender.scheme in ("ckks", "bfv") for contender in chosen):
        sealapi()
    return chosen


@dataclass(frozen=True, slots=True)
class Space:
    """What the vectors are: their dimension, metric, and the bound on their norms."""

    dimension: int
    metric: Metric
    radius: float


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds, medians. Of one template, one probe, or one probe's answer.

    Attributes:
        encode: a vector to the integers that are protected.
        enroll: protect a template, send it, have it stored.
        encrypt: protect a probe.
        match: what the matcher computes for a probe.
        decrypt: an answer to integer scores.
        decode: these to scores in the metric's units.
        round_trip: from sending a probe to having its answer.
    """

    encode: float
    enroll: float
    encrypt: float
    match: float
    decrypt: float
    decode: float
    round_trip: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes, serialised, as they are sent and stored.

    Attributes:
        template: what an enrolled template takes on the matcher.
        probe: a protected probe.
        answer: the protected scores of one probe.
        keys: evaluation keys, sent once.
        client_peak: resident memory of this process at most; 0 where it is not known.
        server_peak: the same of the matcher's process; 0 where it is this one.
    """

    template: float
    probe: int
    answer: int
    keys: int
    client_peak: int
    server_peak: int


@dataclass(frozen=True, slots=True)
class Run:
    """Protected scores of pairs, by one scheme in one way.

    Attributes:
        contender: the scheme.
        mode: one to one, or one to many.
        way: what was done, in words.
        pairs: int64 (n,), which pairs of the list.
        scores: float64 (n,), theirs, in the metric's units.
        compared: integer scores that were compared with the quantised plaintext's, which NumPy
            computes from the same integers; 0 where the scheme quantises nothing.
        equal: those that are the same to the bit.
        times: of each step.
        sizes: of what travels and is stored.
        matrix: float32 (probes, gallery), all scores of a 1:N run.
    """

    contender: Contender
    mode: Literal["1:1", "1:N"]
    way: str
    pairs: I64
    scores: F64
    compared: int
    equal: int
    times: Times
    sizes: Sizes
    matrix: F32 | None = field(default=None, repr=False)


def search_gallery(
    contender: Contender,
    space: Space,
    gallery: F64,
    probes: F64,
    pairs: tuple[I64, I64],
    matcher: Matcher,
    *,
    server: int | None = None,
    advance: Advance = lambda done, of: None,
) -> Run:
    """Enroll (G, d) vectors, search with (P, d) ones, and read off the pairs' scores.

    Args:
        contender: the scheme.
        space: of the vectors.
        gallery: to enroll.
        probes: to search with, as many at a time as a search of this scheme takes.
        pairs: for each pair, the row of its probe and of its template, int64 (n,) each.
        matcher: where the gallery is made, and deleted in the end.
        server: number of the matcher's process, for its memory.
        advance: told how many probes are done.
    """
    _forget(server)
    with _Gallery(contender, space, matcher) as room:
        started = time.perf_counter()
        room.index.add(np.arange(len(gallery)), gallery)
        enroll = (time.perf_counter() - started) * 1e3 / len(gallery)
        stored = room.stored / len(gallery)
        room.search(probes[:1])  # whatever is compiled on first use is not timed
        templates = room.encoding.templates(gallery).values.astype(np.float64)
        matrix = np.empty((len(probes), len(gallery)), np.float32)
        watch, equal, at_once = _Watch(), 0, room.index._session.probes_at_once
        for at in range(0, len(probes), at_once):
            found = room.search(probes[at : at + at_once], watch)
            here = slice(at, at + len(found.scores))
            matrix[here] = found.scores
            equal += int((found.raw == found.integers @ templates.T).sum())
            advance(min(at + at_once, len(probes)), len(probes))
        return Run(
            contender,
            "1:N",
            f"search of a gallery of {len(gallery):,}",
            np.arange(len(pairs[0])),
            matrix[pairs].astype(np.float64),
            matrix.size,
            equal,
            watch.times(enroll),
            Sizes(stored, watch.up, watch.down, 0, peak_bytes(), _peak(server)),
            matrix,
        )


def search_pairs(
    contender: Contender,
    space: Space,
    first: F64,
    second: F64,
    pairs: I64,
    matcher: Matcher,
    *,
    server: int | None = None,
    advance: Advance = lambda done, of: None,
) -> Run:
    """Each pair by itself: its first vector alone in a gallery, its second one the probe.

    Args:
        contender: the scheme.
        space: of the vectors.
        first: float64 (n, d).
        second: float64 (n, d).
        pairs: int64 (n,), which pairs of the list these are.
        matcher: where the galleries are made, and deleted again.
        server: number of the matcher's process, for its memory.
        advance: told how many pairs are done.
    """
    _forget(server)
    scores, enrolling, stored = np.empty(len(pairs)), [], 0.0
    watch, equal = _Watch(), 0
    for at, (one, other) in enumerate(zip(first, second, strict=True)):
        with _Gallery(contender, space, matcher) as room:
            started = time.perf_counter()
            room.index.add([0], one)
            enrolling.append((time.perf_counter() - started) * 1e3)
            stored = room.stored
            room.index._session.warm()
            found = room.search(other[np.newaxis], watch)
            scores[at] = found.scores[0, 0]
            template = room.encoding.templates(one).values.astype(np.float64)
            equal += int((found.raw == found.integers @ template.T).sum())
        advance(at + 1, len(pairs))
    return Run(
        contender,
        "1:1",
        "search of a gallery of one",
        pairs,
        scores,
        len(pairs),
        equal,
        watch.times(float(np.median(enrolling))),
        Sizes(stored, watch.up, watch.down, 0, peak_bytes(), _peak(server)),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """Probes as float64 integers (q, width); raw and real scores (q, templates), rows by identifier."""

    integers: F64
    raw: AnyArray
    scores: F32


class _Gallery:
    """An index on a matcher, deleted there when it is left."""

    def __init__(self, contender: Contender, space: Space, matcher: Matcher) -> None:
        self.index = EncryptedIndex(
            space.dimension,
            metric=space.metric,
            radius=space.radius,
            precision=contender.precision,
            matcher=matcher,
            scheme=contender.scheme,
            insecure_clear=contender.scheme == "clear",
        )
        self.encoding = self.index._encoding
        self._matcher = matcher

    def __enter__(self) -> _Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self._matcher.delete(self._gallery_id)
        self.index.close()

    @property
    def _gallery_id(self) -> str:
        return self.index._session.identity.gallery_id

    @property
    def stored(self) -> int:
        """Bytes of all blocks on the matcher."""
        return self._matcher.info(self._gallery_id).stored_bytes

    def search(self, vectors: F64, watch: _Watch | None = None) -> _Found:
        started = time.perf_counter()
        probes = self.encoding.probes(vectors)
        encoded = time.perf_counter()
        scored = self.index._session.scores(probes)
        revealed = time.perf_counter()
        scores = self.encoding.scores(scored.raw, probes)
        decoded = time.perf_counter()
        if watch is not None:
            times = scored.timings | {
                "encode": (encoded - started) * 1e3,
                "decode": (decoded - revealed) * 1e3,
            }
            watch.note(times, scored.traffic, len(vectors))
        rows = np.flatnonzero(scored.ids >= 0)
        rows = rows[np.argsort(scored.ids[rows])]
        return _Found(probes.values.astype(np.float64), scored.raw[:, rows], scores[:, rows])


class _Watch:
    """Times and sizes of searches, a probe each."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []
        self.up = self.down = 0

    def note(self, times: dict[str, float], traffic: dict[str, int], probes: int) -> None:
        self._rows.append({name: value / probes for name, value in times.items()})
        self.up, self.down = traffic["up"] // probes, traffic["down"] // probes

    def times(self, enroll: float) -> Times:
        middle: dict[str, Any] = {
            name: float(np.median([row[name] for row in self._rows])) for name in self._rows[0]
        }
        return Times(
            middle["encode"],
            enroll,
            middle["protect"],
            middle["server"],
            middle["reveal"],
            middle["decode"],
            middle["round_trip"],
        )


def _forget(server: int | None) -> None:
    forget_peak()
    if server is not None:
        forget_peak(server)


def _peak(server: int | None) -> int:
    return peak_bytes(server) if server is not None else 0
