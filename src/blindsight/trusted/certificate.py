"""Certificates of erasure: what was erased, when, and signed so that others can check it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from blindsight.core.errors import TamperedError
from blindsight.core.secrets import Secret


def certify_erasure(
    secret: Secret,
    gallery: str,
    key_id: str,
    subject: str,
    rows: int,
    blocks: Sequence[tuple[int, bytes, bytes]],
) -> dict[str, Any]:
    """A certificate that a subject's templates were erased, signed with Ed25519.

    It lists the blocks that held them, with the SHA-256 of each before and after: whoever has
    a copy of the old block can tell that it is not the one in use, and nobody can tell from
    either what was in it.
    """
    key = Ed25519PrivateKey.from_private_bytes(secret.derive("certificates"))
    statement = {
        "type": "blindsight-erasure-1",
        "gallery": gallery,
        "key_id": key_id,
        "subject": subject,
        "templates": rows,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "blocks": [
            {"block": number, "replaced": before.hex(), "by": after.hex()} for number, before, after in blocks
        ],
    }
    return statement | {
        "public_key": key.public_key().public_bytes_raw().hex(),
        "signature": key.sign(_canonical(statement)).hex(),
    }


def check_certificate(certificate: Mapping[str, Any]) -> None:
    """Raise `TamperedError` unless the signature is that of the statement by its own public key.

    That the key is the right one is for the reader to know, from the gallery's ``info``.
    """
    statement = {
        name: value for name, value in certificate.items() if name not in ("public_key", "signature")
    }
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(certificate["public_key"]))
        key.verify(bytes.fromhex(certificate["signature"]), _canonical(statement))
    except (InvalidSignature, ValueError, KeyError, TypeError) as error:
        raise TamperedError("The certificate's signature does not fit; it was altered.") from error


def public_key(secret: Secret) -> str:
    """The public key, in hex, that a gallery's certificates are checked with."""
    key = Ed25519PrivateKey.from_private_bytes(secret.derive("certificates"))
    return key.public_key().public_bytes_raw().hex()


def _canonical(statement: Mapping[str, Any]) -> bytes:
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
