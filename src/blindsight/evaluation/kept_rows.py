"""Rows of a long study on disk, so that it can be interrupted and gone on with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

Row = TypeVar("Row")


class KeptRows:
    """Rows by all that they follow from; nothing is kept without a folder.

    A file that is not such a row (cut off by a crash, of another version) is measured again.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def row(self, kind: type[Row], of: Mapping[str, Any], make: Callable[[], Row]) -> Row:
        """The kept row, else ``make``'s, which is kept before this returns.

        Args:
            kind: the row's dataclass, of numbers, texts and None.
            of: everything the row follows from, as JSON can hold it.
            make: measures it.
        """
        if self._folder is None:
            return make()
        named = json.dumps([kind.__name__, dict(of)], sort_keys=True)
        path = self._folder / f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.json"
        with suppress(OSError, ValueError, TypeError):
            found = json.loads(path.read_text())
            if found["of"] == named:
                return kind(**found["row"])
        made = make()
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps({"of": named, "row": asdict(made)}))  # type: ignore[call-overload]
        fresh.replace(path)
        return made
