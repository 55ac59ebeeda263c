"""CMC, FNIR and FPIR against slow twins; ties, small galleries, failures, intervals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from blindsight.core.errors import UsageError
from blindsight.evaluation.evidence import TooFewComparisonsError
from blindsight.evaluation.identification import Identification, expected_fpir
from blindsight.evaluation.scores import Failures, Searches
from evaluation import twins
from evaluation.twins import searches

FAST = settings(max_examples=60, deadline=None)


def random_searches(probes=300, people=40, strangers=300, seed=1, strength=3.0, failures=Failures()):  # noqa: B008
    generator = np.random.default_rng(seed)
    names = [f"p{n}" for n in range(people)]
    shown = [names[n % people] for n in range(probes)] + [None] * strangers
    scores = generator.normal(0, 1, (len(shown), people))
    for row, name in enumerate(shown):
        if name:
            scores[row, names.index(name)] += strength
    return Searches(scores, tuple(names), tuple(shown), True, failures)


@FAST
@given(searches())
def test_cmc(s):
    found = Identification(s).cmc().rates
    assert found.tolist() == pytest.approx(twins.cmc(s), abs=1e-12)
    assert (np.diff(found) >= 0).all()
    assert found[-1] == 1.0
    turned = Searches(-s.scores, s.gallery, s.probes, not s.larger_is_closer)
    assert Identification(turned).cmc().rates.tolist() == found.tolist()
    moved = Searches(s.scores + 3, s.gallery, s.probes, s.larger_is_closer)
    assert Identification(moved).cmc().rates.tolist() == found.tolist()


@FAST
@given(searches(non_mated=True))
def test_open_set(s):
    sign = 1 if s.larger_is_closer else -1
    for rank in (1, len(s.gallery), None):
        i = Identification(s, rank=rank)
        for t in (-math.inf, -2.0, 0.0, 0.5, 4.0, math.inf):
            strangers = [r for r, p in zip(s.scores, s.probes, strict=True) if p not in s.gallery]
            hits = sum(any(sign * x >= sign * t for x in row) for row in strangers)
            assert i.fpir(t) == hits / len(strangers)
            misses = mated = 0
            for row, name in zip(s.scores, s.probes, strict=True):
                if name in s.gallery:
                    own = row[s.gallery.index(name)]
                    worst = sum(sign * x >= sign * own for x in row)
                    mated += 1
                    misses += sign * own < sign * t or worst > (rank or len(s.gallery))
            assert i.fnir(t) == misses / mated


def test_open_set_det_is_monotone_and_the_threshold_is_the_loosest():
    i = Identification(random_searches())
    fpir, fnir, thresholds = i.det()
    assert (np.diff(fpir) >= 0).all()
    assert (np.diff(fnir) <= 0).all()
    point = i.threshold_at_fpir(0.05)
    assert point.positive == i.fpir(point.threshold) <= 0.05
    assert point.negative == i.fnir(point.threshold) == fnir[fpir <= 0.05].min()
    assert len(thresholds) == len(fpir)
    assert 0 < i.curve.equal_error().rate < 0.5


def test_an_fpir_beyond_the_evidence_is_refused():
    i = Identification(random_searches(strangers=100))
    with pytest.raises(TooFewComparisonsError, match="300 non-mated searches") as caught:
        i.threshold_at_fpir(0.01)
    assert caught.value.needed == 300
    with pytest.raises(UsageError):
        i.threshold_at_fpir(0.0)


def test_failures_to_acquire_are_misses():
    sound = Identification(random_searches())
    failing = Identification(random_searches(failures=Failures(1, 4)))
    assert failing.rank_rate(1) == pytest.approx(0.75 * sound.rank_rate(1))
    assert failing.fnir(2.0) == pytest.approx(0.25 + 0.75 * sound.fnir(2.0))
    assert failing.fpir(2.0) == pytest.approx(0.75 * sound.fpir(2.0))
    assert failing.threshold_at_fpir(0.075).positive == pytest.approx(
        0.75 * sound.threshold_at_fpir(0.1).positive
    )
    fpir, fnir = failing.rates_with_intervals(2.0, replicates=100)
    assert fpir.value in fpir.interval
    assert fnir.value in fnir.interval
    assert fnir.interval.low > 0.25


def test_intervals_hold_the_rates():
    i = Identification(random_searches())
    cmc = i.cmc(intervals=True, replicates=200, _generator=np.random.default_rng(1))
    assert cmc.rates.tolist() == i.cmc().rates.tolist()
    assert all(rate in interval for rate, interval in zip(cmc.rates, cmc.intervals, strict=True))
    assert cmc.intervals[0].low < cmc.rates[0] < cmc.intervals[0].high
    for threshold in (1.0, 2.5, 100.0, -100.0):
        for estimate in i.rates_with_intervals(threshold, replicates=100):
            assert estimate.value in estimate.interval
            assert estimate.interval.low < estimate.interval.high
    assert set(i.summary((1, 5, 1000))) == {1, 5}


def test_cmc_intervals_cover():
    truth = np.mean(
        [Identification(random_searches(2000, 20, 0, seed, 2.0)).rank_rate(1) for seed in range(8)]
    )
    covered = sum(
        truth in Identification(random_searches(150, 20, 0, 100 + run, 2.0))
        .cmc(intervals=True, replicates=100, _generator=np.random.default_rng(run)).intervals[0]
        for run in range(60)
    )  # fmt: skip
    assert covered >= 48


def test_one_sided_searches():
    mated = Identification(random_searches(strangers=0))
    assert mated.rank_rate(1) > 0.5
    with pytest.raises(UsageError, match="no non-mated"):
        mated.fpir(0.0)
    strangers = Identification(random_searches(probes=0))
    with pytest.raises(UsageError, match="no mated"):
        strangers.fnir(0.0)
    with pytest.raises(UsageError, match="anybody"):
        strangers.cmc()


def test_a_gallery_of_one():
    i = Identification(Searches([[1.0], [0.0]], ("a",), ("a", None), True))
    assert i.cmc().rates.tolist() == [1.0]
    assert (i.fpir(0.5), i.fnir(0.5)) == (0.0, 0.0)


@pytest.mark.parametrize("rank", [0, -1, 41])
def test_ranks_that_are_not_there(rank):
    with pytest.raises(UsageError):
        Identification(random_searches(), rank=rank)
    with pytest.raises(UsageError):
        Identification(random_searches()).rank_rate(rank)


def test_expected_fpir():
    assert expected_fpir(1e-3, 1) == pytest.approx(1e-3)
    assert expected_fpir(1e-3, 1000) == pytest.approx(1 - 0.999**1000)
    assert expected_fpir(1e-12, 100) == pytest.approx(1e-10)
    assert expected_fpir(1.0, 5) == 1.0
    for fmr, subjects in ((-0.1, 5), (1.1, 5), (0.1, 0)):
        with pytest.raises(UsageError):
            expected_fpir(fmr, subjects)
