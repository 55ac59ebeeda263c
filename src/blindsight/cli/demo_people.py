"""Who takes part in the demo: real photos, and generated templates that are nobody's."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blindsight.cli.output import Output
from blindsight.core.errors import UsageError
from blindsight.core.types import F32, Embedding

if TYPE_CHECKING:
    import PIL.Image

    from blindsight.vision import FacePipeline, Rejection

EILEEN = "Eileen Collins"

_NORM, _COSINE = 1.43, 0.83
"""dlib's embeddings of LFW have this norm in the mean, and those of two people this cosine:
a distance of 0.83."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A template of the gallery: whose, which, and the SHA-256 of its photo."""

    subject: str
    embedding: Embedding
    photo: bytes


@dataclass(frozen=True, slots=True)
class Probe:
    """A photo to be recognised; ``truth`` is who is on it, or None where nobody enrolled is."""

    label: str
    embedding: Embedding
    truth: str | None


@dataclass(frozen=True, slots=True)
class People:
    """Everybody with a photo."""

    source: str
    enrolled: tuple[Enrolled, ...]
    probes: tuple[Probe, ...]
    rejections: tuple[Rejection, ...] = ()


def eileen(pipeline: FacePipeline) -> People:
    """A public-domain portrait of Eileen Collins that scikit-image ships, and altered copies of it."""
    try:
        import skimage.data
        from PIL import Image
    except ImportError as error:
        raise UsageError(
            f'The demo\'s photo comes with {error.name}: pip install "blindsight[demo]"; or name a folder '
            "of your own with --photos."
        ) from error
    from blindsight.vision.images import decode_image

    samples: Any = skimage.data
    portrait = Image.fromarray(samples.astronaut())
    original = _encoded(portrait, "PNG")
    image = decode_image(original, source="astronaut.png")
    first = Enrolled(EILEEN, pipeline.one_face(image), hashlib.sha256(original).digest())
    probes = tuple(
        Probe(label, pipeline.one_face(decode_image(data, source=label)), EILEEN)
        for label, data in _altered(portrait).items()
    )
    return People("scikit-image's astronaut: Eileen Collins, NASA, public domain", (first,), probes)


def _altered(portrait: PIL.Image.Image) -> dict[str, bytes]:
    from PIL import ImageEnhance, ImageOps
    from PIL.Image import Resampling

    brightness = ImageEnhance.Brightness(portrait).enhance
    changes: dict[str, Callable[[], PIL.Image.Image]] = {
        "tighter crop": lambda: portrait.crop((130, 0, 330, 220)),
        "much darker": lambda: brightness(0.4),
        "brighter": lambda: brightness(1.5),
        "mirrored": lambda: ImageOps.mirror(portrait),
        "turned by 12 degrees": lambda: portrait.rotate(12, Resampling.BICUBIC),
    }
    altered = {label: _encoded(change(), "PNG") for label, change in changes.items()}
    altered["JPEG, quality 20"] = _encoded(portrait, "JPEG", quality=20)
    return altered


def _encoded(image: PIL.Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def from_folder(pipeline: FacePipeline, root: Path, output: Output) -> People:
    """The first photo of each subject in ``<root>/<subject>/<photo>`` enrolled, the others as probes."""
    from blindsight.vision import Rejection, embed_folder, list_photos

    found = list_photos(root)
    done = 0

    with output.progress("photos", len(found.photos)) as advance:

        def step() -> None:
            nonlocal done
            done += 1
            advance(done, len(found.photos))

        outcomes = list(
            embed_folder(pipeline, found.photos, largest=True, workers=2, on_photo=lambda photo: step())
        )
    rejections = [*found.rejections, *(one for one in outcomes if isinstance(one, Rejection))]
    usable = [one for one in outcomes if not isinstance(one, Rejection)]
    if not usable:
        raise UsageError(f"No photo in a subject's folder under {root} has a face that can be used.")
    enrolled, probes = [], []
    for subject, photos in groupby(usable, key=lambda one: one.photo.subject):
        first, *others = photos
        enrolled.append(Enrolled(subject, first.embedding, first.sha256))
        probes += [Probe(one.photo.path.name, one.embedding, subject) for one in others]
    return People(str(root), tuple(enrolled), tuple(probes), tuple(rejections))


class Crowd:
    """Random vectors that lie as far from the real faces as other people's do. They are nobody's."""

    def __init__(self, people: People) -> None:
        units = [one.embedding.vector / np.linalg.norm(one.embedding.vector) for one in people.enrolled]
        centre = np.sum(units, axis=0, dtype=np.float64)
        self._centre = np.asarray(centre / np.linalg.norm(centre))
        self._model_id = people.enrolled[0].embedding.model_id
        self._generator = np.random.default_rng()

    def vectors(self, count: int) -> F32:
        """float32 (count, dimension)."""
        free = self._generator.standard_normal((count, len(self._centre)))
        free -= np.outer(free @ self._centre, self._centre)
        free /= np.linalg.norm(free, axis=1, keepdims=True)
        return np.asarray(_NORM * (_COSINE * self._centre + np.sqrt(1 - _COSINE**2) * free), dtype=np.float32)

    def enrolled(self, count: int) -> list[Enrolled]:
        """Templates named ``generated 00001`` and on."""
        names = [f"generated {number:05d}" for number in range(1, count + 1)]
        return [
            Enrolled(name, Embedding(vector, self._model_id), hashlib.sha256(name.encode()).digest())
            for name, vector in zip(names, self.vectors(count), strict=True)
        ]

    def stranger(self) -> Probe:
        """One more, who is not enrolled."""
        return Probe("a stranger (generated)", Embedding(self.vectors(1)[0], self._model_id), None)
