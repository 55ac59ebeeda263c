"""From options to an open vault, an open gallery and its embedder."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blindsight.core.errors import ModelMismatchError, NotFoundError, UsageError

if TYPE_CHECKING:
    from blindsight.trusted.gallery import Gallery
    from blindsight.trusted.sealing import Unlock
    from blindsight.trusted.vault import Vault
    from blindsight.vision import FacePipeline

_VARIABLE = "BLINDSIGHT_PASSPHRASE"


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the vault is, and what opens it, as the options say."""

    vault: Path | None
    passphrase_file: Path | None
    key_file: Path | None

    @property
    def path(self) -> Path:
        return self.vault if self.vault is not None else Path.home() / ".blindsight" / "vault"

    @property
    def given(self) -> bool:
        """Whether `unlock` would ask nobody."""
        return bool(self.passphrase_file or self.key_file or os.environ.get(_VARIABLE))

    @contextmanager
    def open(self) -> Iterator[Vault]:
        """The vault; closed afterwards."""
        if not self.path.is_file():
            raise UsageError(f"There is no vault at {self.path}; make one with `blindsight init`.")
        unlock = self.unlock()
        from blindsight.trusted.vault import Vault

        vault = Vault.open(self.path, unlock)
        try:
            yield vault
        finally:
            vault.close()

    def unlock(self, *, new: bool = False) -> Unlock:
        """The passphrase or the key file; a ``new`` passphrase is asked for twice."""
        if self.key_file is not None and self.passphrase_file is not None:
            raise UsageError("A vault opens with a passphrase or with a key file; give one of the two.")
        from blindsight.trusted.sealing import Unlock

        if self.key_file is not None:
            return Unlock(key_file=self.key_file)
        if self.passphrase_file is None and os.environ.get(_VARIABLE):
            return Unlock(os.environ[_VARIABLE])
        return asked(
            "the vault", self.passphrase_file, new=new, otherwise=f"--passphrase-file or {_VARIABLE}"
        )

    @contextmanager
    def gallery(self, name: str) -> Iterator[Gallery]:
        """A gallery of the vault; closed afterwards."""
        from blindsight.trusted.gallery import Gallery

        with self.open() as vault:
            require_gallery(vault, name)
            gallery = Gallery.open(vault, name)
            try:
                yield gallery
            finally:
                gallery.close()


def asked(what: str, file: Path | None, *, new: bool, otherwise: str) -> Unlock:
    """A passphrase from a file, else from the person at the terminal."""
    from blindsight.trusted.sealing import Unlock

    if file is not None:
        return Unlock(first_line(file, "passphrase"))
    if not sys.stdin.isatty():
        raise UsageError(f"Nobody is here to ask for the passphrase of {what}; give {otherwise}.")
    passphrase = getpass.getpass(f"Passphrase of {what}: ")
    if new and passphrase and getpass.getpass("The same again: ") != passphrase:
        raise UsageError("The two passphrases differ; nothing was made.")
    return Unlock(passphrase)


def first_line(file: Path, what: str) -> str:
    """The first line of a file that holds a secret."""
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.readline(4096).rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError(f"The {what} file {file} is not text.") from None
    except OSError as error:
        raise UsageError(f"The {what} file {file} cannot be read: {error.strerror}.") from None


def require_gallery(vault: Vault, name: str) -> None:
    """Raise `UsageError` where the vault has no such gallery."""
    try:
        vault.find(name)
    except NotFoundError as error:
        raise UsageError(error.message) from None


def require_subject(gallery: Gallery, name: str) -> None:
    """Raise `UsageError` where nobody has this name, also after asking the server."""
    for _ in range(2):
        try:
            gallery.subject(name)
        except NotFoundError as error:
            sentence = error.message
        else:
            return
        gallery.sync()
    raise UsageError(sentence)


def where(server: str | None, folder: Path | None) -> str | Path:
    """The matcher that the options name."""
    if (server is None) == (folder is None):
        raise UsageError("Say where the templates go: --server with its address, or --folder.")
    if server is not None:
        if not server.startswith(("http://", "https://")):
            raise UsageError("A server's address looks like https://host:port.")
        return server
    assert folder is not None
    return folder.absolute()


def token(file: Path | None) -> str | None:
    """The server's token from its file, else from the environment."""
    if file is not None:
        return first_line(file, "token").strip()
    return os.environ.get("BLINDSIGHT_TOKEN", "").strip() or None


def threshold_of(
    gallery: Gallery, threshold: float | None, at: str | None, calibration: Path | None
) -> float | None:
    """The threshold that the options ask for; None for the gallery's own."""
    if at is None:
        return threshold
    if threshold is not None:
        raise UsageError("Give a threshold or a false match rate, not both.")
    if calibration is None:
        raise UsageError("--at needs a threshold file: --calibration, written by `blindsight calibrate`.")
    from blindsight.evaluation.calibration import Calibration

    metric = gallery.session.identity.encoding.metric
    return Calibration.load(calibration).threshold_at(at, model_id=gallery.model_id, metric=metric)


def embedder_of(gallery: Gallery) -> FacePipeline:
    """Detector and embedder of a gallery; refused early where it is not the same model."""
    if not gallery.embedder:
        raise UsageError(f"The gallery {gallery.name} was made without saying which embedder it is for.")
    from blindsight.vision import open_embedder

    pipeline = open_embedder(gallery.embedder)
    if pipeline.embedder.model_id != gallery.model_id:
        raise ModelMismatchError(
            f"This gallery holds templates of {gallery.model_id}, and here {gallery.embedder} is "
            f"{pipeline.embedder.model_id}; use the weights that the gallery was made with."
        )
    return pipeline
