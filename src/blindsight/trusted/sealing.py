"""Authenticated encryption of records, and keys from passphrases and key files."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from blindsight.core.errors import CorruptVaultError, StorageFullError, UsageError, WrongPassphraseError
from blindsight.core.secrets import ExportToken, Secret

_NONCE = 12
_SALT = 16
_ARGON2 = {"iterations": 3, "lanes": 4, "memory_cost": 64 * 1024}
"""RFC 9106, second recommended option: 64 MiB, three passes, four lanes."""


class Seal:
    """AES-256-GCM under one key: each record bound to its place, nonces from the system."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, place: str, plain: bytes) -> bytes:
        """Encrypt and authenticate; ``place`` says where the record belongs."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, place.encode())

    def open(self, place: str, sealed: bytes) -> bytes:
        """Undo `close`; `CorruptVaultError` where the record was altered or moved."""
        if not isinstance(sealed, bytes):  # a damaged database gives other types
            raise CorruptVaultError("A sealed record is damaged; restore it from a backup.")
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise CorruptVaultError(
                "A sealed record does not authenticate; restore it from a backup."
            ) from error


@dataclass(frozen=True, slots=True)
class Unlock:
    """What opens a vault: a passphrase, or a key file that only its owner may read."""

    passphrase: str | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if (self.passphrase is None) == (self.key_file is None):
            raise UsageError("Give either a passphrase or a key file.")
        if self.passphrase == "":
            raise UsageError("The passphrase is empty.")
        if self.passphrase is not None and any("\ud800" <= letter <= "\udfff" for letter in self.passphrase):
            raise UsageError("The passphrase has bytes in it that are not text.")

    def __repr__(self) -> str:
        return "Unlock(<redacted>)"

    def wrap(self, secret: Secret) -> bytes:
        """``secret`` under a key derived from this, with all that `unwrap` needs but this."""
        salt = os.urandom(_SALT)
        kind = "argon2id" if self.passphrase is not None else "key-file"
        box = Seal(self._key(kind, salt, _ARGON2)).close("vault key", secret.export(ExportToken()))
        packed: bytes = msgpack.packb({"kind": kind, "salt": salt, "cost": _ARGON2, "box": box})
        return packed

    def unwrap(self, wrapped: bytes) -> Secret:
        """The secret again; `WrongPassphraseError` where this is not what wrapped it."""
        fields = unpack(wrapped)
        kind, salt, cost, box = (fields.get(name) for name in ("kind", "salt", "cost", "box"))
        if not (isinstance(salt, bytes) and isinstance(box, bytes) and isinstance(kind, str)):
            raise CorruptVaultError("The vault's lock is damaged, or of another version.")
        if kind not in ("argon2id", "key-file") or cost != _ARGON2:
            raise CorruptVaultError("The vault's lock is damaged, or of another version.")
        if kind == "argon2id" and self.passphrase is None:
            raise WrongPassphraseError("This vault opens with a passphrase, not with a key file.")
        if kind == "key-file" and self.key_file is None:
            raise WrongPassphraseError("This vault opens with its key file, not with a passphrase.")
        try:
            return Secret(Seal(self._key(kind, salt, _ARGON2)).open("vault key", box))
        except CorruptVaultError as error:
            what = "passphrase" if kind == "argon2id" else "key file"
            raise WrongPassphraseError(f"The {what} does not open this vault.") from error

    def _key(self, kind: str, salt: bytes, cost: dict[str, int]) -> bytes:
        if kind == "argon2id":
            assert self.passphrase is not None
            return Argon2id(
                salt=salt,
                length=32,
                iterations=cost["iterations"],
                lanes=cost["lanes"],
                memory_cost=cost["memory_cost"],
            ).derive(self.passphrase.encode())
        assert self.key_file is not None
        return Secret(read_key_file(self.key_file)).derive("vault lock", salt)


def make_key_file(path: Path) -> None:
    """Write 32 random bytes to a new file with mode 0600."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already; a key file is never overwritten.") from error
    except OSError as error:
        raise UsageError(f"The key file {path} cannot be made: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageFullError(f"The key file {path} cannot be written: {error.strerror}.") from error


def read_key_file(path: Path) -> bytes:
    """The bytes of a key file: at least 32 of them, readable by the owner alone."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4096)
    except OSError as error:
        raise UsageError(f"The key file {path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise UsageError(f"The key file {path} can be read by others; make it private with chmod 600.")
    if len(content) < 32:
        raise UsageError(f"The key file {path} is too short; it needs 32 random bytes.")
    return content


def pack(fields: dict[str, Any]) -> bytes:
    """A record as bytes."""
    packed: bytes = msgpack.packb(fields)
    return packed


def unpack(data: bytes) -> dict[str, Any]:
    """A record from bytes that were authenticated, or are about to be."""
    if not isinstance(data, bytes):
        raise CorruptVaultError("A stored record cannot be read; restore it from a backup.")
    try:
        fields = msgpack.unpackb(data, max_bin_len=1 << 24, max_str_len=1 << 16, max_array_len=1 << 16,
                                 max_map_len=1 << 10, strict_map_key=True)  # fmt: skip
    except (ValueError, msgpack.UnpackException) as error:
        raise CorruptVaultError("A stored record cannot be read; restore it from a backup.") from error
    if not isinstance(fields, dict):
        raise CorruptVaultError("A stored record cannot be read; restore it from a backup.")
    return fields
