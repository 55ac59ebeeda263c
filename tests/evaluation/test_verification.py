"""FMR to TAR: against slow twins, against scikit-learn, and under what must not change them."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core.errors import UsageError
from blindsight.evaluation.evidence import (
    Interval,
    Rule,
    TooFewComparisonsError,
    comparisons_needed,
    smallest_rate,
    without_error,
)
from blindsight.evaluation.scores import Comparisons, Failures
from blindsight.evaluation.verification import Verification
from evaluation import twins
from evaluation.twins import comparisons

FAST = settings(max_examples=60, deadline=None)


def normal(genuine=400, impostor=900, shift=2.0, seed=1, larger=True):
    generator = np.random.default_rng(seed)
    sign = 1 if larger else -1
    return Comparisons(
        sign * generator.normal(shift, 1, genuine), sign * generator.normal(0, 1, impostor), larger
    )


@FAST
@given(comparisons(), st.integers(-5, 5).map(float))
def test_rates_at_any_threshold(c, threshold):
    v = Verification(c)
    observed = [*c.genuine[:3], *c.impostor[:3], threshold, math.inf, -math.inf]
    assert v.fmr(observed).tolist() == [twins.fmr(c, t) for t in observed]
    assert v.fnmr(observed).tolist() == [twins.fnmr(c, t) for t in observed]


@FAST
@given(comparisons())
def test_auc_and_eer(c):
    v = Verification(c)
    assert v.auc() == float(twins.auc(c))
    assert v.eer().rate == pytest.approx(float(twins.eer(c)), abs=1e-12)
    at = v.eer()
    assert math.isfinite(at.threshold)
    assert (at.positive, at.negative) == (float(v.fmr(at.threshold)), float(v.fnmr(at.threshold)))


@FAST
@given(comparisons())
def test_curves_are_monotone_and_complete(c):
    curve = Verification(c).curve
    assert (np.diff(curve.strictness) < 0).all()
    assert (np.diff(curve.positives) >= 0).all()
    assert (np.diff(curve.negatives) <= 0).all()
    assert (curve.positives[0], curve.negatives[0]) == (0, len(c.genuine))
    assert (curve.positives[-1], curve.negatives[-1]) == (len(c.impostor), 0)
    assert len(curve) == 1 + len({*c.genuine, *c.impostor})


@FAST
@given(comparisons(), st.integers(-100, 100), st.randoms())
def test_what_changes_nothing(c, constant, order):
    """Order, a constant (ties aside), and the direction of the scores."""
    v = Verification(c)
    genuine, impostor = c.genuine.tolist(), c.impostor.tolist()
    order.shuffle(genuine)
    order.shuffle(impostor)
    same = Verification(Comparisons(genuine, impostor, c.larger_is_closer))
    turned = Verification(Comparisons(-c.genuine, -c.impostor, not c.larger_is_closer))
    values = {*genuine, *impostor}
    moved = Verification(
        Comparisons(c.genuine + constant, c.impostor + constant, c.larger_is_closer)
        if len({value + constant for value in values}) == len(values)
        else c
    )
    for other in (same, turned, moved):
        assert other.curve.positives.tolist() == v.curve.positives.tolist()
        assert other.curve.negatives.tolist() == v.curve.negatives.tolist()
        assert other.auc() == v.auc()
        assert other.eer().rate == v.eer().rate
        assert other.curve.negative_at(0.5) == v.curve.negative_at(0.5)


@FAST
@given(comparisons())
def test_swapping_the_roles_mirrors_the_auc(c):
    swapped = Verification(Comparisons(c.impostor, c.genuine, c.larger_is_closer))
    assert swapped.auc() + Verification(c).auc() == pytest.approx(1, abs=1e-12)


@FAST
@given(comparisons(), st.integers(1, 100))
def test_threshold_at_an_fmr_is_the_loosest(c, percent):
    v, fmr = Verification(c), percent / 100
    if len(c.impostor) < comparisons_needed(fmr):
        with pytest.raises(TooFewComparisonsError):
            v.threshold_at_fmr(fmr)
        return
    point = v.threshold_at_fmr(fmr)
    assert math.isfinite(point.threshold)
    assert point.positive == twins.fmr(c, point.threshold) <= fmr
    assert point.negative == twins.fnmr(c, point.threshold)
    best = min(twins.fnmr(c, t) for t in [*c.genuine, *c.impostor, math.inf, -math.inf]
               if twins.fmr(c, t) <= fmr)  # fmt: skip
    assert point.negative == best
    assert v.tar_at_far(fmr) == pytest.approx(1 - best, abs=1e-12)


def test_a_threshold_keeps_clear_of_both_neighbours():
    c = Comparisons([9.0, 8.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], True)
    assert Verification(c).threshold_at_fmr(0.5).threshold == 2.5
    assert Verification(Comparisons(-c.genuine, -c.impostor, False)).threshold_at_fmr(0.5).threshold == -2.5


def test_a_tie_of_all_impostors_is_stepped_over():
    c = Comparisons([1.0, 2.0], [1.0] * 10, True)
    point = Verification(c).threshold_at_fmr(0.5)
    assert (point.positive, point.negative) == (0.0, 0.5)
    assert 1.0 < point.threshold < 2.0
    only = Verification(Comparisons([1.0], [1.0] * 10, True)).threshold_at_fmr(0.5)
    assert (only.positive, only.negative) == (0.0, 1.0)
    assert only.threshold == math.nextafter(1.0, 2.0)


@pytest.mark.parametrize("larger", [True, False])
@pytest.mark.parametrize("ties", [False, True])
def test_scikit_learn_says_the_same(larger, ties):
    metrics = pytest.importorskip("sklearn.metrics")
    c = normal(larger=larger)
    if ties:
        c = Comparisons(np.round(c.genuine, 1), np.round(c.impostor, 1), larger)
    v = Verification(c)
    truth = np.repeat([1, 0], [len(c.genuine), len(c.impostor)])
    scores = np.concatenate([c.genuine, c.impostor]) * (1 if larger else -1)
    assert v.auc() == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    fpr, tpr, thresholds = metrics.roc_curve(truth, scores, drop_intermediate=False)
    roc = v.roc()
    np.testing.assert_allclose(roc.far, fpr, atol=1e-12)
    np.testing.assert_allclose(roc.tar, tpr, atol=1e-12)
    np.testing.assert_allclose(v.curve.strictness, thresholds)
    fpr, fnr, thresholds = metrics.det_curve(truth, scores)
    at = thresholds if larger else -thresholds
    np.testing.assert_allclose(v.fmr(at), fpr, atol=1e-12)
    np.testing.assert_allclose(v.fnmr(at), fnr, atol=1e-12)


def test_scipy_says_the_same_of_the_auc_with_ties():
    stats = pytest.importorskip("scipy.stats")
    c = normal()
    c = Comparisons(np.round(c.genuine), np.round(c.impostor), True)
    found = stats.mannwhitneyu(c.genuine, c.impostor).statistic / (len(c.genuine) * len(c.impostor))
    assert Verification(c).auc() == pytest.approx(found, abs=1e-12)


def test_failures_to_acquire_and_to_enroll():
    c = normal()
    failing = Comparisons(c.genuine, c.impostor, True, None, None, Failures(1, 10), Failures(1, 5))
    v, w = Verification(c), Verification(failing)
    assert (w.fta, w.fte) == (0.1, 0.2)
    t = 1.0
    assert w.fmr(t) == v.fmr(t)
    assert w.far(t) == pytest.approx(0.9 * v.fmr(t))
    assert w.frr(t) == pytest.approx(0.1 + 0.9 * v.fnmr(t))
    assert w.gfar(t) == pytest.approx(0.8 * w.far(t))
    assert w.gfrr(t) == pytest.approx(0.2 + 0.8 * w.frr(t))
    assert w.roc().tar.max() == w.roc().far.max() == 0.9
    # A looser threshold makes up for the impostors that never came to a comparison.
    assert w.tar_at_far(0.09) == pytest.approx(0.9 * v.tar_at_far(0.1))
    nothing = Verification(Comparisons([1.0], [0.0] * 9, True, failures_to_acquire=Failures(3, 3)))
    assert nothing.tar_at_far(0.5) == 0
    assert nothing.frr(0.5) == 1


@pytest.mark.parametrize("fmr", [0, -1, 1.1, math.nan, math.inf])
def test_no_rate(fmr):
    for ask in (Verification(normal()).threshold_at_fmr, Verification(normal()).tar_at_far):
        with pytest.raises(UsageError):
            ask(fmr)
    with pytest.raises(UsageError):
        Verification(normal()).fmr(math.nan)


@pytest.mark.parametrize(
    ("rule", "pairs", "fmr", "needed"),
    [
        (Rule.OF_3, 2999, 1e-3, 3000),
        (Rule.OF_3, 3000, 1e-3, None),
        (Rule.OF_30, 29_999, 1e-3, 30_000),
        (Rule.OF_30, 30_000, 1e-3, None),
        (Rule.OF_3, 2, 1.0, 3),
        (Rule.OF_3, 600, 1e-4, 30_000),
    ],
)
def test_an_fmr_beyond_the_evidence_is_refused(rule, pairs, fmr, needed):
    v = Verification(Comparisons([1.0], np.zeros(pairs), True))
    if needed is None:
        v.threshold_at_fmr(fmr, rule)
        v.tar_at_far(fmr, rule)
        return
    for ask in (v.threshold_at_fmr, v.tar_at_far):
        with pytest.raises(TooFewComparisonsError, match=f"{needed:,} impostor pairs") as caught:
            ask(fmr, rule)
        assert caught.value.needed == needed
        assert caught.value.code == "too-few-comparisons"
        assert caught.value.message.count(". ") == 0


@pytest.mark.parametrize("pairs", [1, 3, 7, 600, 999, 30_000, 10**7])
@pytest.mark.parametrize("rule", list(Rule))
def test_the_smallest_rate_is_supported(pairs, rule):
    rate = smallest_rate(pairs, rule)
    assert rate == 1.0 or comparisons_needed(rate, rule) <= pairs
    with pytest.raises(UsageError):
        smallest_rate(0)


def test_the_rule_of_three():
    opened = without_error(Interval(0, 0), 0.0, 3000)
    assert opened.high == pytest.approx(3 / 3000, rel=2e-3)
    assert without_error(Interval(1, 1), 1.0, 3000).low == pytest.approx(1 - 3 / 3000, rel=2e-3)
    assert without_error(Interval(0.1, 0.2), 0.15, 10) == Interval(0.1, 0.2)
    assert 0.15 in Interval(0.1, 0.2)


def test_the_smallest_samples():
    v = Verification(Comparisons([1.0], [0.0], True))
    assert (v.auc(), v.eer().rate) == (1.0, 0.0)
    v = Verification(Comparisons([0.0], [1.0], True))
    assert (v.auc(), v.eer().rate) == (0.0, 1.0)
    v = Verification(Comparisons([0.0], [0.0], True))
    assert (v.auc(), v.eer().rate) == (0.5, 0.5)


def test_a_million_pairs_are_quick():
    generator = np.random.default_rng(1)
    c = Comparisons(generator.normal(2, 1, 10**6), generator.normal(0, 1, 10**6), True)
    started = time.perf_counter()
    v = Verification(c)
    v.eer()
    v.tar_at_far(1e-4)
    assert v.auc() == pytest.approx(0.921350, abs=1e-3)
    assert time.perf_counter() - started < 10


@FAST
@given(comparisons(), st.integers(8, 40))
def test_a_thinned_curve_keeps_its_ends_and_its_truth(c, limit):
    curve = Verification(c).curve
    rows = curve.rows(limit, keep=(c.genuine[0],))
    assert {0, len(curve) - 1} <= set(rows.tolist())
    thin = curve.thinned(limit)
    for row in range(len(thin)):
        assert curve.at(thin.thresholds[row]) == thin.at(thin.thresholds[row])
