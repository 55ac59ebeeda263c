"""Any ONNX face embedder, described by the sidecar beside it, run on the processor."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.core.errors import ModelError
from blindsight.core.types import F32, U8, Embedding
from blindsight.vision.alignment import arcface_matrix, crop_matrix, warp
from blindsight.vision.dlib_faces import PREDICTORS, face_chip, find_weights, locate_landmarks
from blindsight.vision.faces import Face, Metric, require_radius
from blindsight.vision.images import Image
from blindsight.vision.sidecar import Sidecar, read_sidecar

_POINTS: dict[str, int] = {"arcface": 68, "dlib-chip": 5}


@dataclass(frozen=True, slots=True, eq=False)
class OnnxEmbedder:
    """A loaded model; build one with `OnnxEmbedder.load`.

    ``model_id`` is ``onnx-<digest of the file>/<alignment><size>-<digest of the
    preprocessing>``: two files or two descriptions never pass for one model.
    """

    sidecar: Sidecar
    model_id: str
    _session: Any = field(repr=False)
    _input: str = field(repr=False)
    _output: str = field(repr=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OnnxEmbedder:
        """Load ``model.onnx`` and the ``model.toml`` beside it, and run it once.

        Raises:
            ModelError: either file or the landmark predictor's is missing or unreadable,
                onnxruntime is not installed, or the model's input or output is not as described.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(f"The model {path.name} does not exist; check its path.")
        sidecar = read_sidecar(path.with_suffix(".toml"))
        if sidecar.alignment in _POINTS:
            find_weights(PREDICTORS[_POINTS[sidecar.alignment]])
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"The model {path.name} cannot be read; check its permissions.") from error
        session = _session_of(data, path.name)
        model_id = f"onnx-{hashlib.sha256(data).hexdigest()[:12]}/{sidecar.preprocessing_id}"
        chosen_input = _named(session.get_inputs(), sidecar.input, "input", path.name)
        chosen_output = _named(session.get_outputs(), sidecar.output, "output", path.name)
        _check_input(chosen_input, sidecar, path.name)
        embedder = cls(sidecar, model_id, session, chosen_input.name, chosen_output.name)
        embedder._rehearse(path.name)
        return embedder

    @property
    def dimension(self) -> int:
        return self.sidecar.dimension

    @property
    def metric(self) -> Metric:
        return self.sidecar.metric

    @property
    def threshold(self) -> float:
        return self.sidecar.threshold

    @property
    def radius(self) -> float:
        return self.sidecar.radius

    def embed(self, image: Image, face: Face) -> Embedding:
        """Align, scale and embed; raises `VectorError` where the model fails on this face."""
        vector = self._run(self.aligned(image, face))
        norm = float(np.linalg.norm(vector.astype(np.float64)))
        if self.sidecar.normalise and norm > 0.0:
            vector = (vector / norm).astype(np.float32)
        embedding = Embedding(vector, self.model_id)
        require_radius(embedding, self.radius, image)
        return embedding

    def aligned(self, image: Image, face: Face) -> U8:
        """The crop the network sees, before scaling: uint8 (size, size, 3) RGB."""
        side = self.sidecar.size
        if self.sidecar.alignment == "dlib-chip":
            return face_chip(image, face, side)
        if self.sidecar.alignment == "crop":
            return warp(image.pixels, crop_matrix(face.box, side, self.sidecar.margin), side)
        return warp(image.pixels, arcface_matrix(locate_landmarks(image, face), side), side)

    def _run(self, chip: U8) -> F32:
        """One aligned crop through the network: float32, flat."""
        sidecar = self.sidecar
        ordered = chip if sidecar.colour == "rgb" else chip[:, :, ::-1]
        mean, std = (np.asarray(three, dtype=np.float32) for three in (sidecar.mean, sidecar.std))
        scaled = (ordered.astype(np.float32) - mean) / std
        batch = (scaled.transpose(2, 0, 1) if sidecar.layout == "nchw" else scaled)[np.newaxis]
        feed = {self._input: np.ascontiguousarray(batch, dtype=np.float32)}
        try:
            output = self._session.run([self._output], feed)[0]
        except Exception as error:  # onnxruntime's errors share no base class of their own.
            raise ModelError(
                "The ONNX model cannot run on its described input; check its sidecar."
            ) from error
        return np.asarray(output, dtype=np.float32).ravel()

    def _rehearse(self, name: str) -> None:
        """A run on even grey, so that a wrong description fails now and not at the first photo."""
        side = self.sidecar.size
        vector = self._run(np.full((side, side, 3), 128, dtype=np.uint8))
        if vector.size != self.dimension:
            raise ModelError(
                f"{name} outputs {vector.size} numbers, its sidecar says {self.dimension}; correct dimension."
            )
        if not np.isfinite(vector).all():
            raise ModelError(
                f"{name} outputs NaN or infinity; check mean and std in its sidecar, or the file."
            )


def _session_of(data: bytes, name: str, *, threads: int = 0) -> Any:
    """A session over the bytes of a model; ``threads`` 0 lets onnxruntime choose."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError('ONNX models need onnxruntime: pip install "blindsight[onnx]".') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # Optimiser warnings say nothing that a caller could act on.
    try:
        # From bytes, so that what was hashed is what runs.
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(
            f"{name} is not an ONNX model that runs here, in one file; download or export it again."
        ) from error


def _named(nodes: list[Any], wanted: str | None, kind: str, name: str) -> Any:
    """The input or output by that name; without a name, the first."""
    found = [node for node in nodes if wanted is None or node.name == wanted]
    if not found:
        names = ", ".join(node.name for node in nodes)
        raise ModelError(f"{name} has no {kind} named {wanted}; its sidecar may name {names}.")
    return found[0]


def _check_input(node: Any, sidecar: Sidecar, name: str) -> None:
    """The model's own shape, symbols and None being free, must admit one face as described."""
    shape, wanted = list(node.shape), sidecar.shape
    fits = len(shape) == 4 and all(
        not isinstance(own, int) or own == described for own, described in zip(shape, wanted, strict=False)
    )
    if not fits or node.type != "tensor(float)":
        raise ModelError(
            f"{name} takes {node.type} of shape {shape}, its sidecar says float of shape {list(wanted)}; "
            "correct layout and size."
        )
