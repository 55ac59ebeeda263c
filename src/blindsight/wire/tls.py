"""Who is at the other end: TLS 1.3 with certificates on both sides, each known beforehand.

There is no authority. Whoever takes part makes a key and a certificate of its own, and is told
by a person which certificates to trust: the two parties and the cameras know each other by
name, and a stolen authority could not add a third. A trusted certificate that has expired, or
is not the very one that was given, does not connect.
"""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from blindsight.core.errors import DuplicateError, MalformedError, NotFoundError, UsageError

ROLES: Final = ("party0", "party1", "camera", "provider", "revealer")
PURPOSES: Final = ("blindsight-footage",)
"""What a connection may be for beside the usual, said in the handshake (ALPN)."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_BYTES: Final = 16 << 10
_EARLY: Final = timedelta(hours=1)
"""Clocks differ: a certificate is valid from a little before it was made."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody who may connect: ``role`` is one of `ROLES`; ``der`` is the certificate."""

    role: str
    name: str
    until: datetime
    der: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hex, for two people to read to each other."""
        digest = x509.load_der_x509_certificate(self.der).fingerprint(hashes.SHA256())
        return digest.hex()

    @property
    def public_key(self) -> Ed25519PublicKey:
        """Of the certificate; a camera signs its footage with it, too."""
        key = x509.load_der_x509_certificate(self.der).public_key()
        if not isinstance(key, Ed25519PublicKey):
            raise MalformedError(f"The certificate of {self.role} {self.name} has another kind of key.")
        return key


class Identity:
    """A folder with this participant's key, its certificate, and the certificates it trusts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key, self._certificate = folder / "key.pem", folder / "certificate.pem"
        self._trusted = folder / "trusted"
        if not self._key.is_file() or not self._certificate.is_file():
            raise NotFoundError(f"There is no identity in {folder}; make one with `blindsight keys new`.")
        if self._key.stat().st_mode & 0o077:
            raise UsageError(f"{self._key} can be read by others; make it mode 0600.")
        self.own = read_certificate(self._certificate)

    @classmethod
    def create(cls, folder: Path, role: str, name: str, days: int = 365) -> Identity:
        """Make a key and a certificate for it, valid for ``days``; `UsageError` where there are some."""
        if role not in ROLES:
            raise UsageError(f"A role is one of {', '.join(ROLES)}.")
        if not _NAME.fullmatch(name):
            raise UsageError("A name is 1 to 64 letters, digits, dots, underscores and hyphens.")
        if not 1 <= days <= 3650:
            raise UsageError("A certificate is valid for 1 to 3,650 days.")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "trusted").mkdir(mode=0o700, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            _write_new(folder / "key.pem", pem, 0o600)
        except FileExistsError:
            raise UsageError(f"{folder} has an identity already; choose another folder.") from None
        certificate = _self_signed(key, role, name, datetime.now(UTC), timedelta(days=days))
        (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        return cls(folder)

    def trust(self, path: Path) -> Peer:
        """From now on whoever has the key to this certificate may connect in its role and name."""
        peer = read_certificate(path)
        if any((known.role, known.name) == (peer.role, peer.name) for known in self.trusted()):
            raise DuplicateError(f"A {peer.role} named {peer.name} is trusted already; distrust it first.")
        if peer.role.startswith("party") and any(known.role == peer.role for known in self.trusted()):
            raise DuplicateError(f"Another {peer.role} is trusted already; distrust it first.")
        pem = x509.load_der_x509_certificate(peer.der).public_bytes(Encoding.PEM)
        _write_new(self._trusted / f"{peer.role}.{peer.name}.pem", pem, 0o600)
        return peer

    def distrust(self, role: str, name: str) -> None:
        """Who was trusted can no longer connect (connections that are open stay until they end)."""
        for peer in self.trusted():
            if (peer.role, peer.name) == (role, name):
                (self._trusted / f"{role}.{name}.pem").unlink()
                return
        raise NotFoundError(f"No {role} named {name} is trusted here.")

    def trusted(self) -> list[Peer]:
        """All who may connect, by role and name."""
        found = [read_certificate(path) for path in sorted(self._trusted.glob("*.pem"))]
        return sorted(found, key=lambda peer: (peer.role, peer.name))

    def peer(self, role: str) -> Peer:
        """The one trusted participant in a role that only one can have."""
        for peer in self.trusted():
            if peer.role == role:
                return peer
        raise NotFoundError(f"No {role} is trusted here; `blindsight keys trust` takes its certificate.")

    def signing_key(self) -> Ed25519PrivateKey:
        """The private key to the certificate."""
        key = load_pem_private_key(self._key.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise MalformedError(f"{self._key} is not a key of `blindsight keys new`.")
        return key

    def context(self, server: bool, purpose: str = "") -> ssl.SSLContext:
        """TLS 1.3 only, a certificate demanded from the other end, only trusted ones accepted.

        ``purpose`` is what a client asks for: one of `PURPOSES`, or nothing. No group is named for the
        key exchange: OpenSSL's own order begins with a hybrid of X25519 and ML-KEM where it has one
        (3.5), and a list here would shut out the next.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # names are in the certificate that was pinned, not in the DNS
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if server:
            context.num_tickets = 0  # every connection shows its certificate
            context.set_alpn_protocols(PURPOSES)
        elif purpose:
            context.set_alpn_protocols([purpose])
        context.load_cert_chain(self._certificate, self._key)
        for peer in self.trusted():
            context.load_verify_locations(cadata=peer.der)
        return context

    def known(self, der: bytes | None) -> Peer | None:
        """Who has this certificate, if somebody who is trusted now does."""
        return next((peer for peer in self.trusted() if peer.der == der), None)


def read_certificate(path: Path) -> Peer:
    """A certificate made by `Identity.create`, anywhere; `MalformedError` for other files."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > _MAX_BYTES:
        raise MalformedError(f"{path} is too large for a certificate.")
    try:
        certificate = x509.load_pem_x509_certificate(data)
        certificate.verify_directly_issued_by(certificate)
        (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        (role,) = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise MalformedError(f"{path} is not a certificate of `blindsight keys new`.") from None
    if role.value not in ROLES or not _NAME.fullmatch(str(name.value)):
        raise MalformedError(f"{path} is not a certificate of `blindsight keys new`.")
    der = certificate.public_bytes(Encoding.DER)
    return Peer(str(role.value), str(name.value), certificate.not_valid_after_utc, der)


def _self_signed(
    key: Ed25519PrivateKey, role: str, name: str, now: datetime, valid: timedelta
) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Blindsight"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(both, critical=False)
        .sign(key, None)
    )


def _write_new(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
