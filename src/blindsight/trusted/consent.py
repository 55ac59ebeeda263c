"""What operators sign about footage: requests and consents (specs/reveal.md, section 4)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.core.consent import Consent, Rectangle, Request, signable
from blindsight.core.errors import RefusedError, UsageError
from blindsight.wire.consent import (
    decode_consent,
    decode_request,
    encode_consent,
    encode_request,
    opened_request,
)
from blindsight.wire.dual_control import Signed
from blindsight.wire.tls import Peer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def sign_request(
    key: bytes,
    camera: str,
    first: datetime,
    last: datetime,
    revealer: Peer,
    reason: str,
    hours: float = 24.0,
) -> Signed:
    """A request to see what a camera saw, valid for ``hours``, signed with an operator's key of 32 bytes.

    Raises `UsageError` for a certificate that is no revealer's, and `MalformedError` for what a
    request cannot say.
    """
    if revealer.role != "revealer":
        raise UsageError(f"{revealer.name} is a {revealer.role}; footage is shown to a revealer alone.")
    signer, now = Ed25519PrivateKey.from_private_bytes(key), int(time.time())
    if not 0.0 < hours <= 31 * 24:
        raise UsageError("A request is valid for up to 744 hours.")
    encoded = encode_request(
        Request(
            nonce=os.urandom(16),
            operator=signer.public_key().public_bytes_raw(),
            camera=camera,
            first=(first - _EPOCH) // _MICROSECOND,
            last=(last - _EPOCH) // _MICROSECOND,
            at=now,
            until=now + max(1, round(3600 * hours)),
            revealer=bytes.fromhex(revealer.fingerprint),
            reason=reason,
        )
    )
    decode_request(encoded)
    return Signed(encoded, signer.sign(signable("request", encoded)))


def sign_consent(key: bytes, request: Signed, withhold: Iterable[Rectangle] = ()) -> Signed:
    """An operator's consent to exactly this request, but for ``withhold``.

    Raises `TamperedError` for a request that was altered, `RefusedError` for one that has expired.
    """
    asked, digest = opened_request(request)
    signer, now = Ed25519PrivateKey.from_private_bytes(key), int(time.time())
    if now >= asked.until:
        raise RefusedError("This request has expired; have a new one signed.")
    public = signer.public_key().public_bytes_raw()
    encoded = encode_consent(Consent(digest, public, now, tuple(withhold)))
    decode_consent(encoded)
    return Signed(encoded, signer.sign(signable("consent", encoded)))
