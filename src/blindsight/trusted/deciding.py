"""From scores to a `Decision`: who of the enrolled it is, if anybody, and what the caller may be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from blindsight.core.types import F32, Candidate, Decision
from blindsight.trusted.identity import Identity
from blindsight.trusted.index import top
from blindsight.trusted.records import EMPTY


@dataclass(frozen=True, slots=True)
class Policy:
    """What this gallery's key holder lets its callers have.

    Attributes:
        threshold: where a match begins: the largest distance, or the smallest similarity.
        show_scores: whether decisions carry scores. Enough scores of one template against
            known probes give the template away, so a door that needs only a name hides them.
        daily_probes: how many probes are answered in a day (UTC); 0 for no limit.

    """

    threshold: float
    show_scores: bool = True
    daily_probes: int = 0


def ranked(raw: Any, ids: Any, names: Sequence[str], claimed: str | None, k: int) -> list[tuple[int, str]]:
    """The best row of each of the ``k`` best subjects; of the claimed one alone, where one is."""
    if claimed is not None:
        ids = np.where(np.array([name == claimed for name in names]), ids, EMPTY)
        k = 1
    wanted = k
    while True:
        best: dict[str, int] = {}
        rows = top(raw, ids, wanted)
        for row in rows:
            best.setdefault(names[row], int(row))
            if len(best) == k:
                break
        if len(best) == k or len(rows) < wanted:
            return [(row, name) for name, row in best.items()]
        wanted *= 4


def decision(
    best: Sequence[tuple[int, str]], values: F32, limit: float, policy: Policy, identity: Identity,
    timings: Mapping[str, float], traffic: Mapping[str, int],
) -> Decision:  # fmt: skip
    """The decision on one probe.

    Args:
        best: rows and subjects, best first, of `ranked`.
        values: their scores, in the metric's units.
        limit: where a match begins.
        policy: whether scores are shown.
        identity: of the gallery.
        timings, traffic: what the search took.

    """
    closer = identity.encoding.larger_is_closer
    shown = [float(value) if policy.show_scores else None for value in values]
    candidates = tuple(
        Candidate(subject, rank, score)
        for rank, ((_, subject), score) in enumerate(zip(best, shown, strict=True), start=1)
    )
    match = bool(len(values)) and bool(values[0] >= limit if closer else values[0] <= limit)
    return Decision(
        match=match,
        subject=candidates[0].subject if match else None,
        rank=1 if match else None,
        score=candidates[0].score if candidates else None,
        threshold=limit,
        candidates=candidates,
        at=datetime.now(UTC),
        scheme=identity.scheme,
        timings=timings,
        traffic=traffic,
    )
