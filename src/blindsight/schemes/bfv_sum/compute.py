"""The aggregator's half: residues added modulo their primes. No key, and no SEAL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from blindsight.core.claims import Claim
from blindsight.core.matching import Wire
from blindsight.core.summing import OneStage, RoundId, params_digest
from blindsight.schemes.bfv_sum.params import Params
from blindsight.schemes.bfv_sum.public import PublicKey, read, write
from blindsight.schemes.paillier.compute import LEAKAGE, void

__all__ = ["CLAIM", "LEAKAGE", "parse_params", "round_id", "server"]

CLAIM = Claim.IND_CPA


def parse_params(wire: Wire) -> Params:
    """See `Params.from_wire`."""
    return Params.from_wire(wire)


def round_id(params: Params, public: PublicKey, number: int) -> RoundId:
    """The round's identity."""
    return RoundId(params_digest(params.wire()), public.key_id, number)


def server(params: Params, public: PublicKey, number: int, users: Iterable[int]) -> OneStage:
    """The aggregator of round ``number``."""
    primes = np.array(params.moduli.primes, np.uint64)[:, np.newaxis]

    def combine(bodies: Mapping[int, bytes]) -> bytes:
        total = None
        for user in sorted(bodies):
            found = read(params, bodies[user])
            total = found if total is None else (total + found) % primes
        assert total is not None
        return write(params, total)

    size = params.update_bytes
    return OneStage(
        params,
        round_id(params, public, number),
        users,
        (size, size),
        lambda body: void(read(params, body)),
        combine,
    )
