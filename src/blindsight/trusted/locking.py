"""The secrets of a role's state file, locked as a vault locks its keys: by a passphrase or a key file.

A fresh key seals the secrets with AES-256-GCM, bound to everything else in the file that does not change
(a public key put in its place would have a user encrypt for somebody else); the key itself is wrapped by
`sealing.Unlock`. Without a lock only the file's mode protects them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from blindsight.core.errors import CorruptVaultError, UsageError, WrongPassphraseError
from blindsight.core.secrets import ExportToken, Secret
from blindsight.trusted.sealing import Seal, Unlock
from blindsight.wire.fields import pack
from blindsight.wire.state import read_state, write_state

LARGEST_LOCK: Final = 1024
MORE: Final = 28
"""Bytes that sealing adds: nonce and tag."""


def write_locked(path: Path, about: Mapping[str, Any], secret: Secret, unlock: Unlock | None) -> None:
    """Write a new role's file.

    Args:
        path: of the file.
        about: what does not change and is no secret; not the fields ``lock``, ``secret`` and ``last``.
        secret: of the role.
        unlock: what will open it; None for a file that is not locked.
    """
    data, lock = secret.export(ExportToken()), b""
    if unlock is not None:
        lock = unlock.wrap(key := Secret.fresh())
        data = _seal(key).close(_place(about), data)
    write_state(path, {**about, "lock": lock, "secret": data, "last": 0})


class RoleFile:
    """A role's file that is open: its secret, and the last round, which only counts up.

    Args:
        path: of the file.
        about: as of `write_locked`.
        lock, data: its fields ``lock`` and ``secret``.
        unlock: what opens it, where it is locked.

    Raises:
        UsageError: the file is locked and nothing was given to open it, or the other way round.
        WrongPassphraseError: what was given does not open it.
        CorruptVaultError: the file was altered.
    """

    def __init__(
        self, path: Path, about: Mapping[str, Any], lock: bytes, data: bytes, unlock: Unlock | None
    ) -> None:
        self._path = path
        self._about = dict(about)
        self._lock = lock
        self._data = Secret(data)
        self.secret = self._opened(unlock)

    def _opened(self, unlock: Unlock | None) -> Secret:
        path, lock = self._path, self._lock
        if not lock and unlock is None:
            return self._data
        if unlock is None:
            raise UsageError(f"{path} is locked; give its passphrase or its key file.")
        if not lock:
            raise UsageError(
                f"{path} is not locked, and something was given to open it; is it the right file?"
            )
        try:
            key = unlock.unwrap(lock)
        except WrongPassphraseError as error:
            raise WrongPassphraseError(f"What was given does not open {path}.") from error
        except CorruptVaultError as error:
            raise CorruptVaultError(f"The lock of {path} is damaged; restore it from a backup.") from error
        try:
            return Secret(_seal(key).open(_place(self._about), self._data.export(ExportToken())))
        except CorruptVaultError as error:
            raise CorruptVaultError(f"{path} was altered; restore it from a backup.") from error

    def used(self, number: int) -> None:
        """Put down that a round was answered, before the answer leaves."""
        data = self._data.export(ExportToken())
        write_state(self._path, {**self._about, "lock": self._lock, "secret": data, "last": number})


def is_locked(path: Path, keys: frozenset[str]) -> bool:
    """Whether a role's file, of these fields, takes something to open it."""
    return bool(read_state(path, keys).blob("lock", 0, LARGEST_LOCK))


def _seal(key: Secret) -> Seal:
    return Seal(key.derive("federation secrets"))


def _place(about: Mapping[str, Any]) -> str:
    return "federation " + hashlib.sha256(pack(sorted(about.items()))).hexdigest()
