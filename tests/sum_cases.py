"""The table of the conformance suite for private sums: one row a scheme.

A scheme joins by a class with what `Federation` has and a line in `CASES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from blindsight.core.secrets import Secret
from blindsight.schemes.bfv_sum import compute as bfv_compute
from blindsight.schemes.bfv_sum.params import Params as BfvParams
from blindsight.schemes.bfv_sum.protect import BfvUser
from blindsight.schemes.bfv_sum.reveal import BfvKeyHolder
from blindsight.schemes.bfv_sum.secret import SecretKey as BfvKey
from blindsight.schemes.dphe import compute as dphe_compute
from blindsight.schemes.dphe.params import Params as DpheParams
from blindsight.schemes.dphe.protect import DpheUser, Membership
from blindsight.schemes.dphe.reveal import DpheKeyHolder
from blindsight.schemes.masking import compute as masking_compute
from blindsight.schemes.masking.params import Params as MaskingParams
from blindsight.schemes.masking.protect import MaskingUser
from blindsight.schemes.masking.public import Group
from blindsight.schemes.masking.reveal import MaskingReader
from blindsight.schemes.masking.secret import Identity
from blindsight.schemes.paillier import compute as paillier_compute
from blindsight.schemes.paillier.params import Params as PaillierParams
from blindsight.schemes.paillier.protect import Encryptor, PaillierUser
from blindsight.schemes.paillier.reveal import PaillierKeyHolder
from blindsight.schemes.paillier.secret import SecretKey as PaillierKey


@dataclass
class Federation:
    """Users, an aggregator and who opens totals, set up with each other.

    Attributes:
        params: of the scheme.
        server: the aggregator of a round with these users.
        user: a new long-lived user; its last round is 0.
        holder: a new one, which has opened nothing.
        restore: what a user does to an opened sum.
    """

    params: Any
    server: Callable[[int, Iterable[int]], Any]
    user: Callable[[int], Any]
    holder: Callable[[], Any]
    restore: Callable[[int, Any], Any] = lambda number, values: values


def paillier_key(which: int = 0) -> tuple[PaillierKey, Encryptor]:
    """A key of the smallest size that is allowed, made once for all tests."""
    return _paillier_key(which)  # a cache tells a call with its default from one without


@cache
def _paillier_key(which: int) -> tuple[PaillierKey, Encryptor]:
    key = PaillierKey.generate(2048)
    return key, Encryptor(key.public, 1024)


def paillier(weights: int, users: int, which: int = 0, **options: Any) -> Federation:
    params = PaillierParams.of(weights, users, modulus_bits=2048, **options)
    key, encryptor = paillier_key(which)
    return Federation(
        params,
        lambda number, some: paillier_compute.server(params, key.public, number, some),
        lambda user: PaillierUser(params, key.public, key.registrar.member(user), encryptor=encryptor),
        lambda: PaillierKeyHolder(params, key),
    )


def dphe(weights: int, users: int, which: int = 0, **options: Any) -> Federation:
    params = DpheParams.of(weights, users, modulus_bits=2048, **options)
    key, encryptor = paillier_key(which)
    shared = Secret(b"\x01" * 32)
    pairs = {user: Secret(bytes([2 + user]) * 32) for user in range(users)}

    def user(number: int) -> DpheUser:
        member = Membership(number, shared, pairs[number], DpheKeyHolder(params, key).own(number))
        return DpheUser(params, key.public, member, encryptor=encryptor)

    return Federation(
        params,
        lambda number, some: dphe_compute.server(
            params, key.public, number, {u: pairs.get(u, shared) for u in some}
        ),
        user,
        lambda: DpheKeyHolder(params, key),
        lambda number, values: user(0).restore(number, values),
    )


@cache
def bfv_key(params: BfvParams, which: int) -> BfvKey:
    return BfvKey.generate(params)


def bfv(weights: int, users: int, which: int = 0, **options: Any) -> Federation:
    params = BfvParams.of(weights, users, **options)
    key = bfv_key(params, which)
    return Federation(
        params,
        lambda number, some: bfv_compute.server(params, key.public, number, some),
        lambda user: BfvUser(params, key.public, key.registrar.member(user)),
        lambda: BfvKeyHolder(params, key),
    )


def masking(weights: int, users: int, which: int = 0, **options: Any) -> Federation:
    params = MaskingParams.of(weights, users, **options)
    identities = {user: Identity(user, Secret(bytes([which, user]) * 16)) for user in range(users)}
    group = Group(params, {user: identity.public for user, identity in identities.items()})
    return Federation(
        params,
        lambda number, some: masking_compute.MaskingServer(group, number, some),
        lambda user: MaskingUser(group, identities[user]),
        lambda: MaskingReader(group),
    )


CASES: dict[str, Callable[..., Federation]] = {
    "paillier": paillier,
    "dphe": dphe,
    "bfv": bfv,
    "masking": masking,
    "masking-sparse": lambda w, n, which=0, **o: masking(w, n, which, neighbours=4 if n > 5 else n - 1, **o),
}

STAGES = {"masking": 5, "masking-sparse": 5}


def stages(case: str) -> int:
    return STAGES.get(case, 1)


def updates(params: Any, users: Iterable[int], seed: int = 1) -> dict[int, Any]:
    """Sparse integers over the whole range, the largest and smallest among them."""
    generator = np.random.default_rng(seed)
    most = (1 << (params.bits - 1)) - 1
    found = {}
    for user in users:
        values = generator.integers(-most, most + 1, params.weights)
        values[generator.random(params.weights) < 0.7] = 0
        values[:2] = most, -most
        found[user] = values
    return found
