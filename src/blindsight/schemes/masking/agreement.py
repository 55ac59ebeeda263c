"""What two users agree on by X25519, and what one seed grows into."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blindsight.core.errors import MalformedError
from blindsight.core.summing import RoundId
from blindsight.kernels.masks import SEED_BYTES


def private(secret: bytes) -> X25519PrivateKey:
    """The X25519 key of 32 bytes."""
    return X25519PrivateKey.from_private_bytes(secret)


def public_of(key: X25519PrivateKey) -> bytes:
    """Its public half, 32 bytes."""
    return key.public_key().public_bytes_raw()


def agreed(key: X25519PrivateKey, other: bytes) -> bytes:
    """The 32 bytes that both ends of an X25519 agreement compute; never used but through `derived`."""
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError as error:
        raise MalformedError("A user's public key is not one; its advert was made up.") from error


def derived(material: bytes, round_id: RoundId, purpose: str, first: int, second: int, size: int) -> bytes:
    """HKDF-SHA256, bound to the round, a purpose and two users in this order."""
    info = purpose.encode() + round_id.params + round_id.key
    info += round_id.number.to_bytes(4, "little") + first.to_bytes(2, "little") + second.to_bytes(2, "little")
    return HKDF(SHA256(), size, None, info).derive(material)


def pair_seed(key: X25519PrivateKey, other: bytes, round_id: RoundId, one: int, two: int) -> bytes:
    """The 128-bit seed of the mask that users ``one`` and ``two`` share."""
    first, second = min(one, two), max(one, two)
    return derived(agreed(key, other), round_id, "masking pair", first, second, SEED_BYTES)


def self_seed(secret: bytes, round_id: RoundId, user: int) -> bytes:
    """The 128-bit seed of a user's own mask."""
    return derived(secret, round_id, "masking self", user, user, SEED_BYTES)


def commitment(secret: bytes, round_id: RoundId, user: int) -> bytes:
    """32 bytes that a user's own secret is checked by when it was recovered; 256 random bits hide in it."""
    return hashlib.sha256(b"masking commitment" + round_id.pack_place(user) + secret).digest()
