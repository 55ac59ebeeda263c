"""A cheating party at each step: caught with the promised probability, counted with small s."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from blindsight.core.errors import AbortError, SessionOverError, UsageError, WrongOpeningError
from blindsight.kernels import wide
from blindsight.schemes.dealerless.bits import random_bits
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.party import whole
from blindsight.schemes.dealerless.products import Maker
from dealerless_pairs import both, ideal, values, weak

S = 3
TRIALS = 240
RING = 24 + 40


def number(value):
    return wide.from_ints([value])[0]


class Honest(Maker):
    """Draws t from S bits only, so that passing the sacrifice can be seen. All else has 40 bits."""

    def _t(self):
        drawn = yield from super()._t()
        return drawn & number(2**S - 1)


def survived(kind, protocol, sizes, trials=TRIALS, honest=Honest):
    """Results of the runs in which P1, of class ``kind``, was not caught; each run has other keys."""
    found = []
    for trial in range(trials):
        pair = ideal(sizes, b"trial %d" % trial, (honest, kind))
        try:
            found.append(both(pair, protocol))
        except WrongOpeningError:
            continue
    return found


def expect(count, probability, trials=TRIALS):
    """A count that is that of a coin of this probability, within 4 deviations."""
    spread = 4 * (trials * probability * (1 - probability)) ** 0.5
    assert abs(count - trials * probability) <= spread, (count, trials * probability, spread)


def right(triple, k):
    a, b, c = (values(half) for half in zip(*triple, strict=True))
    return all((x * y - z) % 2**k == 0 for x, y, z in zip(a, b, c, strict=True))


# -- transfers ----------------------------------------------------------------------------------------


class WrongCorrelation(Honest):
    """Uses another value in the first ``wrong`` transfers: passes where the choices are all 0."""

    wrong = 1
    seen = None

    def corrections(self, pads, own, bits):
        d = super().corrections(pads, own, bits).copy()
        d[: self.wrong] = wide.reduce(wide.add(d[: self.wrong], number(1)), bits)
        return d


@pytest.mark.parametrize("wrong", [1, 3])
def test_a_wrong_correlation_is_a_guess_of_choice_bits(wrong):
    """It passes where the guess was right, with one t beside, and what passed by the guess is right."""
    kind = type("Cheat", (WrongCorrelation,), {"wrong": wrong})
    alive = survived(kind, lambda party: party.triples(1, 41), Sizes(24, 40))
    expect(len(alive), 2**-wrong)
    assert all(right(triple, 1) for triple in alive)


class Remembers(Honest):
    """Honest, and keeps its combined choices."""

    def triple_inputs(self, half, b, bits):
        self.a = wide.to_ints(half.a)
        return super().triple_inputs(half, b, bits)


def test_surviving_selective_failure_leaves_the_factor_uniform():
    """The honest a is uniform although P1 knows three choice bits of those runs that it survived."""
    sizes, seen = weak(2, 8), []
    kind = type("Cheat", (WrongCorrelation,), {"wrong": 3})
    for trial in range(480):
        pair = ideal(sizes, b"leak %d" % trial, (Remembers, kind))
        try:
            both(pair, lambda party: party.triples(1, sizes.numbers))
        except WrongOpeningError:
            continue
        seen.append(pair[0].a[0] % 4)
    counts = np.bincount(seen, minlength=4)
    expected = len(seen) / 4
    assert len(seen) > 30
    assert float(((counts - expected) ** 2 / expected).sum()) < 21  # chi-square, 3 degrees: 1 in 10^4


# -- inputs and products ------------------------------------------------------------------------------


class OtherInput(Honest):
    """Authenticates another b than it used in the transfers."""

    def triple_inputs(self, half, b, bits):
        a, b, c, a2, c2 = super().triple_inputs(half, b, bits)
        return [a, wide.reduce(wide.add(b, number(1)), bits), c, a2, c2]


def test_an_input_that_was_not_the_one_in_the_transfers():
    """t·(c − ab) = ĉ − âb is t·a = â here, for uniform a and â: as good as never."""
    assert survived(OtherInput, lambda party: party.triples(1, 41), Sizes(24, 40)) == []


class WrongTriple(Honest):
    """c + 1, and ĉ + g: passes for t = g."""

    def triple_inputs(self, half, b, bits):
        a, b, c, a2, c2 = super().triple_inputs(half, b, bits)
        c2 = wide.add(c2, number(2**S - 2))
        return [a, b, wide.reduce(wide.add(c, number(1)), bits), a2, wide.reduce(c2, bits)]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_wrong_triple_passes_for_one_t(hidden):
    alive = survived(WrongTriple, lambda party: party.triples(3, 41, hidden=hidden), Sizes(24, 40))
    expect(len(alive), 2**-S)
    assert not any(right(triple, 1) for triple in alive)


class WrongSquare(Honest):
    """w + 1 for an odd square and ŵ + g."""

    def square_inputs(self, half, u, u2, bits):
        u_, u2_, w, w2 = super().square_inputs(half, u, u2, bits)
        return [u_, u2_, *_off_by_one(w, w2, bits)]

    def private_inputs(self, u, u2, bits):
        u, u2, w, w2 = super().private_inputs(u, u2, bits)
        return [u, u2, *_off_by_one(w, w2, bits)]


def _off_by_one(w, w2, bits):
    return [wide.reduce(wide.add(w, number(1)), bits), wide.reduce(wide.add(w2, number(2**S - 1)), bits)]


@pytest.mark.parametrize("name", ["squares", "private_squares"])
def test_a_wrong_square_passes_for_one_t(name):
    alive = survived(WrongSquare, lambda party: getattr(party, name)(2, RING), Sizes(24, 40))
    expect(len(alive), 2**-S)


def test_bits_of_wrong_squares():
    """A wrong square that passed: v = u² + u + 1 is odd, and that is an abort too."""
    assert survived(WrongSquare, lambda party: random_bits(party, 2), Sizes(24, 40)) == []


# -- openings -----------------------------------------------------------------------------------------


class WrongOpening(Maker):
    """Opens values that are off by ``by`` and corrects its tag by a guess of the other's key."""

    by = 1
    guess = 5

    def opening(self, share):
        return wide.reduce(wide.add(share, number(self.by)), self.sizes.numbers)

    def _list(self, bits, opened, tags):
        key = wide.add(self._alpha[0], number(self.guess))
        super()._list(bits, opened, wide.reduce(wide.add(tags, wide.mul(key, number(self.by))), bits))


@whole
def opened(party):
    shared = yield from party.random(3, party.sizes.numbers)
    found = yield from party.open(shared)
    yield from party.check()
    return found


def passing(condition):
    """Which part of two keys and three coefficients meets a condition modulo 2^(2 + S)."""
    drawn = list(itertools.product(range(2**S), repeat=5))
    return sum(condition(*numbers) % 2 ** (2 + S) == 0 for numbers in drawn) / len(drawn)


@pytest.mark.parametrize("by", [1, 2])
def test_a_wrong_opening_is_a_guess_of_the_key(by):
    """The guess of α_0, and the coefficients of a check: together below the bound of section 5."""
    kind = type("Cheat", (WrongOpening,), {"by": by})
    probability = passing(lambda a, _, x, y, z: by * (a - kind.guess) * (x + y + z))
    assert 2**-S <= probability <= 2**-S * (S + 1)
    expect(len(survived(kind, opened, weak(2, S), 2 * TRIALS)), probability, 2 * TRIALS)


class WrongTag(Maker):
    """Tags that are off by one."""

    def _list(self, bits, opened, tags):
        super()._list(bits, opened, wide.reduce(wide.add(tags, number(1)), bits))


def test_a_wrong_tag_passes_where_its_coefficients_vanish():
    probability = passing(lambda _a, _b, x, y, z: x + y + z)
    expect(len(survived(WrongTag, opened, weak(2, S), 2 * TRIALS)), probability, 2 * TRIALS)


class Cancelling(Maker):
    """Two errors that would cancel, were the coefficients equal."""

    def opening(self, share):
        off = wide.from_ints([1, -1, 0][: len(share)])
        return wide.reduce(wide.add(share, off), self.sizes.numbers)


def test_errors_that_would_cancel():
    probability = passing(lambda a, b, x, y, _: (a + b) * (x - y))
    assert probability <= 2**-S * (S + 1)
    expect(len(survived(Cancelling, opened, weak(2, S), 2 * TRIALS)), probability, 2 * TRIALS)


def test_with_forty_bits_nothing_passes():
    sizes = Sizes(24, 40)
    for kind in (WrongOpening, WrongTag, Cancelling):
        assert survived(kind, opened, sizes, 20) == []
    for kind in (WrongTriple, OtherInput):
        kind = type("Cheat", (kind,), {"_t": Maker._t})
        assert survived(kind, lambda party: party.triples(2, 41), sizes, 20, Maker) == []
    kind = type("Cheat", (WrongSquare,), {"_t": Maker._t})
    assert survived(kind, lambda party: party.squares(2, 64), sizes, 20, Maker) == []


def test_a_value_altered_after_it_was_committed_to():
    for place in range(2):
        pair = ideal(Sizes(8, 40))
        rounds = []

        def alter(step, party, message, place=place, rounds=rounds):
            rounds.append(message)
            # opening, commitment, commitment opened: its nonce, its z
            if step == 2 and party == 0:
                at = 0 if place else len(message) - 1
                message = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
            return message

        with pytest.raises(WrongOpeningError):
            both(pair, opened, alter)
        assert len(rounds) == 6


def test_an_aborted_party_refuses():
    pair = ideal(Sizes(8, 40), kinds=(Maker, WrongTag))
    with pytest.raises(AbortError) as caught:
        both(pair, opened)
    assert caught.value.evidence.reason == "abort-opening"
    assert len(caught.value.evidence.received) == 2
    for party in pair[:1]:
        assert party.over
        assert party.oblivious.over
        assert not party._alpha.any()
        with pytest.raises(SessionOverError):
            next(opened(party))


def test_a_party_that_was_left_in_the_middle_refuses():
    pair = ideal(Sizes(8, 40))
    talk = opened(pair[0])
    next(talk)
    talk.close()
    assert pair[0].over
    with pytest.raises(SessionOverError):
        next(opened(pair[0]))


def test_two_protocols_of_one_party_at_once_are_refused():
    pair = ideal(Sizes(8, 40))
    talks = [opened(party) for party in pair]
    messages = [next(talk) for talk in talks]
    with pytest.raises(UsageError, match="follow each other"):
        next(opened(pair[0]))
    assert not pair[0].over
    talks[0].send(messages[1])  # the first one goes on
