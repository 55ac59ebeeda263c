"""From photos to comparison scores: embed each photo once, compare the pairs of a list.

In the clear, in this process: thresholds belong to a model, and are found before anything is
encrypted; and these scores are what protected ones are measured against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from blindsight.core.errors import UsageError
from blindsight.evaluation.embeddings import PhotoEmbeddings, embed_photos
from blindsight.evaluation.pairs import Pair, PairList
from blindsight.evaluation.scores import F64, Comparisons, Failures
from blindsight.vision.faces import FacePipeline
from blindsight.vision.folder import Photo, RejectionReport


def compare_photos(
    pipeline: FacePipeline,
    pairs: PairList,
    *,
    largest: bool = True,
    workers: int = 1,
    on_photo: Callable[[Photo], None] | None = None,
) -> tuple[Comparisons, RejectionReport]:
    """Scores of all pairs whose two photos could be embedded, and why the others could not.

    Args:
        pipeline: detector and embedder; its metric is that of the scores.
        pairs: what to compare.
        largest: take the largest face of several, as a photo of one person in a crowd needs it.
        workers: threads that decode and detect.
        on_photo: called for every photo when it is done.

    Raises:
        UsageError: no genuine or no impostor pair is left.

    """
    found = embed_photos(pipeline, pairs.photos, largest=largest, workers=workers, on_photo=on_photo)
    kept = comparable(pairs, found)
    metric = pipeline.embedder.metric
    scores = plain_scores(*sides(kept, found), metric)
    failures = Failures(len(found.rejections), len(pairs.photos))
    return comparisons_of(kept, scores, larger_is_closer=metric == "cosine", failures=failures), found.report


def comparable(pairs: PairList, found: PhotoEmbeddings) -> tuple[Pair, ...]:
    """The pairs whose two photos were embedded, in the order of the list.

    Raises:
        UsageError: no genuine or no impostor pair is left.
    """
    kept = tuple(p for p in pairs.pairs if p.first in found.vectors and p.second in found.vectors)
    if len({pair.genuine for pair in kept}) < 2:
        raise UsageError("Too few faces were found: no genuine or no impostor pair is left to compare.")
    return kept


def sides(pairs: Sequence[Pair], found: PhotoEmbeddings) -> tuple[F64, F64]:
    """The vectors of the first photos and of the second ones, float64 (pairs, d) each."""
    first = np.stack([found.vectors[pair.first] for pair in pairs]).astype(np.float64)
    second = np.stack([found.vectors[pair.second] for pair in pairs]).astype(np.float64)
    return first, second


def plain_scores(first: F64, second: F64, metric: str) -> F64:
    """Scores of rows with rows, float64 (pairs,): the cosine, or the Euclidean distance.

    The latter is the ``original_score`` of Yang et al. 2021, eq. 2 and 3.
    """
    if metric != "cosine":
        return np.asarray(np.linalg.norm(first - second, axis=1))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray(np.einsum("ij,ij->i", first, second) / lengths)


def comparisons_of(
    pairs: Sequence[Pair], scores: ArrayLike, *, larger_is_closer: bool, failures: Failures
) -> Comparisons:
    """Scores of pairs, (pairs,), parted into genuine and impostor ones, with whom they compare."""
    values = np.asarray(scores, np.float64)
    genuine = np.array([pair.genuine for pair in pairs], bool)
    return Comparisons(
        values[genuine],
        values[~genuine],
        larger_is_closer=larger_is_closer,
        genuine_subjects=np.array([pair.first.subject for pair in pairs if pair.genuine]),
        impostor_subjects=np.array(
            [[pair.first.subject, pair.second.subject] for pair in pairs if not pair.genuine]
        ),
        failures_to_acquire=failures,
    )
