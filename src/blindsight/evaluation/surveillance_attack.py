"""Section 3.3 of W. Koch's thesis, run: a party that tracks somebody who is not on the list.

The hunted person p walks by among others. The corrupt party moves its share by Δ = p − c for some
entry c. Without authentication both then compute the distance to p: an alert "c" for every photo of
p that is close enough, on both sides, and nothing that the other party could notice. Under `spdz2k`
the first face ends the session, and the honest party keeps evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import AbortError, SessionOverError, UsageError
from blindsight.core.types import I32
from blindsight.evaluation.attacks.corrupt_party import (
    CorruptSession,
    CredulousSession,
    Meddling,
    MoveShare,
    SwapEntry,
    WidenThreshold,
    exchange,
)
from blindsight.evaluation.attacks.unauthenticated import (
    BelievingParty,
    TrackingParty,
    insecure_deal,
    insecure_run,
    insecure_shares,
)
from blindsight.evaluation.crowd import Crowd
from blindsight.schemes.spdz2k.compute import Session
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import Sharer, quantise
from blindsight.schemes.spdz2k.watchlist import Watchlist

Bits = NDArray[np.bool_]

NOTHING: Final = "nothing"
INSECURE: Final = "without authentication"
OURS: Final = "spdz2k"
UNCHECKED: Final = "spdz2k, its checks taken out"

_ATTACKS: tuple[tuple[str, type[MoveShare] | type[SwapEntry] | type[WidenThreshold]], ...] = (
    ("moves its share by p − c", MoveShare),
    ("computes with p in the place of c", SwapEntry),
    ("raises the threshold of c by |p − c|²", WidenThreshold),
)


@dataclass(frozen=True, slots=True)
class Street:
    """Who is looked for and who walks by, as integers.

    Attributes:
        watchlist: agreed by both parties.
        instead_of: the entry c that is misused.
        wanted: p, int32 (d,): the photo that the corrupt party has.
        faces: int32 (faces, d), in the order in which they walk by.
        hunted: bool (faces,): which of them show p.
    """

    watchlist: Watchlist
    instead_of: int
    wanted: I32
    faces: I32
    hunted: Bits

    def expected(self, meddling: Meddling | None) -> Bits:
        """Which faces match entry c in the plaintext rule that the meddling is after, bool (faces,)."""
        compared, threshold = self.wanted, self.watchlist.threshold
        if meddling is None or isinstance(meddling, WidenThreshold):
            compared = self.watchlist.entries[self.instead_of]
        if isinstance(meddling, WidenThreshold):
            threshold += meddling.by(self.watchlist)
        difference = self.faces.astype(np.int64) - compared
        return np.asarray(np.einsum("ij,ij->i", difference, difference) < threshold)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, over all hunted people.

    Attributes:
        protocol: which one.
        behaviour: what the corrupt party does.
        faces: that walked by.
        hunted: of them photos of the hunted person.
        hits_hunted: alerts "c" on these, at the honest party.
        hits_others: alerts "c" on others, there.
        as_rule: faces whose bit at c was that of the plaintext rule which the corrupt party is after;
            of the agreed one without an attack.
        noticed: faces at which the honest party aborted.
        noticed_hunted: of them photos of the hunted person.
        first_noticed: the latest first face, from 1, at which it did, over all streets; 0 for never.
        refused: faces that an ended session refused.
        evidence: aborts of which it kept evidence with the message that caused it.
        bits_leaked: bits that the corrupt party had received when it was caught.
    """

    protocol: str
    behaviour: str
    faces: int
    hunted: int
    hits_hunted: int
    hits_others: int
    as_rule: int
    noticed: int = 0
    noticed_hunted: int = 0
    first_noticed: int = 0
    refused: int = 0
    evidence: int = 0
    bits_leaked: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        """Both together: of another hunted person."""
        names = set(self.__slots__) - {"protocol", "behaviour", "first_noticed"}
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        latest = max(self.first_noticed, other.first_noticed)
        return Outcome(self.protocol, self.behaviour, first_noticed=latest, **sums)


@dataclass(frozen=True, slots=True)
class Attacks:
    """All outcomes, and on whom.

    Attributes:
        source: of the vectors.
        entries: of the watchlist.
        hunted: how many people were hunted, one after the other.
        outcomes: without authentication first, then ours.
    """

    source: str
    entries: int
    hunted: int
    outcomes: tuple[Outcome, ...]


def streets(
    crowd: Crowd, params: Params, *, entries: int = 150, hunted: int = 5, others: int = 100
) -> list[Street]:
    """A watchlist of people of a crowd, and for each of the hunted people a stream of faces.

    Hunted are those with the most photos; one photo is p, the rest walk by, among ``others`` photos of
    other people at even steps. Entries are one photo each of people of whom, if there are enough,
    there is no other.

    Raises:
        UsageError: too few people, or nobody with two photos.
    """
    people = crowd.people()
    order = sorted(people, key=lambda who: (-len(people[who]), who))
    prey = [who for who in order[:hunted] if len(people[who]) > 1]
    rest = [who for who in reversed(order) if who not in prey]
    if not prey or len(rest) < 2:
        raise UsageError("The attack needs three people, one of them with two photos.")
    listed = rest[: min(entries, len(rest) // 2 + 1)]
    integers = quantise(params, crowd.vectors)
    watchlist = Watchlist(
        params, integers[[people[who][0] for who in listed]], params.threshold(crowd.threshold)
    )
    on_list = {people[who][0] for who in listed}
    made = []
    for who in prey:
        wanted, own = integers[people[who][0]], people[who][1:]
        passing = [row for row, subject in enumerate(crowd.subjects) if subject != who and row not in on_list]
        taken = min(others, len(passing))
        chosen = [passing[step * len(passing) // taken] for step in range(taken)]
        # The hunted person comes at even steps as well, never first: so nothing of it explains an abort.
        stream = list(chosen)
        for number, row in enumerate(own):
            stream.insert((number + 1) * len(chosen) // (len(own) + 1) + number, row)
        far = np.square(watchlist.entries.astype(np.int64) - wanted).sum(axis=1)
        hunted_rows = np.isin(stream, own)
        made.append(Street(watchlist, int(far.argmax()), wanted, integers[stream], hunted_rows))
    return made


def evaluate_attacks(
    crowd: Crowd,
    *,
    scale: int = 255,
    entries: int = 150,
    hunted: int = 5,
    others: int = 100,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Attacks:
    """Run the attack in both protocols, by either party; ``progress`` counts faces of all runs."""
    from blindsight.evaluation.surveillance_accuracy import params_for

    params = params_for(crowd.vectors.shape[1], scale, crowd.radius)
    ways = streets(crowd, params, entries=entries, hunted=hunted, others=others)
    total = sum(len(street.faces) for street in ways) * (3 + 2 * len(_ATTACKS) + 2)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    outcomes = [_sum([_insecure(street, None, step) for street in ways])]
    outcomes += [_sum([_insecure(street, party, step) for street in ways]) for party in (0, 1)]
    outcomes.append(_sum([_ours(street, None, NOTHING, 0, step) for street in ways]))
    for words, kind in _ATTACKS:
        for party in (0, 1):
            outcomes.append(
                _sum(
                    [
                        _ours(street, kind(street.wanted, street.instead_of), words, party, step)
                        for street in ways
                    ]
                )
            )
    words, kind = _ATTACKS[-1]
    outcomes.append(
        _sum(
            [
                _ours(street, kind(street.wanted, street.instead_of), words, 0, step, checks=False)
                for street in ways
            ]
        )
    )
    return Attacks(crowd.source, len(ways[0].watchlist), len(ways), tuple(outcomes))


def _sum(outcomes: Sequence[Outcome]) -> Outcome:
    found = outcomes[0]
    for other in outcomes[1:]:
        found = found + other
    return found


def _insecure(street: Street, corrupt: int | None, step: Callable[[], None]) -> Outcome:
    """All faces through the protocol without authentication, one party corrupt or none."""
    bits = np.zeros(len(street.faces), np.bool_)
    for at, face in enumerate(street.faces):
        shares, halves = insecure_shares(face), insecure_deal(street.watchlist)
        parties = [
            TrackingParty(
                party, street.watchlist, share, half, wanted=street.wanted, instead_of=street.instead_of
            )
            if party == corrupt
            else BelievingParty(party, street.watchlist, share, half)
            for party, (share, half) in enumerate(zip(shares, halves, strict=True))
        ]
        results = insecure_run(parties[0], parties[1])
        # This is all that the honest party could look at: both have the same result.
        if not np.array_equal(*results):
            raise AssertionError("The parties of the insecure protocol differ.")
        bits[at] = results[0][street.instead_of]
        step()
    moved = None if corrupt is None else MoveShare(street.wanted, street.instead_of)
    expected = street.expected(moved)
    words = NOTHING if corrupt is None else f"{_ATTACKS[0][0]} (party {corrupt})"
    return _outcome(street, INSECURE, words, bits, expected)


def _outcome(street: Street, protocol: str, words: str, bits: Bits, expected: Bits) -> Outcome:
    return Outcome(
        protocol,
        words,
        len(bits),
        int(street.hunted.sum()),
        int(bits[street.hunted].sum()),
        int(bits[~street.hunted].sum()),
        int((bits == expected).sum()),
    )


def _ours(
    street: Street,
    meddling: Meddling | None,
    words: str,
    corrupt: int,
    step: Callable[[], None],
    *,
    checks: bool = True,
) -> Outcome:
    """All faces through `spdz2k`; after an abort the camera tries the same session once more, then
    opens another for the next face.
    """
    watchlist, honest = street.watchlist, 1 - corrupt
    bits, known = np.zeros(len(street.faces), np.bool_), np.zeros(len(street.faces), np.bool_)
    noticed = seen = first = refused = evidence = leaked = 0
    camera: _Camera | None = None
    for at, face in enumerate(street.faces):
        if camera is None:
            camera = _Camera(watchlist, meddling, corrupt, checks)
        ends, result = camera.show(face)
        known[at] = result is not None
        if result is not None:
            bits[at] = result[street.instead_of]
        error = ends[honest]
        if error is not None:
            noticed += 1
            seen += bool(street.hunted[at])
            first = first or at + 1
            kept = error.evidence
            evidence += kept is not None and kept.party == honest and bool(kept.received)
            theirs = ends[corrupt]
            if theirs is not None and theirs.evidence is not None:
                leaked += sum(_is_bits(message) for message in theirs.evidence.received)
            try:
                camera.show(face)
            except SessionOverError:
                refused += 1
            camera = None
        step()
    expected = street.expected(meddling)
    name = OURS if checks else UNCHECKED
    who = words if meddling is None else f"{words} (party {corrupt})"
    found = _outcome(street, name, who, bits, expected)
    return Outcome(
        name, who, found.faces, found.hunted, found.hits_hunted, found.hits_others,
        int((known & (bits == expected)).sum()), noticed, seen, first, refused, evidence, leaked,
    )  # fmt: skip


def _is_bits(message: bytes) -> bool:
    from blindsight.schemes.spdz2k.messages import Header, Kind

    return Header.parse(message).kind is Kind.BITS


class _Camera:
    """One session with two parties, of which one may be corrupt."""

    def __init__(self, watchlist: Watchlist, meddling: Meddling | None, corrupt: int, checks: bool) -> None:
        self._dealer = Dealer(watchlist.params, watchlist.digest, len(watchlist), camera="street")
        self._sharer = Sharer(watchlist.params, self._dealer.session)
        self._sessions: list[Session] = [
            CorruptSession(grant, watchlist, meddling)
            if party == corrupt and meddling is not None
            else (Session if checks else CredulousSession)(grant, watchlist)
            for party, grant in enumerate(self._dealer.grants)
        ]
        self._corrupt = corrupt

    def show(self, face: I32) -> tuple[tuple[AbortError | None, AbortError | None], Bits | None]:
        """What both ended with, and the honest party's bits, bool (N,), where it has a result.

        Raises:
            SessionOverError: the session has ended.
        """
        dealt = self._dealer.deal(1)
        self._sharer.add(dealt.masks)
        inputs = self._sharer.share(face[np.newaxis]).message
        runs = [s.begin(half, inputs) for s, half in zip(self._sessions, dealt.material, strict=True)]
        ends = exchange(runs[0], runs[1])
        honest = 1 - self._corrupt
        return ends, None if ends[honest] is not None else runs[honest].result.bits[0]
