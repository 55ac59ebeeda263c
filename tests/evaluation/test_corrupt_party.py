"""Section 3.3 of the thesis: a party that tracks somebody who is not on the list.

Against a protocol without authentication it succeeds and nobody notices. Against ours the first
face ends the session.
"""

import numpy as np
import pytest

from blindsight.core.errors import AbortError, WrongOpeningError
from blindsight.schemes.spdz2k.compute import Comparison, Matches
from blindsight.schemes.spdz2k.messages import HASH_BYTES, HEADER_BYTES, NAMED_BYTES, Kind, pack_bits
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import quantise
from blindsight.schemes.spdz2k.watchlist import Watchlist
from evaluation import unauthenticated as naive
from two_parties import Rig, outcomes

D = 16
PARAMS = Params.for_radius(D)
THRESHOLD = PARAMS.threshold(0.6)
RNG = np.random.default_rng(33)


def person():
    point = RNG.standard_normal(D)
    return point / np.linalg.norm(point)


def photo(of):
    """Another photo of the same person: well within the threshold."""
    seen = of + RNG.normal(0, 0.08, D)
    return quantise(PARAMS, seen / np.linalg.norm(seen))[0]


LISTED = [person() for _ in range(3)]
HUNTED = person()
OTHERS = [person() for _ in range(4)]
ENTRIES = quantise(PARAMS, np.array(LISTED))
WANTED = quantise(PARAMS, HUNTED)[0]
AGREED = Watchlist(PARAMS, ENTRIES, THRESHOLD)
PASSERS_BY = [("hunted", HUNTED), ("listed", LISTED[0]), *(("other", p) for p in OTHERS), ("hunted", HUNTED)]


def naive_run(face, corrupt):
    shares = [naive.halves(int(x)) for x in face]
    dealer = naive.Dealer(len(ENTRIES), D)
    arguments = [(p, ENTRIES, THRESHOLD, [share[p] for share in shares], dealer) for p in (0, 1)]
    parties = [naive.Believing(*a) for a in arguments]
    if corrupt is not None:
        parties[corrupt] = naive.Corrupt(*arguments[corrupt], wanted=WANTED)
    results = naive.run(*parties)
    assert results[0] == results[1]
    return results[1]


def test_the_people_differ():
    people = [*LISTED, HUNTED, *OTHERS]
    squares = [((a - b) ** 2).sum() for i, a in enumerate(people) for b in people[:i]]
    assert min(squares) > 0.75
    for _ in range(20):
        assert ((photo(HUNTED) - WANTED) ** 2).sum() < THRESHOLD


def test_the_unauthenticated_protocol_works():
    for _, who in PASSERS_BY:
        face = photo(who)
        assert naive_run(face, None) == AGREED.matches(face[np.newaxis])[0].tolist()


@pytest.mark.parametrize("corrupt", [0, 1])
def test_the_attack_works_without_authentication(corrupt):
    """The honest party raises an alert for entry 0 exactly when the hunted person walks by."""
    for kind, who in PASSERS_BY:
        face = photo(who)
        assert not AGREED.matches(photo(HUNTED)[np.newaxis]).any()
        assert naive_run(face, corrupt)[0] is (kind == "hunted")


# -- against ours -------------------------------------------------------------------------------------


class Moves(Comparison):
    """The same attack on our form: moves its share of x, or of the distance, by what p - c asks for."""

    def _prepare(self, inputs):
        delta = (WANTED - self._session.watchlist.entries[0]).astype(np.int64)
        super()._prepare(inputs)
        self._shares += (2 * self._session.watchlist.entries.astype(np.int64) @ delta).astype(np.uint64)


class Widens(Comparison):
    """What can be done to a linear form without knowing x: another threshold for an entry."""

    by = int(((WANTED - ENTRIES[0]) ** 2).sum()) - THRESHOLD + 1

    def _prepare(self, inputs):
        super()._prepare(inputs)
        self._shares[:, 0] -= np.uint64(self.by)


class Believes(Comparison):
    """Our protocol with its checks taken out, to see that they are what stops the attack."""

    def _bits(self, message):
        theirs = np.frombuffer(message[HEADER_BYTES + NAMED_BYTES : -HASH_BYTES], "<u8").reshape(
            self.count, -1
        )
        self._u = self._tokens(self._shares + theirs)
        self._own_bits = (self._u[..., 0] & np.uint64(1)).astype(np.uint8)
        return self._header(Kind.BITS) + pack_bits(self._own_bits)


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize("attack", [Moves, Widens])
def test_the_attack_ends_at_the_first_face(party, attack):
    for _, who in PASSERS_BY:
        rig = Rig(AGREED, kinds=(attack, Comparison) if party == 0 else (Comparison, attack))
        ends = outcomes(rig.begin([photo(who)]))
        assert type(ends[1 - party]) is WrongOpeningError
        assert isinstance(ends[party], AbortError)
        assert rig.sessions[1 - party].over


@pytest.mark.parametrize("party", [0, 1])
def test_without_its_checks_ours_would_fall_too(party):
    """So that it is the checks that are tested above, and not an attack that could not work."""
    rig = Rig(AGREED, kinds=(Widens, Believes) if party == 0 else (Believes, Widens))
    face = WANTED[np.newaxis]
    assert not AGREED.matches(face).any()
    end = outcomes(rig.begin(face))[1 - party]
    assert isinstance(end, Matches)
    assert end.bits[0, 0]
