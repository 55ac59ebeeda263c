"""Yang et al. 2021 ("Privacy Enhanced Cloud-Based Facial Recognition"), section 4.4, for every scheme.

A list of pairs of photos, each photo embedded once; each pair scored in the clear and under
every scheme, one to one and one to many. The paper's error rate (eq. 3) is of the Euclidean
distance of two embeddings of dlib's network; here it is of the metric of whichever embedder is
used, and a cosine's divisor is its absolute value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.matching import Matcher
from blindsight.core.types import I64
from blindsight.encoding import Metric
from blindsight.evaluation.agreement import Agreement, agreement
from blindsight.evaluation.comparing import comparable, comparisons_of, plain_scores, sides
from blindsight.evaluation.distances import Wrapper, compare_distances, python_wrapper
from blindsight.evaluation.embeddings import PhotoEmbeddings
from blindsight.evaluation.pairs import Pair, PairList
from blindsight.evaluation.protected import Advance, Contender, Run, Space, search_gallery, search_pairs
from blindsight.evaluation.scores import F64, Comparisons, Failures, Searches
from blindsight.evaluation.verification import Verification

Phase = Callable[[str, int], AbstractContextManager[Advance]]
"""Told what begins and how many steps it has; gives what is told of each."""


@dataclass(frozen=True)
class Found:
    """All that one evaluation found.

    Attributes:
        pairs: those compared: both photos have a usable face.
        listed: pairs in the list.
        embeddings: of all photos, and why some have none.
        metric: of the embedder, which is that of all scores.
        plain: float64 (pairs,), scores in the clear, of float embeddings.
        runs: every scheme's scores, 1:N first; those of ``clear`` are the first of either kind.
        paper_loop_ms: what the paper's 127 rotations take; None without ``ckks``.
        wrapper: the Python object whose size the paper reports; None without ``ckks``.
    """

    pairs: tuple[Pair, ...]
    listed: int
    embeddings: PhotoEmbeddings
    metric: Metric
    plain: F64
    runs: tuple[Run, ...]
    paper_loop_ms: float | None
    wrapper: Wrapper | None

    @property
    def larger_is_closer(self) -> bool:
        """Whether scores are similarities."""
        return self.metric == "cosine"

    @property
    def failures(self) -> Failures:
        """Photos without a usable face."""
        rejected = len(self.embeddings.rejections)
        return Failures(rejected, rejected + len(self.embeddings.vectors))

    def runs_of(self, mode: str) -> dict[str, Run]:
        """The runs one to one, or one to many, by the schemes' names."""
        return {run.contender.name: run for run in self.runs if run.mode == mode}

    def agreement(self, run: Run) -> Agreement:
        """How far a run's scores are from the plain ones (eq. 3)."""
        return agreement(self.plain[run.pairs], run.scores)

    def comparisons(self, scores: F64, pairs: I64) -> Comparisons:
        """Scores of some of the pairs, genuine and impostor ones."""
        chosen = [self.pairs[at] for at in pairs.tolist()]
        return comparisons_of(chosen, scores, larger_is_closer=self.larger_is_closer, failures=self.failures)

    def auc(self, run: Run) -> float:
        """Area under a run's ROC."""
        return Verification(self.comparisons(run.scores, run.pairs)).auc()

    def auc_difference(self, run: Run) -> float:
        """By how much it differs from that of the scheme ``clear`` over the same pairs."""
        clear = self._clear.scores[run.pairs]
        return abs(self.auc(run) - Verification(self.comparisons(clear, run.pairs)).auc())

    def searches(self, run: Run) -> Searches:
        """A 1:N run as searches: who is on each probe, and who is enrolled."""
        if run.matrix is None:
            raise UsageError("Only a search of a gallery has the scores of all its templates.")
        sides = _Sides.of(self.pairs)
        return Searches.from_templates(
            run.matrix,
            [self.pairs[at].first.subject for at in sides.templates.tolist()],
            [self.pairs[at].second.subject for at in sides.probes.tolist()],
            larger_is_closer=self.larger_is_closer,
        )

    @cached_property
    def _clear(self) -> Run:
        return self.runs_of("1:N")["clear"]


@dataclass(frozen=True, slots=True)
class _Sides:
    """Every first photo once and every second one once: the pairs that show them, and who is where.

    Attributes:
        templates: int64 (G,), a pair for each template of the gallery.
        probes: int64 (P,), a pair for each probe.
        row: int64 (n,), the template of each pair.
        probe: int64 (n,), the probe of each pair.
    """

    templates: I64
    probes: I64
    row: I64
    probe: I64

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> _Sides:
        one: dict[object, int] = {}
        two: dict[object, int] = {}
        row = np.array([one.setdefault(pair.first, len(one)) for pair in pairs], np.int64)
        probe = np.array([two.setdefault(pair.second, len(two)) for pair in pairs], np.int64)
        templates = np.unique(row, return_index=True)[1].astype(np.int64)
        probes = np.unique(probe, return_index=True)[1].astype(np.int64)
        return cls(templates, probes, row, probe)


def evaluate_pairs(
    pairs: PairList,
    embeddings: PhotoEmbeddings,
    schemes: Sequence[Contender],
    matcher: Matcher,
    *,
    metric: Metric,
    radius: float,
    singles: int = 100,
    server: int | None = None,
    phase: Phase = lambda what, steps: nullcontext(lambda done, of: None),
) -> Found:
    """Score every pair in the clear and under each scheme.

    Args:
        pairs: the list.
        embeddings: of its photos.
        schemes: as `contenders` gives them, ``clear`` first.
        matcher: serves the galleries; it has to bear the scheme ``clear``.
        metric: of the embedder.
        radius: no vector is longer; infinite where the embedder knows no bound.
        singles: pairs, half of them genuine, that are compared one to one by schemes without a
            protocol for it. ``ckks`` has one, and compares all.
        server: number of the matcher's process, for its memory.
        phase: told what is under way.

    Raises:
        UsageError: too few faces; fewer than two singles.
    """
    if singles < 2:
        raise UsageError("At least two pairs are compared one to one, a genuine and an impostor one.")
    kept = comparable(pairs, embeddings)
    first, second = sides(kept, embeddings)
    if not np.isfinite(radius):
        radius = float(np.linalg.norm(np.concatenate([first, second]), axis=1).max())
    space = Space(first.shape[1], metric, 1.0 if metric == "cosine" else radius)
    found = _Sides.of(kept)
    runs = []
    for contender in schemes:
        with phase(f"{contender.name}, one to many", len(found.probes)) as advance:
            runs.append(
                search_gallery(
                    contender,
                    space,
                    first[found.templates],
                    second[found.probes],
                    (found.probe, found.row),
                    matcher,
                    server=server,
                    advance=advance,
                )
            )
    some, every = _singles(kept, singles), np.arange(len(kept))
    loop = wrapper = None
    for contender in schemes:
        chosen = every if contender.name == "ckks" else some
        with phase(f"{contender.name}, one to one", len(chosen)) as advance:
            if contender.name == "ckks":
                run, loop = compare_distances(space, first, second, chosen, advance=advance)
                wrapper = python_wrapper()
            else:
                run = search_pairs(
                    contender, space, first[chosen], second[chosen], chosen, matcher,
                    server=server, advance=advance,
                )  # fmt: skip
        runs.append(run)
    return Found(
        kept,
        len(pairs.pairs),
        embeddings,
        metric,
        plain_scores(first, second, metric),
        tuple(runs),
        loop,
        wrapper,
    )


def _singles(pairs: Sequence[Pair], wanted: int) -> I64:
    """So many pairs, half of each kind where there are enough, evenly spread over the list."""
    genuine = np.array([pair.genuine for pair in pairs], bool)
    chosen = []
    for kind, count in ((genuine, (wanted + 1) // 2), (~genuine, wanted // 2)):
        there = np.flatnonzero(kind)
        taken = min(count, len(there))
        chosen.append(there[np.arange(taken) * len(there) // taken])
    return np.sort(np.concatenate(chosen)).astype(np.int64)
