"""The aggregator's half: undo P(i), multiply place by place, pack. No key that decrypts."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256

import gmpy2
import numpy as np
from gmpy2 import mpz

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import KeyMismatchError, MalformedError
from blindsight.core.matching import Wire
from blindsight.core.secrets import Secret
from blindsight.core.summing import OneStage, RoundId, params_digest
from blindsight.core.types import I64
from blindsight.schemes.dphe.params import RECEIPT_BYTES, Params
from blindsight.schemes.dphe.public import pair_permutation, read_places, write_entries
from blindsight.schemes.paillier.public import PublicKey, read, write

CLAIM = Claim.IND_CPA
"""Of the weights' values. Where the non-zeros are is not encrypted, only permuted: see `LEAKAGE`."""

LEAKAGE = Leakage(
    learns=(
        (
            "aggregator",
            (
                "who takes part in which round, and when",
                "how many weights of each user are not zero, unless updates are padded",
                "how many non-zeros two users share, and at which permuted places",
                "with one P for all rounds: which places change together over the rounds, and from the "
                "published models P itself after some tens of rounds",
            ),
        ),
        (
            "key holder",
            (
                "the sum of each round, in permuted order",
                "which places nobody filled, and so the union of the supports; a place that one user "
                "alone filled shows that user's weight",
            ),
        ),
        ("users", ("the new model, and so the sum of the others' updates, each time",)),
    ),
    not_claimed=(
        "secrecy of one update against an aggregator and a key holder who work together",
        "secrecy of P against an aggregator and one user who work together",
        "that the aggregator sums what it received: it can show the key holder a single update, or "
        "drop, double or alter one, and nobody notices; use paillier, bfv or masking for that",
    ),
)


def parse_params(wire: Wire) -> Params:
    """See `Params.from_wire`."""
    return Params.from_wire(wire)


def round_id(params: Params, public: PublicKey, number: int) -> RoundId:
    """The round's identity; `KeyMismatchError` where key and parameters do not fit."""
    if public.modulus_bits != params.modulus_bits:
        raise KeyMismatchError(
            f"These parameters are for a key of {params.modulus_bits} bits, not of {public.modulus_bits}."
        )
    return RoundId(params_digest(params.wire()), public.key_id, number)


def server(params: Params, public: PublicKey, number: int, pairs: Mapping[int, Secret]) -> OneStage:
    """The aggregator of round ``number``; ``pairs`` holds each user's secret of P(i)."""
    low = params.update_bytes(params.padded)
    high = low if params.padded else params.update_bytes(params.weights)

    def combine(bodies: Mapping[int, bytes]) -> bytes:
        total: dict[int, mpz] = {}
        for user in sorted(bodies):
            places, ciphertexts = _entries(params, public, bodies[user])
            undone = np.argsort(pair_permutation(pairs[user], number, params.weights))[places]
            for place, c in zip(undone.tolist(), ciphertexts, strict=True):
                total[place] = total[place] * c % public.square if place in total else c
        receipts = b"".join(bodies[user][:RECEIPT_BYTES] for user in sorted(bodies))
        filled = np.array(sorted(total), np.int64)
        return receipts + write_entries(filled, _packed(params, public, [total[k] for k in filled.tolist()]))

    return OneStage(
        params,
        round_id(params, public, number),
        pairs,
        (low, high),
        lambda body: _check(params, public, body),
        combine,
    )


def _check(params: Params, public: PublicKey, body: bytes) -> None:
    _entries(params, public, body)
    if not hmac.compare_digest(sha256(body[RECEIPT_BYTES:]).digest(), body[:32]):
        raise MalformedError("A sparse update does not match its receipt; it was damaged on the way.")


def _entries(params: Params, public: PublicKey, body: bytes) -> tuple[I64, list[mpz]]:
    places, rest = read_places(body[RECEIPT_BYTES:], params.weights)
    if len(body) != params.update_bytes(len(places)) or (params.padded and len(places) != params.padded):
        raise MalformedError("A sparse update does not have one ciphertext for each place.")
    return places, read(public, rest)


def _packed(params: Params, public: PublicKey, ciphertexts: list[mpz]) -> bytes:
    """Many sums in one ciphertext: ``sum of s_k 2^(k b)``, by Horner's rule from the highest."""
    shift = mpz(1) << params.slot_bits
    out = []
    for at in range(0, len(ciphertexts), params.slots):
        group = ciphertexts[at : at + params.slots]
        packed = group[-1]
        for c in reversed(group[:-1]):
            packed = gmpy2.powmod(packed, shift, public.square) * c % public.square
        out.append(packed)
    return write(out, params.ciphertext_bytes)
