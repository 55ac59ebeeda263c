"""What every scheme of private sums must do, asked of all of them in the same words."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from blindsight.core.errors import (
    BlindsightError,
    DimensionError,
    InaccurateParametersError,
    KeyMismatchError,
    MalformedError,
    ParameterError,
    ParamsMismatchError,
    ProtocolError,
    RoundError,
    TamperedError,
    TooFewError,
    VectorError,
)
from blindsight.core.summing import AGGREGATOR, HEAD_BYTES, Kind, pack_users, run_stages
from sum_cases import CASES, stages, updates

WEIGHTS, USERS = 90, 6
every = pytest.mark.parametrize("case", CASES)


def begin(federation, number=1, users=range(USERS), values=None):
    values = values if values is not None else updates(federation.params, users)
    return {u: federation.user(u).round(number, values[u]) for u in users}, values


def opened(federation, number, total):
    found = federation.holder().open(number, total)
    return federation.restore(number, found.values), found.users


def plain(values, users):
    return np.sum([values[u] for u in users], axis=0)


def replies_at(federation, case, stage, number=1):
    """A server that waits for stage ``stage``, and everybody's replies to it."""
    users, values = begin(federation, number)
    server = federation.server(number, users)
    for _ in range(stage):
        server.receive({u: users[u].answer(r) for u, r in server.requests().items()})
    return server, {u: users[u].answer(r) for u, r in server.requests().items()}, users, values


# -- right sums ------------------------------------------------------------------------------


@every
def test_the_sum_is_the_plain_sum(case):
    federation = CASES[case](WEIGHTS, USERS)
    users, values = begin(federation)
    total = run_stages(federation.server(1, users), users)
    found, named = opened(federation, 1, total)
    assert found.dtype == np.int64
    assert np.array_equal(found, plain(values, users))
    assert named == tuple(range(USERS))


@every
@pytest.mark.parametrize("value", ["zero", "most", "least"])
def test_extremes_do_not_wrap(case, value):
    federation = CASES[case](5, USERS)
    most = (1 << (federation.params.bits - 1)) - 1
    one = np.full(5, {"zero": 0, "most": most, "least": -most}[value])
    users, values = begin(federation, values=dict.fromkeys(range(USERS), one))
    found, _ = opened(federation, 1, run_stages(federation.server(1, users), users))
    assert np.array_equal(found, plain(values, users))


@every
def test_rounds_follow_each_other(case):
    federation = CASES[case](WEIGHTS, USERS)
    people, holder = {u: federation.user(u) for u in range(USERS)}, federation.holder()
    for number in (1, 2, 7):
        values = updates(federation.params, people, seed=number)
        rounds = {u: people[u].round(number, values[u]) for u in people}
        total = run_stages(federation.server(number, rounds), rounds)
        found = federation.restore(number, holder.open(number, total).values)
        assert np.array_equal(found, plain(values, people))


@every
@pytest.mark.parametrize("weights", [1, 81, 82, 83])
def test_any_number_of_weights(case, weights):
    federation = CASES[case](weights, 3)
    values = {u: np.arange(weights) * (u + 1) - 7 for u in range(3)}
    users, _ = begin(federation, users=range(3), values=values)
    found, _ = opened(federation, 1, run_stages(federation.server(1, users), users))
    assert np.array_equal(found, plain(values, range(3)))


@every
def test_two_encryptions_of_one_update_have_nothing_in_common(case):
    federation = CASES[case](WEIGHTS, USERS)
    values = updates(federation.params, range(USERS))
    stage = 2 if stages(case) > 1 else 0
    one = replies_at(federation, case, stage)[1][0]
    two = replies_at(federation, case, stage)[1][0]
    a, b = (np.frombuffer(m[HEAD_BYTES:], np.uint8) for m in (one, two))
    if not case.startswith("dphe"):
        assert np.mean(a == b) < 0.05
    assert not np.array_equal(a, b)
    assert values[0].astype("<i4").tobytes()[:8] not in one


@every
def test_parameters_travel(case):
    params = CASES[case](WEIGHTS, USERS).params
    assert type(params).from_wire(params.wire()) == params
    for broken in (
        {},
        params.wire() | {"more": 1},
        params.wire() | {"users": "six"},
        params.wire() | {"scheme": "other"},
        params.wire() | {"users": 6.0},
    ):
        with pytest.raises(MalformedError):
            type(params).from_wire(broken)


# -- bad input ---------------------------------------------------------------------------------


@every
def test_a_weight_outside_the_range_is_refused(case):
    federation = CASES[case](WEIGHTS, USERS)
    most = (1 << (federation.params.bits - 1)) - 1
    for bad in (most + 1, -most - 1, 2**62):
        values = np.zeros(WEIGHTS, np.int64)
        values[3] = bad
        with pytest.raises(VectorError, match="range"):
            federation.user(0).round(1, values)


@every
def test_an_update_of_another_shape_is_refused(case):
    user = CASES[case](WEIGHTS, USERS).user(0)
    for bad in (np.zeros(WEIGHTS + 1, int), np.zeros((WEIGHTS, 1), int), np.zeros(WEIGHTS), np.array(["a"])):
        with pytest.raises(DimensionError):
            user.round(1, bad)


@every
def test_too_many_users_are_refused(case):
    federation = CASES[case](WEIGHTS, USERS)
    with pytest.raises(ParameterError, match="too many"):
        federation.server(1, range(USERS + 1))
    params = federation.params
    with pytest.raises(ParameterError):
        type(params)(**{k: v for k, v in params.wire().items() if k != "scheme"} | {"users": 10_001})
    if hasattr(params, "guard_bits"):
        fields = {k: v for k, v in params.wire().items() if k != "scheme"}
        with pytest.raises(InaccurateParametersError, match="guard bits"):
            type(params)(**fields | {"users": 9})
        assert type(params)(**fields | {"users": 8}).users == 8
    else:
        with pytest.raises(InaccurateParametersError, match="fit"):
            type(params).of(WEIGHTS, 5000)


@every
def test_a_sum_of_one_may_not_be_asked_for(case):
    params = CASES[case](WEIGHTS, USERS).params
    with pytest.raises(ParameterError):
        type(params)(**{k: v for k, v in params.wire().items() if k != "scheme"} | {"minimum": 1})


@every
def test_users_numbered_wrongly_are_refused(case):
    federation = CASES[case](WEIGHTS, USERS)
    for bad in ([-1, 0], [0, 70_000], *([[0, 0, 1]] if not case.startswith("dphe") else [])):
        with pytest.raises(ParameterError):
            federation.server(1, bad)


@every
def test_a_message_of_another_round_key_or_parameters_is_refused(case):
    federation = CASES[case](WEIGHTS, USERS)
    for stage in range(stages(case)):
        server, replies, _, _ = replies_at(federation, case, stage)
        bad = dict(replies)
        bad[0] = bytes([*b"BSUX"]) + bad[0][4:]
        other = CASES[case](WEIGHTS, USERS, 1)
        bad[1] = replies_at(other, case, stage)[1][1]
        bad[2] = replies_at(federation, case, stage, number=2)[1][2]
        wider = CASES[case](WEIGHTS, USERS, bits=19)
        bad[3] = replies_at(wider, case, stage)[1][3]
        bad[4] = replies[5]
        try:
            refused = server.receive(bad)
        except TooFewError:
            continue  # masking: too few are left
        assert isinstance(refused[0], MalformedError)
        assert isinstance(refused[1], KeyMismatchError)
        assert isinstance(refused[2], RoundError)
        assert isinstance(refused[3], (ParamsMismatchError, MalformedError))
        assert isinstance(refused[4], MalformedError)


@every
def test_cut_and_lengthened_messages_are_refused(case):
    federation = CASES[case](WEIGHTS, USERS)
    for stage in range(stages(case)):
        whole = replies_at(federation, case, stage)[1][0]
        for bad in (
            (b"", whole[:-1], whole + b"\0")
            if stage
            else (b"", whole[:40], whole[:-1], whole + b"\0", "text")
        ):
            server, replies, _, _ = replies_at(federation, case, stage)
            assert isinstance(server.receive(replies | {0: bad})[0], MalformedError)


@every
def test_a_users_requests_are_checked(case):
    federation = CASES[case](WEIGHTS, USERS)
    for stage in range(stages(case)):
        server, _, _, _ = replies_at(federation, case, stage)
        users, _ = begin(federation)
        request = server.requests()[0]
        for bad in (request[:-1], request + b"\0", b"", request[:30] + b"\xff" + request[31:]):
            with pytest.raises(BlindsightError):
                begin(federation, users=[0])[0][0].answer(bad)
        if stage:
            with pytest.raises(ProtocolError):
                users[0].answer(request)  # a step out of turn


@every
def test_nothing_is_answered_twice(case):
    federation = CASES[case](WEIGHTS, USERS)
    person = federation.user(0)
    values = updates(federation.params, [0])[0]
    server = federation.server(1, range(USERS))
    request = server.requests()[0]
    users = person.round(1, values)
    users.answer(request)
    with pytest.raises(ProtocolError):
        users.answer(request)
    for old in (1, 0):
        with pytest.raises(BlindsightError):
            person.round(old, values)
    person.round(2, values)


@every
def test_a_finished_round_takes_no_more(case):
    federation = CASES[case](WEIGHTS, USERS)
    server, replies, _, _ = replies_at(federation, case, stages(case) - 1)
    server.receive(replies)
    assert server.finished
    assert server.requests() == {}
    with pytest.raises(RoundError):
        server.receive(replies)


# -- users that vanish -------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "stage"), [(case, s) for case in CASES for s in range(stages(case))])
def test_a_user_that_vanishes_costs_its_own_update_at_most(case, stage):
    federation = CASES[case](WEIGHTS, USERS)
    server, replies, users, values = replies_at(federation, case, stage)
    replies.pop(2)
    server.receive(replies)
    while not server.finished:
        server.receive({u: users[u].answer(r) for u, r in server.requests().items() if u != 2})
    found, named = opened(federation, 1, server.total())
    there = [u for u in range(USERS) if u != 2 or stage > 2]
    assert list(named) == there
    assert np.array_equal(found, plain(values, there))


@pytest.mark.parametrize(("case", "stage"), [(case, s) for case in CASES for s in range(stages(case))])
def test_where_too_many_vanish_there_is_no_sum(case, stage):
    federation = CASES[case](WEIGHTS, USERS)
    server, replies, _, _ = replies_at(federation, case, stage)
    with pytest.raises((TooFewError, RoundError)):  # noqa: PT012
        server.receive({0: replies[0]})
        while not server.finished:
            server.receive({})
    with pytest.raises(RoundError):
        server.total()


# -- an aggregator that lies to whoever opens --------------------------------------------------


@every
def test_a_total_of_one_round_is_opened_once(case):
    federation = CASES[case](WEIGHTS, USERS)
    holder = federation.holder()
    totals = {}
    for number in (1, 2):
        users, _ = begin(federation, number)
        totals[number] = run_stages(federation.server(number, users), users)
    holder.open(2, totals[2])
    for number in (2, 1):
        with pytest.raises(RoundError):
            holder.open(number, totals[number])
    with pytest.raises(RoundError):
        federation.holder().open(2, totals[1])


@every
def test_a_damaged_total_is_refused(case):
    federation = CASES[case](WEIGHTS, USERS)
    users, _ = begin(federation)
    total = run_stages(federation.server(1, users), users)
    for bad in (total[:-1], total + b"\0", b"", total[:HEAD_BYTES], total[: HEAD_BYTES + 3]):
        with pytest.raises(ProtocolError):
            federation.holder().open(1, bad)
    generator = np.random.default_rng(4)
    if case.startswith("masking"):
        return  # whoever makes the sum says what it is; see the claims
    # DPHE's places are not authenticated, and its claims say so: there only ciphertexts are damaged.
    first = len(total) - 256 if case.startswith("dphe") else HEAD_BYTES
    for _ in range(12):
        flipped = bytearray(total)
        flipped[int(generator.integers(first, len(total)))] ^= 1 << int(generator.integers(8))
        with pytest.raises(ProtocolError):
            federation.holder().open(1, bytes(flipped))


@every
def test_a_total_of_one_user_is_refused(case):
    federation = CASES[case](WEIGHTS, USERS)
    server, replies, _, _ = replies_at(federation, case, stages(case) - 1)
    if stages(case) == 1:
        with pytest.raises(TooFewError):
            server.receive({0: replies[0]})
    users, _ = begin(federation)
    total = run_stages(federation.server(1, users), users)
    count = int.from_bytes(total[HEAD_BYTES : HEAD_BYTES + 2], "little")
    alone = total[HEAD_BYTES + 2 * 0 :]
    body = (1).to_bytes(2, "little") + alone[2:4] + alone[2 + 2 * count :]
    length = len(body).to_bytes(4, "little")
    with pytest.raises(ProtocolError):
        federation.holder().open(1, total[: HEAD_BYTES - 4] + length + body)


@every
def test_one_users_update_is_not_opened(case):
    """Neither as it came, nor as a total of that user alone, nor under the name of two."""
    federation = CASES[case](WEIGHTS, USERS)
    server, replies, _, _ = replies_at(federation, case, stages(case) - 1)
    with pytest.raises(ProtocolError):
        federation.holder().open(1, replies[0])
    if case.startswith("masking"):
        return  # nobody holds a key: what opens a sum are the users' own answers
    identity, body = server._round, replies[0][HEAD_BYTES:]
    alone = identity.pack(Kind.TOTAL, AGGREGATOR, pack_users([0]) + server._combine({0: body}))
    with pytest.raises(TooFewError, match="not opened"):
        federation.holder().open(1, alone)
    twice = identity.pack(Kind.TOTAL, AGGREGATOR, pack_users([0, 0]) + server._combine({0: body}))
    with pytest.raises(MalformedError, match="ascending"):
        federation.holder().open(1, twice)
    two = identity.pack(Kind.TOTAL, AGGREGATOR, pack_users([0, 1]) + server._combine({0: body}))
    with pytest.raises((TamperedError, MalformedError)):
        federation.holder().open(1, two)


@pytest.mark.parametrize("case", ["paillier", "dphe", "bfv"])
def test_an_old_update_under_a_new_head_is_not_opened(case):
    """The aggregator replays round 1 for a user that did not take part in round 2."""
    federation = CASES[case](WEIGHTS, USERS)
    old = replies_at(federation, case, 0)[1][0][HEAD_BYTES:]
    server, replies, _, _ = replies_at(federation, case, 0, number=2)
    bodies = {1: replies[1][HEAD_BYTES:], 0: old}
    total = server._round.pack(Kind.TOTAL, AGGREGATOR, pack_users([0, 1]) + server._combine(bodies))
    with pytest.raises(TamperedError):
        federation.holder().open(2, total)


def test_what_a_lying_aggregator_can_do_is_said():
    """Where a wrong sum is not noticed, the claims say so; everywhere else the tests above show it is."""
    from blindsight.schemes.dphe.compute import LEAKAGE as DPHE
    from blindsight.schemes.masking.compute import LEAKAGE as MASKING

    for claims in (DPHE, MASKING):
        assert any("sum" in one and "aggregator" in one for one in claims.not_claimed)


# -- secrets stay where they are ---------------------------------------------------------------


@every
def test_what_holds_a_secret_is_neither_shown_nor_pickled(case):
    federation = CASES[case](WEIGHTS, USERS)
    user = federation.user(0)
    values = updates(federation.params, [0])[0]
    for thing in (user, user.round(1, values), federation.holder()):
        assert "0x" in repr(thing)
        assert str(values[0]) not in repr(thing)
    for thing in [user] if case.startswith("masking") else [user, federation.holder()]:
        with pytest.raises(TypeError):
            pickle.dumps(thing)
        with pytest.raises(TypeError):
            copy.deepcopy(thing)


@every
def test_the_leakage_is_told(case):
    import blindsight.schemes.bfv_sum.compute as bfv
    import blindsight.schemes.dphe.compute as dphe
    import blindsight.schemes.masking.compute as masking
    import blindsight.schemes.paillier.compute as paillier

    module = {"paillier": paillier, "dphe": dphe, "bfv": bfv, "masking": masking}[case.split("-")[0]]
    assert module.LEAKAGE.of("aggregator")
    assert module.LEAKAGE.of("users")
    assert module.LEAKAGE.not_claimed
