"""A gallery as a search needs it, and the scores that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blindsight.core.errors import MalformedError, TamperedError
from blindsight.core.matching import Answer, KeyHolder
from blindsight.core.types import I32, I64, AnyArray, Probes, frozen
from blindsight.trusted.canaries import place
from blindsight.trusted.identity import Identity
from blindsight.trusted.records import CANARY, BlockState


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of some probes against all rows, and what they cost.

    Attributes:
        raw: (probes, rows), integer inner products, exact or nearly; larger is closer.
        ids: int64 (rows,), negative for rows without a template, whose scores mean nothing.
        timings: milliseconds by stage.
        traffic: bytes ``up`` and ``down``.

    """

    raw: AnyArray = field(repr=False)
    ids: I64 = field(repr=False)
    timings: dict[str, float]
    traffic: dict[str, int]


@dataclass(frozen=True, slots=True)
class View:
    """All blocks of one state of a gallery side by side, ready for many searches."""

    key: KeyHolder = field(repr=False)
    block_ids: I64 = field(repr=False)
    ids: I64 = field(repr=False)
    prepared: Any = field(repr=False)
    canary_rows: I64 = field(repr=False)
    canary_templates: I32 = field(repr=False)

    @classmethod
    def of(cls, key: KeyHolder, identity: Identity, known: Mapping[int, BlockState]) -> View:
        """Prepare the blocks that are known, in ascending order."""
        numbers = sorted(known)
        states = [known[number] for number in numbers]
        rows, width = key.params.rows, key.params.width
        ids = np.concatenate([state.ids for state in states]) if states else np.empty(0, np.int64)
        heads = [state.head for state in states]
        prepared = key.prepare(heads, np.stack([state.hint for state in states])) if states else None
        canary_rows = np.flatnonzero(ids == CANARY)
        canaries = np.zeros((len(ids) if len(canary_rows) else 0, width), np.int32)
        for at, number in enumerate(numbers) if len(canaries) else ():
            place(identity, number, known[number].ids, canaries[at * rows : (at + 1) * rows])
        return cls(
            key, np.array(numbers, np.int64), frozen(ids), prepared, canary_rows, canaries[canary_rows]
        )

    def reveal(self, kept: Any, answer: Answer, probes: Probes) -> AnyArray:
        """Scores of an answer, (probes, rows), checked as far as they can be.

        Raises:
            TamperedError: an answer for other blocks, an impossible score, a wrong canary.
            MalformedError: an answer of another size.

        """
        if not np.array_equal(answer.block_ids, self.block_ids):
            raise TamperedError("The server answered for other blocks than the gallery has.")
        messages = -(-len(probes) // self.key.params.batch)
        if answer.scores.shape != (messages, len(self.block_ids), self.key.params.answer_bytes):
            raise MalformedError("The server's answer does not have one score for each template and probe.")
        if not len(self.block_ids):
            return np.zeros((len(probes), 0), np.float32)
        raw = self.key.reveal(kept, self.prepared, answer.scores)
        if len(self.canary_rows):
            expected = probes.values.astype(np.float64) @ self.canary_templates.T.astype(np.float64)
            if np.abs(raw[:, self.canary_rows] - expected).max() > self.key.params.largest_error:
                raise TamperedError("The matcher gave a wrong score for a canary; it is faulty or lies.")
        return raw
