"""A learner's folder: models, the images that were sent for them, trained versions. Whole files or none.

``specs/learner.md``, section 1, has the layout. Nothing that a client chose is part of a path.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blindsight.blind.folder import DataFolder
from blindsight.core.errors import (
    MalformedError,
    NotFoundError,
    StorageFullError,
    TamperedError,
    UnavailableError,
)
from blindsight.core.learning import ModelInfo, ModelSpec
from blindsight.core.types import I64, U8
from blindsight.wire import arrays, learning
from blindsight.wire.fields import Fields, pack, unpack
from blindsight.wire.state import sync_folder

_ID: Final = re.compile(r"[0-9a-f]{32}")
_DOOMED: Final = re.compile(r"doomed-[0-9a-f]{32}")
_IMAGES: Final = re.compile(r"images-([0-9]{8})-([0-9]{1,6})")
_MODEL: Final = re.compile(r"model-([0-9]{8})")
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LearnerStore:
    """Models in a folder that one process holds; not safe to call from several threads at once."""

    def __init__(self, path: Path) -> None:
        self._folder = DataFolder(path)
        with _translated():
            for found in list(path.iterdir()):
                if _DOOMED.fullmatch(found.name):
                    shutil.rmtree(found)
                elif _ID.fullmatch(found.name):
                    self._tidy(found)

    def close(self) -> None:
        self._folder.close()

    @property
    def closed(self) -> bool:
        return self._folder.closed

    # -- models --------------------------------------------------------------------------------

    def create(self, spec: ModelSpec) -> ModelInfo:
        """A new model without images; its ``about`` is written last."""
        model_id = secrets.token_hex(16)
        place = self._folder.path / model_id
        about = pack({"spec": learning.encode_spec(spec), "made": int(time.time())})
        with _translated():
            place.mkdir(mode=0o700)
            _write(place / "about", about)
            sync_folder(self._folder.path)
        return self.info(model_id)

    def models(self) -> list[ModelInfo]:
        """By name."""
        found = [self.info(path.name) for path in self._folder.path.iterdir() if _ID.fullmatch(path.name)]
        return sorted(found, key=lambda info: info.spec.name)

    def info(self, model_id: str) -> ModelInfo:
        place = self._place(model_id)
        with _translated():
            spec = _about(place)
            entries = list(place.iterdir())
            images = sum(int(found[2]) for entry in entries if (found := _IMAGES.fullmatch(entry.name)))
            versions = len(_numbered(place, _MODEL))
            size = sum(entry.stat().st_size for entry in entries)
        return ModelInfo(model_id, spec, images, versions, size)

    def delete(self, model_id: str) -> None:
        place = self._place(model_id)
        with _translated():
            doomed = place.with_name(f"doomed-{model_id}")
            place.rename(doomed)
            sync_folder(self._folder.path)
            shutil.rmtree(doomed)

    # -- images and versions -------------------------------------------------------------------

    def add(self, model_id: str, pixels: U8, labels: I64) -> None:
        """One more batch: uint8 (n, values), int64 (n,)."""
        place = self._place(model_id)
        with _translated():
            number = len(_numbered(place, _IMAGES)) + 1
            batch = arrays.encode({}, {"labels": labels, "pixels": pixels})
            _write(place / f"images-{number:08d}-{len(labels)}", batch)
            sync_folder(place)

    def images(self, model_id: str) -> tuple[U8, I64]:
        """All batches: uint8 (n, values) and int64 (n,)."""
        place = self._place(model_id)
        pixels, labels = [], []
        with _translated():
            for path in sorted(path for path in place.iterdir() if _IMAGES.fullmatch(path.name)):
                parts = _batch(path)
                pixels.append(parts["pixels"])
                labels.append(parts["labels"])
        if not pixels:
            return np.empty((0, 0), np.uint8), np.empty(0, np.int64)
        return np.concatenate(pixels), np.concatenate(labels)

    def add_version(self, model_id: str, model: bytes) -> None:
        place = self._place(model_id)
        with _translated():
            _write(place / f"model-{len(_numbered(place, _MODEL)) + 1:08d}", model)
            sync_folder(place)

    def version(self, model_id: str, version: int) -> tuple[int, bytes]:
        """A version's number and bytes; 0 is the newest."""
        place = self._place(model_id)
        with _translated():
            numbers = _numbered(place, _MODEL)
            if not numbers:
                raise NotFoundError("This model was not trained yet.")
            wanted = version or numbers[-1]
            if wanted not in numbers:
                raise NotFoundError(f"This model has no version {wanted}; its newest is {numbers[-1]}.")
            return wanted, (place / f"model-{wanted:08d}").read_bytes()

    # -- plumbing ------------------------------------------------------------------------------

    def _place(self, model_id: str) -> Path:
        place = self._folder.path / model_id
        if not _ID.fullmatch(model_id) or not (place / "about").is_file():
            raise NotFoundError("The learner has no such model.")
        return place

    def _tidy(self, place: Path) -> None:
        """Remove what a crash left half done."""
        if not (place / "about").is_file():
            shutil.rmtree(place)
            return
        for entry in place.iterdir():
            known = entry.name == "about" or _IMAGES.fullmatch(entry.name) or _MODEL.fullmatch(entry.name)
            if not known:
                entry.unlink()


def _about(place: Path) -> ModelSpec:
    try:
        fields = Fields(
            unpack((place / "about").read_bytes()), "model's description", frozenset({"spec", "made"})
        )
        return learning.decode_spec(fields.blob("spec", 1, 4 << 20))
    except MalformedError:
        raise TamperedError("A model's description on this server's disk is damaged.") from None


def _numbered(place: Path, pattern: re.Pattern[str]) -> list[int]:
    return sorted(int(found[1]) for entry in place.iterdir() if (found := pattern.fullmatch(entry.name)))


def _batch(path: Path) -> dict[str, NDArray[Any]]:
    damaged = TamperedError("A batch of images on this server's disk is damaged.")
    try:
        _, parts = arrays.decode(path.read_bytes(), "batch of images")
    except MalformedError:
        raise damaged from None
    good = (
        parts.keys() == {"labels", "pixels"}
        and parts["pixels"].dtype == np.uint8
        and parts["pixels"].ndim == 2
        and parts["labels"].dtype == np.int64
        and parts["labels"].shape == parts["pixels"].shape[:1]
    )
    if not good:
        raise damaged
    return parts


def _write(path: Path, content: bytes) -> None:
    """The whole file or none, on the disk when this returns."""
    fresh = path.with_name(f"new-{path.name}")
    held = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(held, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError("The learner's disk is full; nothing was changed.") from None
        raise UnavailableError("The learner's disk failed at this request.") from None
