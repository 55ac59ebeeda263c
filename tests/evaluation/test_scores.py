"""What scores may be, and what is refused with one sentence."""

import math

import numpy as np
import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation.scores import Comparisons, Failures, Searches


@pytest.mark.parametrize("kind", ["genuine", "impostor"])
@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ([], "no"),
        ([math.nan], "NaN"),
        ([0.0, math.inf], "infinite"),
        ([[1.0]], "one row"),
        (["x"], "numbers"),
        ([[1.0], [1.0, 2.0]], "numbers"),
        (0.5, "one row"),
    ],
)
def test_bad_scores(kind, bad, word):
    good = {"genuine": [1.0], "impostor": [0.0]} | {kind: bad}
    with pytest.raises(UsageError, match=word):
        Comparisons(**good, larger_is_closer=True)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (["a"], None),
        (None, [["a", "b"]]),
        (["a", "b"], [["a", "b"]]),
        (["a"], ["a", "b"]),
        (["a"], [["a", "a"]]),
        (np.array([1, "a"], object)[:1], [["a", "b"]]),
    ],
)
def test_bad_subjects(one, two):
    with pytest.raises(UsageError):
        Comparisons([1.0], [0.0], True, one, two)


def test_values_are_frozen_copies():
    given = np.array([1.0, 2.0])
    c = Comparisons(given, [0.0], True, ["b", "a"], [["b", "c"]])
    given[0] = 9
    assert c.genuine.tolist() == [1.0, 2.0]
    assert c.genuine_subjects.tolist() == [1, 0]
    assert c.impostor_subjects.tolist() == [[1, 2]]
    assert c.subjects == 3
    for array in (c.genuine, c.impostor, c.genuine_subjects):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert Comparisons([1], [0], True).subjects is None


@pytest.mark.parametrize(("failed", "attempts"), [(-1, 3), (4, 3), (1, 0)])
def test_bad_failures(failed, attempts):
    with pytest.raises(UsageError):
        Failures(failed, attempts)


def test_failures():
    assert Failures().rate == 0
    assert Failures(1, 4).rate == 0.25
    assert Failures(4, 4).rate == 1


@pytest.mark.parametrize(
    ("scores", "gallery", "probes"),
    [
        ([[1.0]], (), ("a",)),
        ([[1.0]], ("a",), ()),
        ([[1.0, 2.0]], ("a",), ("a",)),
        ([1.0], ("a",), ("a",)),
        ([[math.nan]], ("a",), ("a",)),
        ([[1.0, 2.0]], ("a", "a"), ("a",)),
        ([["x"]], ("a",), ("a",)),
    ],
)
def test_bad_searches(scores, gallery, probes):
    with pytest.raises(UsageError):
        Searches(scores, gallery, probes, True)


@pytest.mark.parametrize("larger", [True, False])
def test_templates_become_subjects(larger):
    scores = np.array([[1.0, 5.0, 3.0, 2.0], [0.0, -1.0, 7.0, 8.0]])
    s = Searches.from_templates(scores, ["b", "a", "b", "c"], ["a", None], larger_is_closer=larger)
    assert s.gallery == ("a", "b", "c")
    assert s.scores.tolist() == ([[5, 3, 2], [-1, 7, 8]] if larger else [[5, 1, 2], [-1, 0, 8]])
    assert s.mates.tolist() == [0, -1]


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b", "c"]])
def test_templates_need_a_subject_each(names):
    with pytest.raises(UsageError):
        Searches.from_templates([[1.0, 2.0]], names, ["a"], larger_is_closer=True)


def test_probes_of_nobody_known_stand_alone():
    s = Searches([[0.0]] * 5, ("a",), ("a", None, "x", None, "x"), True)
    assert s.probe_codes.tolist() == [0, 1, 2, 3, 2]
    assert s.mates.tolist() == [0, -1, -1, -1, -1]
