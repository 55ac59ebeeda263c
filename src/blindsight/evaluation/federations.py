"""All roles of a private sum in one process, for studies and benchmarks; never for real updates.

Here one program holds every secret. Real roles are set up by `trusted` and `blind`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.secrets import Secret
from blindsight.core.summing import SumKeyHolder, SumServer, SumUser
from blindsight.core.types import I64


@dataclass(frozen=True, slots=True)
class Federation:
    """Everybody of one scheme, set up with each other.

    Attributes:
        server: the aggregator of a round, from its number and the users.
        begin: a user's part in a round, from user, number and values.
        holder: opens totals.
        restore: what a user does to an opened sum, from round and values.
        setup_s: seconds that one user needs once a key.
    """

    server: Callable[[int, Iterable[int]], SumServer]
    begin: Callable[[int, int, I64], SumUser]
    holder: SumKeyHolder
    restore: Callable[[int, I64], I64]
    setup_s: float


@dataclass(frozen=True, slots=True)
class Summed:
    """A sum and what it took. A user's seconds are processor time of one core, medians over users.

    Attributes:
        values: int64 (weights,), as users see it.
        user_s: all that one user computed.
        user_bytes: that one user sent.
        aggregator_s: for one update.
        open_s: from the total to integers, by the clock.
    """

    values: I64
    user_s: float
    user_bytes: int
    aggregator_s: float
    open_s: float


def private_sum(federation: Federation, number: int, updates: Mapping[int, I64]) -> Summed:
    """One round of a private sum, measured."""
    spent, sent, taken = dict.fromkeys(updates, 0.0), dict.fromkeys(updates, 0), 0.0
    server = federation.server(number, updates)
    users: dict[int, SumUser] = {}
    for user, values in updates.items():
        started = time.thread_time()
        users[user] = federation.begin(user, number, values)
        spent[user] += time.thread_time() - started
    while not server.finished:
        replies = {}
        for user, request in server.requests().items():
            started = time.thread_time()
            replies[user] = users[user].answer(request)
            spent[user] += time.thread_time() - started
            sent[user] += len(replies[user])
        started = time.perf_counter()
        refused = server.receive(replies)
        taken += time.perf_counter() - started
        if refused:
            raise next(iter(refused.values()))
    started = time.perf_counter()
    total = server.total()
    taken += time.perf_counter() - started
    started = time.perf_counter()
    opened = federation.holder.open(number, total)
    open_s = time.perf_counter() - started
    return Summed(
        federation.restore(number, opened.values),
        median(spent.values()),
        round(median(sent.values())),
        taken / len(updates),
        open_s,
    )


def federation(scheme: str, weights: int, users: int, bits: int) -> Federation:
    """A new federation: ``paillier-2048``, ``paillier-3072``, ``dphe``, ``bfv``, ``masking``, ``masking-10``.

    ``dphe`` is at 2048 bits; a number after ``masking`` is that of the neighbours, else all others.
    """
    kind, _, option = scheme.partition("-")
    if kind == "paillier" and option in ("2048", "3072"):
        return _paillier(weights, users, bits, int(option))
    if kind == "masking" and (option.isdigit() or not option):
        return _masking(weights, users, bits, min(int(option or users - 1), users - 1))
    if scheme == "dphe":
        return _dphe(weights, users, bits)
    if scheme == "bfv":
        return _bfv(weights, users, bits)
    raise UsageError(f"There is no private sum {scheme!r}; there are paillier-2048, dphe, masking and bfv.")


def _same(_: int, values: I64) -> I64:
    return values


def _paillier(weights: int, users: int, bits: int, modulus_bits: int) -> Federation:
    from blindsight.schemes.paillier.compute import server
    from blindsight.schemes.paillier.params import Params
    from blindsight.schemes.paillier.protect import Encryptor, PaillierUser
    from blindsight.schemes.paillier.reveal import PaillierKeyHolder
    from blindsight.schemes.paillier.secret import SecretKey

    params = Params.of(weights, users, bits=bits, modulus_bits=modulus_bits)
    key = SecretKey.generate(modulus_bits)
    started = time.thread_time()
    encryptor = Encryptor(key.public, params.exponent_bits)
    setup = time.thread_time() - started
    people = {
        u: PaillierUser(params, key.public, key.registrar.member(u), encryptor=encryptor)
        for u in range(users)
    }
    return Federation(
        lambda number, some: server(params, key.public, number, some),
        lambda user, number, values: people[user].round(number, values),
        PaillierKeyHolder(params, key),
        _same,
        setup,
    )


def _dphe(weights: int, users: int, bits: int) -> Federation:
    from blindsight.schemes.dphe.compute import server
    from blindsight.schemes.dphe.params import Params
    from blindsight.schemes.dphe.protect import DpheUser, Membership
    from blindsight.schemes.dphe.reveal import DpheKeyHolder
    from blindsight.schemes.paillier.protect import Encryptor
    from blindsight.schemes.paillier.secret import SecretKey

    params = Params.of(weights, users, bits=bits, modulus_bits=2048)
    key = SecretKey.generate(2048)
    started = time.thread_time()
    encryptor = Encryptor(key.public, params.exponent_bits)
    setup = time.thread_time() - started
    holder, shared = DpheKeyHolder(params, key), Secret.fresh()
    pairs = {user: Secret.fresh() for user in range(users)}
    people = {
        u: DpheUser(params, key.public, Membership(u, shared, pairs[u], holder.own(u)), encryptor=encryptor)
        for u in pairs
    }
    return Federation(
        lambda number, some: server(params, key.public, number, {u: pairs[u] for u in some}),
        lambda user, number, values: people[user].round(number, values),
        holder,
        people[0].restore,
        setup,
    )


def _bfv(weights: int, users: int, bits: int) -> Federation:
    from blindsight.schemes.bfv_sum.compute import server
    from blindsight.schemes.bfv_sum.params import Params
    from blindsight.schemes.bfv_sum.protect import BfvUser
    from blindsight.schemes.bfv_sum.reveal import BfvKeyHolder
    from blindsight.schemes.bfv_sum.secret import SecretKey

    params = Params.of(weights, users, bits=bits)
    key = SecretKey.generate(params)
    started = time.thread_time()
    people = {u: BfvUser(params, key.public, key.registrar.member(u)) for u in range(users)}
    setup = (time.thread_time() - started) / users
    return Federation(
        lambda number, some: server(params, key.public, number, some),
        lambda user, number, values: people[user].round(number, values),
        BfvKeyHolder(params, key),
        _same,
        setup,
    )


def _masking(weights: int, users: int, bits: int, neighbours: int) -> Federation:
    from blindsight.schemes.masking.compute import MaskingServer
    from blindsight.schemes.masking.params import Params
    from blindsight.schemes.masking.protect import MaskingUser
    from blindsight.schemes.masking.public import Group
    from blindsight.schemes.masking.reveal import MaskingReader
    from blindsight.schemes.masking.secret import Identity

    params = Params.of(weights, users, bits=bits, neighbours=neighbours)
    identities = {user: Identity.generate(user) for user in range(users)}
    group = Group(params, {user: identity.public for user, identity in identities.items()})
    people = {user: MaskingUser(group, identity) for user, identity in identities.items()}
    return Federation(
        lambda number, some: MaskingServer(group, number, some),
        lambda user, number, values: people[user].round(number, values),
        MaskingReader(group),
        _same,
        0.0,
    )


def plain_sum(updates: Mapping[int, I64]) -> I64:
    """What every private sum must come to."""
    total: Any = np.sum(list(updates.values()), axis=0)
    return np.asarray(total, np.int64)
