"""Photos of people as vectors, and which pairs of them to compare: embedded, or generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blindsight.core.types import I64
from blindsight.evaluation.comparing import comparable
from blindsight.evaluation.embeddings import PhotoEmbeddings
from blindsight.evaluation.pairs import Pair, PairList
from blindsight.evaluation.scores import F64
from blindsight.vision.faces import Metric
from blindsight.vision.folder import Photo

_GENERATED_THRESHOLD = 1.1


@dataclass(frozen=True, slots=True)
class Crowd:
    """Vectors that are compared by their squared Euclidean distance.

    Attributes:
        source: what they are, in a few words.
        subjects: who is on each photo.
        vectors: float64 (photos, d).
        pairs: int64 (pairs, 2), rows of ``vectors``.
        listed: pairs that were to be compared; those without a face are not in ``pairs``.
        threshold: the squared distance below which two vectors match.
        radius: no vector is longer.
    """

    source: str
    subjects: tuple[str, ...]
    vectors: F64
    pairs: I64
    listed: int
    threshold: float
    radius: float

    @property
    def genuine(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which pairs show one person, bool (pairs,)."""
        who = np.array(self.subjects)
        return np.asarray(who[self.pairs[:, 0]] == who[self.pairs[:, 1]])

    @property
    def named_pairs(self) -> tuple[Pair, ...]:
        """The pairs by their people, for `comparisons_of`; the paths are numbers of rows."""
        photos = [Photo(who, Path(str(row))) for row, who in enumerate(self.subjects)]
        return tuple(Pair(photos[a], photos[b]) for a, b in self.pairs.tolist())

    def people(self) -> Mapping[str, list[int]]:
        """The photos of everybody, in order."""
        found: dict[str, list[int]] = {}
        for row, who in enumerate(self.subjects):
            found.setdefault(who, []).append(row)
        return found


def crowd_of(
    pairs: PairList,
    embeddings: PhotoEmbeddings,
    *,
    metric: Metric,
    threshold: float,
    radius: float,
) -> Crowd:
    """The photos of a list of pairs, under the seed's rule.

    Args:
        pairs: the list.
        embeddings: of its photos.
        metric: of the embedder. Vectors of a cosine one are brought to length 1, where the squared
            distance is 2 − 2 cos.
        threshold: of the embedder, in its metric: the largest Euclidean distance or the smallest cosine.
        radius: of the embedder; infinite where it knows no bound.

    Raises:
        UsageError: no pair of a kind is left.
    """
    kept = comparable(pairs, embeddings)
    photos = tuple(sorted(embeddings.vectors))
    rows = {photo: row for row, photo in enumerate(photos)}
    vectors = np.stack([embeddings.vectors[photo] for photo in photos]).astype(np.float64)
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        squared, radius = 2.0 - 2.0 * threshold, 1.0
    else:
        squared = threshold**2
        radius = radius if np.isfinite(radius) else float(np.linalg.norm(vectors, axis=1).max())
    chosen = np.array([(rows[pair.first], rows[pair.second]) for pair in kept], np.int64)
    return Crowd(
        f"photos, embedded by {embeddings.model_id}",
        tuple(photo.subject for photo in photos),
        vectors,
        chosen,
        len(pairs.pairs),
        squared,
        radius,
    )


def generated_crowd(people: int = 300, photos: int = 3, dimension: int = 128, *, _seed: int = 4) -> Crowd:
    """Unit vectors of people who are not too easy to tell apart: for where there are no photos."""
    generator = np.random.default_rng(_seed)
    inner = min(dimension, 16)
    frame = np.linalg.qr(generator.standard_normal((dimension, inner)))[0]
    centres = generator.standard_normal((people, 1, inner))
    points = centres + generator.normal(0.0, 0.55, (people, photos, inner))
    vectors = points.reshape(-1, inner) @ frame.T
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first = np.arange(people) * photos
    genuine = [(at, at + step) for at in first.tolist() for step in range(1, photos)]
    impostor = [
        (at, int(first[(number + step) % people]) + step)
        for number, at in enumerate(first.tolist())
        for step in range(1, photos)
    ]
    pairs = np.array(genuine + impostor, np.int64)
    subjects = tuple(f"person {number}" for number in range(people) for _ in range(photos))
    return Crowd(
        f"generated: {people} people, {photos} photos each, {dimension} coordinates",
        subjects, vectors, pairs, len(pairs), _GENERATED_THRESHOLD, 1.0,
    )  # fmt: skip
