"""A party that cheats, at each step; whatever it does, the other one accepts nothing wrong."""

import os
from typing import ClassVar

import numpy as np
import pytest

from blindsight.core import errors
from blindsight.core.errors import AbortError, SessionOverError, UsageError
from blindsight.schemes.spdz2k.compute import Comparison, Matches, Session, Step
from blindsight.schemes.spdz2k.messages import Kind, pack_bits
from blindsight.schemes.spdz2k.watchlist import Watchlist
from two_parties import SMALL, Cheat, Rig, outcomes, through, vectors, watchlist

RNG = np.random.default_rng(23)
ONE = np.uint64(1)


class Shifts(Comparison):
    """Adds to one share after the linear step, and sends its old tags."""

    by = 1

    def _prepare(self, inputs):
        super()._prepare(inputs)
        self._shares[0, :1] += np.uint64(self.by)


class ShiftsAndGuesses(Shifts):
    """The same, with a guess of the key that would make the tag right."""

    def _prepare(self, inputs):
        super()._prepare(inputs)
        self._tags[0, :1] += np.uint64(int.from_bytes(os.urandom(8), "little") * self.by % 2**64)


class Tracks(Comparison):
    """Section 3.3 of the thesis: moves its share of the face, to look for p instead of entry 0."""

    p = np.array([7, -7, 7, -7])

    def _prepare(self, inputs):
        wanted = self.p - self._session.watchlist.entries[0]
        moved = inputs.copy()
        if self._grant.party == 0:
            moved[:, :-1] -= wanted.astype(np.uint64)
            super()._prepare(moved)
        else:
            super()._prepare(inputs)
            entries = self._session.watchlist.entries.astype(np.int64)
            self._shares += (2 * entries @ wanted).astype(np.uint64)


class OtherThreshold(Comparison):
    """Lets more people match than was agreed."""

    def _prepare(self, inputs):
        super()._prepare(inputs)
        self._shares -= np.uint64(500)


class OwnMaterial(Comparison):
    """Opens random shares, with random tags."""

    def _prepare(self, inputs):
        super()._prepare(inputs)
        self._shares[:] = np.frombuffer(os.urandom(self._shares.nbytes), np.uint64).reshape(
            self._shares.shape
        )


class FlipsABit(Comparison):
    """Reports one bit wrongly: a match becomes none, or the reverse."""

    def _bits(self, message):
        super()._bits(message)
        flipped = self._own_bits.copy()
        flipped[0, 0] ^= 1
        return self._header(Kind.BITS) + pack_bits(flipped)


class FlipsABitAndHidesIt(FlipsABit):
    """And computes its check as the other one would see it, as far as it can."""

    def _check(self, message):
        super()._check(message)
        self._match = self._match.copy()
        self._match[0, 0] ^= 1
        self._chosen = self._choose()
        return self._header(Kind.CHECK) + self._result_hash(self._grant.party)


class WrongPoint(Comparison):
    """Evaluates its comparison key elsewhere."""

    def _tokens(self, opened):
        return super()._tokens(opened ^ (ONE << np.uint64(self._grant.params.levels - 1)))


class WrongHalf(Comparison):
    """Leaves out the upper bit."""

    def _tokens(self, opened):
        return super()._tokens(opened ^ (ONE << np.uint64(self._grant.params.levels)))


class RandomTokens(Comparison):
    def _tokens(self, opened):
        u = super()._tokens(opened)
        return np.frombuffer(os.urandom(u.nbytes), np.uint64).reshape(u.shape).copy()


class RandomCheck(Comparison):
    def _check(self, message):
        return super()._check(message)[:32] + os.urandom(32)


class OldMessage(Comparison):
    """Sends what it sent in the first run of the session."""

    kept: ClassVar[dict] = {}
    which = Kind.OPEN

    def _send(self, following, message):
        name = (self._grant.session, message[3])
        old = self.kept.setdefault(name, message)
        super()._send(following, message)
        return old if message[3] == self.which else message


class OldBody(OldMessage):
    """The same with the header that is due."""

    def _send(self, following, message):
        sent = super()._send(following, message)
        return message[:32] + sent[32:]


class Garbage(Comparison):
    which, what = Kind.OPEN, b""

    def _send(self, following, message):
        super()._send(following, message)
        return self.what if message[3] == self.which else message


def cheats():
    opening, result = errors.WrongOpeningError, errors.WrongResultError
    found = [
        (Shifts, opening), (ShiftsAndGuesses, opening), (Tracks, opening), (OtherThreshold, opening),
        (OwnMaterial, opening), (FlipsABit, result), (FlipsABitAndHidesIt, result), (WrongPoint, result),
        (WrongHalf, result), (RandomTokens, result), (RandomCheck, result),
    ]  # fmt: skip
    for power in (0, 1, 5, 13, 14):
        found.append((type(f"Shifts{power}", (Shifts,), {"by": 2**power}), opening))
        found.append((type(f"Guesses{power}", (ShiftsAndGuesses,), {"by": 2**power}), opening))
    return found


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize(("cheat", "error"), cheats(), ids=lambda c: c.__name__)
def test_a_cheat_is_caught(cheat, error, party):
    kinds = (cheat, Comparison) if party == 0 else (Comparison, cheat)
    for count in (1, 3):
        rig = Rig(watchlist(SMALL, 5, RNG), kinds=kinds)
        ends = outcomes(rig.begin(vectors(SMALL, count, RNG)))
        caught = ends[1 - party]
        assert type(caught) is error
        if cheat is RandomCheck:  # it had an honest check: its own result is right, and it knows no more
            assert isinstance(ends[party], Matches)
        else:
            assert isinstance(ends[party], AbortError)
        material, shared = rig.deal(vectors(SMALL, 1, RNG))
        with pytest.raises(SessionOverError):
            rig.sessions[1 - party].begin(material[1 - party], shared.message)


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize("cls", [OldMessage, OldBody])
@pytest.mark.parametrize("which", [Kind.OPEN, Kind.BITS, Kind.CHECK])
def test_replays_within_a_session(party, cls, which):
    w = Watchlist(SMALL, vectors(SMALL, 16, RNG), SMALL.norm**2)
    cheat = type("Old", (cls,), {"which": which, "kept": {}})
    rig = Rig(w, kinds=(cheat, Comparison) if party == 0 else (Comparison, cheat))
    through(rig.begin(vectors(SMALL, 1, RNG)))
    ends = outcomes(rig.begin(vectors(SMALL, 1, RNG)))
    wrong = errors.WrongOpeningError if which is Kind.OPEN else errors.WrongResultError
    assert type(ends[1 - party]) is (errors.ReplayedError if cls is OldMessage else wrong)
    assert isinstance(ends[party], Matches if which is Kind.CHECK else AbortError)


@pytest.mark.parametrize("which", [Kind.OPEN, Kind.BITS, Kind.CHECK])
@pytest.mark.parametrize(
    "what", ["empty", "short", "long", "huge", "noise", "abort", "grant", "kind", "version"]
)
def test_garbage_at_each_step(which, what):
    rig = Rig(watchlist(SMALL, 5, RNG))
    size = rig.dealer.grants[0].layout.size(which, 2)

    def alter(step, sender, message):
        if sender or message[3] != which:
            return message
        return {
            "empty": b"\0", "short": message[:-1], "long": message + b"\0", "huge": message + bytes(1 << 20),
            "noise": os.urandom(size), "abort": message[:3] + bytes([Kind.ABORT]) + message[4:],
            "grant": message[:3] + bytes([Kind.GRANT]) + message[4:],
            "kind": message[:3] + bytes([Kind.CHECK if which is not Kind.CHECK else Kind.OPEN]) + message[4:],
            "version": message[:2] + b"\2" + message[3:],
        }[what]  # fmt: skip

    ends = outcomes(rig.begin(vectors(SMALL, 2, RNG)), alter)
    assert type(ends[1]) is errors.MalformedMessageError
    assert max(map(len, ends[1].evidence.received)) <= size + 200
    assert isinstance(ends[0], Matches if which is Kind.CHECK else errors.CounterpartAbortError)


@pytest.mark.parametrize("field", ["session", "first", "count"])
@pytest.mark.parametrize("which", [Kind.OPEN, Kind.BITS, Kind.CHECK])
def test_headers_of_other_faces(which, field):
    place = {"session": 4, "first": 20, "count": 28}[field]

    def alter(step, sender, message):
        if sender or message[3] != which:
            return message
        return message[:place] + bytes([message[place] ^ 4]) + message[place + 1 :]

    rig = Rig(watchlist(SMALL, 5, RNG))
    ends = outcomes(rig.begin(vectors(SMALL, 2, RNG)), alter)
    assert type(ends[1]) is errors.ReplayedError


def test_bits_of_entries_that_do_not_exist():
    def alter(step, sender, message):
        return message if sender or step != 1 else message[:-1] + bytes([message[-1] | 0x80])

    rig = Rig(watchlist(SMALL, 5, RNG))
    ends = outcomes(rig.begin(vectors(SMALL, 2, RNG)), alter)
    assert type(ends[1]) is errors.MalformedMessageError


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_mirror(step):
    """The honest party gets its own message back."""
    rig = Rig(watchlist(SMALL, 5, RNG))
    runs = rig.begin(vectors(SMALL, 1, RNG))
    messages = [run.start() for run in runs]
    for _ in range(step):
        messages = [run.receive(messages[1 - p]) for p, run in enumerate(runs)]
    if step == 1:  # a mirrored bit is a bit; the check notices
        check = runs[1].receive(messages[1])
        messages = [runs[0].receive(messages[1]), check]
        with pytest.raises(errors.WrongResultError):
            runs[1].receive(messages[0])
        return
    with pytest.raises((errors.WrongOpeningError, errors.WrongResultError)):
        runs[1].receive(messages[1])


# -- watchlists that differ -------------------------------------------------------------------------


def altered(w, **changes):
    fields = {"params": w.params, "entries": w.entries, "threshold": w.threshold, "head": w.head}
    return Watchlist(**{**fields, **changes})


def without_a_check(grant, w, kind):
    """A session of a party whose watchlist is not the grant's, and who does not mind."""
    real = grant.watchlist
    object.__setattr__(grant, "watchlist", w.digest)
    session = Cheat(grant, w)
    object.__setattr__(grant, "watchlist", real)
    session.kind = kind
    return session


CHANGES = {
    "entry": lambda w: {"entries": np.concatenate([w.entries[1:], -w.entries[:1] - 1])},
    "one coordinate": lambda w: {"entries": w.entries + np.eye(5, 4, dtype=np.int32)},
    "threshold": lambda w: {"threshold": w.threshold + 1},
    "head": lambda w: {"head": bytes([1] * 32)},
}


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize("change", CHANGES)
def test_another_watchlist_is_named(change, party):
    w = Watchlist(SMALL, vectors(SMALL, 5, RNG) // 2, 900)
    rig = Rig(w)
    other = altered(w, **CHANGES[change](w))
    rig.sessions[party] = without_a_check(rig.dealer.grants[party], other, Comparison)
    ends = outcomes(rig.begin(vectors(SMALL, 1, RNG)))
    assert {type(end) for end in ends} == {errors.OtherWatchlistError}


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize("change", ["entry", "one coordinate", "threshold"])
def test_another_watchlist_under_the_agreed_digest_is_caught(change, party):
    w = Watchlist(SMALL, vectors(SMALL, 5, RNG) // 2, 900)
    rig = Rig(w)
    other = altered(w, **CHANGES[change](w))
    object.__setattr__(other, "digest", w.digest)
    rig.sessions[party] = Session(rig.dealer.grants[party], other)
    ends = outcomes(rig.begin(vectors(SMALL, 1, RNG)))
    assert errors.WrongOpeningError in {type(end) for end in ends}
    assert all(isinstance(end, AbortError) for end in ends)
    # P1's own shares do not depend on the threshold: it only spoils its own check of P0's.
    assert type(ends[1 - party]) is errors.WrongOpeningError or (change, party) == ("threshold", 1)


@pytest.mark.parametrize("party", [0, 1])
def test_inputs_that_only_one_party_changed(party):
    rig = Rig(watchlist(SMALL, 5, RNG))
    material, shared = rig.deal(vectors(SMALL, 1, RNG))
    changed = bytearray(shared.message)
    changed[32] ^= 1
    inputs = [shared.message, shared.message]
    inputs[party] = bytes(changed)
    runs = [s.begin(m, e) for s, m, e in zip(rig.sessions, material, inputs, strict=True)]
    assert errors.WrongOpeningError in {type(end) for end in outcomes(runs)}


# -- nothing before the check -----------------------------------------------------------------------


def test_no_bit_leaves_before_the_tags_are_checked():
    rig = Rig(watchlist(SMALL, 5, RNG), kinds=(Shifts, Comparison))
    runs = rig.begin(vectors(SMALL, 1, RNG))
    openings = [run.start() for run in runs]
    with pytest.raises(errors.WrongOpeningError) as caught:
        runs[1].receive(openings[0])
    kinds = [message[3] for message in caught.value.evidence.sent]
    assert kinds == [Kind.OPEN, Kind.ABORT]
    assert caught.value.notice == caught.value.evidence.sent[-1]
    assert len(caught.value.notice) == 33
    assert not hasattr(runs[1], "_u")


def test_evidence_tells_the_course_and_no_secret():
    rig = Rig(watchlist(SMALL, 5, RNG), kinds=(FlipsABit, Comparison))
    runs = rig.begin(vectors(SMALL, 2, RNG))
    alpha, seed = rig.dealer.grants[1].alpha.to_bytes(8, "little"), bytes(runs[1]._words[0, :4].tobytes())
    ends = outcomes(runs)
    evidence = ends[1].evidence
    assert (evidence.reason, evidence.party, evidence.first, evidence.count) == ("abort-result", 1, 0, 2)
    assert evidence.session == rig.dealer.session
    assert evidence.watchlist == rig.watchlist.digest
    assert [m[3] for m in evidence.sent] == [Kind.OPEN, Kind.BITS, Kind.CHECK, Kind.ABORT]
    assert [m[3] for m in evidence.received] == [Kind.OPEN, Kind.BITS, Kind.CHECK]
    everything = b"".join(evidence.sent + evidence.received) + str(ends[1]).encode()
    assert alpha not in everything
    assert seed not in everything
    assert evidence.received == tuple(ends[0].evidence.sent[:2]) + evidence.received[2:]
    assert len({evidence.digest(), ends[0].evidence.digest()}) == 2


def test_secrets_are_overwritten():
    rig = Rig(watchlist(SMALL, 5, RNG), kinds=(Shifts, Comparison))
    runs = rig.begin(vectors(SMALL, 1, RNG))
    half = runs[1]._half
    assert half.payload.any()
    outcomes(runs)
    assert not any(getattr(half, name).any() for name in ("values", "roots", "payload", "offset"))
    assert not rig.sessions[1].alpha.any()
    assert runs[1].step is Step.ABORTED


# -- parties that leave -----------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
def test_a_party_that_vanishes_at_each_step(rounds):
    rig = Rig(watchlist(SMALL, 5, RNG))
    runs = rig.begin(vectors(SMALL, 1, RNG))
    messages = [None, None]
    for step in range(rounds):
        messages = [run.start() if step == 0 else run.receive(messages[1 - p]) for p, run in enumerate(runs)]
    with pytest.raises(errors.VanishedError) as caught:
        runs[1].vanish()
    assert caught.value.notice == b""
    assert len(caught.value.evidence.sent) == rounds
    assert len(caught.value.evidence.received) == max(0, rounds - 1)
    assert rig.sessions[1].over
    with pytest.raises(SessionOverError):
        runs[1].receive(messages[0] or b"")
    with pytest.raises(UsageError):
        _ = runs[1].result


def test_a_party_that_keeps_its_check_leaves_the_other_without_a_result():
    """No protocol of two parties is fair; ours says so and ends the session."""
    rig = Rig(watchlist(SMALL, 5, RNG))
    runs = rig.begin(vectors(SMALL, 1, RNG))
    ends = outcomes(runs, lambda step, sender, message: None if step == 2 and sender == 0 else message)
    assert isinstance(ends[0], Matches)
    assert type(ends[1]) is errors.VanishedError


def test_ending_a_session_ends_its_run():
    rig = Rig(watchlist(SMALL, 5, RNG))
    runs = rig.begin(vectors(SMALL, 1, RNG))
    openings = [run.start() for run in runs]
    rig.sessions[0].end()
    with pytest.raises(SessionOverError):
        runs[0].receive(openings[1])
    with pytest.raises(SessionOverError):
        runs[0].vanish()
    assert not runs[0]._half.payload.any()


@pytest.mark.parametrize("reason", range(8))
def test_the_notice_is_understood(reason):
    rig = Rig(watchlist(SMALL, 5, RNG))
    one, other = rig.begin(vectors(SMALL, 1, RNG))
    opening = one.start()
    other.start()
    notice = opening[:3] + bytes([Kind.ABORT]) + opening[4:32] + bytes([reason])
    with pytest.raises(errors.CounterpartAbortError) as caught:
        other.receive(notice)
    assert caught.value.notice == b""
    assert caught.value.evidence.received == (notice,)


# -- how often cheating would succeed ---------------------------------------------------------------


@pytest.mark.parametrize("exponent", [1, 2, 3, 4])
def test_a_multiple_of_two_to_the_64_minus_e_passes_once_in_two_to_the_e(exponent):
    """The argument of section 7.3 in the ring itself: the tag moves by alpha * 2^(64-e).

    This is the promised probability at s = e - 1, and harmless here, as only bits below k are used.
    """
    cheat = type("High", (Shifts,), {"by": 2 ** (64 - exponent)})
    w = watchlist(SMALL, 1, RNG)
    tries, passed = 1000, 0
    face = vectors(SMALL, 1, RNG)
    for _ in range(tries):
        rig = Rig(w, kinds=(cheat, Comparison))
        end = outcomes(rig.begin(face))[1]
        passed += isinstance(end, Matches)
        if isinstance(end, Matches):
            assert bool(end.bits[0, 0]) is bool(w.matches(face)[0, 0])
        else:
            assert type(end) is errors.WrongOpeningError
    expected = tries / 2**exponent
    assert abs(passed - expected) < 5 * (expected * (1 - 2.0**-exponent)) ** 0.5


def test_adaptive_guesses_gain_nothing():
    """Learning alpha bit by bit from the top of the ring: as likely to survive as one guess."""

    class Adaptive(Comparison):
        bits = 4
        asked = 0

        def _prepare(self, inputs):
            super()._prepare(inputs)
            cls = type(self)
            cls.asked += 1
            # Believes that the lowest `asked` bits of alpha are zero; each survival confirms one more.
            self._shares[0, :1] += np.uint64(2 ** (64 - cls.asked))

    w, face = watchlist(SMALL, 1, RNG), vectors(SMALL, 1, RNG)
    survived, tries = 0, 800
    for _ in range(tries):
        cheat = type("Fresh", (Adaptive,), {})
        rig = Rig(w, kinds=(cheat, Comparison))
        for _ in range(Adaptive.bits):
            if not rig.sessions[1].over:
                outcomes(rig.begin(face))
        survived += not rig.sessions[1].over
    expected = tries / 2**Adaptive.bits
    assert survived < expected + 5 * expected**0.5


# -- ten thousand tamperings ------------------------------------------------------------------------


def tamper_message(rng, runs, party):
    step = int(rng.integers(3))

    def alter(at, sender, message):
        if at != step or sender != party:
            return message
        place = int(rng.integers(len(message)))
        return message[:place] + bytes([message[place] ^ int(rng.integers(1, 256))]) + message[place + 1 :]

    return alter


def tamper_words(name, low=False):
    def change(rng, runs, party):
        array = getattr(runs[party], name) if hasattr(runs[party], name) else getattr(runs[party]._half, name)
        flat = array.reshape(-1)
        place = int(rng.integers(flat.size))
        bit = int(rng.integers(SMALL.value_bits if low else 64))
        flat[place] ^= ONE << np.uint64(bit)

    return change


def tamper_corrections(rng, runs, party):
    run = runs[party]
    words = run._words.copy()
    start = run._grant.layout.corrections_at(party)
    words[int(rng.integers(len(words))), int(rng.integers(start, words.shape[1]))] ^= ONE << np.uint64(
        rng.integers(64)
    )
    run._words = words


def tamper_alpha(rng, runs, party):
    runs[party]._session.alpha[0] ^= ONE << np.uint64(rng.integers(40))


def tamper_point(rng, runs, party):
    run, original = runs[party], runs[party]._tokens
    by = np.uint64(rng.integers(1, 2**SMALL.value_bits))
    run._tokens = lambda opened: original(opened ^ by)


TAMPERINGS = {
    "message": tamper_message, "share": tamper_words("_shares", low=True), "tag": tamper_words("_tags"),
    "key": tamper_words("_keys"), "token payload": tamper_words("payload"),
    "token offset": tamper_words("offset"), "root": tamper_words("roots"),
    "corrections": tamper_corrections, "alpha": tamper_alpha, "point": tamper_point,
}  # fmt: skip


@pytest.mark.slow
def test_ten_thousand_tamperings():
    """None is accepted by both; those that change nothing that a party sends are counted apart.

    Only material that its own party does not use can be such: a correction where its control
    bit is clear, a bit that the evaluation clears, a payload that no bit selects.
    """
    rng = np.random.default_rng(101)
    total, idle, caught = 10_000, 0, dict.fromkeys((*TAMPERINGS, "watchlist"), 0)
    names = [*TAMPERINGS, "watchlist"]
    w = Watchlist(SMALL, vectors(SMALL, 6, rng) // 2, 700)
    honest_of = [w, w]
    for number in range(total):
        name, party = names[number % len(names)], int(rng.integers(2))
        rig = Rig(w)
        if name == "watchlist":
            entries = w.entries.copy()
            entries[int(rng.integers(6)), int(rng.integers(4))] += int(rng.choice([-1, 1]))
            other = altered(w, entries=entries)
            object.__setattr__(other, "digest", w.digest)
            rig.sessions[party] = Session(rig.dealer.grants[party], other)
        face = vectors(SMALL, 1, rng)
        material, shared = rig.deal(face)
        runs = [s.begin(m, shared.message) for s, m in zip(rig.sessions, material, strict=True)]
        alter = TAMPERINGS[name](rng, runs, party) if name in TAMPERINGS else None
        ends = outcomes(runs, alter)
        if all(isinstance(end, Matches) for end in ends):
            np.testing.assert_array_equal(ends[0].bits, honest_of[party].matches(face))
            again = Rig.__new__(Rig)  # the same material once more, untouched
            again.sessions = [Session(grant, w) for grant in rig.dealer.grants]
            clean = [s.begin(m, shared.message) for s, m in zip(again.sessions, material, strict=True)]
            through(clean)
            assert [run._sent for run in clean] == [run._sent for run in runs], name
            assert name in {"corrections", "root", "token payload"}
            idle += 1
        else:
            caught[name] += 1
            wrong = [end for end in ends if isinstance(end, Matches)]
            assert all((end.bits == w.matches(face)).all() for end in wrong)
    assert sum(caught.values()) + idle == total
    assert idle < total / 10
    assert min(caught.values()) > 300
