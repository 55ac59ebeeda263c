"""A party that cheats in the oblivious layer: what is noticed, and how often."""

import os

import nacl.bindings
import numpy as np
import pytest

from blindsight.core.errors import (
    MalformedMessageError,
    SessionOverError,
    WrongCorrelationError,
    WrongOpeningError,
)
from blindsight.kernels import wide
from blindsight.kernels.carryless import column_hashes
from blindsight.schemes.oblivious import base, tags, transfers
from blindsight.schemes.oblivious.hashes import weights
from blindsight.schemes.oblivious.session import Oblivious, nibbles, setup
from blindsight.schemes.oblivious.trees import TREE_BYTES, choices_of, gather, plant
from blindsight.schemes.spdz2k.talk import run_both
from two_talkers import bits, deal

RING = 112


def flip(message, bit):
    data = bytearray(message)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def at(number, party, change):
    """The network that changes what ``party`` sends in round ``number``."""
    return lambda r, p, message: change(message) if (r, p) == (number, party) else message


CALLS = {
    "transfers": (3, lambda end: end.random_ots(bits(300))),
    "tags": (3, lambda end: end.authenticate(wide.random(20, RING), RING)),
    "coin": (2, lambda end: end.coin(32)),
    "commitment": (2, lambda end: end.commit_and_open(b"what I hold")),
}
ROUNDS = [(name, number) for name, (rounds, _) in CALLS.items() for number in range(rounds)]


# -- lengths and noise ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "number"), ROUNDS)
@pytest.mark.parametrize("change", [lambda m: m[:-1], lambda m: m + b"\0", lambda m: b""])
def test_a_message_of_another_length_ends_everything(name, number, change):
    ends = deal()
    call = CALLS[name][1]
    with pytest.raises(MalformedMessageError) as caught:
        run_both(call(ends[0]), call(ends[1]), at(number, 1, change))
    evidence = caught.value.evidence
    assert (evidence.reason, evidence.party) == ("abort-malformed", 0)
    assert (evidence.session, evidence.first) == (ends[0].session[:16], 1)
    assert (len(evidence.sent), len(evidence.received)) == (number + 1, number + 1)
    for end in ends:
        assert end.over
        with pytest.raises(SessionOverError):
            next(call(end))


@pytest.mark.parametrize("number", [0, 1])
def test_a_message_of_another_length_in_the_setup(number):
    with pytest.raises(MalformedMessageError):
        run_both(setup(0), setup(1), at(number, 0, lambda m: m[:-1]))


@pytest.mark.parametrize("trial", range(6))
def test_noise_in_the_base_transfers_ends_the_setup(trial):
    place = 8 * int.from_bytes(os.urandom(4), "little")
    with pytest.raises((MalformedMessageError, WrongCorrelationError)):
        run_both(setup(0), setup(1), at(0, trial % 2, lambda m: flip(m, place % (8 * len(m)) + trial)))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", ["transfers", "tags"])
def test_noise_in_seeds_and_proofs_is_always_noticed(name, number):
    for trial in range(40):
        ends, call = deal(), CALLS[name][1]
        # beyond the hash of the choices, or the sum of the inputs, on which a weak key may not depend
        place = 8 * (14 + trial) if (name, number) == ("tags", 2) else 128 + 101 * trial
        with pytest.raises((WrongCorrelationError, MalformedMessageError)):
            run_both(
                call(ends[0]), call(ends[1]), at(number, 1, lambda m, p=place: flip(m, p % (8 * len(m))))
            )


@pytest.mark.parametrize("name", ["coin", "commitment"])
@pytest.mark.parametrize("number", [0, 1])
def test_another_opening_than_committed_to(name, number):
    for place in (0, 100, 255, 300):
        ends, call = deal(), CALLS[name][1]
        with pytest.raises(WrongOpeningError):
            run_both(
                call(ends[0]), call(ends[1]), at(number, 1, lambda m, p=place: flip(m, p % (8 * len(m))))
            )


def test_a_reflected_commitment_is_not_an_opening_of_the_others():
    """A party that sends back what it got would make every coin zero."""
    end, _ = deal()
    talk = end.coin(16)
    opening = talk.send(next(talk))
    with pytest.raises(WrongOpeningError):
        talk.send(opening)


# -- base transfers -------------------------------------------------------------------------------------

NEUTRAL = b"\1" + bytes(31)
OF_ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
NOT_CANONICAL = bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")


def outside_the_prime_order():
    """A point of the curve that is a good one plus one of order 8."""
    good = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(b"\5" + bytes(31))
    return nacl.bindings.crypto_core_ed25519_add(good, OF_ORDER_8)


@pytest.mark.parametrize(
    "point", [NEUTRAL, OF_ORDER_8, NOT_CANONICAL, b"\2" + bytes(31), outside_the_prime_order()]
)
@pytest.mark.parametrize("place", [0, 1, 2, 9])
def test_points_that_are_not_of_the_group(point, place):
    """In the place of the key, and of points of a pair."""
    first = base.NONCE_BYTES + base.POINT_BYTES * place

    def change(message):
        return message[:first] + point + message[first + len(point) :]

    with pytest.raises(MalformedMessageError):
        run_both(base.base_transfers(0, [0, 1] * 4), base.base_transfers(1, [0, 1] * 4), at(0, 1, change))


def test_a_point_that_cancels_the_hash_is_refused():
    """Its key would be the neutral element, which everybody knows."""
    sodium = nacl.bindings
    first = base.NONCE_BYTES + base.POINT_BYTES

    def change(message):
        other = message[first + 32 : first + 64]
        hashed = base._point(sodium, 0, 0, 0, other)
        zero = sodium.crypto_core_ed25519_sub(hashed, hashed)
        return message[:first] + sodium.crypto_core_ed25519_sub(zero, hashed) + message[first + 32 :]

    with pytest.raises(MalformedMessageError, match="nobody draws"):
        run_both(base.base_transfers(0, [0]), base.base_transfers(1, [0]), at(0, 1, change))


def test_a_receiver_has_one_key_of_each_pair():
    choices = [[0, 1, 1, 0], [1, 1, 0, 0]]
    ends = run_both(*(base.base_transfers(party, choices[party]) for party in (0, 1)))
    for receiver, sender, chosen in ((ends[0], ends[1], choices[0]), (ends[1], ends[0], choices[1])):
        assert [pair[c] for pair, c in zip(sender.pairs, chosen, strict=True)] == list(receiver.chosen)
        assert len({key for pair in sender.pairs for key in pair}) == 2 * len(chosen)


# -- seeds ----------------------------------------------------------------------------------------------


def planted(points):
    pairs = [(os.urandom(32), os.urandom(32)) for _ in range(4 * len(points))]
    seeds, message = plant(pairs)
    keys = [pair[c] for pair, c in zip(pairs, choices_of(points), strict=True)]
    return seeds, message, keys


def test_all_seeds_but_one():
    points = list(range(16))
    seeds, message, keys = planted(points)
    got = gather(points, keys, message)
    same = (seeds == got).all(axis=2)
    np.testing.assert_array_equal(same, ~np.eye(16, dtype=bool))


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("side", [0, 1])
def test_a_wrong_half_is_noticed_by_those_whose_path_needs_it(level, side):
    """A selective failure costs the cheater what it may learn: one bit, half of the time."""
    noticed = []
    for point in range(16):
        _, message, keys = planted([point])
        wrong = flip(message, 8 * (32 * level + 16 * side) + 3)
        try:
            gather([point], keys, wrong)
            noticed.append(False)
        except WrongCorrelationError:
            noticed.append(True)
    assert noticed == [(point >> 3 - level & 1) != side for point in range(16)]


@pytest.mark.parametrize("place", [128, 159, 160, 191])
def test_wrong_checks_are_always_noticed(place):
    for point in range(16):
        _, message, keys = planted([point])
        with pytest.raises(WrongCorrelationError):
            gather([point], keys, flip(message, 8 * place))
    assert len(message) == TREE_BYTES


# -- choices that differ from tree to tree -----------------------------------------------------------------


class Torn(transfers.Receiver):
    """Uses other choices in some trees, and guesses the sender's Δ there."""

    guesses = None

    def correction(self):
        self.difference = np.zeros_like(self._bits)
        self.difference[0] = 1 << 5
        correction = self._u ^ self._bits
        for tree in self.guesses:
            correction[tree] ^= self.difference
        return correction.tobytes()

    def proof(self, seed):
        said = np.frombuffer(super().proof(seed), np.uint64).reshape(-1, 2).copy()
        chi = weights(seed, self._bits.size // 2)
        chi[-1] = (1, 0)
        hashed = column_hashes(self.difference[np.newaxis], chi)[0]
        for tree, guess in self.guesses.items():
            for e in range(4):
                if guess >> e & 1:
                    said[1 + 4 * tree + e] ^= hashed
        return said.tobytes()


def choose_nothing(end):
    return end.random_ots(np.zeros(9, np.bool_))


def cheated(kind, hook, call, **dealt):
    """What a party 1 of that kind gets through with, None where it is caught, and both ends."""
    ends = deal(8, **dealt)
    cheat = type("Cheat", (Oblivious,), {hook: kind})
    ends[1].__class__ = cheat
    try:
        results = run_both(call(ends[0]), call(ends[1]))
    except WrongCorrelationError as error:
        caught = error
    else:
        return results, ends
    assert caught.evidence.party == 0
    assert ends[0].over
    return None, ends


def delta_of(end):
    return nibbles(int(end._delta[0]) | int(end._delta[1]) << 64, 32)


def test_torn_choices_pass_for_one_guess_of_sixteen():
    """Exactly: whether it passes is whether the guess is right, and then it leaves right transfers."""
    passed = 0
    for trial in range(320):
        kind = type("Guess", (Torn,), {"guesses": {trial % 32: trial % 16}})
        results, ends = cheated(kind, "_receiver", choose_nothing)
        right = delta_of(ends[0])[trial % 32] == trial % 16
        assert (results is not None) == right
        passed += right
        if right:
            rows = np.arange(9) != 5
            np.testing.assert_array_equal(results[1].received[rows], results[0].pads[0][rows])
    assert 5 <= passed <= 45, "20 expected; outside has a probability below 10^-4"


def test_choices_torn_in_two_trees_pass_for_both_guesses_only():
    for trial in range(60):
        delta = int.from_bytes(os.urandom(16), "little")
        right = nibbles(delta, 32)
        wrong = right[30] ^ 1 + trial % 15
        for guesses, good in (({3: right[3], 30: right[30]}, True), ({3: right[3], 30: wrong}, False)):
            kind = type("Guess", (Torn,), {"guesses": guesses})
            results, _ = cheated(kind, "_receiver", choose_nothing, deltas=(delta, 0))
            assert (results is not None) == good


# -- inputs that differ from chunk to chunk -----------------------------------------------------------------


class Split(tags.Inputs):
    """Uses another input in chunk 1, and guesses that chunk of the other's key."""

    guess = 0
    by = 1

    def correction(self):
        values = self._values.copy()
        other = values.copy()
        other[2] = wide.add(other[2], wide.from_ints([self.by]))[0]
        parts = []
        for chunk, ring in enumerate(self._chunks):
            used = other if chunk == 1 else values
            parts.append(wide.pack(wide.reduce(wide.sub(used, self._u[chunk]), ring), ring))
        return b"".join(parts)

    def proof(self, seed):
        chi = weights(seed, len(self._values))[:, 0].copy()
        chi[-1] = 1
        wrong = wide.from_ints([self.guess * int(chi[2]) * self.by])
        self._v[1, -1] = wide.sub(self._v[1, -1], wrong[0])
        return super().proof(seed)


def split(guess, by):
    values = wide.random(5, RING)
    kind = type("Guess", (Split,), {"guess": guess, "by": by})
    results, ends = cheated(kind, "_inputs", lambda end: end.authenticate(values, RING))
    return results, ends, values


def test_split_inputs_pass_for_one_guess_of_sixteen():
    passed = 0
    for trial in range(320):
        by = int.from_bytes(os.urandom(13), "little") | 1
        results, ends, values = split(trial % 16, by)
        right = ends[0].alpha >> 4 == trial % 16
        assert (results is not None) == right
        passed += right
        if right:
            # what it leaves is an error that the cheater knows: its guess times the difference
            left = wide.add(results[1].own, results[0].keys)
            error = wide.sub(left, wide.mul(values, wide.from_ints([ends[0].alpha])))
            expected = [0, 0, (trial % 16) * by * 16 % 2**RING, 0, 0]
            assert wide.to_ints(wide.reduce(error, RING)) == expected
    assert 5 <= passed <= 45, "20 expected"


def test_a_difference_in_the_top_bit_tells_the_low_bit_only():
    """The ring has zero divisors: this is why tags are used modulo less than they are made in."""
    noticed = 0
    for trial in range(60):
        results, ends, _ = split(trial % 16, 1 << RING - 5)
        # χ is odd or even; with an even one the difference vanishes
        if results is None:
            assert (ends[0].alpha >> 4 ^ trial) & 1
            noticed += 1
    assert 3 <= noticed <= 30, "15 expected"


class Repeatedly(Split):
    """As before, in every check."""

    def proof(self, seed):
        n = len(self._values) - self._checks
        for check in range(self._checks):
            factor = int(weights(seed, n, check * n)[2, 0])
            wrong = wide.from_ints([self.guess * factor * self.by])[0]
            self._v[1, n + check] = wide.sub(self._v[1, n + check], wrong)
        return tags.Inputs.proof(self, seed)


@pytest.mark.parametrize(("spare", "times"), [(0, 1), (0, 2), (1, 1), (1, 2), (0, 3), (0, 6)])
def test_checks_multiply_what_a_wrong_guess_passes_with(spare, times):
    """The least error that counts modulo 2^(128 − spare), against a key that makes its guess wrong."""
    trials, values, passed = 160, wide.random(5, 128), 0
    kind = type("Wrong", (Repeatedly,), {"by": 1 << 128 - spare - 4 - 1, "guess": 0})
    for _ in range(trials):
        end, other = deal(8, (0x10, 0))
        other.__class__ = type("Cheat", (Oblivious,), {"_inputs": kind})
        try:
            found = run_both(end.authenticate(values, 128, times), other.authenticate(values, 128, times))
        except WrongCorrelationError:
            continue
        left = wide.add(found[1].own, found[0].keys)
        error = wide.sub(left, wide.mul(values, wide.from_ints([0x10])))
        assert wide.to_ints(wide.reduce(error, 128 - spare)) == [0, 0, 1 << 127 - spare, 0, 0]
        passed += 1
    probability = 2.0 ** (-(spare + 1) * times)
    spread = 4 * (trials * probability * (1 - probability)) ** 0.5
    assert abs(passed - trials * probability) <= spread, "the promise, which this cheat reaches"


def test_a_right_guess_of_one_bit_passes_every_check():
    """And it is one bit of the key that the difference in the top bit needs: half of all keys."""
    kind = type("Guess", (Repeatedly,), {"by": 1 << 128 - 4 - 1, "guess": 1})
    values = wide.random(5, 128)
    for low, right in ((0x10, True), (0x70, True), (0x20, False)):
        end, other = deal(8, (low, 0))
        other.__class__ = type("Cheat", (Oblivious,), {"_inputs": kind})
        talks = end.authenticate(values, 128, 40), other.authenticate(values, 128, 40)
        if right:
            run_both(*talks)
        else:
            with pytest.raises(WrongCorrelationError):
                run_both(*talks)


class Shifted(tags.Inputs):
    """Proves another sum of inputs than it tagged, guessing the whole key."""

    guess = 0

    def proof(self, seed):
        self._values[-1] = wide.add(self._values[-1], wide.from_ints([1]))[0]
        for chunk in range(len(self._chunks)):
            part = wide.from_ints([self.guess >> 4 * chunk & 15])
            self._v[chunk, -1] = wide.add(self._v[chunk, -1], part)[0]
        return super().proof(seed)


def test_another_sum_of_inputs_passes_for_one_key_of_all():
    values = wide.random(2, RING)
    passed = []
    ends = deal(8)
    for guess in range(256):
        kind = type("Guess", (Shifted,), {"guess": guess})
        end, other = deal(8, (77, 0))
        other.__class__ = type("Cheat", (Oblivious,), {"_inputs": kind})
        try:
            run_both(end.authenticate(values, RING), other.authenticate(values, RING))
            passed.append(guess)
        except WrongCorrelationError:
            assert end.over
    assert passed == [77]
    assert not ends[0].over


def test_numbers_above_their_ring_are_malformed():
    """112 bits fill their bytes, 106 do not."""
    for number, place in ((0, 8 * 14 - 1), (2, 8 * 14 - 1)):
        ends = deal()
        values = wide.random(3, 106)
        with pytest.raises(MalformedMessageError, match="out of range"):
            run_both(
                ends[0].authenticate(values, 106),
                ends[1].authenticate(values, 106),
                at(number, 1, lambda m, p=place: flip(m, p)),
            )
