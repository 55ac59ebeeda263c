"""Whole images to feature vectors for linear classifiers, and a cache of them on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from blindsight.core.errors import ModelError, UsageError
from blindsight.core.types import F32, AnyArray, frozen
from blindsight.vision.faces import Face, FaceBox, FacePipeline
from blindsight.vision.images import Image, decode_image, read_bytes, require_pillow
from blindsight.vision.onnx_embedder import OnnxEmbedder
from blindsight.vision.registry import open_embedder

_SIDE = 128
_CELL = 16
_ORIENTATIONS = 9
_BINS = 6


class ImageFeatures(Protocol):
    """One vector an image: float32 (dimension,), of norm at most 1."""

    @property
    def model_id(self) -> str:
        """Names everything that changes the vector."""
        ...

    @property
    def dimension(self) -> int: ...

    def of(self, image: Image) -> F32: ...


@dataclass(frozen=True, slots=True)
class Gradients:
    """Histograms of oriented gradients and of colour, without any trained network.

    Dalal and Triggs (CVPR 2005): the image brought to 128 x 128, cells of 16 x 16, blocks of 2 x 2,
    9 orientations; beside it, for each quarter of the image, a joint RGB histogram of 6 x 6 x 6.
    Both halves by their square roots, without their mean, norm 1 / √2 each. A stand-in where there
    is no backbone.
    """

    model_id: str = "gradients-1"
    dimension: int = 7 * 7 * 4 * _ORIENTATIONS + 4 * _BINS**3

    def of(self, image: Image) -> F32:
        require_pillow()
        import PIL.Image

        try:
            from skimage.feature import hog
        except ImportError as error:
            raise ModelError(
                'Gradient features need scikit-image: pip install "blindsight[people]".'
            ) from error
        small = PIL.Image.fromarray(image.pixels).resize((_SIDE, _SIDE), PIL.Image.Resampling.BOX)
        pixels = np.asarray(small)
        shape = hog(
            pixels,
            orientations=_ORIENTATIONS,
            pixels_per_cell=(_CELL, _CELL),
            cells_per_block=(2, 2),
            block_norm="L2-Hys",
            channel_axis=2,
        )
        codes = (pixels.astype(np.int64) * _BINS // 256) @ np.array([_BINS**2, _BINS, 1])
        half = _SIDE // 2
        quarters = [codes[a : a + half, b : b + half] for a in (0, half) for b in (0, half)]
        colour = np.concatenate([np.bincount(q.reshape(-1), minlength=_BINS**3) for q in quarters])
        return np.concatenate([_half(shape), _half(colour)]).astype(np.float32)


def _half(values: AnyArray) -> AnyArray:
    rooted = np.sqrt(np.asarray(values, np.float64))
    rooted = rooted - rooted.mean()  # what all images share says nothing, and slows the descent
    return np.asarray(rooted / (np.sqrt(2.0) * (float(np.linalg.norm(rooted)) or 1.0)))


@dataclass(frozen=True, slots=True)
class Backbone:
    """Any ONNX network over the whole image; its sidecar says ``alignment = "crop"``."""

    embedder: OnnxEmbedder

    @property
    def model_id(self) -> str:
        return self.embedder.model_id + "/whole"

    @property
    def dimension(self) -> int:
        return self.embedder.dimension

    def of(self, image: Image) -> F32:
        height, width = image.pixels.shape[:2]
        return _unit(self.embedder.embed(image, Face(FaceBox(0, 0, width, height))).vector)


@dataclass(frozen=True, slots=True)
class FaceFeatures:
    """The embedding of the largest face, for attributes and identities of people."""

    pipeline: FacePipeline

    @property
    def model_id(self) -> str:
        return self.pipeline.embedder.model_id + "/largest"

    @property
    def dimension(self) -> int:
        return self.pipeline.embedder.dimension

    def of(self, image: Image) -> F32:
        return _unit(self.pipeline.largest_face(image).vector)


def _unit(vector: F32) -> F32:
    return np.asarray(vector / (float(np.linalg.norm(vector)) or 1.0), np.float32)


def open_features(name: str) -> ImageFeatures:
    """``gradients``, ``onnx:path/to/backbone.onnx``, or ``faces``, ``faces:dlib:68``: dlib's embedding."""
    kind, _, rest = name.partition(":")
    if name == "gradients":
        return Gradients()
    if kind == "onnx" and rest:
        embedder = OnnxEmbedder.load(rest)
        if embedder.sidecar.alignment != "crop":
            raise ModelError('A backbone for whole images has alignment = "crop" in its sidecar.')
        return Backbone(embedder)
    if kind == "faces":
        return FaceFeatures(open_embedder(rest or "dlib"))
    raise UsageError(f"There are no features {name!r}; use gradients, onnx:<path>, or faces.")


class FeatureCache:
    """Vectors on disk, by the model's name and the SHA-256 of the image file.

    A file that is not such a vector (cut off by a crash, of another shape) is computed again.
    """

    def __init__(self, features: ImageFeatures, folder: Path | None) -> None:
        self._features = features
        named = hashlib.sha256(features.model_id.encode()).hexdigest()[:16]
        self._folder = folder / named if folder else None
        if self._folder:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def of(self, path: Path) -> F32:
        """The vector of an image file; errors of `read_image` and of the features."""
        data = read_bytes(path)
        kept = self._folder / f"{hashlib.sha256(data).hexdigest()}.npy" if self._folder else None
        if kept is not None and (found := self._read(kept)) is not None:
            return found
        made = self._features.of(decode_image(data, source=path.name))
        if kept is not None:
            fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
            with fresh.open("wb") as file:
                np.save(file, made, allow_pickle=False)
            fresh.replace(kept)
        return frozen(made)

    def all(self, paths: Iterable[Path], told: Callable[[int], None] = lambda _: None) -> F32:
        """Vectors of many, float32 (n, dimension); ``told`` how many are done."""
        found = []
        for path in paths:
            found.append(self.of(path))
            told(len(found))
        return np.stack(found)

    def _read(self, path: Path) -> F32 | None:
        with suppress(OSError, ValueError, EOFError):
            found: F32 = np.load(path, allow_pickle=False)
            if (
                found.shape == (self._features.dimension,)
                and found.dtype == np.float32
                and np.isfinite(found).all()
            ):
                return found
        return None
