"""What encrypted search costs, measured beside a plaintext search in one run.

A real matcher process on loopback HTTP, generated unit vectors, the cosine. NumPy's float32
``G @ v`` on as many vectors stands beside it, on the same cores, in turn with it and with a
pause between: OpenBLAS's threads spin for up to 0.2 s after a product and would take the
other side's cores.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blindsight.core.types import F32
from blindsight.encoding import GalleryEncoding
from blindsight.evaluation.loopback import matcher_process, peak_bytes
from blindsight.evaluation.machine import machine
from blindsight.trusted.index import EncryptedIndex
from blindsight.trusted.session import Session
from blindsight.wire.client import RemoteMatcher

__all__ = ["LEAD", "Row", "bench_lattice", "machine"]

LEAD = 0.02
"""By how much the best score leads in the probes that are counted for agreement."""

_PAUSE = 0.25
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the benchmark. Times in milliseconds, medians; see the module for the set-up."""

    templates: int
    dim: int
    server_ms: float
    plaintext_ms: float
    server_ratio: float
    client_ms: float
    end_to_end_ms: float
    stored_bytes_per_template: float
    up_bytes: int
    down_bytes_per_template: float
    score_error_std: float
    score_error_max: float
    top1_agreement: float
    top10_agreement: float
    agreement_probes: int
    batch_probes: int
    batch_ms: float
    batch_ratio: float
    protect_ms: float
    reveal_ms: float
    enroll_s: float
    client_peak_bytes: int
    server_peak_bytes: int
    gallery_bytes: int


def bench_lattice(
    templates: int,
    dim: int,
    *,
    repeats: int = 15,
    probes: int = 1000,
    batch: int = 64,
    progress: Callable[[str], None] = lambda _: None,
    _seed: int = 1,
) -> Row:
    """Measure one gallery size; see `Row`.

    Args:
        templates: vectors in the gallery.
        dim: their coordinates, 16 to 4096.
        repeats: timed searches of each kind.
        probes: probes counted for the agreement of the best match.
        batch: probes in the batch that is timed.
        progress: told what is being done.

    """
    generator = np.random.default_rng(_seed)
    progress(f"generating {templates:,} vectors of {dim} coordinates")
    gallery = _unit(generator, templates, dim)
    with (
        tempfile.TemporaryDirectory(prefix="blindsight-bench-") as folder,
        matcher_process(Path(folder)) as (url, token, pid),
    ):
        matcher = RemoteMatcher(url, token)
        index = EncryptedIndex(dim, matcher=matcher)
        _compile(index, gallery[: min(templates, 300)])
        before = _peak_self()
        progress("enrolling")
        started = time.perf_counter()
        index.add(np.arange(templates), gallery)
        enroll = time.perf_counter() - started
        session = index._session
        session.warm()
        client_peak = max(_peak_self(), before)
        info = matcher.info(session.identity.gallery_id)
        progress("timing")
        times = _timed(session, index, gallery, generator, repeats)
        sent, received = matcher.sent_bytes, matcher.received_bytes
        session.scores(index._encoding.probes(_unit(generator, 1, dim)))
        up, down = matcher.sent_bytes - sent, matcher.received_bytes - received
        batch_ms = _batch(session, index._encoding, _unit(generator, batch, dim))
        server_peak = peak_bytes(pid)
        progress("comparing scores with the plaintext")
        std, largest = _errors(session, index._encoding, gallery, generator)
        top1, top10, counted = _agreement(index, gallery, generator, probes)
        index.close()
        matcher.close()
    server = float(np.median(times["server"]))
    plaintext = float(np.median(times["plaintext"]))
    return Row(
        templates=templates,
        dim=dim,
        server_ms=round(server, 3),
        plaintext_ms=round(plaintext, 3),
        server_ratio=round(float(np.median(times["server"] / times["plaintext"])), 3),
        client_ms=round(float(np.median(times["protect"] + times["reveal"])), 3),
        end_to_end_ms=round(float(np.median(times["end_to_end"])), 3),
        stored_bytes_per_template=round(info.stored_bytes / templates, 2),
        up_bytes=up,
        down_bytes_per_template=round(down / templates, 4),
        score_error_std=float(f"{std:.4g}"),
        score_error_max=float(f"{largest:.4g}"),
        top1_agreement=round(top1, 6),
        top10_agreement=round(top10, 6),
        agreement_probes=counted,
        batch_probes=batch,
        batch_ms=round(batch_ms, 3),
        batch_ratio=round(batch_ms / (batch * server), 4),
        protect_ms=round(float(np.median(times["protect"])), 3),
        reveal_ms=round(float(np.median(times["reveal"])), 3),
        enroll_s=round(enroll, 3),
        client_peak_bytes=client_peak,
        server_peak_bytes=server_peak,
        gallery_bytes=info.stored_bytes,
    )


def _unit(generator: np.random.Generator, count: int, dim: int) -> F32:
    out = np.empty((count, dim), np.float32)
    for at in range(0, count, _PIECE):
        piece = out[at : at + _PIECE]
        generator.standard_normal(out=piece, dtype=np.float32)
        piece /= np.linalg.norm(piece, axis=1, keepdims=True)
    return out


def _compile(index: EncryptedIndex, vectors: F32) -> None:
    """Have every kernel compiled on both sides before anything is timed."""
    index.add(np.arange(len(vectors)), vectors)
    index.search(vectors[:1], 1)
    index.search(vectors[:5], 1)
    index.remove(np.arange(len(vectors)))


def _timed(
    session: Session, index: EncryptedIndex, gallery: F32, generator: np.random.Generator, repeats: int
) -> dict[str, F32]:
    queries = _unit(generator, repeats + 2, gallery.shape[1])
    rows = []
    for query in queries:
        time.sleep(_PAUSE)
        started = time.perf_counter()
        gallery @ query
        plaintext = (time.perf_counter() - started) * 1e3
        time.sleep(_PAUSE)
        timings = session.scores(index._encoding.probes(query)).timings
        started = time.perf_counter()
        index.search(query, 10)
        end_to_end = (time.perf_counter() - started) * 1e3
        rows.append((plaintext, timings["server"], timings["protect"], timings["reveal"], end_to_end))
    table = np.array(rows[2:], np.float32)
    return dict(zip(("plaintext", "server", "protect", "reveal", "end_to_end"), table.T, strict=True))


def _batch(session: Session, encoding: GalleryEncoding, queries: F32) -> float:
    probes = encoding.probes(queries)
    return min(_server_ms(session, probes.values) for _ in range(3))


def _server_ms(session: Session, values: object) -> float:
    sent, _ = session._key.protect_probes(values)  # type: ignore[arg-type]
    key = session._key
    return session.matcher.search(
        session.identity.gallery_id, key.key_id, key.params.params_id, sent
    ).server_ms


def _errors(
    session: Session, encoding: GalleryEncoding, gallery: F32, generator: np.random.Generator
) -> tuple[float, float]:
    """Standard deviation and largest absolute value of the score error, over 8 probes."""
    squares, largest, count = 0.0, 0.0, 0
    for query in _unit(generator, 8, gallery.shape[1]):
        probes = encoding.probes(query)
        scored = session.scores(probes)
        occupied = scored.ids >= 0
        found = encoding.scores(scored.raw, probes)[0][occupied]
        error = found.astype(np.float64) - (gallery[scored.ids[occupied]] @ query)
        squares += float(error @ error)
        largest = max(largest, float(np.abs(error).max()))
        count += len(error)
    return (squares / count) ** 0.5, largest


def _agreement(
    index: EncryptedIndex, gallery: F32, generator: np.random.Generator, wanted: int
) -> tuple[float, float, int]:
    """How often the best match, and the best ten, are those of the plaintext search.

    Half of the probes are enrolled vectors with so much noise on them that their lead is
    small, half are strangers; counted are those whose best score leads by `LEAD`. For the ten,
    two rows whose scores are closer than six standard deviations of the noise may change
    places.
    """
    agreed = agreed_ten = counted = 0
    dim = gallery.shape[1]
    for _ in range(40):
        if counted >= wanted:
            break
        picked = gallery[generator.integers(0, len(gallery), 64)]
        strength = generator.uniform(0.5, 2.5, (64, 1)).astype(np.float32)
        queries = np.concatenate([picked + strength * _unit(generator, 64, dim), _unit(generator, 64, dim)])
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        best = _plaintext_top(gallery, queries, 11)
        leads = np.array([scores[0] - scores[1] for scores, _ in best]) >= LEAD
        chosen = np.flatnonzero(leads)[: wanted - counted]
        found = index.search(queries[chosen], 10)
        for row, ids in zip(chosen, found.ids, strict=True):
            scores, order = best[row]
            agreed += int(ids[0] == order[0])
            clear_cut = set(order[:10][scores[:10] > scores[10] + 0.01].tolist())
            agreed_ten += clear_cut <= set(ids.tolist())
        counted += len(chosen)
    return agreed / max(1, counted), agreed_ten / max(1, counted), counted


def _plaintext_top(gallery: F32, queries: F32, k: int) -> list[tuple[F32, F32]]:
    """The ``k`` best scores and rows of each query, piece by piece."""
    k = min(k, len(gallery))
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    for at in range(0, len(gallery), _PIECE):
        piece = queries @ gallery[at : at + _PIECE].T
        kept = np.argpartition(piece, max(0, piece.shape[1] - k), axis=1)[:, -k:]
        scores = np.concatenate([scores, np.take_along_axis(piece, kept, 1)], axis=1)
        rows = np.concatenate([rows, kept + at], axis=1)
    order = np.argsort(-scores, axis=1)[:, :k]
    return list(zip(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1), strict=True))


def _peak_self() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
