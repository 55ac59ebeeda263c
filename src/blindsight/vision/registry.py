"""Embedders and detectors by the name a user types."""

from __future__ import annotations

from blindsight.core.errors import UsageError
from blindsight.vision.dlib_faces import DlibDetector, DlibEmbedder
from blindsight.vision.faces import MIN_FACE, Detector, FacePipeline
from blindsight.vision.mtcnn import MtcnnDetector
from blindsight.vision.onnx_embedder import OnnxEmbedder
from blindsight.vision.people_model import PeopleModel, WholeCrop

DEFAULT_EMBEDDER = "dlib"
DEFAULT_DETECTOR = "dlib"


def open_detector(name: str = DEFAULT_DETECTOR, *, min_face: int = MIN_FACE) -> Detector:
    """A detector: ``dlib``, or ``mtcnn:folder`` with det1 to det3.caffemodel in it.

    Args:
        name: which.
        min_face: side of the smallest face wanted, in pixels; MTCNN looks for no smaller one.

    Raises:
        UsageError: another name.
        ModelError: a missing package or weights file, or one that does not fit.
    """
    kind, _, rest = name.partition(":")
    if kind == "mtcnn" and rest:
        return MtcnnDetector.load(rest, min_face=min_face)
    if name == "dlib":
        detector = DlibDetector()
        detector.check()
        return detector
    raise UsageError(f"There is no detector {name!r}; use dlib or mtcnn:<folder of its weights>.")


def open_embedder(
    name: str = DEFAULT_EMBEDDER, *, detector: str = DEFAULT_DETECTOR, min_face: int = MIN_FACE
) -> FacePipeline:
    """A pipeline by name: ``dlib``, ``dlib:68`` or ``onnx:path/to/model.onnx`` behind a detector of
    faces, named as in `open_detector`; ``people:path/to/people.model`` for whole crops of people.

    Raises:
        UsageError: another name.
        ModelError: a missing package, weights file or sidecar, or one that does not fit.
    """
    kind, _, rest = name.partition(":")
    if kind == "people" and rest:
        return FacePipeline(WholeCrop(), PeopleModel.load(rest), 1)
    if kind == "onnx" and rest:
        finder = open_detector(detector, min_face=min_face)
        return FacePipeline(finder, OnnxEmbedder.load(rest), min_face)
    if name in {"dlib", "dlib:5", "dlib:68"}:
        embedder = DlibEmbedder(points=68 if rest == "68" else 5)
        embedder.check()
        return FacePipeline(open_detector(detector, min_face=min_face), embedder, min_face)
    raise UsageError(f"There is no embedder {name!r}; use dlib, dlib:68, onnx:<path> or people:<path>.")
