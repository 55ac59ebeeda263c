"""Both parties, the dealer and the camera in one process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blindsight.core.errors import AbortError
from blindsight.schemes.spdz2k.compute import Comparison, Session
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.public import Source
from blindsight.schemes.spdz2k.share import Sharer
from blindsight.schemes.spdz2k.watchlist import Watchlist

SMALL = Params(dimension=4, scale=10, norm=50, value_bits=15)
FULL = Params.for_radius(128)


def vectors(params: Params, count: int, rng: np.random.Generator, longest: bool = False) -> Any:
    """Integer vectors within the norm; all near its bound where ``longest``."""
    points = rng.standard_normal((count, params.dimension))
    radius = params.norm - np.sqrt(params.dimension) / 2
    lengths = np.full(count, radius) if longest else radius * rng.random(count)
    points *= (lengths / np.linalg.norm(points, axis=1))[:, np.newaxis]
    return np.rint(points).astype(np.int32)


def watchlist(
    params: Params, count: int, rng: np.random.Generator, threshold: int | None = None
) -> Watchlist:
    """Random entries, and a threshold that a fair share of random faces passes."""
    return Watchlist(params, vectors(params, count, rng), threshold or params.norm**2)


class Cheat(Session):
    """A session of a party that cheats: its runs are of another class."""

    kind: type[Comparison] = Comparison

    def _comparison(self, material: Any, inputs: Any) -> Comparison:
        return self.kind(self, material, inputs)


@dataclass
class Rig:
    """One camera session. ``kinds`` are the classes of the runs of P0 and P1."""

    watchlist: Watchlist
    kinds: tuple[type[Comparison], type[Comparison]] = (Comparison, Comparison)
    source: Source = Source.CAMERA
    random: Any = None
    others: tuple[Watchlist, Watchlist] | None = None
    dealer: Dealer = field(init=False)
    sessions: list[Session] = field(init=False)

    def __post_init__(self) -> None:
        w = self.watchlist
        seam = {"_random": self.random} if self.random else {}
        self.dealer = Dealer(w.params, w.digest, len(w), camera="gate-3", source=self.source, **seam)
        self.sharer = Sharer(w.params, self.dealer.session)
        self.sessions = []
        for party in (0, 1):
            session = Cheat(self.dealer.grants[party], self.others[party] if self.others else w)
            session.kind = self.kinds[party]
            self.sessions.append(session)

    def deal(self, faces: Any, dummies: int = 0) -> tuple[Any, Any]:
        """Material and inputs of some faces."""
        dealt = self.dealer.deal(len(faces) + dummies)
        self.sharer.add(dealt.masks)
        return dealt.material, self.sharer.share(np.asarray(faces, np.int32), dummies=dummies)

    def begin(self, faces: Any, dummies: int = 0) -> list[Comparison]:
        material, shared = self.deal(faces, dummies)
        self.numbers = shared.numbers
        return [s.begin(m, shared.message) for s, m in zip(self.sessions, material, strict=True)]

    def run(self, faces: Any, dummies: int = 0) -> Any:
        """The bits of the faces in the order given, both sides' being equal."""
        one, other = through(self.begin(faces, dummies))
        np.testing.assert_array_equal(one.bits, other.bits)
        assert one.receipt == other.receipt
        places = np.array(self.numbers, np.int64) - one.first
        if dummies:
            rest = np.ones(len(one.bits), bool)
            rest[places] = False
            assert not one.bits[rest].any()
        return one.bits[places]


def through(runs: list[Comparison], alter: Any = None) -> list[Any]:
    """Run both to the end, round by round; ``alter(round, sender, message)`` is the network.

    Returns both results; raises the first abort. The other party gets the notice.
    """
    messages = [run.start() for run in runs]
    for step in range(3):
        if alter is not None:
            messages = [alter(step, party, message) for party, message in enumerate(messages)]
        messages = [run.receive(messages[1 - party]) for party, run in enumerate(runs)]
    return [run.result for run in runs]


def outcomes(runs: list[Comparison], alter: Any = None) -> list[Any]:
    """As `through`, but each party goes as far as it can: its matches or its error.

    A party whose counterpart aborted gets the notice, as a network would deliver it.
    """
    ends: list[Any] = [None, None]
    messages: list[Any] = [run.start() for run in runs]
    for step in range(3):
        if alter is not None:
            messages = [m and alter(step, party, m) for party, m in enumerate(messages)]
        answers: list[Any] = [None, None]
        for party, run in enumerate(runs):
            incoming = messages[1 - party]
            if ends[party] is not None or not incoming:
                continue
            try:
                answers[party] = run.receive(incoming)
                if step == 2:
                    ends[party] = run.result
            except AbortError as error:
                ends[party] = error
                answers[party] = error.notice
        messages = answers
    for party, run in enumerate(runs):
        if ends[party] is None:
            try:
                if messages[1 - party]:
                    run.receive(messages[1 - party])
                else:
                    run.vanish()
            except AbortError as error:
                ends[party] = error
    return ends
