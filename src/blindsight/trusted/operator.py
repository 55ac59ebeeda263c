"""A party's operator: the person who signs what enters the watchlist (specs/dual-control.md).

The key is an Ed25519 key in a file that only its owner may read, away from the party's server.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.core.dual_control import (
    I16,
    Add,
    Change,
    Founding,
    Proposal,
    Verdict,
    Watchlist,
    named,
    require_embedding_of,
    signable,
)
from blindsight.core.errors import DimensionError, UsageError, VectorError
from blindsight.core.types import AnyArray, Embedding
from blindsight.wire.dual_control import (
    Signed,
    decode_founding,
    decode_proposal,
    decode_verdict,
    encode_founding,
    encode_proposal,
    encode_verdict,
)


class Operator:
    """Signs for party ``party`` (0 or 1)."""

    def __init__(self, party: int, key: bytes) -> None:
        if party not in (0, 1):
            raise UsageError("A party is 0 or 1.")
        self.party = party
        self._key = Ed25519PrivateKey.from_private_bytes(key)

    @property
    def public_key(self) -> bytes:
        """32 bytes, for the founding of a watchlist."""
        return self._key.public_key().public_bytes_raw()

    def propose(self, watchlist: bytes, change: Change, reason: str) -> Signed:
        """A signed proposal; raises `MalformedError` for a reason or an entry that cannot be."""
        proposal = Proposal(watchlist, os.urandom(16), self.party, int(time.time()), reason, change)
        encoded = encode_proposal(proposal)
        decode_proposal(encoded)
        return Signed(encoded, self._key.sign(signable("proposal", encoded)))

    def decide(self, proposal: bytes, approved: bool, reason: str = "") -> Signed:
        """A signed verdict on the proposal with this digest."""
        encoded = encode_verdict(Verdict(proposal, self.party, approved, int(time.time()), reason))
        decode_verdict(encoded)
        return Signed(encoded, self._key.sign(signable("verdict", encoded)))


def found(
    model_id: str,
    dimension: int,
    normalised: bool,
    scale: int,
    norm: int,
    value_bits: int,
    threshold: float,
    operators: tuple[bytes, bytes],
) -> bytes:
    """The encoding of a new watchlist's founding, to be given to both parties.

    ``threshold`` is a distance between embeddings, normalised or not as the list's are; at or
    beyond it two faces do not match.
    """
    squared = squared_distance(threshold, scale)
    encoded = encode_founding(
        Founding(os.urandom(16), model_id, dimension, normalised, scale, norm, value_bits, squared, operators)
    )
    decode_founding(encoded)
    return encoded


def squared_distance(distance: float, scale: int) -> int:
    """A distance between embeddings as the squared one between templates. `UsageError` unless positive."""
    if not (math.isfinite(distance) and 0 < distance < 1 << 20):
        raise UsageError("A threshold is a positive distance.")
    return math.ceil((distance * scale) ** 2)


def distance(one: I16, other: I16, founding: Founding) -> float:
    """How far two templates of a list are apart, as embeddings are."""
    apart = one.astype(np.int64) - other.astype(np.int64)
    return math.sqrt(int((apart**2).sum())) / founding.scale


def template(founding: Founding, embeddings: Sequence[Embedding]) -> I16:
    """The integer template of one person's embeddings: of their mean, scaled and rounded.

    int16 (dimension,). Raises `ModelMismatchError` for embeddings of another model, `DimensionError`
    for another dimension, `VectorError` where a coordinate does not fit.
    """
    if not embeddings:
        raise UsageError("A template needs at least one photo.")
    rows = []
    for embedding in embeddings:
        embedding.require_model(founding.model_id)
        if embedding.vector.size != founding.dimension:
            raise DimensionError(
                f"Templates of this list have {founding.dimension} coordinates, this model's embeddings "
                f"have {embedding.vector.size}."
            )
        rows.append(_direction(founding, embedding.vector))
    values = np.rint(_direction(founding, np.mean(rows, axis=0)) * founding.scale)
    if not (values**2).sum() <= founding.norm**2:
        raise VectorError("This embedding is longer than the list allows; found one with a larger norm.")
    return np.asarray(values, dtype=np.int16)


def _direction(founding: Founding, vector: AnyArray) -> AnyArray:
    wide = vector.astype(np.float64)
    if not founding.normalised:
        return wide
    length = np.linalg.norm(wide)
    if length < 1e-6:
        raise VectorError("These photos point in opposite directions; they are not of one person.")
    return np.asarray(wide / length)


def addition(founding: Founding, entry: str, photos: Sequence[bytes], embeddings: Sequence[Embedding]) -> Add:
    """The change that adds the person on these photos."""
    digests = sorted({sha256(photo).digest() for photo in photos})
    if len(digests) < len(photos):
        raise UsageError("The same photo was given twice.")
    return Add(entry, template(founding, embeddings), tuple(digests))


def require_honest(watchlist: Watchlist, signed: Signed, embeddings: Sequence[Embedding]) -> Proposal:
    """The proposal, if its template is the embedding of the photos as this side's model sees them.

    ``embeddings`` are those of its photos, computed here. Raises `TamperedError` where they are not
    what was proposed.
    """
    proposal = decode_proposal(signed.value)
    watchlist.require_fits(proposal, named("proposal", signed.value))
    if isinstance(proposal.change, Add):
        require_embedding_of(proposal.change.values, template(watchlist.founding, embeddings))
    return proposal
