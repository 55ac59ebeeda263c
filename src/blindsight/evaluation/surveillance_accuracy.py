"""Whether the two-party protocol decides as the plaintext does, and what quantisation changes.

Three rules over the same pairs: of float embeddings, ‖x − c‖² < t (W. Koch's thesis, section 2.2.2);
of the integers that the parties compute with; and the bits that come out of both parties' protocol.
The last two have to be equal, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import ParameterError
from blindsight.core.types import I32, I64
from blindsight.evaluation.bench_two_party import InProcess
from blindsight.evaluation.comparing import comparisons_of
from blindsight.evaluation.crowd import Crowd
from blindsight.evaluation.scores import F64, Failures
from blindsight.evaluation.verification import Verification
from blindsight.schemes.spdz2k.deal import Dealer
from blindsight.schemes.spdz2k.params import Params
from blindsight.schemes.spdz2k.share import Sharer, quantise
from blindsight.schemes.spdz2k.watchlist import Watchlist

Bits = NDArray[np.bool_]

SCALES = (127, 255, 1023)
LONGEST_LIST = 1000
"""Entries of one watchlist at most; more first photos are compared with several lists."""
_BATCH = 32
_MOST_BITS = 24


@dataclass(frozen=True, slots=True)
class Decisions:
    """One rule's decisions about all pairs.

    Attributes:
        squared: float64 (pairs,), squared distances in the embedder's units; exact for integers.
        matches: bool (pairs,).
    """

    squared: F64
    matches: Bits

    def rates(self, genuine: Bits) -> tuple[float, float, float]:
        """Accuracy, TAR and FAR; ``genuine`` is bool (pairs,) and of both kinds."""
        return (
            float((self.matches == genuine).mean()),
            float(self.matches[genuine].mean()),
            float(self.matches[~genuine].mean()),
        )


@dataclass(frozen=True, slots=True)
class Quantised:
    """What one scale gave.

    Attributes:
        scale: integers a unit of an embedding.
        params: the parameter set; None where it may not exist, and ``refused`` says why.
        refused: a sentence, or nothing.
        threshold: the integer threshold.
        integers: the plaintext rule of the integers; None where refused.
        protocol: bool (pairs,), what both parties' protocol said of each pair.
        comparisons: faces times entries that went through the protocol, the pairs among them.
        differences: bits that were not those of the plaintext rule, on either side.
    """

    scale: int
    params: Params | None
    refused: str = ""
    threshold: int = 0
    integers: Decisions | None = None
    protocol: Bits | None = None
    comparisons: int = 0
    differences: int = 0


@dataclass(frozen=True, slots=True)
class Accuracy:
    """All rules over all pairs.

    Attributes:
        crowd: whose pairs.
        floats: the rule of float embeddings.
        scales: each scale asked for, and the largest that the parameter sets allow.
    """

    crowd: Crowd
    floats: Decisions
    scales: tuple[Quantised, ...]

    def verification(self, decisions: Decisions) -> Verification:
        """ROC and its area, by squared distances."""
        failures = Failures()  # pairs without a face are counted beside the table
        return Verification(
            comparisons_of(
                self.crowd.named_pairs, decisions.squared, larger_is_closer=False, failures=failures
            )
        )

    def changed(self, quantised: Quantised) -> int:
        """Pairs that the integers decide otherwise than the floats."""
        assert quantised.integers is not None
        return int((quantised.integers.matches != self.floats.matches).sum())


def params_for(dimension: int, scale: int, radius: float) -> Params:
    """The set with the fewest value bits, and so the most security, for vectors up to ``radius``.

    Raises:
        ParameterError: there is none.
    """
    norm = math.ceil(radius * scale + math.sqrt(dimension) / 2)
    bits = max(8, (4 * norm * norm).bit_length() + 1)
    return Params(dimension, scale, norm, bits)


def evaluate_accuracy(
    crowd: Crowd,
    scales: tuple[int, ...] = SCALES,
    *,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Accuracy:
    """Decide all pairs of a crowd by every rule.

    A scale whose distances do not fit is kept with the reason of the refusal; the largest that fits
    is added. ``progress`` counts scales times pairs.
    """
    dimension = crowd.vectors.shape[1]
    floats = _float_rule(crowd)
    largest = Params.for_radius(dimension, radius=crowd.radius, value_bits=_MOST_BITS).scale
    wanted = sorted({*scales, largest})
    total, found = len(wanted) * len(crowd.pairs), []
    for number, scale in enumerate(wanted):
        at = number * len(crowd.pairs)
        try:
            params = params_for(dimension, scale, crowd.radius)
            threshold = params.threshold(crowd.threshold)
        except ParameterError as error:
            found.append(Quantised(scale, None, error.message))
        else:
            found.append(_one(crowd, params, threshold, lambda done, at=at: progress(at + done, total)))  # type: ignore[misc]
        progress(at + len(crowd.pairs), total)
    return Accuracy(crowd, floats, tuple(found))


def _float_rule(crowd: Crowd) -> Decisions:
    difference = crowd.vectors[crowd.pairs[:, 0]] - crowd.vectors[crowd.pairs[:, 1]]
    squared = np.einsum("ij,ij->i", difference, difference)
    return Decisions(squared, squared < crowd.threshold)


def _one(crowd: Crowd, params: Params, threshold: int, advance: Callable[[int], None]) -> Quantised:
    integers = quantise(params, crowd.vectors)
    difference = (integers[crowd.pairs[:, 0]] - integers[crowd.pairs[:, 1]]).astype(np.int64)
    squared = np.einsum("ij,ij->i", difference, difference)
    rule = Decisions(squared / params.scale**2, squared < threshold)
    bits, comparisons, differences = _protocol(
        params, threshold, integers, crowd.pairs, rule.matches, advance
    )
    return Quantised(params.scale, params, "", threshold, rule, bits, comparisons, differences)


def _protocol(
    params: Params, threshold: int, integers: I32, pairs: I64, rule: Bits, advance: Callable[[int], None]
) -> tuple[Bits, int, int]:
    """Every pair through the protocol: first photos are entries, second ones walk by.

    Each face is compared with the whole list that its entry is on, and all of these bits, on both
    sides, with the plaintext rule; those of the pairs with ``rule`` besides.
    """
    found = np.zeros(len(pairs), np.bool_)
    comparisons = differences = done = 0
    firsts = np.unique(pairs[:, 0])
    for start in range(0, len(firsts), LONGEST_LIST):
        listed = firsts[start : start + LONGEST_LIST]
        here = np.flatnonzero(np.isin(pairs[:, 0], listed))
        watchlist = Watchlist(params, integers[listed], threshold)
        dealer = Dealer(params, watchlist.digest, len(watchlist), camera="evaluation")
        sharer, parties = Sharer(params, dealer.session), InProcess()
        parties.open(dealer.grants, watchlist)
        walking = np.unique(pairs[here, 1])
        for first in range(0, len(walking), _BATCH):
            faces = walking[first : first + _BATCH]
            dealt = dealer.deal(len(faces))
            sharer.add(dealt.masks)
            shared = sharer.share(integers[faces])
            one, other = parties.compare(dealt.material, shared.message)
            places = np.array(shared.numbers, np.int64) - one.first
            expected = watchlist.matches(integers[faces])
            wrong = (one.bits[places] != expected) | (other.bits[places] != expected)
            comparisons += wrong.size
            of = here[np.isin(pairs[here, 1], faces)]
            rows, columns = np.searchsorted(faces, pairs[of, 1]), np.searchsorted(listed, pairs[of, 0])
            found[of] = one.bits[places][rows, columns]
            # The pairs are judged by differences of coordinates as well, apart from the expansion above.
            wrong[rows, columns] |= found[of] != rule[of]
            differences += int(wrong.sum())
            done += len(of)
            advance(done)
    return found, comparisons, differences
