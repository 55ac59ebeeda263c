"""Embeddings of a list of photos, made once, and the file that keeps them for the next run.

The file (specs/embeddings.md) names photos by the SHA-256 of their bytes and the model by its id,
so that a changed photo or another network is noticed. Its templates are in the clear.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from blindsight.core.errors import ImageError, UsageError
from blindsight.core.types import F32, AnyArray, frozen
from blindsight.vision.faces import FacePipeline
from blindsight.vision.folder import EmbeddedPhoto, Photo, Rejection, RejectionReport, embed_folder
from blindsight.vision.images import read_bytes

FORMAT = "blindsight-embeddings"
VERSION = 1
LARGEST_FILE = 1 << 30
_MEMBERS = ("about", "digests", "vectors", "rejected")


class EmbeddingsFileError(UsageError):
    """An embeddings file that cannot be read, or is of other photos or another model."""

    code: ClassVar[str] = "embeddings-file"


@dataclass(frozen=True, slots=True)
class PhotoEmbeddings:
    """What became of each photo of a list.

    Attributes:
        model_id: of the embedder.
        vectors: float32 (d,) of each photo with a usable face.
        rejections: the others, and why.
    """

    model_id: str
    vectors: Mapping[Photo, F32]
    rejections: tuple[Rejection, ...]

    @property
    def report(self) -> RejectionReport:
        """The rejections as lines to print."""
        return RejectionReport(self.rejections)


def embed_photos(
    pipeline: FacePipeline,
    photos: Sequence[Photo],
    *,
    largest: bool = True,
    workers: int = 1,
    on_photo: Callable[[Photo], None] | None = None,
) -> PhotoEmbeddings:
    """Embed every photo once; see `embed_folder` for the arguments."""
    vectors: dict[Photo, F32] = {}
    rejections: list[Rejection] = []
    for outcome in embed_folder(pipeline, photos, largest=largest, workers=workers, on_photo=on_photo):
        if isinstance(outcome, EmbeddedPhoto):
            vectors[outcome.photo] = outcome.embedding.vector
        else:
            rejections.append(outcome)
    return PhotoEmbeddings(pipeline.embedder.model_id, vectors, tuple(rejections))


def save_embeddings(path: str | os.PathLike[str], found: PhotoEmbeddings) -> None:
    """Write the file, whole or not at all.

    A photo whose file could not even be read is left out; the next run tries it again.

    Raises:
        EmbeddingsFileError: the file cannot be written.
    """
    vectors = {digest: vector for photo, vector in found.vectors.items() if (digest := _digest(photo))}
    order = sorted(vectors)
    reasons = {
        digest: [rejection.reason, rejection.sentence]
        for rejection in found.rejections
        if (digest := _digest(rejection.photo)) and digest not in vectors
    }
    dimension = len(vectors[order[0]]) if order else 0
    about = {"format": FORMAT, "version": VERSION, "model_id": found.model_id, "reasons": [*reasons.values()]}
    path = Path(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                np.savez(
                    file,
                    about=np.frombuffer(json.dumps(about).encode(), np.uint8),
                    digests=_digests(order),
                    vectors=np.array([vectors[digest] for digest in order], "<f4").reshape(
                        len(order), dimension
                    ),
                    rejected=_digests([*reasons]),
                )
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError:
        raise EmbeddingsFileError(f"{path} cannot be written; check the folder.") from None


def load_embeddings(
    path: str | os.PathLike[str], photos: Sequence[Photo], *, model_id: str, dimension: int
) -> PhotoEmbeddings:
    """Read the embeddings of these photos.

    Args:
        path: of the file.
        photos: all that are wanted; those whose bytes cannot be read become rejections.
        model_id: of the embedder that the file has to be of.
        dimension: of its vectors.

    Raises:
        EmbeddingsFileError: a file that is not as specs/embeddings.md says, of another model, or
            without one of the photos.
    """
    about, digests, vectors, rejected = _read(Path(path))
    if about["model_id"] != model_id:
        raise EmbeddingsFileError(
            f"{path} holds embeddings of {about['model_id']}, not of {model_id}; name another file."
        )
    if len(vectors) and vectors.shape[1] != dimension:
        raise EmbeddingsFileError(f"{path} holds vectors of another dimension than {model_id} gives.")
    rows = {digest.tobytes(): row for row, digest in enumerate(digests)}
    reasons = {d.tobytes(): reason for d, reason in zip(rejected, about["reasons"], strict=True)}
    known: dict[Photo, F32] = {}
    rejections: list[Rejection] = []
    for photo in photos:
        try:
            digest = hashlib.sha256(read_bytes(photo.path)).digest()
        except ImageError as error:
            rejections.append(Rejection(photo, error.code, error.message))
            continue
        if digest in rows:
            known[photo] = vectors[rows[digest]]
        elif digest in reasons:
            rejections.append(Rejection(photo, *reasons[digest]))
        else:
            raise EmbeddingsFileError(
                f"{path} was made from other photos: {photo.subject}/{photo.path.name} is not among them; "
                "delete it or name another file."
            )
    return PhotoEmbeddings(model_id, known, tuple(rejections))


def _digest(photo: Photo) -> bytes | None:
    try:
        return hashlib.sha256(read_bytes(photo.path)).digest()
    except ImageError:
        return None


def _digests(digests: Sequence[bytes]) -> AnyArray:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _read(path: Path) -> tuple[dict[str, Any], AnyArray, AnyArray, AnyArray]:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise EmbeddingsFileError(f"{path} is too large to be an embeddings file.")
        data = path.read_bytes()
    except OSError:
        raise EmbeddingsFileError(f"{path} cannot be opened; check the path.") from None
    damaged = EmbeddingsFileError(f"{path} is no embeddings file, or a damaged one; delete it.")
    try:
        parts = _members(data)
        about = _about(_array(parts["about"], "u1", 1).tobytes())
        digests, rejected = (_array(parts[name], "u1", 2) for name in ("digests", "rejected"))
        vectors = _array(parts["vectors"], "<f4", 2)
    except (ValueError, KeyError, RuntimeError, EOFError, OSError, zipfile.BadZipFile):
        raise damaged from None
    rows = [digest.tobytes() for digest in digests]
    if (
        digests.shape[1:] != (32,)
        or rejected.shape[1:] != (32,)
        or rows != sorted(set(rows))
        or len(vectors) != len(digests)
        or len({digest.tobytes() for digest in rejected} - set(rows)) != len(about["reasons"])
        or len(rejected) != len(about["reasons"])
        or not np.isfinite(vectors).all()
    ):
        raise damaged
    return about, digests, frozen(vectors), rejected


def _members(data: bytes) -> dict[str, bytes]:
    """The four members, none of them compressed, so that they are no larger than the file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if sorted(info.filename for info in infos) != sorted(f"{name}.npy" for name in _MEMBERS):
            raise ValueError("members")
        if any(info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data) for info in infos):
            raise ValueError("compressed")
        return {info.filename.removesuffix(".npy"): archive.read(info) for info in infos}


def _array(data: bytes, kind: str, axes: int) -> AnyArray:
    """The array of a ``.npy``, its size checked against its header before any memory is taken."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    body = data[stream.tell() :]
    count = 1
    for length in shape:
        if not 0 <= length <= LARGEST_FILE:
            raise ValueError("shape")
        count *= length
    if fortran or dtype != np.dtype(kind) or len(shape) != axes or count * dtype.itemsize != len(body):
        raise ValueError("header")
    return np.frombuffer(body, dtype).reshape(shape)


def _about(data: bytes) -> dict[str, Any]:
    about = json.loads(data.decode("utf-8"))
    if not isinstance(about, dict) or set(about) != {"format", "version", "model_id", "reasons"}:
        raise ValueError("keys")
    if about["format"] != FORMAT or type(about["version"]) is not int or about["version"] != VERSION:
        raise ValueError("version")
    if not isinstance(about["model_id"], str) or not isinstance(about["reasons"], list):
        raise ValueError("types")
    for reason in about["reasons"]:
        if not (isinstance(reason, list) and len(reason) == 2 and all(isinstance(t, str) for t in reason)):
            raise ValueError("reasons")
    return about
