"""From what a user writes to a matcher: an address, a folder, or one that is there already."""

from __future__ import annotations

import os
from pathlib import Path

from blindsight.core.matching import Matcher


def connect(
    where: str | os.PathLike[str] | Matcher,
    *,
    token: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    insecure_clear: bool = False,
) -> Matcher:
    """A matcher: over HTTP for an address that begins with http, else in this process over a folder."""
    if isinstance(where, str) and where.startswith(("http://", "https://")):
        from blindsight.wire.client import RemoteMatcher

        return RemoteMatcher(where, token or "", ca_file=Path(ca_file) if ca_file else None)
    if isinstance(where, (str, os.PathLike)):
        from blindsight.blind.matcher import LocalMatcher

        return LocalMatcher(Path(where), allow_insecure_clear=insecure_clear)
    return where
