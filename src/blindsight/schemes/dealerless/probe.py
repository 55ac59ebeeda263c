"""A vector that one party holds, against a watchlist (specification, sections 9 and 10)."""

from __future__ import annotations

import hmac
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import (
    DimensionError,
    MismatchError,
    OtherWatchlistError,
    UsageError,
    VectorError,
)
from blindsight.core.types import I32
from blindsight.kernels import wide
from blindsight.kernels.products import squeeze, squeezed_bytes
from blindsight.schemes.dealerless.compare import Comparisons, below_zero, reveal
from blindsight.schemes.dealerless.party import U64, Party, elements, whole
from blindsight.schemes.dealerless.prepared import Prepared
from blindsight.schemes.dealerless.products import Triples
from blindsight.schemes.dealerless.shared import Shared
from blindsight.schemes.spdz2k.talk import Talk
from blindsight.schemes.spdz2k.watchlist import Watchlist

CLAIM: Final = Claim.ACTIVE_2PC

LEAKAGE: Final = Leakage(
    learns=(
        (
            "party",
            (
                "for every probe and every entry whether the squared distance is below the threshold",
                "how many probes there are, when, and who makes them",
                "the watchlist, where it is an agreed one",
            ),
        ),
    ),
    not_claimed=(
        "fairness: a party that stops after it received the last opening has the bits and the other has not",
        "that a probe is a face: the prober says what it holds, and a vector that is too long gives bits "
        "that mean nothing",
        "that few bits say little: many questions against a secret list locate its entries",
    ),
)

NAMED_BYTES: Final = 16


@whole
def private_vectors(
    party: Party, giver: int, vectors: I32 | None, masks: Shared, watchlist: bytes = b""
) -> Talk[tuple[Shared, Shared]]:
    """Input of vectors that ``giver`` holds, with their squared lengths, which it cannot choose.

    Args:
        party: this party.
        giver: 0 or 1.
        vectors: int32 (n, d) on the giver's side, None on the other.
        masks: (n, d + 1) in A: the giver's private u_1 … u_d and Σ u², unused.
        watchlist: what the vectors are for; both parties say it.

    Returns:
        ⟦x⟧ (n, d) and ⟦|x|²⟧ (n,), in A.

    Raises:
        OtherWatchlistError: the other party said something else.

    """
    bits = party.sizes.numbers
    count, width = masks.shape[0], masks.shape[1] - 1
    if (vectors is not None) != (party.number == giver):
        raise UsageError("The vectors are given by the party that holds them, and by no other.")
    sent = watchlist
    if vectors is not None:
        if vectors.shape != (count, width):
            raise DimensionError(f"These masks are for {count} vectors of {width} coordinates.")
        hidden = wide.reduce(wide.sub(wide.widen(vectors.astype(np.int64)), masks.share[:, :width]), bits)
        sent += squeeze(hidden, bits)
    size = len(watchlist) + (0 if vectors is not None else squeezed_bytes(count * width, bits))
    received = yield from party.exchange(sent, size)
    if not hmac.compare_digest(watchlist, received[: len(watchlist)]):
        raise OtherWatchlistError("The other party has another watchlist; compare the two.")
    if vectors is None:
        hidden = elements(received[len(watchlist) :], count * width, bits).reshape(count, width, 2)
    return _with_squares(party, hidden, masks)


def _with_squares(party: Party, hidden: U64, masks: Shared) -> tuple[Shared, Shared]:
    """⟦x⟧ and ⟦|x|²⟧ from x - u and the shares of u and Σ u². Local."""
    u, squared = masks[:, :-1], masks[:, -1]
    ones = np.ones(hidden.shape[-2], np.uint64)
    public = wide.reduce(wide.dot(wide.mul(hidden, hidden), ones), masks.bits)
    crossed = u.times(hidden).total().reduced(masks.bits)
    return party.plus(u, hidden), party.plus(squared + crossed + crossed, public)


@whole
def probe(
    party: Party, prober: int, vectors: I32 | None, watchlist: Watchlist, prepared: Prepared
) -> Talk[NDArray[np.bool_]]:
    """Whether vectors that ``prober`` holds are on the agreed list.

    Args:
        party: this party.
        prober: 0 or 1.
        vectors: int32 (faces, d) within the norm on the prober's side, None on the other.
        watchlist: this party's own agreed state.
        prepared: for as many faces, unused; overwritten in the end.

    Returns:
        bool (faces, N), the same on both sides: squared distance below the threshold.

    Raises:
        OtherWatchlistError: the other party has another list.
        AbortError: it cheated, or sent what is no message.
        MismatchError, VectorError, UsageError: before anything is sent.

    """
    _require(party, watchlist, prepared, vectors)
    prepared.spend()
    named, masks = watchlist.digest[:NAMED_BYTES], prepared.probe[:, prober]
    try:
        x, squared = yield from private_vectors(party, prober, vectors, masks, named)
        entries = watchlist.entries.astype(np.int64)
        added = wide.widen((entries * entries).sum(axis=1) - watchlist.threshold)
        products = x.combine(-2 * entries)
        distances = party.plus(products + _column(squared), added)
        return (yield from _compare(party, distances, prepared.comparisons, prepared.cover))
    finally:
        prepared.wipe()


def _column(values: Shared) -> Shared:
    return Shared(values.bits, values.share[:, np.newaxis], values.tag[:, np.newaxis])


def _compare(
    party: Party, distances: Shared, prepared: Comparisons, cover: Shared
) -> Talk[NDArray[np.bool_]]:
    shape = distances.shape
    n = shape[0] * shape[1]
    flat = Comparisons(
        prepared.mask.reshape(n),
        prepared.bits.reshape(n, -1),
        prepared.factors.reshape(n, party.sizes.value_bits - 2),
        prepared.products.reshape(n, party.sizes.value_bits - 2),
    )
    signs = yield from below_zero(party, distances.reshape(n), flat)
    return (yield from reveal(party, signs, cover.reshape(n))).reshape(shape)


def _require(party: Party, watchlist: Watchlist, prepared: Prepared, vectors: I32 | None) -> None:
    params = watchlist.params
    if params.value_bits != party.sizes.value_bits or prepared.sizes != party.sizes:
        raise MismatchError("The list, what is prepared and the parties do not have the same value bits.")
    if (prepared.entries, prepared.dimension) != (len(watchlist), params.dimension):
        raise MismatchError("This was prepared for a list of another size; prepare again.")
    if vectors is not None and not (vectors.shape == (len(prepared), params.dimension)):
        raise DimensionError(f"These are for {len(prepared)} vectors of {params.dimension} coordinates.")
    if vectors is not None and not params.within(vectors):
        raise VectorError("A face is longer than these parameters allow; quantise it first.")


@whole
def probe_hidden(
    party: Party,
    x: tuple[Shared, Shared],
    entries: tuple[Shared, Shared],
    threshold: int,
    triples: Triples,
    prepared: tuple[Comparisons, Shared],
) -> Talk[NDArray[np.bool_]]:
    """Whether one shared vector is on a shared list: as `probe`, but the list is secret too.

    Args:
        party: this party.
        x: ⟦x⟧ (1, d) and ⟦|x|²⟧ (1,), of `private_vectors`.
        entries: ⟦c_j⟧ (N, d) and ⟦|c_j|²⟧ (N,), of the same.
        threshold: public.
        triples: N·d of ring A.
        prepared: N comparisons and covers.

    Returns:
        bool (N,).

    """
    vectors, lengths = entries
    shape = vectors.shape
    repeated = Shared(
        x[0].bits,
        np.broadcast_to(x[0].share, (*shape, 2)).reshape(-1, 2),
        np.broadcast_to(x[0].tag, (*shape, 2)).reshape(-1, 2),
    )
    crossed = yield from party.multiply(repeated, vectors.reshape(-1), triples)
    dots = crossed.reshape(*shape).total().reduced(vectors.bits)
    constant = wide.from_ints([-threshold])
    distances = party.plus(lengths - dots - dots + _repeat(x[1], shape[0]), constant)
    comparisons, cover = prepared
    signs = yield from below_zero(party, distances, comparisons)
    return (yield from reveal(party, signs, cover))


def _repeat(value: Shared, count: int) -> Shared:
    return Shared(value.bits, np.repeat(value.share, count, axis=0), np.repeat(value.tag, count, axis=0))
