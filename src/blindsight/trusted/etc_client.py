"""The client of a learner: it has the key and the names; the learner gets scrambled images and numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blindsight.core.errors import (
    CorruptVaultError,
    KeyMismatchError,
    MalformedError,
    NotFoundError,
    ParamsMismatchError,
    TamperedError,
    UsageError,
)
from blindsight.core.learning import Learner, ModelInfo, ModelSpec
from blindsight.core.types import U8
from blindsight.schemes.etc_image import codec
from blindsight.schemes.etc_image.params import Params
from blindsight.schemes.etc_image.protect import protect
from blindsight.schemes.etc_image.secret import SecretKey
from blindsight.trusted.sealing import Seal, pack, unpack

_PAD = 512
_SEND = 128
_SEND_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model says of one image: the best class, its score, and the score of the claimed one."""

    name: str
    score: float
    claimed: float | None


def connect_learner(
    where: str | os.PathLike[str], *, token: str | None = None, ca_file: Path | None = None
) -> Learner:
    """A learner: over HTTP for an address that begins with http, else in this process over a folder."""
    if isinstance(where, str) and where.startswith(("http://", "https://")):
        from blindsight.wire.learner_client import RemoteLearner

        return RemoteLearner(where, token or "", ca_file=ca_file)
    from blindsight.blind.learner import LocalLearner

    return LocalLearner(Path(where))


class ImageClient:
    """Models of one key on one learner."""

    def __init__(self, learner: Learner, key: SecretKey) -> None:
        self._learner, self._key = learner, key

    def create(
        self,
        name: str,
        params: Params,
        size: tuple[int, int],
        people: Sequence[str],
        *,
        own_keys: bool = False,
    ) -> ModelInfo:
        """A model of people for images of ``size`` (height, width).

        With ``own_keys`` every person is a client with a key of their own, derived from this one (key
        condition 2); else all images are under one key (1).

        Raises `UsageError` for one person, or a name twice; `DuplicateError` where the model is there.
        """
        if len(people) < 2:
            raise UsageError("There is only one class of images; training needs two classes or more.")
        if len(set(people)) != len(people):
            raise UsageError("A person is named twice.")
        keys = tuple(self.key_of(person, own_keys=own_keys).key_id for person in people)
        spec = ModelSpec(
            name,
            params.params_id,
            size[0],
            size[1],
            "each" if own_keys else "common",
            len(people),
            keys if own_keys else keys[:1],
            self._sealed(name, people),
        )
        return self._learner.create(spec)

    def find(self, name: str) -> ModelInfo:
        """The model of this name; `NotFoundError` where there is none."""
        for info in self._learner.models():
            if info.spec.name == name:
                return info
        raise NotFoundError(f"The learner has no model named {name}.")

    def people(self, info: ModelInfo) -> list[str]:
        """The names of a model's classes; `KeyMismatchError` where another key sealed them."""
        seal = Seal(self._key.seal_key())
        try:
            padded = seal.open(f"classes {info.spec.name}", info.spec.sealed)
            names = unpack(padded[4 : 4 + int.from_bytes(padded[:4], "big")])["names"]
        except CorruptVaultError:
            raise KeyMismatchError(
                f"The model {info.spec.name} was made with another key; take the key that made it."
            ) from None
        except KeyError:
            raise TamperedError("The names of a model's classes cannot be read.") from None
        if not isinstance(names, list) or len(names) != info.spec.classes:
            raise TamperedError("The learner shows another number of classes than the model was made with.")
        return [str(name) for name in names]

    def key_of(self, person: str, *, own_keys: bool) -> SecretKey:
        """The key that a person's images are scrambled under."""
        return self._key.for_client(person) if own_keys else self._key

    def send(
        self,
        info: ModelInfo,
        images: Sequence[tuple[int, U8]],
        *,
        quality: int | None = None,
        advance: Callable[[int, int], None] = lambda done, of: None,
    ) -> ModelInfo:
        """Scramble images of known classes and send them; PNG, or JPEG at a quality."""
        people = self.people(info)
        keys = [self.key_of(person, own_keys=info.spec.condition == "each") for person in people]
        params = Params.parse(info.spec.params_id)
        labels: list[int] = []
        files: list[bytes] = []
        for done, (label, pixels) in enumerate(images, start=1):
            self._require_size(info, pixels)
            labels.append(label)
            files.append(_encoded(keys[label], params, pixels, quality))
            full = len(files) == _SEND or sum(map(len, files)) > _SEND_BYTES
            if full or done == len(images):
                info = self._learner.add(info.model_id, labels, files)
                labels, files = [], []
            advance(done, len(images))
        return info

    def train(self, info: ModelInfo, classifier: str, ratio: int) -> ModelInfo:
        """Have the learner train on what it has; the model with one version more."""
        return self._learner.train(info.model_id, classifier, ratio)

    def predict(
        self,
        info: ModelInfo,
        pixels: U8,
        *,
        claim: str | None = None,
        version: int = 0,
        quality: int | None = None,
    ) -> tuple[int, Verdict]:
        """Ask whom an image shows; the version that judged, and the verdict.

        Where every client has a key, ``claim`` says who asks; without one there is no key to take.

        Raises:
            KeyMismatchError: a claim is needed and missing.
            ParamsMismatchError: an image of another size or kind than the model's.
            UsageError: a claim that the model has no class for.
        """
        people = self.people(info)
        if claim is not None and claim not in people:
            raise UsageError("The model has no class of the claimed name.")
        own_keys = info.spec.condition == "each"
        if own_keys and claim is None:
            raise KeyMismatchError("In this model every client has a key of their own; say who asks.")
        self._require_size(info, pixels)
        key = self.key_of(claim or "", own_keys=own_keys)
        data = _encoded(key, Params.parse(info.spec.params_id), pixels, quality)
        found = self._learner.predict(info.model_id, [data], version)
        if found.scores.shape != (1, len(people)):
            raise MalformedError("The learner's answer has not one score for each class.")
        scores = found.scores[0]
        best = int(np.argmax(scores))
        claimed = None if claim is None else float(scores[people.index(claim)])
        return found.version, Verdict(people[best], float(scores[best]), claimed)

    def drop_empty(self, info: ModelInfo) -> None:
        """Delete a model that got no image, after its making was interrupted."""
        if self._learner.info(info.model_id).images == 0:
            self._learner.delete(info.model_id)

    def _require_size(self, info: ModelInfo, pixels: U8) -> None:
        wanted = (info.spec.height, info.spec.width)
        if pixels.shape[:2] != wanted:
            raise ParamsMismatchError(
                f"The model {info.spec.name} takes images of {wanted[1]} × {wanted[0]} pixels, "
                f"not {pixels.shape[1]} × {pixels.shape[0]}."
            )

    def _sealed(self, name: str, people: Sequence[str]) -> bytes:
        plain = pack({"names": list(people)})
        padded = len(plain).to_bytes(4, "big") + plain
        padded += bytes(-len(padded) % _PAD)
        return Seal(self._key.seal_key()).close(f"classes {name}", padded)


def _encoded(key: SecretKey, params: Params, pixels: U8, quality: int | None) -> bytes:
    image = protect(key, params, pixels)
    return codec.to_png(image) if quality is None else codec.to_jpeg(image, quality)
