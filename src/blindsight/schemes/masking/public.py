"""Adverts, lists of users and the graph: what travels openly."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.core.errors import MalformedError, ParameterError, TamperedError
from blindsight.core.summing import MOST_USERS, RoundId, pack_users, params_digest
from blindsight.kernels.prg import Stream
from blindsight.schemes.masking.params import Params

ADVERT_BYTES = 32 + 32 + 32 + 64
SIGNATURE_BYTES = 64
ENTRY = struct.Struct("<H")
SEALED_BYTES = 2 * 33 + 16
"""Two shares, encrypted and authenticated."""


@dataclass(frozen=True, slots=True)
class Group:
    """A federation without a key holder: who is in it, by signing key.

    Attributes:
        params: the parameter set.
        identities: Ed25519 public keys of 32 bytes, by user number. All must hold the same list.
    """

    params: Params
    identities: Mapping[int, bytes]

    def __post_init__(self) -> None:
        if not all(type(u) is int and 0 <= u < MOST_USERS for u in self.identities):
            raise ParameterError(f"Users are numbered from 0 to {MOST_USERS - 1}.")
        if any(len(key) != 32 for key in self.identities.values()):
            raise MalformedError("A signing identity has 32 bytes.")

    @property
    def key_id(self) -> bytes:
        """16 bytes that name the group."""
        listed = b"".join(ENTRY.pack(user) + self.identities[user] for user in sorted(self.identities))
        return hashlib.sha256(b"masking group" + listed).digest()[:16]

    def round_id(self, number: int) -> RoundId:
        """The identity of a round."""
        return RoundId(params_digest(self.params.wire()), self.key_id, number)

    def verify(self, user: int, signature: bytes, message: bytes) -> None:
        """Raise `TamperedError` unless this user signed this."""
        try:
            Ed25519PublicKey.from_public_bytes(self.identities[user]).verify(signature, message)
        except (InvalidSignature, KeyError, ValueError) as error:
            raise TamperedError(
                "A signature is not its user's: the aggregator put somebody else's message in its place."
            ) from error


@dataclass(frozen=True, slots=True)
class Advert:
    """What a user opens a round with.

    Attributes:
        channel: X25519 public key that shares are encrypted to.
        mask: X25519 public key that seeds of pairwise masks are agreed with.
        committed: to the secret of the user's own mask.
        signature: Ed25519 over all of it and the round.
    """

    channel: bytes
    mask: bytes
    committed: bytes
    signature: bytes

    def encode(self) -> bytes:
        return self.channel + self.mask + self.committed + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Advert:
        if len(data) != ADVERT_BYTES:
            raise MalformedError("An advert has another length than it should have.")
        return cls(data[:32], data[32:64], data[64:96], data[96:])


def advert_message(round_id: RoundId, user: int, channel: bytes, mask: bytes, committed: bytes) -> bytes:
    """What the signature of an advert is over."""
    return b"masking advert" + round_id.pack_place(user) + channel + mask + committed


def survivors_message(round_id: RoundId, started: Sequence[int], survived: Sequence[int]) -> bytes:
    """What the signature of a list of survivors is over: who began the round and who is in the sum."""
    lists = pack_users(started) + pack_users(survived)
    return b"masking survivors" + round_id.pack_place(0) + hashlib.sha256(lists).digest()


def graph(params: Params, round_id: RoundId, started: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """Each user's neighbours, ascending.

    The users stand in a circle whose order everybody computes from the round's identity; the
    neighbours are the nearest half on each side. Where all others are neighbours, or fewer
    began than that, the graph is full.
    """
    users = sorted(started)
    if params.neighbours >= len(users) - 1:
        return {user: tuple(other for other in users if other != user) for user in users}
    seed = hashlib.sha256(b"masking graph" + round_id.pack_place(0) + pack_users(users)).digest()
    order = np.argsort(Stream(seed).read(8 * len(users)).view("<u8"), kind="stable").tolist()
    circle = [users[place] for place in order]
    reach = params.neighbours // 2
    found = {}
    for place, user in enumerate(circle):
        near = {circle[(place + step) % len(circle)] for step in range(-reach, reach + 1)}
        found[user] = tuple(sorted(near - {user}))
    return found
