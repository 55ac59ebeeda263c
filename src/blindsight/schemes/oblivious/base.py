"""Base transfers: one round of Diffie–Hellman (Masny and Rindal, ePrint 2019/706).

Specification, section 3. The group is the subgroup of prime order of edwards25519, by libsodium.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from blindsight.core.errors import MalformedMessageError, UsageError
from blindsight.schemes.oblivious.hashes import both, digest
from blindsight.schemes.spdz2k.talk import Talk, swap

NONCE_BYTES: Final = 32
POINT_BYTES: Final = 32
_INSTALL: Final = 'Parties without a dealer need libsodium: pip install "blindsight[dealerless]".'
_HEAD: Final = NONCE_BYTES + POINT_BYTES


@dataclass(frozen=True, slots=True, repr=False)
class BaseTransfers:
    """What one party has after the base transfers of both directions.

    Attributes:
        transcript: both messages, P0's first.
        chosen: as receiver, for each transfer the key of the choice bit, 32 bytes.
        pairs: as sender, for each transfer both keys.
    """

    transcript: bytes
    chosen: tuple[bytes, ...]
    pairs: tuple[tuple[bytes, bytes], ...]


def _sodium() -> Any:
    try:
        import nacl.bindings
    except ImportError as error:
        raise UsageError(_INSTALL) from error
    return nacl.bindings


def _point(sodium: Any, sender: int, index: int, choice: int, other: bytes) -> bytes:
    """A uniform point that depends on the other point of the pair: the random oracle G."""
    place = bytes([sender]) + index.to_bytes(4, "little") + bytes([choice])
    hashed = hashlib.sha512(b"blindsight base point v1\0" + place + other).digest()
    halves = (sodium.crypto_core_ed25519_from_uniform(hashed[at : at + 32]) for at in (0, 32))
    point: bytes = sodium.crypto_core_ed25519_add(*halves)
    return point


def _scalar(sodium: Any) -> bytes:
    scalar: bytes = sodium.crypto_core_ed25519_scalar_reduce(os.urandom(64))
    return scalar


def base_transfers(party: int, choices: Sequence[int]) -> Talk[BaseTransfers]:
    """As many transfers in each direction as there are choice bits; one round.

    Args:
        party: 0 or 1.
        choices: this party's bits as receiver; both parties give the same number.

    Raises:
        MalformedMessageError: a wrong length, or a point that is not of the group.

    """
    sodium = _sodium()
    multiply, times_base = (
        sodium.crypto_scalarmult_ed25519_noclamp,
        sodium.crypto_scalarmult_ed25519_base_noclamp,
    )
    secret = _scalar(sodium)
    scalars, points = [], []
    for index, choice in enumerate(choices):
        scalar, blind = _scalar(sodium), times_base(_scalar(sodium))
        hashed = _point(sodium, 1 - party, index, choice, blind)
        kept = sodium.crypto_core_ed25519_sub(times_base(scalar), hashed)
        scalars.append(scalar)
        points.append((kept, blind)[choice] + (blind, kept)[choice])
    own = os.urandom(NONCE_BYTES) + times_base(secret) + b"".join(points)
    other = yield from swap(own, _HEAD + 2 * POINT_BYTES * len(choices))
    theirs = [other[at : at + POINT_BYTES] for at in range(NONCE_BYTES, len(other), POINT_BYTES)]
    if not all(sodium.crypto_core_ed25519_is_valid_point(point) for point in theirs):
        raise MalformedMessageError("The other party sent a point that is not of the group.")
    transcript = both(party, own, other)
    said = hashlib.sha256(transcript).digest()
    chosen, pairs = [], []
    for index, (choice, scalar) in enumerate(zip(choices, scalars, strict=True)):
        chosen.append(_key(1 - party, index, choice, said, multiply(scalar, theirs[0])))
        pair = theirs[2 * index + 1], theirs[2 * index + 2]
        keys = []
        for c in (0, 1):
            hashed = _point(sodium, party, index, c, pair[1 - c])
            try:
                shared = multiply(secret, sodium.crypto_core_ed25519_add(pair[c], hashed))
            except RuntimeError:  # libsodium does not give out the neutral element
                raise MalformedMessageError("The other party sent a point that nobody draws.") from None
            keys.append(_key(party, index, c, said, shared))
        pairs.append((keys[0], keys[1]))
    return BaseTransfers(transcript, tuple(chosen), tuple(pairs))


def _key(sender: int, index: int, choice: int, said: bytes, shared: bytes) -> bytes:
    place = bytes([sender]) + index.to_bytes(4, "little") + bytes([choice])
    return digest("blindsight base key v1", place, said, shared)
