"""The default model: dlib's HOG detector and its ResNet face embedder.

``dlib_face_recognition_resnet_model_v1`` is the model of the cloud face recognition of Yang et
al. (2021), section 4: 128 dimensions, compared by Euclidean distance, one person below 0.6.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from blindsight.core.errors import ModelError, UsageError
from blindsight.core.types import U8, Embedding
from blindsight.vision.faces import Face, FaceBox, Landmarks, Metric, require_radius
from blindsight.vision.images import Image, require_pillow

RESNET = "dlib_face_recognition_resnet_model_v1.dat"
PREDICTORS = {5: "shape_predictor_5_face_landmarks.dat", 68: "shape_predictor_68_face_landmarks.dat"}
MODELS_VARIABLE = "BLINDSIGHT_MODELS"
_INSTALL = 'pip install "blindsight[face]"'

_loaded: dict[Path, Any] = {}
_load_lock = threading.Lock()
_net_lock = threading.Lock()
_of_thread = threading.local()


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise ModelError(f"Finding and aligning faces needs dlib: {_INSTALL}.") from error
    return dlib


def find_weights(name: str, models: str | os.PathLike[str] | None = None) -> Path:
    """The path of a weights file: in ``models``, else BLINDSIGHT_MODELS, else as installed.

    The installed package is only looked at, never imported: its own code does not run on
    current Pythons. Raises `ModelError` where the file is not there.
    """
    chosen = models or os.environ.get(MODELS_VARIABLE)
    if chosen:
        folder = Path(chosen).absolute()
        remedy = f"put it there or unset {MODELS_VARIABLE}"
    else:
        spec = importlib.util.find_spec("face_recognition_models")
        places = spec.submodule_search_locations if spec else None
        if not places:
            raise ModelError(f"The face model's weights are not installed: {_INSTALL}.")
        folder = Path(places[0]) / "models"
        remedy = f"install it again: {_INSTALL}"
    path = folder / name
    if not path.is_file():
        raise ModelError(f"The face model's weights {name} are not in {folder}; {remedy}.")
    return path


def _load(path: Path, reader: Callable[[str], Any]) -> Any:
    """A model, read from disk once in a process."""
    with _load_lock:
        if path not in _loaded:
            try:
                _loaded[path] = reader(str(path))
            except (RuntimeError, OSError) as error:
                raise ModelError(
                    f"{path.name} is not a readable dlib model; install it again: {_INSTALL}."
                ) from error
        return _loaded[path]


def _predictor(points: int, models: str | os.PathLike[str] | None) -> Any:
    return _load(find_weights(PREDICTORS[points], models), _dlib().shape_predictor)


def _shape(image: Image, face: Face, points: int, models: str | os.PathLike[str] | None) -> Any:
    """What dlib calls a ``full_object_detection``: a face with 5 or 68 points."""
    box = face.box
    rectangle = _dlib().rectangle(box.left, box.top, box.right - 1, box.bottom - 1)
    return _predictor(points, models)(image.pixels, rectangle)


def locate_landmarks(image: Image, face: Face, *, models: str | os.PathLike[str] | None = None) -> Landmarks:
    """The face's own landmarks, or 68 from dlib's shape predictor."""
    if face.landmarks is not None:
        return face.landmarks
    shape = _shape(image, face, 68, models)
    return Landmarks(np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float32))


def face_chip(
    image: Image, face: Face, size: int, *, points: int = 5, models: str | os.PathLike[str] | None = None
) -> U8:
    """The aligned crop that dlib makes, a quarter of padding around: uint8 (size, size, 3) RGB."""
    shape = _shape(image, face, points, models)
    chip: U8 = _dlib().get_face_chip(image.pixels, shape, size, 0.25)
    return chip


@dataclass(frozen=True, slots=True)
class DlibDetector:
    """dlib's HOG detector of faces seen from the front.

    It sees faces from 80 pixels on. An image longer than ``max_side`` is scaled down to it
    first. Where no face is found, the search is repeated at twice the scale, so that faces
    from 40 pixels, or 2.5 % of a large photo's longest side, are found if there is no larger.

    Beside a detection of score ``sure`` or above, weaker ones are dropped: of 39 detections
    beside the subject in 978 photos of LFW, 8 score below 0.2, patterns on clothes among them;
    but so do 2 of 977 subjects, and a weak face that is alone is kept.
    """

    max_side: int = 1600
    sure: float = 0.2

    def __post_init__(self) -> None:
        if self.max_side < 80:
            raise UsageError("The detector needs a longest side of at least 80 pixels.")

    def check(self) -> None:
        """Raise `ModelError` now where dlib is missing."""
        _dlib()

    def detect(self, image: Image) -> list[Face]:
        """All faces found, the largest first. Raises `ModelError` where dlib is missing."""
        scale = min(1.0, self.max_side / max(image.height, image.width))
        faces = self._at_scale(image, scale) or self._at_scale(image, 2.0 * scale)
        faces = [face for face in faces if face.score >= self.sure] or faces
        return sorted(faces, key=lambda face: -face.box.width * face.box.height)

    @staticmethod
    def _at_scale(image: Image, scale: float) -> list[Face]:
        pixels = _scaled(image.pixels, scale)
        y, x = image.height / pixels.shape[0], image.width / pixels.shape[1]
        boxes, scores, _ = _thread_detector().run(pixels, 0, 0.0)
        return [
            Face(
                FaceBox(
                    round(box.left() * x),
                    round(box.top() * y),
                    round((box.right() + 1) * x),
                    round((box.bottom() + 1) * y),
                ),
                float(score),
            )
            for box, score in zip(boxes, scores, strict=True)
        ]


def _scaled(pixels: U8, scale: float) -> U8:
    if scale == 1.0:
        return pixels
    require_pillow()
    import PIL.Image

    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    resized = PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


def _thread_detector() -> Any:
    """A detector for each thread: dlib keeps the image pyramid in it and releases the GIL."""
    if not hasattr(_of_thread, "detector"):
        _of_thread.detector = _dlib().get_frontal_face_detector()
    return _of_thread.detector


@dataclass(frozen=True)
class DlibEmbedder:
    """dlib's ResNet: 128 dimensions, Euclidean, one person up to a distance of 0.6.

    Attributes:
        points: landmarks that align the face, 5 (as the network was trained) or 68.
        jitter: average over this many randomly shifted crops; 0 or 1 takes the crop itself
            and gives the same vector every time.
        models: folder of the weights; None looks in BLINDSIGHT_MODELS, then where installed.
    """

    points: Literal[5, 68] = 5
    jitter: int = 0
    models: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.points not in PREDICTORS:
            raise UsageError("dlib aligns faces by 5 or by 68 points.")
        if not 0 <= self.jitter <= 100:
            raise UsageError("The number of jittered crops is between 0 and 100.")

    @cached_property
    def model_id(self) -> str:
        """``dlib-resnet-v1-<digest>/<n>pt``; the digest is of both weights files."""
        digest = hashlib.sha256()
        for name in (RESNET, PREDICTORS[self.points]):
            digest.update(hashlib.sha256(find_weights(name, self.models).read_bytes()).digest())
        jitter = f"-jitter{self.jitter}" if self.jitter > 1 else ""
        return f"dlib-resnet-v1-{digest.hexdigest()[:8]}/{self.points}pt{jitter}"

    @property
    def dimension(self) -> int:
        return 128

    @property
    def metric(self) -> Metric:
        return "euclidean"

    @property
    def threshold(self) -> float:
        return 0.6

    @property
    def radius(self) -> float:
        # Over 489 photos of LFW the norms are 1.23 to 1.66, 1.43 in the mean.
        return 2.0

    def check(self) -> None:
        """Raise `ModelError` now where dlib or a weights file is missing; loads nothing."""
        _dlib()
        for name in (RESNET, PREDICTORS[self.points]):
            find_weights(name, self.models)

    def embed(self, image: Image, face: Face) -> Embedding:
        """Raises `ModelError` where dlib or its weights are missing."""
        chip = face_chip(image, face, 150, points=self.points, models=self.models)
        net = _load(find_weights(RESNET, self.models), _dlib().face_recognition_model_v1)
        with _net_lock:  # The network keeps its activations in itself.
            vector = net.compute_face_descriptor(chip, self.jitter)
        embedding = Embedding(np.array(vector, dtype=np.float32), self.model_id)
        require_radius(embedding, self.radius, image)
        return embedding
