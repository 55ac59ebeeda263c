"""What a two-party comparison costs, and whether it ever differs from the plaintext rule.

`bench_two_party` measures one size of the watchlist with generated unit vectors. Who carries the
messages is a `Parties`: `InProcess` does the work of both parties one after the other in this
process, without a network, so that its times are those of two processors' work on one;
`bench_parties.Networked` has a process for each party and TLS between all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blindsight.core.types import I32
from blindsight.evaluation.machine import machine
from blindsight.kernels import aes, dcf
from blindsight.schemes.spdz2k.compute import Matches, Session
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.messages import U64, Kind
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.public import Grant, Source
from blindsight.schemes.spdz2k.share import Sharer, quantise
from blindsight.schemes.spdz2k.watchlist import Watchlist

__all__ = ["Agreement", "InProcess", "Parties", "Row", "bench_two_party", "compare_many", "machine"]

F64 = NDArray[np.float64]

_THRESHOLD = 1.1  # a usual squared distance for unit embeddings


class Parties(Protocol):
    """Both parties, wherever they are."""

    def adopt(self, watchlist: Watchlist) -> Watchlist:
        """Have both parties agree on these entries; the list that they have then."""
        ...

    def open(self, grants: tuple[Grant, Grant], watchlist: Watchlist) -> None:
        """Begin a camera session on both sides."""
        ...

    def compare(self, material: tuple[bytearray, bytearray], inputs: bytes) -> tuple[Matches, Matches]:
        """One run: deliver what was dealt, and return when both sides have their result."""
        ...

    @property
    def most_faces(self) -> int:
        """How many faces they take in one run at most, once a list is adopted."""
        ...

    @property
    def online_seconds(self) -> float | None:
        """What the last run took by the slower party's own clock; None where `compare` is that."""
        ...

    @property
    def source(self) -> Source:
        """Who deals."""
        ...

    @property
    def network(self) -> str:
        """How the parties are connected, in a few words."""
        ...

    @property
    def wire_bytes(self) -> int:
        """Bytes that have passed between the parties so far, both directions together."""
        ...


class InProcess:
    """Both parties in this process, one after the other in every round."""

    network = "none: both parties one after the other in one process"
    most_faces = 1024
    source = Source.CAMERA
    online_seconds: float | None = None

    def __init__(self) -> None:
        self.wire_bytes = 0

    def adopt(self, watchlist: Watchlist) -> Watchlist:
        return watchlist

    def open(self, grants: tuple[Grant, Grant], watchlist: Watchlist) -> None:
        self._sessions = [Session(grant, watchlist) for grant in grants]

    def compare(self, material: tuple[bytearray, bytearray], inputs: bytes) -> tuple[Matches, Matches]:
        one, other = (
            session.begin(half, inputs) for session, half in zip(self._sessions, material, strict=True)
        )
        sent: tuple[bytes | None, bytes | None] = one.start(), other.start()
        while sent[0] is not None and sent[1] is not None:
            self.wire_bytes += len(sent[0]) + len(sent[1])
            sent = one.receive(sent[1]), other.receive(sent[0])
        return one.result, other.result


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the benchmark. Times are medians, in milliseconds.

    Attributes:
        entries: entries of the watchlist.
        dim: coordinates of a face.
        online_ms: one face: from material and masked input at hand to both results.
        online_ms_batched: the same for one face of ``batch`` in one run.
        dealer_ms: making the material of one face.
        total_ms: one face: dealing, masking, sending to both parties, online, both results reported.
        total_ms_batched: the same for one face of ``batch`` in one run.
        material_bytes: what the dealer sends for one face to the party that gets more.
        input_bytes: what the camera sends for one face to each party.
        wire_bytes: between the parties for one face, both directions together, TLS's own not counted.
        wire_bytes_batched: the same for one face of ``batch`` in one run.
        security_bits: s.
        batch: faces in a run for ``online_ms_batched``.
        evaluate_ms: one party's comparison functions of one face, by the path in use.
        evaluate_openssl_ms: the same with AES through OpenSSL, in turn with it.
        aes: the AES path in use.
        network: how the parties are connected.
        source: who deals: ``camera`` or ``provider``.
    """

    entries: int
    dim: int
    online_ms: float
    online_ms_batched: float
    dealer_ms: float
    total_ms: float
    total_ms_batched: float
    material_bytes: int
    input_bytes: int
    wire_bytes: int
    wire_bytes_batched: int
    security_bits: int
    batch: int
    evaluate_ms: float
    evaluate_openssl_ms: float
    aes: str
    network: str
    source: str


def bench_two_party(
    entries: int,
    dim: int = 128,
    *,
    repeats: int = 50,
    batch: int = 32,
    parties: Parties | None = None,
    progress: Callable[[str], None] = lambda _: None,
    _seed: int = 1,
) -> Row:
    """Measure one size of the watchlist; see `Row`.

    Args:
        entries: entries of the watchlist, 1 to 65536.
        dim: coordinates of a face, 2 to 4096.
        repeats: timed runs of each kind.
        batch: faces in the runs that are timed as a batch; fewer where they do not fit.
        parties: who carries the messages; both in this process where None.
        progress: told what is being done.

    Raises:
        AssertionError: a result differed from the plaintext rule.

    """
    parties = InProcess() if parties is None else parties
    generator = np.random.default_rng(_seed)
    params = Params.for_radius(dim)
    watchlist = Watchlist(params, _faces(params, generator, entries), params.threshold(_THRESHOLD))
    progress("agreeing on the list")
    watchlist = parties.adopt(watchlist)
    dealer = Dealer(params, watchlist.digest, entries, camera="bench", source=parties.source)
    sharer = Sharer(params, dealer.session)
    parties.open(dealer.grants, watchlist)
    batch = min(batch, dealer.grants[0].layout.most_faces, parties.most_faces)
    times: dict[int, list[tuple[float, float, float]]] = {1: [], batch: []}
    wire: dict[int, int] = {}
    for count, found in times.items():
        progress(f"timing runs of {count} faces")
        for k in range(-1, repeats):  # the first one compiles
            faces = _faces(params, generator, count)
            begun = time.perf_counter()
            dealt = dealer.deal(count)
            made = time.perf_counter()
            sharer.add(dealt.masks)
            shared = sharer.share(faces)
            ready, before = time.perf_counter(), parties.wire_bytes
            one, other = parties.compare(dealt.material, shared.message)
            done = time.perf_counter()
            _require_right(watchlist, faces, shared.numbers, one, other)
            wire[count] = parties.wire_bytes - before
            online = done - ready if parties.online_seconds is None else parties.online_seconds
            if k >= 0:
                found.append(((made - begun) / count, online / count, (done - begun) / count))
    single, several = (np.median(np.array(times[count]), axis=0) * 1e3 for count in (1, batch))
    progress("timing the comparison functions")
    own, openssl = _kernels(params, entries, generator, max(5, repeats // 5))
    layout = dealer.grants[0].layout
    return Row(
        entries=entries,
        dim=dim,
        online_ms=round(float(single[1]), 4),
        online_ms_batched=round(float(several[1]), 4),
        dealer_ms=round(float(single[0]), 4),
        total_ms=round(float(single[2]), 4),
        total_ms_batched=round(float(several[2]), 4),
        material_bytes=layout.size(Kind.MATERIAL_1, 1),
        input_bytes=layout.size(Kind.INPUTS, 1),
        wire_bytes=wire[1],
        wire_bytes_batched=-(-wire[batch] // batch),
        security_bits=params.security_bits,
        batch=batch,
        evaluate_ms=round(own, 4),
        evaluate_openssl_ms=round(openssl, 4),
        aes={8: "VAES, 512 bits", 2: "AES-NI", 0: "OpenSSL"}[aes.LANES],
        network=parties.network,
        source=parties.source.name.lower(),
    )


def _faces(params: Params, generator: np.random.Generator, count: int) -> I32:
    points = generator.standard_normal((count, params.dimension))
    return quantise(params, points / np.linalg.norm(points, axis=1, keepdims=True))


def _require_right(
    watchlist: Watchlist, faces: I32, numbers: tuple[int, ...], one: Matches, other: Matches
) -> None:
    places = np.array(numbers, np.int64) - one.first
    if not (
        np.array_equal(one.bits, other.bits) and np.array_equal(one.bits[places], watchlist.matches(faces))
    ):
        raise AssertionError("The protocol and the plaintext rule differ.")


def _kernels(
    params: Params, entries: int, generator: np.random.Generator, repeats: int
) -> tuple[float, float]:
    """Milliseconds of one party's comparison functions of one face: own path, OpenSSL."""

    def words(*shape: int) -> U64:
        return generator.integers(0, 2**64, shape, np.uint64)

    points = words(1, entries) & np.uint64(2**params.levels - 1)
    roots = words(1, entries, 2) & ~np.uint64(3)
    rows = words(1, dcf.correction_words(params.levels, entries))
    found: list[list[float]] = [[], []]
    for k in range(-1, repeats):
        for path, portable in enumerate((aes.LANES == 0, True)):
            begun = time.perf_counter()
            dcf.evaluate(0, points, roots, rows, 0, params.levels, [bytes(16)], portable=portable)
            if k >= 0:
                found[path].append(time.perf_counter() - begun)
    return float(np.median(found[0])) * 1e3, float(np.median(found[1])) * 1e3


# -- against the plaintext rule --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Agreement:
    """Comparisons by the protocol beside the plaintext rule.

    Attributes:
        comparisons: faces times entries.
        differences: bits that differed, on either side.
        matches: how many matched.
        edges: comparisons whose distance was the threshold, or one more or less.
        least: smallest value of D - t that occurred.
        most: largest value.
        seconds: how long it took.
    """

    comparisons: int
    differences: int
    matches: int
    edges: int
    least: int
    most: int
    seconds: float


def compare_many(
    comparisons: int = 10_000_000,
    *,
    entries: int = 1000,
    dim: int = 128,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
    _seed: int = 2,
) -> Agreement:
    """Run at least that many comparisons, thresholds and distances at the edges of their range included.

    Every session takes another threshold: the least, the largest, and values that some distance
    meets exactly or misses by one. Faces are random, close to entries, or opposite to them at
    the largest norm.
    """
    params = Params.for_radius(dim)
    generator = np.random.default_rng(_seed)
    batch = 32
    done = differences = matches = edges = 0
    least, most = 0, 0
    begun = time.perf_counter()
    session = 0
    while done < comparisons:
        listed = _spread(params, generator, entries)
        first = _near(params, generator, listed, batch)
        met = int(((first[0].astype(np.int64) - listed[0]) ** 2).sum())
        edges_of_range = (1, params.largest_threshold)
        threshold = (*edges_of_range, met, met + 1, met - 1, params.threshold(_THRESHOLD))[session % 6]
        session += 1
        watchlist = Watchlist(params, listed, min(max(threshold, 1), params.largest_threshold))
        dealer = Dealer(params, watchlist.digest, entries, camera="check")
        sharer, parties = Sharer(params, dealer.session), InProcess()
        parties.open(dealer.grants, watchlist)
        for k in range(8):
            faces = first if k == 0 else _near(params, generator, listed, batch)
            dealt = dealer.deal(batch)
            sharer.add(dealt.masks)
            shared = sharer.share(faces)
            one, other = parties.compare(dealt.material, shared.message)
            places = np.array(shared.numbers, np.int64) - one.first
            expected = watchlist.matches(faces)
            wrong = (one.bits[places] != expected) | (other.bits[places] != expected)
            differences += int(wrong.sum())
            matches += int(expected.sum())
            a, b = faces.astype(np.float64), listed.astype(np.float64)
            over = (a * a).sum(1)[:, np.newaxis] + (b * b).sum(1) - 2 * (a @ b.T) - watchlist.threshold
            edges += int((np.abs(over) <= 1).sum())
            least, most = min(least, int(over.min())), max(most, int(over.max()))
            done += expected.size
            progress(min(done, comparisons), comparisons)
            if done >= comparisons:
                break
    return Agreement(done, differences, matches, edges, least, most, round(time.perf_counter() - begun, 2))


def _spread(params: Params, generator: np.random.Generator, count: int) -> I32:
    """Vectors of all lengths, a third of them as long as may be."""
    points = generator.standard_normal((count, params.dimension))
    lengths = np.where(np.arange(count) % 3 == 0, 1.0, generator.random(count))
    return _shortened(params, points / np.linalg.norm(points, axis=1, keepdims=True) * lengths[:, np.newaxis])


def _near(params: Params, generator: np.random.Generator, listed: I32, count: int) -> I32:
    """Faces: entries themselves, close to entries, opposite to entries, anywhere."""
    faces: F64 = listed[generator.integers(0, len(listed), count)].astype(np.float64)
    kind = np.arange(count) % 4
    faces[kind == 1] += generator.normal(0, 2, (int((kind == 1).sum()), params.dimension)).round()
    faces[kind == 2] *= -1
    out = faces.astype(np.int32)
    out[kind == 3] = _spread(params, generator, int((kind == 3).sum()))
    too_long = (out.astype(np.int64) ** 2).sum(axis=1) > params.norm**2
    out[too_long] = listed[generator.integers(0, len(listed), int(too_long.sum()))]
    return out


def _shortened(params: Params, unit: F64) -> I32:
    """Unit vectors as integers of the largest norm that rounding leaves allowed."""
    longest = params.norm - np.sqrt(params.dimension) / 2
    return np.asarray(np.rint(unit * longest), dtype=np.int32)
