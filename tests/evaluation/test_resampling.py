"""Bootstrap intervals: they cover, they see dependence, and they say when they cannot speak."""

from statistics import NormalDist

import numpy as np
import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation.curve import Curve
from blindsight.evaluation.resampling import resampled
from blindsight.evaluation.scores import Comparisons, Failures
from blindsight.evaluation.verification import Verification


def seeded(seed=1):
    return np.random.default_rng(seed)


def crossed(people, photos, spread, generator):
    """All pairs of people whose samples differ by person (``spread``) and by photo."""
    own = generator.normal(0, spread, people)
    genuine = 2.0 + np.repeat(own, photos) + generator.normal(0, 1, people * photos)
    a, b = np.triu_indices(people, 1)
    impostor = own[a] / 2 + own[b] / 2 + generator.normal(0, 1, len(a))
    return Comparisons(genuine, impostor, True, np.repeat(np.arange(people), photos), np.stack([a, b], 1))


def test_pair_level_intervals_cover():
    """Nominally 95 % of 120 runs; fewer than 105 would come once in 10⁴."""
    truth = NormalDist().cdf(2 / 2**0.5)
    missing = NormalDist().cdf(1.0 - 2.0)
    covered = np.zeros(2, int)
    for run in range(120):
        generator = seeded(run)
        v = Verification(Comparisons(generator.normal(2, 1, 200), generator.normal(0, 1, 300), True))
        found = v.intervals(
            {"auc": Curve.auc, "fnmr": lambda c: float(c.at(1.0)[1])},
            keep=(1.0,), replicates=150, _generator=generator,
        )  # fmt: skip
        covered += [truth in found["auc"], missing in found["fnmr"]]
    assert (covered >= 105).all()


def test_subject_level_intervals_cover_where_pairs_depend():
    """FNMR of people whose photos are alike: pairs drawn one by one are far too sure."""
    spread = 1.5
    truth = NormalDist().cdf((1.0 - 2.0) / (1 + spread**2) ** 0.5)
    covered = {"subjects": 0, "pairs": 0}
    for run in range(80):
        c = crossed(40, 12, spread, seeded(run))
        for kind in covered:
            given = c if kind == "subjects" else Comparisons(c.genuine, c.impostor, True)
            [(_, fnmr)] = Verification(given).rates_with_intervals([1.0], replicates=120,
                                                                  _generator=seeded(run))  # fmt: skip
            covered[kind] += truth in fnmr.interval
    assert covered["subjects"] >= 66
    assert covered["pairs"] <= 60


def test_intervals_hold_the_figure_and_narrow_with_the_sample():
    widths = []
    for size in (100, 1600):
        generator = seeded(3)
        v = Verification(Comparisons(generator.normal(2, 1, size), generator.normal(0, 1, size), True))
        summary = v.summary((0.1,), replicates=200, _generator=generator)
        for estimate in (summary.auc, summary.eer, summary.tar_at_far[0.1]):
            assert estimate.value in estimate.interval
        widths.append(summary.auc.interval.high - summary.auc.interval.low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.5)


def test_a_seed_decides_and_the_default_does_not_repeat():
    v = Verification(crossed(10, 4, 0.5, seeded()))
    one, two = (v.summary((0.1,), replicates=30, _generator=seeded(5)) for _ in range(2))
    assert one == two
    free = [v.summary((0.1,), replicates=30).auc.interval for _ in range(3)]
    assert len(set(free)) > 1


def test_without_an_error_the_rule_of_three_speaks():
    v = Verification(Comparisons(np.full(300, 5.0), np.zeros(600), True))
    [(fmr, fnmr)] = v.rates_with_intervals([2.5], replicates=20)
    assert (fmr.value, fnmr.value) == (0, 0)
    assert fmr.interval.high == pytest.approx(3 / 600, rel=0.01)
    assert fnmr.interval.high == pytest.approx(3 / 300, rel=0.01)


def test_with_subjects_the_rule_of_three_counts_people():
    people = np.repeat(np.arange(10), 30)
    pairs = np.array([(a, b) for a in range(10) for b in range(10) if a != b] * 4)
    v = Verification(Comparisons(np.full(300, 5.0), np.zeros(360), True, people, pairs))
    [(fmr, fnmr)] = v.rates_with_intervals([2.5], replicates=20)
    assert fnmr.interval.high == pytest.approx(1 - 0.05 ** (1 / 10))
    assert fmr.interval.high == pytest.approx(1 - 0.05 ** (1 / 45))


def test_resampled_curves_are_curves():
    c = crossed(8, 3, 0.5, seeded())
    curve = Verification(c).curve
    for given in (c, Comparisons(c.genuine, c.impostor, True)):
        for again in resampled(curve, given, 30, seeded()):
            assert again.negatives[-1] == 0
            assert again.positives[-1] == again.impostors > 0
            assert (np.diff(again.positives) >= 0).all()
            assert (np.diff(again.negatives) <= 0).all()
            assert 0 <= again.auc() <= 1
            assert 0 <= again.equal_error().rate <= 1


def test_the_mean_of_many_resamples_is_the_sample():
    v = Verification(crossed(12, 4, 0.5, seeded()))
    again = [c.auc() for c in resampled(v.curve, v.comparisons, 400, seeded(2))]
    assert np.mean(again) == pytest.approx(v.auc(), abs=0.01)


def test_unsupported_rates_are_listed_not_guessed():
    v = Verification(Comparisons([1.0, 2.0], np.zeros(600), True, failures_to_acquire=Failures(1, 10)))
    summary = v.summary((0.01, 1e-4), replicates=20)
    assert list(summary.tar_at_far) == [0.01]
    assert summary.unsupported == (1e-4,)
    with pytest.raises(UsageError):
        v.summary((0.0,), replicates=20)


@pytest.mark.parametrize("wrong", [{"replicates": 5}, {"confidence": 0.3}, {"confidence": 1.0}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(UsageError):
        Verification(crossed(5, 2, 0.5, seeded())).summary(**wrong)


def test_two_people_are_enough_to_resample_and_one_pair_too():
    v = Verification(Comparisons([1.0, 2.0], [0.0], True, ["a", "b"], [["a", "b"]]))
    assert v.summary((), replicates=20).auc.interval.low == 1.0
    v = Verification(Comparisons([1.0], [0.0], True))
    assert v.summary((), replicates=20).auc.interval.low == 1.0
