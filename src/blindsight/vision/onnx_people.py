"""Any ONNX attribute or re-identification network in place of trained attributes.

The description beside it, ``model.toml``, is that of `blindsight.vision.sidecar` with these
differences: ``height`` and ``width`` stand for ``size``, there is no ``alignment`` (the whole
crop is scaled), no ``metric``, ``threshold``, ``margin`` or ``radius``, and ``values`` says what
the outputs are::

    layout = "nchw"
    height = 256
    width = 128
    colour = "rgb"
    mean = [123.675, 116.28, 103.53]
    std = [58.395, 57.12, 57.375]
    dimension = 512
    values = "direction"   # divided by its norm: re-identification networks
    # or "probability": 0 to 1, becomes 2 p - 1; "logit": becomes tanh(z / 2)
    # or "confidence": from -1 to 1 already

Either way each value lies between -1 and 1, as seed 000 §II-A asks of its features.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from typing import Literal as OneOf

import numpy as np

from blindsight.core.errors import ModelError, VectorError
from blindsight.core.types import F32, U8, Embedding
from blindsight.vision.images import Image
from blindsight.vision.onnx_embedder import _named, _session_of
from blindsight.vision.people_features import resized
from blindsight.vision.sidecar import Sidecar, parse_sidecar

Values = OneOf["direction", "probability", "logit", "confidence"]
_VALUES = ("direction", "probability", "logit", "confidence")
_OWN = ("height", "width", "values")
_REQUIRED = ("layout", *_OWN, "colour", "dimension")
_OPTIONAL = ("mean", "std", "scale", "input", "output")
_SLACK = 1e-5


@dataclass(frozen=True, slots=True)
class PersonSidecar:
    """A validated description. ``pixels`` holds what faces and persons have in common."""

    height: int
    width: int
    values: Values
    pixels: Sidecar

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the network's input, one crop in it."""
        first = (1, 3, self.height, self.width)
        return first if self.pixels.layout == "nchw" else (1, self.height, self.width, 3)

    @property
    def preprocessing_id(self) -> str:
        """Names all that changes the vector."""
        said = f"{self.height} {self.width} {self.values} {self.pixels.preprocessing_id}"
        return f"person{self.height}x{self.width}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def parse_person_sidecar(table: dict[str, Any], name: str = "model.toml") -> PersonSidecar:
    """Validate what a TOML file said; raises `ModelError` with one sentence."""
    missing = [key for key in _REQUIRED if key not in table]
    unknown = sorted(table.keys() - {*_REQUIRED, *_OPTIONAL})
    if missing:
        raise ModelError(f"{name} lacks {', '.join(missing)}; add them.")
    if unknown:
        raise ModelError(f"{name} has unknown keys {', '.join(unknown)}; remove them.")
    for key in ("height", "width"):
        if type(table[key]) is not int or not 16 <= table[key] <= 1024:
            raise ModelError(f"In {name}, {key} must be a whole number from 16 to 1024.")
    if table["values"] not in _VALUES:
        raise ModelError(f"In {name}, values must be one of {', '.join(_VALUES)}.")
    shared = {key: value for key, value in table.items() if key not in _OWN}
    shared |= {"size": max(table["height"], table["width"]), "alignment": "crop", "metric": "cosine"}
    shared |= {"threshold": 0.0, "normalise": table["values"] == "direction"}
    pixels = parse_sidecar(shared, name)
    return PersonSidecar(table["height"], table["width"], cast(Values, table["values"]), pixels)


@dataclass(frozen=True, slots=True, eq=False)
class OnnxPersonEmbedder:
    """A loaded network; build one with `OnnxPersonEmbedder.load`."""

    sidecar: PersonSidecar
    model_id: str
    _session: Any = field(repr=False)
    _input: str = field(repr=False)
    _output: str = field(repr=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OnnxPersonEmbedder:
        """Load ``model.onnx`` and the ``model.toml`` beside it, and run it once.

        Raises:
            ModelError: either file is missing or unreadable, onnxruntime is not installed, or
                the model's input or output is not as described.
        """
        path = Path(path)
        described = path.with_suffix(".toml")
        try:
            data = path.read_bytes()
        except OSError:
            raise ModelError(f"The model {path.name} cannot be read; check its path.") from None
        try:
            table = tomllib.loads(described.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{described.name} is missing beside the model, or not TOML.") from error
        sidecar = parse_person_sidecar(table, described.name)
        session = _session_of(data, path.name)
        model_id = f"onnx-{hashlib.sha256(data).hexdigest()[:12]}/{sidecar.preprocessing_id}"
        taken = _named(session.get_inputs(), sidecar.pixels.input, "input", path.name)
        given = _named(session.get_outputs(), sidecar.pixels.output, "output", path.name)
        fits = len(taken.shape) == 4 and all(
            not isinstance(own, int) or own == wanted
            for own, wanted in zip(taken.shape, sidecar.shape, strict=False)
        )
        if not fits or taken.type != "tensor(float)":
            raise ModelError(
                f"{path.name} takes {taken.type} of shape {list(taken.shape)}, its sidecar says float of "
                f"shape {list(sidecar.shape)}; correct layout, height and width."
            )
        embedder = cls(sidecar, model_id, session, taken.name, given.name)
        output = embedder._run(np.full((sidecar.height, sidecar.width, 3), 128, dtype=np.uint8))
        if output.size != embedder.dimension or not np.isfinite(output).all():
            raise ModelError(
                f"{path.name} does not output {embedder.dimension} finite numbers, as its sidecar says; "
                "correct dimension, mean and std."
            )
        return embedder

    @property
    def dimension(self) -> int:
        return self.sidecar.pixels.dimension

    def embed(self, image: Image) -> Embedding:
        """Scale the whole crop and embed it.

        Raises:
            VectorError: a NaN, a zero vector, or a value that ``values`` does not allow.
        """
        vector = self._run(resized(image.pixels, self.sidecar.height, self.sidecar.width))
        Embedding(vector, self.model_id)  # finite and not zero, before anything divides by it
        kind = self.sidecar.values
        if kind == "direction":
            vector = vector / np.linalg.norm(vector)
        elif kind == "logit":
            vector = np.tanh(vector / 2)
        elif kind == "probability":
            vector = 2 * vector - 1
        if np.abs(vector).max() > 1.0 + _SLACK:
            raise VectorError(f"The model gives no {kind} for {image.source}; correct values in its sidecar.")
        return Embedding(np.clip(vector, -1.0, 1.0).astype(np.float32), self.model_id)

    def _run(self, crop: U8) -> F32:
        """One scaled crop through the network: float32, flat."""
        pixels = self.sidecar.pixels
        ordered = crop if pixels.colour == "rgb" else crop[:, :, ::-1]
        mean, std = (np.asarray(three, dtype=np.float32) for three in (pixels.mean, pixels.std))
        scaled = (ordered.astype(np.float32) - mean) / std
        batch = (scaled.transpose(2, 0, 1) if pixels.layout == "nchw" else scaled)[np.newaxis]
        try:
            output = self._session.run([self._output], {self._input: np.ascontiguousarray(batch)})[0]
        except Exception as error:  # onnxruntime's errors share no base class of their own.
            raise ModelError("The ONNX model cannot run on its described input; check it.") from error
        return np.asarray(output, dtype=np.float32).ravel()
