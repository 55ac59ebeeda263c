"""What a role of a federation keeps on disk: one msgpack map a file, replaced as a whole.

A file is its owner's alone (mode 0600), and is refused where others can read it. Writing makes a new file,
has it reach the disk and renames it, so that a crash leaves the old or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from blindsight.core.errors import StorageFullError, UsageError
from blindsight.wire.fields import Fields, pack, unpack

_LARGEST: Final = 1 << 30


def sync_folder(folder: Path) -> None:
    """Have what was just made, renamed or removed in a folder survive a power cut. Raises OSError."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def write_state(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a state file. Raises `StorageFullError` where it cannot be written; the old one stays."""
    fresh = path.with_name(path.name + ".new")
    try:
        held = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(held, "wb") as file:
            file.write(pack(dict(content)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StorageFullError(f"{path} cannot be written: {error.strerror}.") from error


def read_state(path: Path, keys: frozenset[str]) -> Fields:
    """The fields of a state file. Raises `UsageError`, or `MalformedError` where it was damaged."""
    try:
        with path.open("rb") as file:
            mode, data = os.fstat(file.fileno()).st_mode, file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}. Is this the folder of a federation?"
        ) from error
    if mode & 0o077:
        raise UsageError(f"Others can read {path}, which holds secrets; run chmod 600 on it.")
    if len(data) > _LARGEST:
        raise UsageError(f"{path} is too large to be a state file.")
    return Fields(unpack(data), path.name, keys)
