"""Bootstrap: how far a figure would move with other people, or other pairs, of the same kind.

Where subjects are known they are what is drawn, with replacement: a subject drawn c times gives
its genuine pairs the weight c, and an impostor pair of subjects drawn a and b times the weight
a·b. This keeps the dependence of one person's pairs (ISO/IEC 19795-1 calls for no less); where
subjects hardly recur, as in a short list of pairs, the intervals come out too wide rather than
too narrow. Without subjects, pairs are drawn as if they were independent. Intervals are
percentiles of the resampled figures.

Drawing needs no secret, but a result that depends on a fixed seed is an invitation to choose
one: the generator is seeded by the operating system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import I64
from blindsight.evaluation.curve import Curve, Figure
from blindsight.evaluation.evidence import Interval
from blindsight.evaluation.scores import F64, Comparisons

_POINTS = 4096
"""Operating points that resampled curves keep; all where a curve has fewer."""

_TRIES = 1000


def check_bootstrap(replicates: int, confidence: float) -> None:
    """Raise `UsageError` for fewer than 20 resamples or a confidence outside (0.5, 1)."""
    if replicates < 20:
        raise UsageError("Fewer than 20 resamples say nothing about an interval; take 200 or more.")
    if not 0.5 < confidence < 1.0:
        raise UsageError("A confidence lies between 0.5 and 1; 0.95 is usual.")


def percentiles(values: F64, confidence: float) -> Interval:
    """The interval between the outer percentiles of resampled figures, float64 (replicates,)."""
    if not np.isfinite(values).all():
        return Interval(float("nan"), float("nan"), confidence)
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return Interval(float(low), float(high), confidence)


def curve_intervals(
    curve: Curve,
    comparisons: Comparisons,
    figures: Mapping[str, Figure],
    *,
    keep: tuple[float, ...] = (),
    replicates: int = 1000,
    confidence: float = 0.95,
    _generator: np.random.Generator | None = None,
) -> dict[str, Interval]:
    """Confidence intervals of figures that are read off a curve, all from the same resamples.

    Args:
        curve: of these comparisons.
        comparisons: what is resampled.
        figures: what to read, by name.
        keep: thresholds at which the figures read; kept exact where a curve is thinned.
        replicates: resamples, at least 20.
        confidence: of the intervals.
    """
    check_bootstrap(replicates, confidence)
    generator = np.random.default_rng() if _generator is None else _generator
    values = np.array(
        [
            [figure(again) for figure in figures.values()]
            for again in resampled(curve, comparisons, replicates, generator, keep=keep)
        ],
        np.float64,
    ).reshape(replicates, len(figures))
    return {name: percentiles(values[:, at], confidence) for at, name in enumerate(figures)}


def resampled(
    curve: Curve,
    comparisons: Comparisons,
    replicates: int,
    generator: np.random.Generator,
    *,
    keep: tuple[float, ...] = (),
) -> Iterator[Curve]:
    """Curves of resampled comparisons, at the points of `Curve.rows`."""
    rows = curve.rows(_POINTS, keep)
    thresholds, strictness = curve.thresholds[rows], curve.strictness[rows]
    ours = _bins(comparisons.genuine, strictness, curve.larger_is_closer)
    theirs = _bins(comparisons.impostor, strictness, curve.larger_is_closer)
    weights = (
        _pair_weights(ours, theirs, len(rows), replicates, generator)
        if comparisons.subjects is None
        else _subject_weights(comparisons, ours, theirs, len(rows), replicates, generator)
    )
    for genuine, impostor in weights:
        matched, total = np.cumsum(genuine), int(genuine.sum())
        positives = np.cumsum(impostor)
        yield Curve(
            thresholds,
            positives,
            total - matched,
            int(positives[-1]),
            total,
            curve.larger_is_closer,
        )


def _bins(scores: F64, strictness: F64, larger_is_closer: bool) -> I64:
    """For each score the strictest point at which it matches."""
    return np.searchsorted(-strictness, -scores if larger_is_closer else scores, "left").astype(np.int64)


def _pair_weights(
    ours: I64, theirs: I64, points: int, replicates: int, generator: np.random.Generator
) -> Iterator[tuple[I64, I64]]:
    """Draw pairs: the counts in the bins are multinomial."""
    counts = np.bincount(ours, minlength=points), np.bincount(theirs, minlength=points)
    shares = [count / count.sum() for count in counts]
    for _ in range(replicates):
        yield (
            generator.multinomial(len(ours), shares[0]),
            generator.multinomial(len(theirs), shares[1]),
        )


def _subject_weights(
    comparisons: Comparisons,
    ours: I64,
    theirs: I64,
    points: int,
    replicates: int,
    generator: np.random.Generator,
) -> Iterator[tuple[I64, I64]]:
    """Draw subjects; a draw that leaves no genuine or no impostor pair is drawn again."""
    subjects = comparisons.subjects
    one, two = comparisons.genuine_subjects, comparisons.impostor_subjects
    assert subjects is not None
    assert one is not None
    assert two is not None
    first, second = np.ascontiguousarray(two[:, 0]), np.ascontiguousarray(two[:, 1])
    for _ in range(replicates):
        for _ in range(_TRIES):
            drawn = np.bincount(generator.integers(0, subjects, subjects), minlength=subjects)
            genuine = np.bincount(ours, drawn[one], points).astype(np.int64)
            impostor = np.bincount(theirs, drawn[first] * drawn[second], points).astype(np.int64)
            if genuine.any() and impostor.any():
                break
        else:
            raise UsageError("There are too few subjects to resample; give pairs of more people.")
        yield genuine, impostor
