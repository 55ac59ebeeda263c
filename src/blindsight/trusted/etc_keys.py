"""Key files of scrambled images (specs/etc-image.md, section 1)."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from pathlib import Path
from typing import Final

from blindsight.core.errors import KeyFileError, StorageFullError, UsageError
from blindsight.core.secrets import ExportToken
from blindsight.schemes.etc_image.params import VERSION
from blindsight.schemes.etc_image.secret import SecretKey

_PREFIX: Final = "blindsight-etc-key-"
_LINE: Final = re.compile(r"blindsight-etc-key-([0-9]{1,4}):([0-9a-f]*):([0-9a-f]*)")


def make_key(path: Path) -> SecretKey:
    """A new key in a new file of mode 0600; `UsageError` where the file exists."""
    key = SecretKey.generate()
    seed = key.export(ExportToken())
    line = f"{_PREFIX}{VERSION}:{seed.hex()}:{hashlib.sha256(seed).hexdigest()[:8]}\n"
    try:
        held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists already; a key file is never overwritten.") from None
    except OSError as error:
        raise UsageError(f"The key file {path} cannot be made: {error.strerror}.") from None
    try:
        with os.fdopen(held, "w") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageFullError(f"The key file {path} cannot be written: {error.strerror}.") from None
    return key


def read_key(path: Path) -> SecretKey:
    """The key in a file; `KeyFileError` where it is damaged, of another version, or others can read it."""
    try:
        with path.open("rb") as file:
            mode, content = stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.read(256)
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be read: {error.strerror}.") from None
    if mode & 0o077:
        raise KeyFileError(f"Others can read the key file {path}; run chmod 600 on it.")
    found = _LINE.fullmatch(content.decode("ascii", "replace").removesuffix("\n"))
    if found is None:
        raise KeyFileError(
            f"{path} is no key file of scrambled images; make one with `blindsight image key`."
        )
    if int(found[1]) != VERSION:
        raise KeyFileError(
            f"The key in {path} is of version {int(found[1])}, and this program knows version {VERSION}; "
            "use the program that made it."
        )
    seed = bytes.fromhex(found[2]) if len(found[2]) == 64 else b""
    if not hmac.compare_digest(hashlib.sha256(seed).hexdigest()[:8], found[3]) or not seed:
        raise KeyFileError(f"The key file {path} is damaged; restore it from a backup.")
    return SecretKey.load(seed)
