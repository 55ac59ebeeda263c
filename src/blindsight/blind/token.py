"""The bearer token: none is shipped, one is made on first start."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from blindsight.core.errors import UnauthorizedError, UsageError


class TokenCheck:
    """Knows a token's SHA-256 and not the token."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def require(self, authorization: str | None) -> None:
        """Raise `UnauthorizedError` unless this header presents the token. Constant time."""
        kind, _, presented = (authorization or "").partition(" ")
        found = hashlib.sha256(presented.strip().encode()).digest()
        if not hmac.compare_digest(found, self._digest) or kind.lower() != "bearer":
            raise UnauthorizedError(
                "The server does not accept this token; copy it from the server's token file."
            )


def load_or_make(path: Path) -> TokenCheck:
    """The token in a file; where there is no file, one with a new token and mode 0600.

    Raises `UsageError` where the file can be read by others, or does not hold a token.
    """
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            mode, text = os.fstat(file.fileno()).st_mode, file.read(4097)
    except OSError as error:
        raise UsageError(f"The token file {path} cannot be used: {error.strerror}.") from None
    if mode & 0o077:
        raise UsageError(f"Others can read the token file {path}; run chmod 600 on it.")
    token = text.strip()
    if not 16 <= len(token) <= 4096 or b" " in token or not token.isascii():
        raise UsageError(
            f"{path} does not hold a token of 16 or more characters; delete it to have one made."
        )
    return TokenCheck(hashlib.sha256(token).digest())


def _make(path: Path) -> None:
    """A new token, whole or not there at all."""
    fresh = path.with_name(path.name + ".new")
    held = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(held, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()
