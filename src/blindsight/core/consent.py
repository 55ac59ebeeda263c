"""Who may see footage: a request that one operator signs and both consent to (specs/reveal.md, section 4).

Koch's framework (section 3.2) has footage "reconstructed if both parties agree"; this is what
agreeing is. A party decides alone, from what it is shown and its own clock.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from blindsight.core.errors import RefusedError, TamperedError

MAX_RANGE_MICROSECONDS: Final = 31 * 86_400 * 1_000_000
MAX_VALID_SECONDS: Final = 31 * 86_400
MAX_WITHHELD: Final = 64

Rectangle = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody is to see what ``camera`` saw.

    Attributes:
        operator: Ed25519 public key of who asks.
        first, last: the range, in microseconds since 1970.
        at, until: when it was signed and when it expires, in seconds since 1970.
        revealer: SHA-256 of the certificate of the one who is to see it.
    """

    nonce: bytes
    operator: bytes
    camera: str
    first: int
    last: int
    at: int
    until: int
    revealer: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Consent:
    """An operator agrees to the request with this digest, but for ``withhold``."""

    request: bytes
    operator: bytes
    at: int
    withhold: tuple[Rectangle, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """A request that both agreed to. ``withhold`` are party 0's and party 1's rectangles."""

    request: Request
    digest: bytes
    withhold: tuple[tuple[Rectangle, ...], tuple[Rectangle, ...]]

    def require_valid(self, now: float) -> None:
        """Raise `RefusedError` once the request has expired."""
        if now >= self.request.until:
            raise RefusedError("This request has expired; have a new one signed.")


def granted(
    request: Request,
    digest: bytes,
    consents: Sequence[Consent],
    operators: tuple[bytes, bytes],
    revealer: bytes,
    now: float,
) -> Grant:
    """The grant, if request and consents, whose signatures were checked, are one.

    Args:
        request, digest: what is asked, and its name.
        consents: as many as came.
        operators: public keys of party 0's and party 1's.
        revealer: SHA-256 of the certificate of the one who asks now.
        now: seconds since 1970.

    Raises:
        RefusedError: it expired, is somebody else's, or somebody did not consent.
        TamperedError: a consent is to another request, or a signer is nobody's operator.
    """
    if request.operator not in operators:
        raise TamperedError("This request was signed by nobody who is an operator here.")
    if not hmac.compare_digest(request.revealer, revealer):
        raise RefusedError("This request is for another revealer; ask with the identity that it names.")
    given: list[tuple[Rectangle, ...] | None] = [None, None]
    for consent in consents:
        if not hmac.compare_digest(consent.request, digest):
            raise TamperedError("A consent is to another request; ask both operators to consent to this one.")
        if consent.operator not in operators:
            raise TamperedError("A consent was signed by nobody who is an operator here.")
        given[operators.index(consent.operator)] = consent.withhold
    for party, withhold in enumerate(given):
        if withhold is None:
            raise RefusedError(f"The operator of party {party} has not consented to this request.")
    first, second = given
    assert first is not None
    assert second is not None
    grant = Grant(request, digest, (first, second))
    grant.require_valid(now)
    return grant


def shown_instant(microseconds: int) -> str:
    """Microseconds since 1970, as ISO 8601 in UTC."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return at.isoformat().replace("+00:00", "Z")


def signable(kind: str, encoding: bytes) -> bytes:
    """What is hashed, and what is signed."""
    return f"blindsight reveal 1 {kind}".encode() + b"\x00" + encoding
