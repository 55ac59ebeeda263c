"""Requests and consents as bytes, signed, and in files (specs/reveal.md, section 4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.core.consent import (
    MAX_RANGE_MICROSECONDS,
    MAX_VALID_SECONDS,
    MAX_WITHHELD,
    Consent,
    Rectangle,
    Request,
    signable,
)
from blindsight.core.errors import MalformedError, TamperedError, UsageError
from blindsight.wire.dual_control import Signed
from blindsight.wire.fields import Fields, pack, unpack

MAX_BYTES: Final = 16 << 10

_CAMERA: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST: Final = (
    "kind", "nonce", "operator", "camera", "first", "last", "at", "until", "revealer", "reason"
)  # fmt: skip
_CONSENT: Final = ("kind", "request", "operator", "at", "withhold")
_REASON_CHARACTERS: Final = 1000
_SIDE: Final = 8192
_YEAR_9999: Final = 253_402_300_799_999_999
_MOST_SECONDS: Final = _YEAR_9999 // 1_000_000

_T = TypeVar("_T")


def encode_request(request: Request) -> bytes:
    """What the asking operator signs."""
    return pack({"kind": "request"} | {name: getattr(request, name) for name in _REQUEST[1:]})


def encode_consent(consent: Consent) -> bytes:
    """What a consenting operator signs."""
    return pack(
        {
            "kind": "consent",
            "request": consent.request,
            "operator": consent.operator,
            "at": consent.at,
            "withhold": [list(rectangle) for rectangle in consent.withhold],
        }
    )


def decode_request(data: bytes) -> Request:
    """Undo `encode_request`; says nothing of the signature. Raises `MalformedError`."""
    fields = _fields(data, "request", _REQUEST)
    reason = fields.any("reason")
    if type(reason) is not str or not 1 <= len(reason) <= _REASON_CHARACTERS or not reason.isprintable():
        raise MalformedError(f"A reason has 1 to {_REASON_CHARACTERS} printable characters.")
    first, at = fields.integer("first", 0, _YEAR_9999), fields.integer("at", 0, _MOST_SECONDS)
    request = Request(
        nonce=fields.blob("nonce", 16, 16),
        operator=fields.blob("operator", 32, 32),
        camera=fields.text("camera", _CAMERA),
        first=first,
        last=fields.integer("last", 0, _YEAR_9999),
        at=at,
        until=fields.integer("until", 0, _MOST_SECONDS),
        revealer=fields.blob("revealer", 32, 32),
        reason=reason,
    )
    if not first <= request.last <= first + MAX_RANGE_MICROSECONDS:
        raise MalformedError(
            "A request is for a range of at most 31 days that does not end before it begins."
        )
    if not at < request.until <= at + MAX_VALID_SECONDS:
        raise MalformedError("A request is valid for up to 31 days after it was signed.")
    return _canonical(request, encode_request, data)


def decode_consent(data: bytes) -> Consent:
    """Undo `encode_consent`; says nothing of the signature. Raises `MalformedError`."""
    fields = _fields(data, "consent", _CONSENT)
    withhold = tuple(_rectangle(one) for one in fields.many("withhold", 0, MAX_WITHHELD))
    consent = Consent(
        fields.blob("request", 32, 32), fields.blob("operator", 32, 32), fields.integer("at", 0), withhold
    )
    return _canonical(consent, encode_consent, data)


def opened_request(signed: Signed) -> tuple[Request, bytes]:
    """A request that its operator signed, and its digest; whose operator that is, is not said."""
    request = decode_request(signed.value)
    _require_signed("request", signed, request.operator)
    return request, sha256(signable("request", signed.value)).digest()


def opened_consent(signed: Signed) -> Consent:
    """A consent that its operator signed."""
    consent = decode_consent(signed.value)
    _require_signed("consent", signed, consent.operator)
    return consent


def to_file(kind: str, signed: Signed) -> bytes:
    """A file of a ``request`` or a ``consent``."""
    return pack({"kind": kind} | signed.wire())


def read_file(path: Path, kind: str) -> Signed:
    """The signed value in such a file; `MalformedError` for any other, `UsageError` where there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        fields = Fields(unpack(data[:MAX_BYTES]), kind, frozenset({"kind", "value", "signature"}))
        if len(data) > MAX_BYTES or fields.any("kind") != kind:
            raise MalformedError("This is another file.")
        return Signed(fields.blob("value", 1, MAX_BYTES), fields.blob("signature", 64, 64))
    except MalformedError:
        raise MalformedError(f"{path} is not a file of `blindsight footage {kind}`, or is damaged.") from None


def _require_signed(kind: str, signed: Signed, key: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signed.signature, signable(kind, signed.value))
    except (InvalidSignature, ValueError):
        raise TamperedError(f"This {kind} does not carry the signature of its operator.") from None


def _fields(data: bytes, kind: str, keys: tuple[str, ...]) -> Fields:
    fields = Fields(unpack(data), kind, frozenset(keys))
    if fields.any("kind") != kind:
        raise MalformedError(f"This is not a {kind}.")
    return fields


def _rectangle(value: Any) -> Rectangle:
    if type(value) is not list or len(value) != 4 or any(type(one) is not int for one in value):
        raise MalformedError("A withheld region is four integers: left, top, width, height.")
    left, top, width, height = value
    if not (0 <= left <= _SIDE and 0 <= top <= _SIDE and 1 <= width <= _SIDE and 1 <= height <= _SIDE):
        raise MalformedError(f"A withheld region lies within {_SIDE} pixels and is not empty.")
    return left, top, width, height


def _canonical(value: _T, encode: Callable[[_T], bytes], data: bytes) -> _T:
    if encode(value) != data:
        raise MalformedError("This value is not in the encoding that its digest is of.")
    return value
