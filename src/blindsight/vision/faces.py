"""What a detector finds, what an embedder needs, and the two put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from blindsight.core.errors import ImageError, NoFaceError, SeveralFacesError, UsageError, VectorError
from blindsight.core.types import F32, Embedding, frozen
from blindsight.vision.images import Image

Metric = Literal["euclidean", "cosine"]

MIN_FACE = 32
"""Shorter side of a face's box, in pixels, below which an embedding says little."""


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A box around a face in pixels; ``right`` and ``bottom`` are one past the last.

    It may reach over the edge of the image.
    """

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if self.right <= self.left or self.bottom <= self.top:
            raise ImageError("A face box has a positive width and height.")

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Points of a face, in pixels of its image, pixel centres at whole numbers.

    Attributes:
        points: float32, (x, y) rows. Shape (68, 2) in the order of the iBUG 300-W scheme; or
            (5, 2): eye, eye, nose tip, mouth corner, mouth corner, the image's left one first.
    """

    points: F32

    def __post_init__(self) -> None:
        points = np.ascontiguousarray(self.points, dtype=np.float32)
        if points.shape not in {(68, 2), (5, 2)} or not np.isfinite(points).all():
            raise ImageError("Landmarks are 68 or 5 finite points.")
        object.__setattr__(self, "points", frozen(points))

    def five(self) -> F32:
        """Eyes, nose tip and mouth corners, (5, 2): the points that face templates use."""
        points = self.points
        if len(points) == 5:
            return points
        eyes = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
        return np.stack([*eyes, points[30], points[48], points[54]])


@dataclass(frozen=True, slots=True)
class Face:
    """A face that a detector found in an image.

    Attributes:
        box: where.
        score: the detector's confidence in its own units; larger is surer.
        landmarks: where the detector finds them too; else the embedder locates its own.
    """

    box: FaceBox
    score: float = 0.0
    landmarks: Landmarks | None = None


class Detector(Protocol):
    """Finds faces. Safe to call from several threads."""

    def detect(self, image: Image) -> list[Face]:
        """All faces found, the largest first; an empty list where there is none."""
        ...


class Embedder(Protocol):
    """Turns one found face into an `Embedding`. Safe to call from several threads."""

    @property
    def model_id(self) -> str:
        """Names the network, its weights and its preprocessing; equal on all machines."""
        ...

    @property
    def dimension(self) -> int: ...

    @property
    def metric(self) -> Metric: ...

    @property
    def threshold(self) -> float:
        """Where a match begins: the largest Euclidean distance, or the smallest cosine."""
        ...

    @property
    def radius(self) -> float:
        """No vector is longer than this (Euclidean norm); infinite where no bound is known."""
        ...

    def embed(self, image: Image, face: Face) -> Embedding:
        """Embed one face of the image.

        Raises:
            ModelError: missing or unreadable weights.
            VectorError: a NaN, a zero vector, or one longer than ``radius``.
        """
        ...


def require_radius(embedding: Embedding, radius: float, image: Image) -> None:
    """Raise `VectorError` for a vector longer than the bound that encodings rely on."""
    if float(np.linalg.norm(embedding.vector.astype(np.float64))) > radius * (1.0 + 1e-6):
        raise VectorError(f"The model gives an impossible vector for {image.source}; use another photo.")


@dataclass(frozen=True, slots=True)
class FacePipeline:
    """A detector and an embedder: images in, embeddings out.

    Faces whose box has a side shorter than ``min_face`` pixels are passed over, as if they
    were not there: people in the background, and the detector's small mistakes.
    """

    detector: Detector
    embedder: Embedder
    min_face: int = MIN_FACE

    def __post_init__(self) -> None:
        if self.min_face < 1:
            raise UsageError("The smallest face to accept is at least one pixel wide.")

    def one_face(self, image: Image) -> Embedding:
        """The embedding of the only face.

        Raises:
            NoFaceError: no face of at least ``min_face`` pixels.
            SeveralFacesError: more than one.
        """
        faces = self._found(image)
        if len(faces) > 1:
            raise SeveralFacesError(
                f"{image.source} shows {len(faces)} faces; crop it to one, or ask for the largest face."
            )
        return self.embedder.embed(image, faces[0])

    def largest_face(self, image: Image) -> Embedding:
        """The embedding of the largest face; raises `NoFaceError` where there is none."""
        return self.embedder.embed(image, self._found(image)[0])

    def all_faces(self, image: Image) -> list[tuple[Face, Embedding]]:
        """Every face with its embedding, the largest first; an empty list where there is none."""
        return [(face, self.embedder.embed(image, face)) for face in self.faces(image)]

    def faces(self, image: Image) -> list[Face]:
        """Every face of at least ``min_face`` pixels, not embedded, the largest first."""
        faces = self.detector.detect(image)
        kept = [face for face in faces if min(face.box.width, face.box.height) >= self.min_face]
        return sorted(kept, key=lambda face: (-face.box.width * face.box.height, face.box.left, face.box.top))

    def _found(self, image: Image) -> list[Face]:
        faces = self.faces(image)
        if not faces:
            raise NoFaceError(
                f"No face was found in {image.source}; use a sharp photo of one face, seen from "
                f"the front and at least {self.min_face} pixels wide."
            )
        return faces
