"""Errors as they travel: RFC 9457 problem details, one ``type`` for each error class.

``type`` is ``urn:blindsight:error:<code>``, with the code of `blindsight.core.errors`.
"""

from __future__ import annotations

import json
from typing import Final

from blindsight.core import errors
from blindsight.core.errors import BlindsightError, by_code

MEDIA_TYPE: Final = "application/problem+json"
PREFIX: Final = "urn:blindsight:error:"
MAX_BYTES: Final = 64 << 10

_MAX_DETAIL: Final = 1000

_STATUS: Final[dict[type[BlindsightError], int]] = {
    errors.UsageError: 400,
    errors.MalformedError: 400,
    errors.UnauthorizedError: 401,
    errors.RefusedError: 403,
    errors.NotFoundError: 404,
    errors.DuplicateError: 409,
    errors.ConflictError: 409,
    errors.TooLargeError: 413,
    errors.MismatchError: 422,
    errors.TamperedError: 500,
    errors.UnavailableError: 503,
    errors.StorageFullError: 507,
}

_FROM_A_SERVER: Final = (errors.ProtocolError, errors.UsageError, errors.MismatchError)
"""What a server may make a client raise; an error about the client's own vault is not among it."""

_BY_STATUS: Final[dict[int, type[BlindsightError]]] = {
    401: errors.UnauthorizedError,
    403: errors.RefusedError,
    404: errors.NotFoundError,
    413: errors.TooLargeError,
    502: errors.UnavailableError,
    503: errors.UnavailableError,
    504: errors.UnavailableError,
    507: errors.StorageFullError,
}


def status_of(error: BlindsightError) -> int:
    """The HTTP status of an error: its class's, or that of the nearest base; 500 otherwise."""
    for cls in type(error).__mro__:
        if cls in _STATUS:
            return _STATUS[cls]
    return 500


def encode(error: BlindsightError, status: int | None = None) -> bytes:
    """The body of an error answer."""
    return json.dumps(
        {
            "type": PREFIX + error.code,
            "title": (type(error).__doc__ or "An error.").splitlines()[0],
            "status": status or status_of(error),
            "detail": error.message,
        }
    ).encode()


def decode(status: int, media_type: str, body: bytes) -> BlindsightError:
    """The error that a client raises for an answer of this status. Never fails itself.

    A code that is unknown here, or that no server has business sending, is a `ProtocolError`;
    an answer that is no problem document is judged by its status alone.
    """
    if media_type == MEDIA_TYPE and len(body) <= MAX_BYTES:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            name, detail = found.get("type"), found.get("detail")
            if isinstance(name, str) and name.startswith(PREFIX) and isinstance(detail, str):
                cls = by_code(name.removeprefix(PREFIX))
                if not issubclass(cls, _FROM_A_SERVER):
                    cls = errors.ProtocolError
                return cls(_printable(detail))
    cls = _BY_STATUS.get(status, errors.UnavailableError if status >= 500 else errors.MalformedError)
    return cls(
        f"The server answered with HTTP status {status} and no explanation; is it a Blindsight server?"
    )


def _printable(text: str) -> str:
    """A stranger's sentence, made fit for a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_MAX_DETAIL])
