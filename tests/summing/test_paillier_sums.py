"""Paillier: its arithmetic against a twin, its refusals, and an aggregator that lies to the key holder."""

from __future__ import annotations

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from blindsight.core.errors import (
    InsecureParametersError,
    KeyMismatchError,
    MalformedError,
    ParameterError,
    TamperedError,
    UsageError,
    VaultError,
)
from blindsight.core.secrets import ExportToken
from blindsight.core.summing import AGGREGATOR, HEAD_BYTES, Kind, pack_users, run_stages
from blindsight.schemes.paillier import compute
from blindsight.schemes.paillier.params import Params
from blindsight.schemes.paillier.protect import PaillierUser, workers
from blindsight.schemes.paillier.public import PublicKey, read, write
from blindsight.schemes.paillier.reveal import PaillierKeyHolder
from blindsight.schemes.paillier.secret import SecretKey
from reference import summing as twin
from sum_cases import bfv, dphe, paillier, paillier_key, updates


def primes(key):
    data, size = key.export(ExportToken()), key.public.modulus_bits // 16
    return [int.from_bytes(data[32 + k * size : 32 + (k + 1) * size], "little") for k in range(2)]


# -- arithmetic --------------------------------------------------------------------------------


def test_encryption_and_decryption_are_paillier():
    key, encryptor = paillier_key()
    p, q = primes(key)
    n = int(key.public.n)
    messages = [0, 1, n - 1, n // 2, 12345]
    mine = [encryptor.encrypt(mpz(m)) for m in messages]
    assert [twin.paillier_decrypt(p, q, int(c)) for c in mine] == messages
    theirs = [mpz(twin.paillier_encrypt(n, m, 7 + m)) for m in messages]
    assert key.decrypt(theirs) == messages
    assert key.decrypt([mine[4] * theirs[4] % key.public.square]) == [2 * 12345]


def test_the_key_is_as_damgard_jurik_and_nielsen_ask():
    key, _ = paillier_key()
    p, q = primes(key)
    assert p % 4 == q % 4 == 3
    assert gmpy2.gcd(p - 1, q - 1) == 2
    assert (p * q).bit_length() == 2048
    assert all(gmpy2.is_prime(x) for x in (p, q))
    # The base is an n-th power: of order dividing lambda, so it encrypts zero.
    assert twin.paillier_decrypt(p, q, int(key.public.base)) == 0


def test_the_randomiser_is_a_power_of_the_base():
    key, encryptor = paillier_key()
    square, base = key.public.square, key.public.base
    for place, digit in ((0, 1), (0, 255), (1, 1), (127, 200)):
        assert encryptor._table[place][digit] == gmpy2.powmod(base, digit << (8 * place), square)
    assert len(encryptor._table) == 128


def test_every_exponent_takes_the_same_products(monkeypatch):
    _, encryptor = paillier_key()
    rows = []

    class Row(list):
        def __getitem__(self, k):
            rows.append(k)
            return super().__getitem__(k)

    monkeypatch.setattr(encryptor, "_table", [Row(row) for row in encryptor._table])
    for message in (0, 1, 2**1000):
        rows.clear()
        encryptor.encrypt(mpz(message))
        assert len(rows) == 128


def test_workers_encrypt_as_one_does():
    params = Params.of(300, 4, modulus_bits=2048)
    key, encryptor = paillier_key()
    values = updates(params, [0, 1])
    with workers(key.public, params.exponent_bits, 2) as pool:
        apart = PaillierUser(params, key.public, key.registrar.member(0), pool=pool)
        alone = PaillierUser(params, key.public, key.registrar.member(1), encryptor=encryptor)
        rounds = {0: apart.round(1, values[0]), 1: alone.round(1, values[1])}
        total = run_stages(compute.server(params, key.public, 1, rounds), rounds)
    assert np.array_equal(PaillierKeyHolder(params, key).open(1, total).values, values[0] + values[1])


def test_sizes_are_those_declared():
    params = Params.of(206_848, 10, modulus_bits=2048)
    assert (params.slots, params.groups) == (82, 2523)
    assert params.update_bytes / params.weights < 12
    federation = paillier(200, 4)
    users = {u: federation.user(u).round(1, v) for u, v in updates(federation.params, range(4)).items()}
    request = federation.server(1, users).requests()[0]
    assert len(users[0].answer(request)) == HEAD_BYTES + federation.params.update_bytes


# -- keys and parameters that may not be ---------------------------------------------------------


@pytest.mark.parametrize("bits", [512, 1024, 2047])
def test_short_keys_are_refused(bits):
    with pytest.raises(InsecureParametersError, match="factored"):
        Params.of(10, 3, modulus_bits=bits)
    with pytest.raises(InsecureParametersError):
        SecretKey.generate(bits)
    with pytest.raises(InsecureParametersError):
        PublicKey(mpz(2) ** (bits - 1) + 1, mpz(4))


def test_short_exponents_are_refused():
    for exponent in (256, 1016):
        with pytest.raises(InsecureParametersError, match="half"):
            Params(10, 3, 2, 20, 2, 2048, exponent)
    assert Params(10, 3, 2, 20, 2, 2048, 2048).exponent_bits == 2048


def test_the_default_is_3072():
    params = Params.of(10, 3)
    assert (params.modulus_bits, params.exponent_bits) == (3072, 1536)


def test_odd_parameters_are_refused():
    for fields in (
        (10, 3, 2, 33, 2, 2048, 1024),
        (10, 3, 2, 1, 2, 2048, 1024),
        (0, 3, 2, 20, 2, 2048, 1024),
        (10, 3, 2, 20, 0, 2048, 1024),
        (10, 3, 2, 32, 20, 2048, 1024),
        (10, 3, 4, 20, 2, 2048, 1024),
        (10, 3, 2, 20, 2, 2050, 1024),
        (10, 3, 2, 20, 2, 2048, 1028),
        (10, 3, 2, 20.0, 2, 2048, 1024),
    ):
        with pytest.raises(ParameterError):
            Params(*fields)


def test_a_public_key_travels_and_a_wrong_one_does_not():
    key, _ = paillier_key()
    assert PublicKey.decode(key.public.encode()) == key.public
    data = key.public.encode()
    size = key.public.modulus_bits // 8
    p, _ = primes(key)
    for bad in (
        data[:-1],
        b"",
        data[:size] + bytes(2 * size),
        bytes([data[0] ^ 1]) + data[1:],
        data[:size] + data[:size] + bytes(size),
        (p**2).to_bytes(size, "little") + data[size:],
        (1).to_bytes(5000, "little"),
    ):
        with pytest.raises((MalformedError, UsageError)):
            PublicKey.decode(bad)


def test_a_key_of_another_length_than_the_parameters_is_refused():
    key, _ = paillier_key()
    with pytest.raises(KeyMismatchError):
        compute.server(Params.of(10, 3), key.public, 1, range(3))
    with pytest.raises(KeyMismatchError):
        PaillierKeyHolder(Params.of(10, 3), key)


def test_a_secret_key_is_stored_and_damage_is_noticed():
    key, _ = paillier_key()
    data = key.export(ExportToken())
    again = SecretKey.load(data)
    assert again.public == key.public
    assert again.registrar.group == key.registrar.group
    for bad in (data[:-1], data[:32], b"", data[:40] + bytes([data[40] ^ 1]) + data[41:]):
        with pytest.raises((VaultError, MalformedError)):
            SecretKey.load(bad)


def test_numbers_that_are_no_ciphertexts_are_refused():
    key, _ = paillier_key()
    p, _ = primes(key)
    size = key.public.modulus_bits // 4
    for bad in (0, int(key.public.square), int(key.public.n), p):
        with pytest.raises(MalformedError):
            read(key.public, write([mpz(3), mpz(bad)], size))
    with pytest.raises(MalformedError):
        read(key.public, bytes(size - 1))


# -- an aggregator that lies to the key holder ---------------------------------------------------


@pytest.fixture(params=["paillier", "bfv"])
def lied(request):
    """Updates of four users of one round, and a way to make a total of whatever one likes."""
    federation = {"paillier": paillier, "bfv": bfv}[request.param](170, 6)
    values = updates(federation.params, range(5))
    users = {u: federation.user(u).round(1, values[u]) for u in values}
    server = federation.server(1, values)
    bodies = {u: users[u].answer(r)[HEAD_BYTES:] for u, r in server.requests().items()}
    identity = server._round

    def total(named, summed):
        """Claims to be of ``named``; is the sum of ``summed``, which may hold bodies."""
        parts = [bodies[u] if isinstance(u, int) else u for u in summed]
        body = server._combine(dict(enumerate(parts)))
        return identity.pack(Kind.TOTAL, AGGREGATOR, pack_users(named) + body)

    return federation, values, bodies, total


def test_an_honest_total_is_opened(lied):
    federation, values, _, total = lied
    found = federation.holder().open(1, total([0, 1, 3], [0, 1, 3]))
    assert np.array_equal(found.values, values[0] + values[1] + values[3])


@pytest.mark.parametrize(
    ("named", "summed"),
    [
        ([0, 1, 2], [0, 1]),  # dropped
        ([0, 1], [0, 1, 2]),  # added
        ([0, 1], [0, 1, 1]),  # doubled
        ([0, 1, 2], [0, 1, 1]),  # doubled in place of another
        ([0, 1], [0]),  # one user's update alone
        ([0, 1], [0, 0]),
        ([0, 1, 2, 3, 4], [3]),
        ([0, 1], [2, 3]),
    ],
)
def test_another_sum_than_the_one_named_is_not_opened(lied, named, summed):
    federation, _, _, total = lied
    with pytest.raises(TamperedError, match="dropped, doubled or altered"):
        federation.holder().open(1, total(named, summed))


def test_an_update_with_something_added_is_not_opened():
    federation = paillier(170, 6)
    values = updates(federation.params, range(3))
    users = {u: federation.user(u).round(1, values[u]) for u in values}
    key, _ = paillier_key()
    total = run_stages(federation.server(1, values), users)
    place = len(total) - federation.params.update_bytes
    first = read(key.public, total[place : place + 512])[0]
    for added in (1, 5 << federation.params.slot_bits, int(key.public.n) - 1):
        altered = first * (1 + added * key.public.n) % key.public.square
        bad = total[:place] + write([altered], 512) + total[place + 512 :]
        with pytest.raises(TamperedError):
            federation.holder().open(1, bad)


def test_parts_of_two_sums_do_not_make_one(lied):
    federation, _, bodies, total = lied
    half = len(bodies[0]) // 2
    mixed = bodies[2][:half] + bodies[1][half:]
    with pytest.raises(TamperedError):
        federation.holder().open(1, total([0, 1], [0, mixed]))


def test_a_replayed_update_is_not_opened(lied):
    federation, values, bodies, _ = lied
    users = {u: federation.user(u) for u in range(2)}
    server = federation.server(2, users)
    asked = server.requests()
    fresh = {u: users[u].round(2, values[u]).answer(asked[u])[HEAD_BYTES:] for u in users}
    body = server._combine({0: fresh[0], 1: bodies[1]})
    total = server._round.pack(Kind.TOTAL, AGGREGATOR, pack_users([0, 1]) + body)
    with pytest.raises(TamperedError):
        federation.holder().open(2, total)


# -- DPHE ----------------------------------------------------------------------------------------


def test_dphe_encrypts_the_non_zeros_only_and_their_number_may_differ():
    federation = dphe(64, 4)
    values = {u: np.zeros(64, int) for u in range(4)}
    values[0][:1] = 5
    values[1][10:20] = -3
    values[2][[0, 15, 63]] = 7
    users = {u: federation.user(u).round(1, values[u]) for u in values}
    server = federation.server(1, values)
    replies = {u: users[u].answer(r) for u, r in server.requests().items()}
    p = federation.params
    assert [len(replies[u]) - HEAD_BYTES for u in range(4)] == [p.update_bytes(k) for k in (1, 10, 3, 0)]
    server.receive(replies)
    opened = federation.holder().open(1, server.total()).values
    assert np.array_equal(federation.restore(1, opened), sum(values.values()))
    assert not np.array_equal(opened, sum(values.values()))


def places(reply, count):
    at = HEAD_BYTES + 64 + 4
    return np.frombuffer(reply[at : at + 4 * count], "<u4")


def test_dphe_hides_places_by_both_permutations_and_anew_each_round():
    values = np.zeros(5000, int)
    values[:20] = 1
    for fresh in (True, False):
        federation = dphe(5000, 3, fresh=fresh)
        sent = {}
        for number in (1, 2):
            for user in (0, 1):
                request = federation.server(number, range(3)).requests()[user]
                reply = federation.user(user).round(number, values).answer(request)
                sent[number, user] = set(places(reply, 20).tolist())
        assert all(len(sent[a] & sent[b]) < 4 for a in sent for b in sent if a != b)
        from blindsight.schemes.dphe.protect import shared_permutation

        shared = federation.user(0)._member.shared
        one, two = (shared_permutation(federation.params, shared, k) for k in (1, 2))
        assert np.array_equal(one, two) is not fresh
        assert sorted(one.tolist()) == list(range(5000))


def test_dphe_pads_to_the_same_length():
    federation = dphe(64, 4, padded=20)
    values = {u: np.zeros(64, int) for u in range(4)}
    values[1][:20] = 2
    values[2][5] = -9
    users = {u: federation.user(u).round(1, values[u]) for u in values}
    server = federation.server(1, values)
    replies = {u: users[u].answer(r) for u, r in server.requests().items()}
    assert {len(r) for r in replies.values()} == {HEAD_BYTES + federation.params.update_bytes(20)}
    server.receive(replies)
    opened = federation.holder().open(1, server.total()).values
    assert np.array_equal(federation.restore(1, opened), sum(values.values()))
    values[0][:21] = 1
    with pytest.raises(UsageError, match="21 non-zeros"):
        federation.user(0).round(1, values[0])


def test_dphe_updates_that_do_not_match_their_receipt_are_refused():
    federation = dphe(64, 4)
    values = updates(federation.params, range(4))
    server = federation.server(1, values)
    asked = server.requests()
    replies = {u: federation.user(u).round(1, values[u]).answer(asked[u]) for u in values}
    altered = bytearray(replies[0])
    altered[-5] ^= 1
    order = bytearray(replies[1])
    at = HEAD_BYTES + 64 + 4
    order[at : at + 8] = order[at + 4 : at + 8] + order[at : at + 4]
    huge = bytearray(replies[2])
    huge[at - 4 : at] = (2**32 - 1).to_bytes(4, "little")
    for user, bad in ((0, altered), (1, order), (2, huge)):
        refused = federation.server(1, values).receive(replies | {user: bytes(bad)})
        assert isinstance(refused[user], MalformedError)
        assert set(refused) == {user}


def test_dphe_receipts_of_somebody_else_are_not_opened():
    federation = dphe(64, 4)
    values = updates(federation.params, range(3))
    users = {u: federation.user(u).round(1, values[u]) for u in values}
    total = run_stages(federation.server(1, values), users)
    at = HEAD_BYTES + 2 + 6
    swapped = total[:at] + total[at + 64 : at + 128] + total[at : at + 64] + total[at + 128 :]
    with pytest.raises(TamperedError, match="receipt"):
        federation.holder().open(1, swapped)
    # One user's update under two names: the second receipt cannot be made.
    forged = total[:at] + total[at : at + 64] + total[at : at + 64] + total[at + 128 :]
    with pytest.raises(TamperedError, match="receipt"):
        federation.holder().open(1, forged)
