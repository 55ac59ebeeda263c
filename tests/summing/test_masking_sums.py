"""Masking: shares, the graph, and an aggregator that lies in every way it can."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core.errors import (
    InaccurateParametersError,
    InsecureParametersError,
    MalformedError,
    ParameterError,
    ProtocolError,
    RefusedError,
    RoundError,
    TamperedError,
    TooFewError,
    UsageError,
    VaultError,
)
from blindsight.core.secrets import ExportToken
from blindsight.core.summing import AGGREGATOR, HEAD_BYTES, Kind, pack_users
from blindsight.schemes.masking import agreement, shamir
from blindsight.schemes.masking.params import Params
from blindsight.schemes.masking.public import ADVERT_BYTES, Group, graph
from blindsight.schemes.masking.secret import Identity
from reference import summing as twin
from sum_cases import masking, updates

USERS = 7


def upto(stage, federation=None, users=range(USERS)):
    """Users and their server just before the requests of a stage."""
    federation = federation or masking(30, USERS)
    values = updates(federation.params, users)
    rounds = {u: federation.user(u).round(1, values[u]) for u in users}
    server = federation.server(1, users)
    for _ in range(stage):
        server.receive({u: rounds[u].answer(r) for u, r in server.requests().items()})
    return federation, server, rounds, values


def message(server, kind, body):
    return server._round.pack(kind, AGGREGATOR, body)


# -- shares --------------------------------------------------------------------------------------


def test_the_prime_is_the_smallest_over_2_to_the_256():
    import gmpy2

    assert gmpy2.next_prime(1 << 256) == shamir.PRIME


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 6), st.integers(0, 4), st.randoms())
def test_any_threshold_of_shares_gives_the_secret(secret, threshold, more, randomly):
    points = list(range(1, threshold + more + 1))
    shares = dict(zip(points, shamir.share(secret, points, threshold), strict=True))
    chosen = dict(randomly.sample(sorted(shares.items()), threshold))
    assert shamir.recover(chosen, threshold) == secret
    numbers = {x: int.from_bytes(y, "little") for x, y in chosen.items()}
    assert twin.lagrange_at_zero(numbers, shamir.PRIME) == int.from_bytes(secret, "little")


def test_fewer_shares_say_nothing():
    points = [1, 2, 3]
    one = [shamir.share(bytes(32), points, 2)[0] for _ in range(50)]
    assert len(set(one)) == 50  # a share of one secret is fresh and uniform
    with pytest.raises(ValueError, match="few"):
        shamir.recover({1: one[0]}, 2)
    for bad in ((b"short", points, 2), (bytes(32), [0, 1], 2), (bytes(32), points, 4)):
        with pytest.raises(ValueError, match="secret"):
            shamir.share(*bad)


def test_wrong_shares_do_not_give_the_secret():
    secret = bytes(range(32))
    shares = dict(zip((1, 2, 3), shamir.share(secret, (1, 2, 3), 3), strict=True))
    shares[2] = bytes(33)
    with contextlib.suppress(TamperedError):
        assert shamir.recover(shares, 3) != secret


# -- the graph and the parameters ------------------------------------------------------------------


@pytest.mark.parametrize(("users", "neighbours"), [(5, 4), (12, 4), (101, 10), (3, 2), (4, 10)])
def test_the_graph_is_symmetric_and_as_wide_as_said(users, neighbours):
    params = Params(10, 200, 2, 20, neighbours, neighbours)
    identity = Group(params, {}).round_id(3)
    listed = [5 + 3 * k for k in range(users)]
    found = graph(params, identity, listed)
    assert set(found) == set(listed)
    for user, near in found.items():
        assert len(near) == len(set(near)) == min(neighbours, users - 1)
        assert user not in near
        assert all(user in found[other] for other in near)
    assert graph(params, identity, reversed(listed)) == found


def test_parameters_that_a_split_view_would_break_are_refused():
    for threshold in (1, 5):
        with pytest.raises(InsecureParametersError, match="half"):
            Params(10, 20, 2, 20, 10, threshold)
    for neighbours, threshold in ((10, 11), (11, 8), (20, 15), (0, 0)):
        with pytest.raises((ParameterError, InsecureParametersError)):
            Params(10, 20, 2, 20, neighbours, threshold)
    with pytest.raises(InaccurateParametersError, match="fit"):
        Params(10, 4097, 2, 20, 10, 7)
    assert Params(10, 4096, 2, 20, 10, 7).users == 4096


def test_four_bytes_a_weight():
    federation, server, rounds, _ = upto(2)
    reply = rounds[0].answer(server.requests()[0])
    assert len(reply) == HEAD_BYTES + 4 * federation.params.weights


def test_users_in_the_sparse_graph_may_drop_out():
    federation = masking(30, 20, neighbours=10)
    values = updates(federation.params, range(20))
    rounds = {u: federation.user(u).round(1, values[u]) for u in range(20)}
    server = federation.server(1, range(20))
    gone: set[int] = set()
    for stage in range(5):
        if stage == 2:
            gone |= {3}
        if stage == 3:
            gone |= {4}
        asked = server.requests()
        server.receive({u: rounds[u].answer(r) for u, r in asked.items() if u not in gone})
    opened = federation.holder().open(1, server.total())
    there = [u for u in range(20) if u != 3]
    assert opened.users == tuple(there)
    assert np.array_equal(opened.values, sum(values[u] for u in there))


# -- an aggregator that lies -------------------------------------------------------------------------


def test_an_advert_of_its_own_is_refused():
    """The aggregator in the middle: it puts its own keys in a neighbour's place."""
    _, server, rounds, _ = upto(1)
    request = server.requests()[0]
    at = len(request) - ADVERT_BYTES
    mine = agreement.public_of(agreement.private(bytes(range(32))))
    for place in (0, 32, 64):
        bad = request[: at + place] + mine + request[at + place + 32 :]
        user = upto(1)[2][0]
        with pytest.raises(ProtocolError):
            user.answer(bad)
    with pytest.raises(TamperedError, match="signature"):
        rounds[0].answer(request[:at] + mine + request[at + 32 :])


def test_an_old_advert_is_refused():
    federation = masking(30, USERS)
    old = upto(1, federation)[1].requests()[0]
    values = updates(federation.params, range(USERS))
    rounds = {u: federation.user(u).round(2, values[u]) for u in range(USERS)}
    server = federation.server(2, range(USERS))
    server.receive({u: rounds[u].answer(r) for u, r in server.requests().items()})
    new = server.requests()[0]
    listed = HEAD_BYTES + 2 + 2 * USERS
    with pytest.raises(TamperedError):
        rounds[0].answer(new[:listed] + old[listed:])


def test_a_list_that_leaves_the_user_out_is_refused():
    _, server, rounds, _ = upto(1)
    with pytest.raises(RefusedError):
        rounds[0].answer(message(server, Kind.PEERS, pack_users([1, 2, 3, 4, 5])))


def test_a_list_without_all_neighbours_is_refused():
    _, server, rounds, _ = upto(1)
    request = server.requests()[0]
    body = request[HEAD_BYTES:-ADVERT_BYTES]
    with pytest.raises(MalformedError):
        rounds[0].answer(message(server, Kind.PEERS, body))


def test_too_few_neighbours_are_refused():
    _, server, rounds, _ = upto(1)
    with pytest.raises((TooFewError, MalformedError)):
        rounds[0].answer(message(server, Kind.PEERS, pack_users([0, 1]) + bytes(ADVERT_BYTES)))


@pytest.mark.parametrize("lie", ["altered", "swapped", "stranger", "twice", "few"])
def test_shares_that_were_tampered_with_are_refused(lie):
    _, server, rounds, _ = upto(2)
    body = bytearray(server.requests()[0][HEAD_BYTES:])
    size = len(body) // (USERS - 1)
    if lie == "altered":
        body[10] ^= 1
    elif lie == "swapped":
        body[2:size], body[size + 2 : 2 * size] = body[size + 2 : 2 * size], body[2:size]
    elif lie == "stranger":
        body[:2] = struct.pack("<H", 99)
    elif lie == "twice":
        body[size : 2 * size] = body[:size]
    else:
        body = body[: 2 * size]
    with pytest.raises(ProtocolError):
        rounds[0].answer(message(server, Kind.INBOX, bytes(body)))
    with pytest.raises(RoundError, match="gave it up"):
        rounds[0].answer(server.requests()[0])


def test_lists_of_survivors_that_cannot_be_are_refused():
    for listed in ([1, 2, 3, 4, 5, 6], [0, 1], [0, 1, 2, 3, 4, 5, 99], [0]):
        _, server, rounds, _ = upto(3)
        with pytest.raises(ProtocolError):
            rounds[0].answer(message(server, Kind.SURVIVORS, pack_users(listed)))


def test_a_survivor_whose_shares_were_kept_back_is_refused():
    _, server, rounds, _ = upto(2)
    request = server.requests()[0]
    size = (len(request) - HEAD_BYTES) // (USERS - 1)
    rounds[0].answer(message(server, Kind.INBOX, request[HEAD_BYTES + size :]))
    server.receive({u: rounds[u].answer(r) for u, r in server.requests().items() if u > 1})
    with pytest.raises(RefusedError, match="never handed on"):
        rounds[0].answer(message(server, Kind.SURVIVORS, pack_users(range(USERS))))


def test_both_kinds_of_share_are_never_given():
    """The aggregator tells half of the users that user 6 survived, and the others that it did not."""
    _, server, rounds, _ = upto(3)
    lists = {u: list(range(USERS)) if u < 3 else list(range(USERS - 1)) for u in range(USERS - 1)}
    signed = {
        u: rounds[u].answer(message(server, Kind.SURVIVORS, pack_users(lists[u])))[HEAD_BYTES:] for u in lists
    }

    def witnesses(user, others):
        body = b"".join(struct.pack("<H", v) + signed[v] for v in others if v != user)
        return message(server, Kind.WITNESSES, body)

    for user in (0, 1):
        with pytest.raises(TamperedError):  # those who signed another list are found out
            rounds[user].answer(witnesses(user, lists))
    for user in (2, 3):
        with pytest.raises(RefusedError, match="another list"):  # those who signed the same are too few
            rounds[user].answer(witnesses(user, [v for v in lists if lists[v] == lists[user]]))
    for user in lists:
        with pytest.raises(ProtocolError):
            rounds[user].answer(witnesses(user, lists))


def test_the_last_step_is_taken_once():
    _, server, rounds, _ = upto(4)
    request = server.requests()[0]
    reply = rounds[0].answer(request)
    with pytest.raises(RoundError):
        rounds[0].answer(request)
    size = 2 + shamir.SHARE_BYTES
    assert len(reply) == HEAD_BYTES + (USERS - 1) * size  # one share of each neighbour, not two


def test_witnesses_who_cannot_be_are_refused():
    for lie in ("self", "twice", "stranger", "cut"):
        _, server, rounds, _ = upto(4)
        body = bytearray(server.requests()[0][HEAD_BYTES:])
        if lie == "self":
            body[:2] = struct.pack("<H", 0)
        elif lie == "twice":
            body[66:132] = body[:66]
        elif lie == "stranger":
            body[:2] = struct.pack("<H", 99)
        else:
            body = body[:-1]
        with pytest.raises(ProtocolError):
            rounds[0].answer(message(server, Kind.WITNESSES, bytes(body)))


def test_a_user_that_sends_wrong_shares_is_noticed():
    for gone in (None, 5):
        _, server, rounds, _ = upto(2)
        server.receive({u: rounds[u].answer(r) for u, r in server.requests().items() if u != gone})
        server.receive({u: rounds[u].answer(r) for u, r in server.requests().items()})
        replies = {u: bytearray(rounds[u].answer(r)) for u, r in server.requests().items()}
        for k in range(USERS - 1):
            replies[0][HEAD_BYTES + 35 * k + 2 + 5] ^= 1
        with pytest.raises(TamperedError, match="share"):
            server.receive({u: bytes(r) for u, r in replies.items()})


def test_signatures_of_others_are_refused_by_the_server():
    federation, server, rounds, _ = upto(3)
    replies = {u: rounds[u].answer(r) for u, r in server.requests().items()}
    forged = federation.server(1, range(USERS))._round.pack(Kind.SIGNATURE, 0, replies[1][HEAD_BYTES:])
    assert isinstance(server.receive(replies | {0: forged})[0], TamperedError)


def test_masks_hide_an_update_even_without_its_neighbours_masks():
    """Taking off all pairwise masks, as an aggregator that recovers them would, leaves the own mask."""
    _, server, rounds, values = upto(2)
    masked = np.frombuffer(rounds[0].answer(server.requests()[0])[HEAD_BYTES:], "<u4").copy()
    for other in range(1, USERS):
        seed = agreement.pair_seed(rounds[0]._mask_key, server._adverts[other].mask, server._round, 0, other)
        shown = np.array(twin.mask(seed, 30), np.uint64)
        masked = (masked - shown) % 2**32
    assert not np.array_equal(masked.astype(np.uint32).astype(np.int32), values[0])
    own = agreement.self_seed(rounds[0]._own, server._round, 0)
    masked = (masked - np.array(twin.mask(own, 30), np.uint64)) % 2**32
    assert np.array_equal(masked.astype(np.uint32).astype(np.int32), values[0])


def test_groups_and_identities_are_checked():
    params = Params.of(10, 3)
    with pytest.raises(MalformedError):
        Group(params, {0: b"short"})
    with pytest.raises(ParameterError):
        Group(params, {-1: bytes(32)})
    assert "redacted" in repr(Identity.generate(3))


@pytest.mark.parametrize("stage", range(5))
def test_a_round_is_put_aside_and_gone_on_with(stage):
    federation, server, rounds, values = upto(stage)
    kept = rounds[2].export(ExportToken())
    with pytest.raises(UsageError):
        rounds[2].export(None)
    rounds[2] = federation.user(2).resume(kept)
    while not server.finished:
        server.receive({u: rounds[u].answer(r) for u, r in server.requests().items()})
    assert np.array_equal(federation.holder().open(1, server.total()).values, sum(values.values()))
    with pytest.raises(RoundError):
        rounds[2].export(ExportToken())
    for bad in (b"", kept[:-1], b"\x80", kept.replace(b"step", b"stop")):
        with pytest.raises(VaultError):
            federation.user(2).resume(bad)
