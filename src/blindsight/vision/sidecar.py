"""The description that lies beside an ONNX face embedder: ``model.toml`` next to ``model.onnx``.

An ONNX file says nothing of how a face is to be aligned and its pixels scaled. Example::

    layout = "nchw"          # or "nhwc"
    size = 112               # input is size x size pixels
    colour = "rgb"           # or "bgr"
    mean = [127.5, 127.5, 127.5]
    std = [128.0, 128.0, 128.0]
    alignment = "arcface"    # or "dlib-chip", "crop"
    dimension = 512
    metric = "cosine"        # or "euclidean"
    threshold = 0.28         # smallest cosine, or largest Euclidean distance, of one person
    normalise = true         # divide the output by its norm

A pixel value p becomes ``(p - mean) / std``, channels in the order of ``colour``; ``scale``
may stand for ``std`` and multiplies. Optional: ``input`` and ``output`` (names in the graph),
``margin`` (for ``crop``, a share of the box's side), ``radius`` (no vector is longer;
required where vectors are compared by Euclidean distance and not normalised).
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from blindsight.core.errors import ModelError
from blindsight.vision.faces import Metric

Layout = Literal["nchw", "nhwc"]
Colour = Literal["rgb", "bgr"]
Alignment = Literal["arcface", "dlib-chip", "crop"]
Triple = tuple[float, float, float]

REQUIRED = ("layout", "size", "colour", "alignment", "dimension", "metric", "threshold", "normalise")
_OPTIONAL = ("mean", "std", "scale", "margin", "radius", "input", "output")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A validated description; the module says what each key means."""

    layout: Layout
    size: int
    colour: Colour
    mean: Triple
    std: Triple
    alignment: Alignment
    margin: float
    dimension: int
    metric: Metric
    threshold: float
    radius: float
    normalise: bool
    input: str | None = None
    output: str | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the network's input, one face in it."""
        side = self.size
        return (1, 3, side, side) if self.layout == "nchw" else (1, side, side, 3)

    @property
    def preprocessing_id(self) -> str:
        """Names all that changes the vector; the threshold and its like do not."""
        # floats' repr is exact, so that equal descriptions have equal names on all machines.
        said = (
            self.layout, self.size, self.colour, self.mean, self.std, self.alignment, self.margin,
            self.dimension, self.normalise, self.input, self.output,
        )  # fmt: skip
        return f"{self.alignment}{self.size}-{hashlib.sha256(repr(said).encode()).hexdigest()[:8]}"


def read_sidecar(path: Path) -> Sidecar:
    """Read and validate; raises `ModelError` with one sentence where anything is amiss."""
    if not path.is_file():
        raise ModelError(
            f"{path.name} is missing: write it beside the model with {', '.join(REQUIRED)} and mean, std."
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} is not readable TOML; correct it.") from error
    return parse_sidecar(table, path.name)


def parse_sidecar(table: dict[str, Any], name: str = "model.toml") -> Sidecar:
    """Validate what a TOML file said; raises `ModelError`."""
    keys = _Keys(table, name)
    keys.check_names()
    alignment = cast(Alignment, keys.choice("alignment", get_args(Alignment)))
    metric = cast(Metric, keys.choice("metric", get_args(Metric)))
    normalise = keys.flag("normalise")
    if "std" in table and "scale" in table:
        raise keys.wrong("std", "left out where scale is given")
    std = keys.triple("std", 1.0)
    if "scale" in table:
        std = cast(Triple, tuple(1.0 / s if s else 0.0 for s in keys.triple("scale", 1.0)))
    if min(std) <= 0.0:
        raise keys.wrong("scale" if "scale" in table else "std", "positive")
    threshold = keys.number("threshold")
    if metric == "cosine" and not -1.0 <= threshold <= 1.0:
        raise keys.wrong("threshold", "a cosine, between -1 and 1")
    if metric == "euclidean" and threshold <= 0.0:
        raise keys.wrong("threshold", "a distance, above 0")
    radius = keys.number("radius", 1.0 if normalise else math.inf)
    if radius <= 0.0 or (metric == "euclidean" and math.isinf(radius)):
        raise keys.wrong("radius", "given and positive, the longest vector the model can output")
    margin = keys.number("margin", 0.0)
    if not 0.0 <= margin <= 2.0:
        raise keys.wrong("margin", "a share of the face box, between 0 and 2")
    return Sidecar(
        layout=cast(Layout, keys.choice("layout", get_args(Layout))),
        size=keys.whole("size", 16, 1024),
        colour=cast(Colour, keys.choice("colour", get_args(Colour))),
        mean=keys.triple("mean", 0.0),
        std=std,
        alignment=alignment,
        margin=margin,
        dimension=keys.whole("dimension", 2, 8192),
        metric=metric,
        threshold=threshold,
        radius=radius,
        normalise=normalise,
        input=keys.text("input"),
        output=keys.text("output"),
    )


@dataclass(frozen=True, slots=True)
class _Keys:
    """A TOML table, read key by key."""

    table: dict[str, Any]
    name: str

    def wrong(self, key: str, wanted: str) -> ModelError:
        return ModelError(f"In {self.name}, {key} must be {wanted}.")

    def check_names(self) -> None:
        missing = [key for key in REQUIRED if key not in self.table]
        unknown = sorted(self.table.keys() - {*REQUIRED, *_OPTIONAL})
        if missing:
            raise ModelError(f"{self.name} lacks {', '.join(missing)}; add them.")
        if unknown:
            raise ModelError(f"{self.name} has unknown keys {', '.join(unknown)}; remove them.")

    def choice(self, key: str, among: tuple[str, ...]) -> str:
        value = self.table[key]
        if value not in among:
            raise self.wrong(key, f"one of {', '.join(among)}")
        return str(value)

    def flag(self, key: str) -> bool:
        value = self.table[key]
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def whole(self, key: str, least: int, most: int) -> int:
        value = self.table[key]
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.table.get(key)
        if value is None and default is not None:
            return default
        if not _is_number(value):
            raise self.wrong(key, "a number")
        return float(cast(float, value))

    def triple(self, key: str, default: float) -> Triple:
        value = self.table.get(key, default)
        values = value if isinstance(value, list) else [value] * 3
        if len(values) != 3 or not all(_is_number(v) for v in values):
            raise self.wrong(key, "a number, or three, one for each colour")
        return (float(values[0]), float(values[1]), float(values[2]))

    def text(self, key: str) -> str | None:
        value = self.table.get(key)
        if value is not None and not (isinstance(value, str) and value):
            raise self.wrong(key, "a name in the model")
        return value


def _is_number(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(cast(float, value))
