"""Error rates of protected scores."""

import math

import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation.agreement import agreement


def test_error_rates():
    found = agreement([1.0, -2.0, 0.0, 4.0], [1.01, -2.0, 0.5, 4.0])
    assert found.percent.tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert found.largest_absolute == 0.5
    assert (found.equal, found.without_rate) == (2, 1)
    assert (found.median, found.largest) == (0.0, pytest.approx(1.0))
    assert found.within(0.5) == pytest.approx(2 / 3)


def test_zeros_have_no_rate():
    found = agreement([0.0], [0.0])
    assert math.isnan(found.median)
    assert math.isnan(found.largest)
    assert math.isnan(found.within(1.0))
    assert found.equal == 1


@pytest.mark.parametrize(
    ("plain", "protected"), [([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([math.nan], [1.0])]
)
def test_rows_that_do_not_fit(plain, protected):
    with pytest.raises(UsageError):
        agreement(plain, protected)
