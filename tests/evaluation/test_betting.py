from __future__ import annotations

import numpy as np
import pytest

from blindsight.evaluation.betting import lower_bound, upper_bound


@pytest.mark.parametrize("law", ["coin", "narrow", "skewed"])
def test_the_bounds_hold_as_often_as_they_promise_even_when_one_stops_at_will(law) -> None:
    """Stop each time at the worst of several looks; 300 runs, error 0.1."""
    generator = np.random.default_rng(8)
    mean = {"coin": 0.05, "narrow": 0.05, "skewed": 1 / 11}[law]
    wrong = [0, 0]
    for _ in range(300):
        values = {
            "coin": lambda: (generator.random(400) < 0.05).astype(float),
            "narrow": lambda: generator.uniform(0.04, 0.06, 400),
            "skewed": lambda: generator.beta(0.2, 2.0, 400),
        }[law]()
        looks = (50, 100, 200, 400)
        wrong[0] += min(upper_bound(values[:look], 0.1, 400) for look in looks) < mean
        wrong[1] += max(lower_bound(values[:look], 0.1, 400) for look in looks) > mean
    assert max(wrong) <= 45  # 30 expected at most, and three standard deviations


def test_little_variance_makes_it_tight() -> None:
    generator = np.random.default_rng(1)
    narrow = generator.uniform(0.02, 0.04, 2000)
    coin = (generator.random(2000) < 0.03).astype(float)
    assert 0.03 < upper_bound(narrow, 0.05, 2000) < 0.034
    assert upper_bound(narrow, 0.05, 2000) < upper_bound(coin, 0.05, 2000) < 0.06
    assert 0.025 < lower_bound(narrow, 0.05, 2000) < 0.03


def test_the_edges() -> None:
    assert upper_bound([], 0.05, 100) == 1.0
    assert lower_bound([], 0.05, 100) == 0.0
    assert upper_bound([1.0] * 100, 0.05, 100) == 1.0
    assert 0.0 < upper_bound([0.0] * 100, 0.05, 100) < 0.05
    assert upper_bound([0.5], 0.05, 1) == 1.0
    with pytest.raises(ValueError, match="from 0 to 1"):
        upper_bound([1.5], 0.05, 1)
