"""Two cameras' crowds: everybody whom one saw compared with everybody whom the other did.

Seed 000's job. Camera A's people are a gallery, protected; camera B's people come as probes, all
in one call; the matcher compares N x M ciphertexts and learns neither features nor distances. What
comes back is the whole matrix, so that ranks and a one-to-one assignment can be read off it.

With the scheme ``bfv`` and a gallery made for it (``batch``), one message carries as many probes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import RefusedError, UsageError
from blindsight.core.types import I64, AnyArray, Embedding, frozen
from blindsight.encoding import LinearEncoding
from blindsight.trusted.gallery import Gallery
from blindsight.trusted.session import Progress

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CrowdMatch:
    """What a crowd of probes has in common with a gallery.

    Attributes:
        subjects: everybody enrolled, by name.
        scores: float64 (probes, subjects), of the closest template of each subject.
        larger_is_closer: whether scores are similarities; distances otherwise.
        squared: int64 (probes, subjects), the exact squared distances of quantised features;
            None where the gallery's features are not quantised.
        timings: milliseconds by stage, of all messages together.
        traffic: bytes ``up`` and ``down``.

    """

    subjects: tuple[str, ...]
    scores: F64 = field(repr=False)
    larger_is_closer: bool
    squared: I64 | None = field(repr=False)
    timings: Mapping[str, float]
    traffic: Mapping[str, int]

    def ranking(self, probe: int, k: int) -> list[tuple[str, float]]:
        """The ``k`` best subjects of one probe with their scores, best first."""
        row = self.scores[probe]
        order = np.argsort(-row if self.larger_is_closer else row, kind="stable")[:k]
        return [(self.subjects[at], float(row[at])) for at in order.tolist()]

    def assignment(self) -> list[int | None]:
        """Each probe's subject, nobody twice, so that all distances together are smallest.

        A column of ``subjects`` for each probe; None for those who are left over.

        Raises:
            UsageError: SciPy, which scikit-learn brings, is not installed.
        """
        try:
            from scipy.optimize import linear_sum_assignment
        except ImportError:
            raise UsageError('An assignment needs SciPy: pip install "blindsight[people]".') from None
        rows, columns = linear_sum_assignment(self.scores, maximize=self.larger_is_closer)
        found: list[int | None] = [None] * len(self.scores)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            found[row] = column
        return found


def match_crowds(
    gallery: Gallery, probes: Sequence[Embedding], progress: Progress | None = None
) -> CrowdMatch:
    """Compare every probe with everybody enrolled.

    The day's budget of the gallery is charged for all probes before the first is sent.

    Raises:
        UsageError: nobody is enrolled, or there is no probe.
        ModelMismatchError: a probe of another model; `VectorError`, outside the quantiser's range.
        RefusedError: the gallery hides its scores, or its budget is used up.

    """
    if not probes:
        raise UsageError("There is nobody to match; give at least one crop.")
    for probe in probes:
        probe.require_model(gallery.model_id)
    if not gallery.policy.show_scores:
        raise RefusedError(f"The gallery {gallery.name} hides its scores, which a crowd is matched by.")
    session = gallery.session
    encoding = session.identity.encoding
    vectors = np.stack([probe.vector for probe in probes])
    encoding.check(vectors)
    session.sync()
    if not len(session):
        raise UsageError(f"Nobody is enrolled in {gallery.name}; enroll the other crowd first.")
    gallery.charge(len(probes))
    started = time.perf_counter()
    rows: list[AnyArray] = []
    exact: list[I64] = []
    timings: dict[str, float] = {}
    traffic = {"up": 0, "down": 0}
    subjects: tuple[str, ...] = ()
    at = 0
    while at < len(probes):
        part = encoding.probes(vectors[at : at + session.probes_at_once])
        scored = session.scores(part)
        found, order, starts = _columns(gallery.names(scored.ids), scored.ids)
        if subjects and found != subjects:
            raise UsageError("The gallery changed while the crowd was matched; match it again.")
        subjects = found
        raw = np.maximum.reduceat(scored.raw[:, order], starts, axis=1)
        rows.append(encoding.scores(raw, part).astype(np.float64))
        if isinstance(encoding, LinearEncoding):
            exact.append(encoding.squared_distances(raw, part))
        for stage, spent in scored.timings.items():
            timings[stage] = timings.get(stage, 0.0) + spent
        for way in traffic:
            traffic[way] += scored.traffic[way]
        at += len(part)
        if progress:
            progress(at, len(probes))
    timings["total"] = (time.perf_counter() - started) * 1e3
    gallery.record("match-crowds", probes=len(probes))
    return CrowdMatch(
        subjects,
        frozen(np.concatenate(rows)),
        encoding.larger_is_closer,
        frozen(np.concatenate(exact)) if exact else None,
        timings,
        traffic,
    )


def _columns(names: Sequence[str], ids: I64) -> tuple[tuple[str, ...], I64, I64]:
    """Subjects by name, their rows side by side, and where each subject's rows begin."""
    occupied = [row for row in np.flatnonzero(ids >= 0).tolist() if names[row]]
    occupied.sort(key=lambda row: names[row])
    starts = [at for at, row in enumerate(occupied) if at == 0 or names[row] != names[occupied[at - 1]]]
    subjects = tuple(names[occupied[at]] for at in starts)
    return subjects, np.array(occupied, np.int64), np.array(starts, np.int64)
