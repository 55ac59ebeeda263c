"""From photos to comparison scores: embed each photo once, compare the pairs of a list.

In the clear, in this process: thresholds belong to a model, and are found before anything is
encrypted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import AnyArray
from blindsight.evaluation.pairs import Pair, PairList
from blindsight.evaluation.scores import Comparisons, Failures
from blindsight.vision.faces import FacePipeline
from blindsight.vision.folder import EmbeddedPhoto, Photo, Rejection, RejectionReport, embed_folder


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
    vectors: dict[Photo, AnyArray] = {}
    rejections: list[Rejection] = []
    photos = pairs.photos
    for outcome in embed_folder(pipeline, photos, largest=largest, workers=workers, on_photo=on_photo):
        if isinstance(outcome, EmbeddedPhoto):
            vectors[outcome.photo] = outcome.embedding.vector.astype(np.float64)
        else:
            rejections.append(outcome)
    cosine = pipeline.embedder.metric == "cosine"
    kept = [pair for pair in pairs.pairs if pair.first in vectors and pair.second in vectors]
    genuine = [pair for pair in kept if pair.genuine]
    impostor = [pair for pair in kept if not pair.genuine]
    if not genuine or not impostor:
        raise UsageError("Too few faces were found: no genuine or no impostor pair is left to compare.")
    comparisons = Comparisons(
        _scores(genuine, vectors, cosine),
        _scores(impostor, vectors, cosine),
        larger_is_closer=cosine,
        genuine_subjects=np.array([pair.first.subject for pair in genuine]),
        impostor_subjects=np.array([[pair.first.subject, pair.second.subject] for pair in impostor]),
        failures_to_acquire=Failures(len(rejections), len(photos)),
    )
    return comparisons, RejectionReport(tuple(rejections))


def _scores(pairs: Sequence[Pair], vectors: dict[Photo, AnyArray], cosine: bool) -> AnyArray:
    first = np.stack([vectors[pair.first] for pair in pairs])
    second = np.stack([vectors[pair.second] for pair in pairs])
    if not cosine:
        return np.asarray(np.linalg.norm(first - second, axis=1))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray(np.einsum("ij,ij->i", first, second) / lengths)
