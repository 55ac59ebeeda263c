"""Section 3.3 of the thesis: a party that tracks somebody who is not on the list.

Against a protocol without authentication it succeeds and nobody notices. Against ours the first
face ends the session.
"""

from dataclasses import replace

import numpy as np
import pytest

from blindsight.core.errors import CounterpartAbortError, UsageError, WrongOpeningError, WrongResultError
from blindsight.evaluation import surveillance_attack as experiment
from blindsight.evaluation.attacks import corrupt_party
from blindsight.evaluation.attacks import unauthenticated as naive
from blindsight.evaluation.attacks.corrupt_party import (
    CorruptSession,
    CredulousSession,
    MoveShare,
    SwapEntry,
    WidenThreshold,
    exchange,
)
from blindsight.evaluation.crowd import generated_crowd
from blindsight.schemes.spdz2k.compute import Comparison, Session, Step
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import Sharer, quantise
from blindsight.schemes.spdz2k.watchlist import Watchlist
from reference.two_party import matches
from two_parties import Rig

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


def naive_run(face, corrupt=None, watchlist=AGREED, instead_of=0):
    parts = zip(naive.insecure_shares(face), naive.insecure_deal(watchlist), strict=True)
    parties = [
        naive.TrackingParty(at, watchlist, share, half, wanted=WANTED, instead_of=instead_of)
        if at == corrupt
        else naive.BelievingParty(at, watchlist, share, half)
        for at, (share, half) in enumerate(parts)
    ]
    one, other = naive.insecure_run(*parties)
    assert one.tolist() == other.tolist()
    return one.tolist()


def test_the_people_differ():
    people = [*LISTED, HUNTED, *OTHERS]
    squares = [((a - b) ** 2).sum() for i, a in enumerate(people) for b in people[:i]]
    assert min(squares) > 0.75
    for _ in range(20):
        assert ((photo(HUNTED) - WANTED) ** 2).sum() < THRESHOLD


def test_the_unauthenticated_protocol_works():
    for _, who in PASSERS_BY:
        face = photo(who)
        assert naive_run(face) == matches(ENTRIES, THRESHOLD, face)


def test_and_at_the_edges_of_its_range():
    face = photo(OTHERS[0])
    met = int(((face.astype(np.int64) - ENTRIES[1]) ** 2).sum())
    for threshold in (1, met, met + 1, PARAMS.largest_threshold):
        assert naive_run(face, watchlist=Watchlist(PARAMS, ENTRIES, threshold)) == matches(
            ENTRIES, threshold, face
        )
    assert naive_run(ENTRIES[2], watchlist=Watchlist(PARAMS, ENTRIES, 1)) == [False, False, True]


def test_one_share_says_nothing_of_the_face():
    """Each half of a share is as uniform as the other: highest bits of 4,000 of them."""
    for party in (0, 1):
        shares = np.concatenate([naive.insecure_shares(WANTED)[party] for _ in range(250)])
        assert 0.45 < float((shares >> np.uint64(63)).mean()) < 0.55


@pytest.mark.parametrize("corrupt", [0, 1])
@pytest.mark.parametrize("instead_of", [0, 2])
def test_the_attack_works_without_authentication(corrupt, instead_of):
    """The honest party raises an alert for that entry exactly when the hunted person walks by."""
    for kind, who in PASSERS_BY:
        face = photo(who)
        found = naive_run(face, corrupt, instead_of=instead_of)
        assert found[instead_of] is (kind == "hunted")
        rest = [at for at in range(3) if at != instead_of]
        honest = matches(ENTRIES, THRESHOLD, face)
        assert [found[at] for at in rest] == [honest[at] for at in rest]


# -- against ours -------------------------------------------------------------------------------------


def ours(face, kinds):
    """One face through two sessions made by ``kinds(party, grant)``; both runs, and their ends."""
    dealer = Dealer(PARAMS, AGREED.digest, len(AGREED), camera="gate-3")
    sharer = Sharer(PARAMS, dealer.session)
    sessions = [kind(grant) for kind, grant in zip(kinds, dealer.grants, strict=True)]
    dealt = dealer.deal(1)
    sharer.add(dealt.masks)
    inputs = sharer.share(face[np.newaxis]).message
    runs = [s.begin(half, inputs) for s, half in zip(sessions, dealt.material, strict=True)]
    return sessions, runs, exchange(*runs)


def sides(party, corrupt, honest):
    return (corrupt, honest) if party == 0 else (honest, corrupt)


def test_two_honest_parties_have_results():
    face = photo(LISTED[0])
    _, runs, ends = ours(face, [lambda grant: Session(grant, AGREED)] * 2)
    assert ends == (None, None)
    for run in runs:
        assert run.result.bits.tolist() == [matches(ENTRIES, THRESHOLD, face)]


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize("attack", [MoveShare, SwapEntry, WidenThreshold])
def test_the_attack_ends_at_the_first_face(party, attack):
    for _, who in PASSERS_BY:
        meddling = attack(WANTED, 0)
        sessions, runs, ends = ours(
            photo(who),
            sides(
                party,
                lambda grant, meddling=meddling: CorruptSession(grant, AGREED, meddling),
                lambda grant: Session(grant, AGREED),
            ),
        )
        assert type(ends[1 - party]) is WrongOpeningError
        assert type(ends[party]) is CounterpartAbortError
        assert sessions[1 - party].over
        kept = ends[1 - party].evidence
        assert (kept.party, kept.count, kept.reason) == (1 - party, 1, "abort-opening")
        assert len(kept.received) == 1  # the opening that was wrong
        assert runs[1 - party].step is Step.ABORTED


@pytest.mark.parametrize("party", [0, 1])
def test_without_its_checks_ours_would_fall_too(party):
    """So that it is the checks that are tested above, and not an attack that could not work."""
    assert not AGREED.matches(WANTED[np.newaxis]).any()
    _, runs, ends = ours(
        WANTED,
        sides(
            party,
            lambda grant: CorruptSession(grant, AGREED, WidenThreshold(WANTED, 0)),
            lambda grant: CredulousSession(grant, AGREED),
        ),
    )
    assert ends == (None, None)
    assert runs[1 - party].result.bits.tolist() == [[True, False, False]]


def test_a_swapped_entry_is_what_it_says():
    """Both parties together, each with p in the place of c, would compute the distance to p."""
    face = photo(HUNTED)
    _, runs, ends = ours(face, [lambda grant: _Both(grant, AGREED)] * 2)
    assert ends == (None, None)
    assert runs[0].result.bits.tolist() == [[False, True, False]]


class _SwapsAndBelieves(corrupt_party._Meddled, corrupt_party._Credulous):
    pass


class _Both(Session):
    def _comparison(self, material, inputs):
        return _SwapsAndBelieves(self, material, inputs, SwapEntry(WANTED, 1))


class _LiesLater(Comparison):
    def _bits(self, message):
        body = bytearray(super()._bits(message))
        body[-1] ^= 1
        return bytes(body)


def test_the_exchange_delivers_what_comes_last():
    """A bit turned in round 2 is found by both in round 3, and neither is told twice."""
    rig = Rig(AGREED, kinds=(_LiesLater, Comparison))
    ends = exchange(*rig.begin([photo(OTHERS[1])]))
    assert {type(end) for end in ends} == {WrongResultError}


# -- the experiment -----------------------------------------------------------------------------------

CROWD = generated_crowd(30, 4, D)


@pytest.fixture(scope="module")
def attacks():
    steps = []
    found = experiment.evaluate_attacks(
        CROWD, entries=8, hunted=2, others=20, progress=lambda done, of: steps.append((done, of))
    )
    assert steps[-1][0] == steps[-1][1] == len(steps)
    return found


def test_streets_have_the_hunted_among_others():
    params = Params.for_radius(D)
    ways = experiment.streets(CROWD, params, entries=8, hunted=2, others=20)
    integers = quantise(params, CROWD.vectors)
    assert len(ways) == 2
    for street in ways:
        assert len(street.faces) == 23
        assert street.hunted.sum() == 3
        assert not street.hunted[0]
        wanted = np.flatnonzero((integers == street.wanted).all(axis=1))
        who = CROWD.subjects[int(wanted[0])]
        shown = [
            CROWD.subjects[int(np.flatnonzero((integers == face).all(axis=1))[0])] for face in street.faces
        ]
        assert [name == who for name in shown] == street.hunted.tolist()
        listed = {
            CROWD.subjects[int(np.flatnonzero((integers == e).all(axis=1))[0])]
            for e in street.watchlist.entries
        }
        assert who not in listed


def test_who_is_attacked_with_what(attacks):
    plain = [one for one in attacks.outcomes if one.protocol == experiment.INSECURE]
    ours_ = [one for one in attacks.outcomes if one.protocol == experiment.OURS]
    assert (len(plain), len(ours_), attacks.entries, attacks.hunted) == (3, 7, 8, 2)
    for one in attacks.outcomes:
        assert (one.faces, one.hunted) == (46, 6)


def test_without_authentication_the_hunted_are_found_and_nobody_notices(attacks):
    quiet, *tracked = [one for one in attacks.outcomes if one.protocol == experiment.INSECURE]
    assert (quiet.hits_hunted, quiet.noticed) == (0, 0)
    expected = 0
    for street in experiment.streets(CROWD, _params(), entries=8, hunted=2, others=20):
        expected += sum(
            matches([street.wanted], street.watchlist.threshold, face)[0]
            for face in street.faces[street.hunted]
        )
    for one in tracked:
        assert one.as_rule == one.faces
        assert one.hits_hunted == expected >= 4
        assert one.noticed == one.evidence == 0


def _params():
    from blindsight.evaluation.surveillance_accuracy import params_for

    return params_for(D, 255, CROWD.radius)


def test_ours_notices_every_face_and_says_nothing(attacks):
    quiet, *tracked = [one for one in attacks.outcomes if one.protocol == experiment.OURS]
    assert (quiet.noticed, quiet.as_rule) == (0, quiet.faces)
    for one in tracked:
        assert one.noticed == one.refused == one.evidence == one.faces
        assert one.noticed_hunted == one.hunted
        assert one.first_noticed == 1
        assert one.hits_hunted == one.hits_others == one.bits_leaked == 0


def test_the_control_has_hits(attacks):
    control = attacks.outcomes[-1]
    assert control.protocol == experiment.UNCHECKED
    assert control.noticed == 0
    assert control.hits_hunted == control.hunted
    assert control.as_rule == control.faces


def test_an_attack_on_nobody_is_refused():
    lonely = replace(CROWD, subjects=tuple(f"one of many {row}" for row in range(len(CROWD.subjects))))
    with pytest.raises(UsageError, match="two photos"):
        experiment.evaluate_attacks(lonely)
