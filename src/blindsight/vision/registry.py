"""Embedders by the name a user types."""

from __future__ import annotations

from blindsight.core.errors import UsageError
from blindsight.vision.dlib_faces import DlibDetector, DlibEmbedder
from blindsight.vision.faces import MIN_FACE, FacePipeline
from blindsight.vision.onnx_embedder import OnnxEmbedder
from blindsight.vision.people_model import PeopleModel, WholeCrop

DEFAULT_EMBEDDER = "dlib"


def open_embedder(name: str = DEFAULT_EMBEDDER, *, min_face: int = MIN_FACE) -> FacePipeline:
    """A pipeline by name: ``dlib``, ``dlib:68`` or ``onnx:path/to/model.onnx`` behind dlib's detector of
    faces; ``people:path/to/people.model`` for whole crops of people.

    Raises:
        UsageError: another name.
        ModelError: a missing package, weights file or sidecar, or one that does not fit.
    """
    kind, _, rest = name.partition(":")
    if kind == "people" and rest:
        return FacePipeline(WholeCrop(), PeopleModel.load(rest), 1)
    detector = DlibDetector()
    if kind == "onnx" and rest:
        detector.check()
        return FacePipeline(detector, OnnxEmbedder.load(rest), min_face)
    if name in {"dlib", "dlib:5", "dlib:68"}:
        embedder = DlibEmbedder(points=68 if rest == "68" else 5)
        embedder.check()
        return FacePipeline(detector, embedder, min_face)
    raise UsageError(f"There is no embedder {name!r}; use dlib, dlib:68, onnx:<path> or people:<path>.")
