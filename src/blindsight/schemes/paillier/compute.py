"""The aggregator's half: sums as products of ciphertexts. No key that decrypts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from blindsight.core.claims import Claim, Leakage
from blindsight.core.errors import KeyMismatchError
from blindsight.core.matching import Wire
from blindsight.core.summing import OneStage, RoundId, params_digest
from blindsight.schemes.paillier.params import Params
from blindsight.schemes.paillier.public import PublicKey, read, write

CLAIM = Claim.IND_CPA
LEAKAGE = Leakage(
    learns=(
        (
            "aggregator",
            ("who takes part in which round, and when", "the sizes of everything, which are fixed"),
        ),
        ("key holder", ("the sum of each round, and whose updates are in it",)),
        ("users", ("the new model, and so the sum of the others' updates, each time",)),
    ),
    not_claimed=(
        "secrecy of one update against an aggregator and a key holder who work together",
        "secrecy of one update against everyone else in the sum together with the key holder",
        "that a user's update is honest: one user can spoil the model",
        "tags that hold against an aggregator who works together with one of the users",
        "secrecy of what a sum of few users, or a difference of rounds' models, says about one of them",
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


def product(key: PublicKey, bodies: Iterable[bytes]) -> bytes:
    """Ciphertext by ciphertext the product modulo n^2: the encryption of the sum."""
    total = None
    for body in bodies:
        found = read(key, body)
        total = found if total is None else [a * b % key.square for a, b in zip(total, found, strict=True)]
    assert total is not None
    return write(total, key.modulus_bits // 4)


def server(params: Params, public: PublicKey, number: int, users: Iterable[int]) -> OneStage:
    """The aggregator of round ``number``."""

    def combine(bodies: Mapping[int, bytes]) -> bytes:
        return product(public, (bodies[user] for user in sorted(bodies)))

    size = params.update_bytes
    return OneStage(
        params,
        round_id(params, public, number),
        users,
        (size, size),
        lambda body: void(read(public, body)),
        combine,
    )


def void(_: object) -> None:
    """Only the checks were wanted."""
