"""The data folder: one process at a time, names of files, and a reserve for the day it is full."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from blindsight.core.errors import UsageError
from blindsight.wire.state import sync_folder

_BALLAST_BYTES: Final = 256 << 10
"""Set aside so that a gallery can be deleted when the disk is full."""

_TILES: Final = re.compile(r"([0-9a-f]{32})\.tiles")


class DataFolder:
    """A folder, made where there is none and held until `close`.

    Raises `UsageError` where it cannot be used or another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"{path} cannot be used as a data folder: {error.strerror}.") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise UsageError(f"Another process serves from {path}; stop it or take another folder.") from None

    @property
    def closed(self) -> bool:
        return self._lock < 0

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def catalog(self) -> Path:
        """Where the catalog is; `UsageError` where it is gone and galleries are not."""
        path = self.path / "catalog.sqlite"
        if not path.exists() and any(self.tile_files()):
            raise UsageError(
                f"{self.path} holds galleries but no catalog.sqlite; restore it from the same backup, "
                "or take an empty folder."
            )
        return path

    def tiles(self, gallery_id: str) -> Path:
        return self.path / f"{gallery_id}.tiles"

    def tile_files(self) -> Iterator[tuple[str, Path]]:
        """The gallery ids and paths of all tile files."""
        for found in self.path.iterdir():
            if match := _TILES.fullmatch(found.name):
                yield match[1], found

    def sync(self) -> None:
        """Have a file that was just made survive a power cut. Raises OSError."""
        sync_folder(self.path)

    def take_ballast(self) -> None:
        """Reserve a little room, if there is any. Raises OSError for other faults."""
        held = os.open(self.path / "ballast", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(held, 0, _BALLAST_BYTES)
        except OSError:
            os.ftruncate(held, 0)  # no room now; deleting something makes some
        finally:
            os.close(held)

    def drop_ballast(self) -> None:
        """Give the reserved room to whoever needs it next."""
        os.truncate(self.path / "ballast", 0)
