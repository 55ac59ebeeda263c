"""A folder of photos, one folder a subject: walked in order, embedded one by one.

One bad photo never stops the rest: it becomes a `Rejection` that says why.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from blindsight.core.errors import ImageError, UsageError, VectorError
from blindsight.core.types import Embedding
from blindsight.vision.faces import FacePipeline
from blindsight.vision.images import decode_image, read_bytes, shown

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".tif", ".tiff"}
    | {".bmp", ".gif", ".jp2", ".ppm", ".pgm", ".heic", ".heif"}
)
"""What counts as a photo. HEIC cannot be read, and is better rejected aloud than passed over."""


@dataclass(frozen=True, slots=True, order=True)
class Photo:
    """A photo and whose it is; ``subject`` is empty where its place does not say."""

    subject: str
    path: Path


@dataclass(frozen=True, slots=True)
class EmbeddedPhoto:
    """A photo, the SHA-256 of its file (32 bytes) and the embedding of the face on it."""

    photo: Photo
    sha256: bytes
    embedding: Embedding


@dataclass(frozen=True, slots=True)
class Rejection:
    """A photo that was not embedded: a reason for a program, a sentence for a person."""

    photo: Photo
    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class PhotoFolder:
    """What lies under a root.

    Attributes:
        photos: sorted by subject, then path.
        rejections: photos without a subject, folders that cannot be opened or named.
        ignored: files passed over, hidden or of another kind than `EXTENSIONS`.
    """

    photos: tuple[Photo, ...]
    rejections: tuple[Rejection, ...]
    ignored: int


@dataclass(frozen=True, slots=True)
class RejectionReport:
    """All rejections of one run."""

    rejections: tuple[Rejection, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many for each reason, the most frequent first."""
        counted = Counter(rejection.reason for rejection in self.rejections)
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))

    def lines(self) -> list[str]:
        """A line for each reason, then one for each photo; empty where nothing was rejected."""
        totals = [f"{reason}: {count}" for reason, count in self.counts.items()]
        return totals + [
            f"  {_place(rejection.photo)}: {rejection.sentence}" for rejection in self.rejections
        ]


def _place(photo: Photo) -> str:
    return f"{photo.subject}/{shown(photo.path)}" if photo.subject else shown(photo.path)


def list_photos(root: str | os.PathLike[str]) -> PhotoFolder:
    """Walk ``<root>/<subject>/…/<photo>``; the same folder gives the same list everywhere.

    A subject is a folder's name in Unicode form NFC. Links to folders are followed, each
    folder once for a subject, so that a circle of links ends.

    Raises:
        UsageError: ``root`` is not a folder that can be opened.
    """
    root = Path(root)
    walk = _Walk()
    try:
        entries = sorted(root.iterdir(), key=lambda path: path.name)
        root_key = _key(root)
    except OSError:
        raise UsageError(f"{shown(root)} is not a folder that can be opened; check the path.") from None
    for entry in entries:
        if entry.name.startswith("."):
            walk.ignored += 1
        elif entry.is_dir():
            walk.subject(entry, root_key)
        elif entry.suffix.lower() in EXTENSIONS:
            sentence = "It lies in no subject's folder; move it into one."
            walk.rejections.append(Rejection(Photo("", entry), "no-subject", sentence))
        else:
            walk.ignored += 1
    return PhotoFolder(tuple(sorted(walk.photos)), tuple(walk.rejections), walk.ignored)


def _key(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


class _Walk:
    """What a walk has met so far."""

    def __init__(self) -> None:
        self.photos: list[Photo] = []
        self.rejections: list[Rejection] = []
        self.ignored = 0

    def subject(self, folder: Path, root_key: tuple[int, int]) -> None:
        name = unicodedata.normalize("NFC", folder.name)
        if any(unicodedata.category(c) in {"Cc", "Cs"} for c in name):
            sentence = "The folder's name has control characters or broken Unicode; rename it."
            self.rejections.append(Rejection(Photo(shown(name), folder), "folder-name", sentence))
            return
        seen = {root_key}
        waiting = deque([folder])
        while waiting:
            current = waiting.popleft()
            try:
                key = _key(current)
                entries = sorted(current.iterdir(), key=lambda path: path.name)
            except OSError:
                sentence = "The folder cannot be opened; change its permissions."
                self.rejections.append(Rejection(Photo(name, current), "folder-unreadable", sentence))
                continue
            if key in seen:
                continue
            seen.add(key)
            for entry in entries:
                if entry.name.startswith("."):
                    self.ignored += 1
                elif entry.is_dir():
                    waiting.append(entry)
                elif entry.suffix.lower() in EXTENSIONS:
                    self.photos.append(Photo(name, entry))
                else:
                    self.ignored += 1


_Outcome = EmbeddedPhoto | Rejection | None


def embed_folder(
    pipeline: FacePipeline,
    photos: Iterable[Photo],
    *,
    known: Container[bytes] = frozenset(),
    largest: bool = False,
    workers: int = 1,
    on_photo: Callable[[Photo], None] | None = None,
) -> Iterator[EmbeddedPhoto | Rejection]:
    """Embed the face on each photo, in the order given.

    A photo whose SHA-256 is in ``known`` is neither decoded nor yielded, which makes a run
    resumable; ``known`` may grow meanwhile. ``on_photo`` is called for every photo when it is
    done, yielded or not. Decoding and detection run in parallel on ``workers`` threads; dlib's
    embedder holds the GIL, so that two or three are worth it for large photos and no more.

    Args:
        largest: take the largest face of several instead of rejecting the photo.

    Raises:
        ModelError: the model cannot be used at all; no photo would do.
    """
    if workers < 1:
        raise UsageError("At least one worker is needed.")
    outcomes: Iterator[tuple[Photo, _Outcome]]
    if workers == 1:
        outcomes = ((photo, _embed(pipeline, photo, known, largest)) for photo in photos)
    else:
        outcomes = _in_parallel(pipeline, photos, known, largest, workers)
    return _reported(outcomes, on_photo)


def _reported(
    outcomes: Iterator[tuple[Photo, _Outcome]], on_photo: Callable[[Photo], None] | None
) -> Iterator[EmbeddedPhoto | Rejection]:
    for photo, outcome in outcomes:
        if on_photo is not None:
            on_photo(photo)
        if outcome is not None:
            yield outcome


def _in_parallel(
    pipeline: FacePipeline, photos: Iterable[Photo], known: Container[bytes], largest: bool, workers: int
) -> Iterator[tuple[Photo, _Outcome]]:
    """Keep a short queue ahead of the reader, so that a slow one bounds the memory."""
    waiting: deque[tuple[Photo, Future[_Outcome]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for photo in photos:
                waiting.append((photo, pool.submit(_embed, pipeline, photo, known, largest)))
                if len(waiting) > 2 * workers:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _embed(pipeline: FacePipeline, photo: Photo, known: Container[bytes], largest: bool) -> _Outcome:
    try:
        data = read_bytes(photo.path)
        sha256 = hashlib.sha256(data).digest()
        if sha256 in known:
            return None
        image = decode_image(data, source=shown(photo.path), sha256=sha256)
        face = pipeline.largest_face if largest else pipeline.one_face
        return EmbeddedPhoto(photo, sha256, face(image))
    except (ImageError, VectorError) as error:
        return Rejection(photo, error.code, error.message)
