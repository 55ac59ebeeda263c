"""What makes a gallery this one: its name, its place on the matcher, its key, its encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from blindsight.core.errors import CorruptVaultError, MismatchError, UsageError
from blindsight.core.matching import GallerySpec, Matcher
from blindsight.core.secrets import ExportToken, Secret
from blindsight.encoding import GalleryEncoding, Quantiser, stored_encoding
from blindsight.trusted.schemes import Precision, encoding_for, key_holder, params_for
from blindsight.trusted.sealing import Seal, pack, unpack

MOST_CANARIES = 128


@dataclass(frozen=True, slots=True)
class Identity:
    """A gallery as its client knows it; a draft of one while ``gallery_id`` is empty.

    Attributes:
        name: on the matcher, and in a vault.
        scheme: of its protection.
        params: the scheme's parameters, as they travel.
        secret: the one secret that all of its keys grow from.
        encoding: of its vectors.
        model_id: of the embedder.
        canaries: rows of each block that are given to catching a lying matcher.
        gallery_id: on the matcher.
        revision: the last one that this client has seen.

    """

    name: str
    scheme: str
    params: Mapping[str, int | str]
    secret: Secret
    encoding: GalleryEncoding
    model_id: str
    canaries: int = 0
    gallery_id: str = ""
    revision: int = 0

    @classmethod
    def draft(
        cls,
        name: str,
        dimension: int,
        metric: str,
        *,
        radius: float,
        precision: Precision,
        scheme: str,
        insecure_clear: bool,
        model_id: str,
        canaries: int,
        quantiser: Quantiser | None = None,
        batch: int = 1,
    ) -> Identity:
        """A gallery that is still to be made, with a fresh secret.

        Raises:
            ParameterError: no such encoding, or parameters that must not exist.
            RefusedError: a scheme without protection that nobody called insecure.
            UsageError: an unknown scheme or precision, or too many canaries.

        """
        if not 0 <= canaries <= MOST_CANARIES:
            raise UsageError(f"A block has 0 to {MOST_CANARIES} canaries.")
        encoding = encoding_for(dimension, metric, radius, precision, quantiser, scheme=scheme)
        params = params_for(scheme, encoding, precision, insecure_clear=insecure_clear, batch=batch)
        return cls(name, scheme, params.wire(), Secret.fresh(), encoding, model_id, canaries)

    def fields(self) -> dict[str, Any]:
        """As a vault stores it. The secret goes in as bytes: the record is to be sealed."""
        return {
            "name": self.name,
            "scheme": self.scheme,
            "params": dict(self.params),
            "secret": self.secret.export(ExportToken()),
            "encoding": self.encoding.fields(),
            "model_id": self.model_id,
            "canaries": self.canaries,
            "gallery_id": self.gallery_id,
            "revision": self.revision,
        }

    @classmethod
    def load(cls, fields: Mapping[str, Any]) -> Identity:
        """Undo `fields`; others beside them are left alone."""
        try:
            own = {name: fields[name] for name in cls.__slots__}
            own["secret"] = Secret(own["secret"])
            own["encoding"] = stored_encoding(own["encoding"])
        except (KeyError, TypeError) as error:
            raise CorruptVaultError("A gallery's record is not one of this version.") from error
        return cls(**own)

    def __repr__(self) -> str:
        return f"Identity({self.name!r}, {self.scheme}, <redacted>)"


def announce(matcher: Matcher, draft: Identity, *, staged: bool = False) -> Identity:
    """Create a gallery on the matcher, with what a client without a vault needs sealed in it."""
    key = key_holder(draft.scheme, draft.params, draft.secret)
    about = pack(
        {"encoding": draft.encoding.fields(), "model_id": draft.model_id, "canaries": draft.canaries}
    )
    sealed = Seal(draft.secret.derive("gallery record")).close(f"gallery {key.key_id}", about)
    spec = GallerySpec(draft.name, draft.scheme, dict(draft.params), key.key_id, sealed, staged)
    info = matcher.create(spec)
    return replace(draft, gallery_id=info.gallery_id, revision=info.revision)


def recover(matcher: Matcher, gallery_id: str, secret: Secret) -> Identity:
    """The identity of a gallery from its secret alone; `MismatchError` where it is not its key."""
    info = matcher.info(gallery_id)
    key = key_holder(info.scheme, info.params, secret)
    if key.key_id != info.key_id:
        raise MismatchError("This key is not the one that the gallery was made under.")
    about = unpack(Seal(secret.derive("gallery record")).open(f"gallery {key.key_id}", info.sealed))
    found = {name: about[name] for name in ("model_id", "canaries")}
    found |= {"encoding": stored_encoding(about["encoding"]), "gallery_id": gallery_id}
    return Identity(info.name, info.scheme, info.params, secret, **found)
