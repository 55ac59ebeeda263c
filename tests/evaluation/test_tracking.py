from __future__ import annotations

import numpy as np
import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation.movement import CameraGraph, Chain, Movement, obfuscated, observed
from blindsight.evaluation.obfuscation_study import Study
from blindsight.evaluation.tracking import Tracker, affordable, blind_guess
from blindsight.evaluation.tracking_exact import exact
from reference import tracking as twin

KITE = CameraGraph(4, ((0, 1), (1, 2), (2, 0), (2, 3)), Movement(0.7, 0.2, 0.1, 0.6))
LINE = CameraGraph.line(3)
CASES = [
    pytest.param(graph, others, horizon, id=f"{graph.cameras}-{others}-{horizon}")
    for graph in (LINE, KITE)
    for others, horizon in (((), 4), ((0,), 4), ((1, 2), 3))
]


@pytest.mark.parametrize("q", [0, 1, 2, 3])
@pytest.mark.parametrize(("graph", "others", "horizon"), CASES)
def test_the_sum_over_all_observations_is_its_twins(graph, others, horizon, q) -> None:
    table = twin.joint(graph.neighbours(), graph.movement, 1, others, q, horizon)
    found = exact(Chain.of(graph), 1, others, q, horizon)
    assert found.best == pytest.approx(twin.best(table), rel=1e-12)
    assert found.stepwise == pytest.approx(twin.stepwise(table, horizon), rel=1e-12)
    assert found.stepwise <= found.best + 1e-12


@pytest.mark.parametrize("q", [0, 1, 2])
@pytest.mark.parametrize(("graph", "others", "horizon"), CASES)
def test_for_every_observation_the_search_finds_the_most_probable_path(graph, others, horizon, q) -> None:
    table = twin.joint(graph.neighbours(), graph.movement, 1, others, q, horizon)
    tracker = Tracker(Chain.of(graph), len(others))
    nobody = np.zeros((horizon, graph.cameras), np.int64)
    for seen, paths in table.items():
        answer = tracker.answer(1, others, nobody, np.array(seen), q)
        whole = sum(paths.values())
        assert answer.exact
        assert answer.probability == pytest.approx(max(paths.values()) / whole, rel=1e-9)
        assert paths[answer.path] == pytest.approx(max(paths.values()), rel=1e-9)


def test_a_larger_q_never_helps_the_tracker_and_has_a_floor() -> None:
    chain = Chain.of(KITE)
    for others in ((0,), (1, 3)):
        figures = [exact(chain, 2, others, q, 4).best for q in range(5)]
        assert figures == sorted(figures, reverse=True)
        assert figures[0] > figures[len(others)] > figures[len(others) + 1]
        assert figures[len(others) + 1 :] == pytest.approx([blind_guess(chain, 2, 4)] * (4 - len(others)))


def test_more_observations_may_help_the_tracker() -> None:
    """Hence a plan is for its T, not for every T before it."""
    chain = Chain.of(CameraGraph.line(5))
    assert exact(chain, 2, (3,), 1, 3).best > exact(chain, 2, (3,), 1, 2).best


def test_the_blind_guess_goes_on_as_it_began() -> None:
    chain = Chain.of(CameraGraph.line(40))
    assert blind_guess(chain, 20, 8) == pytest.approx(0.85**6 / 3)
    assert blind_guess(chain, 20, 1) == 1.0


def test_a_genie_only_makes_the_tracker_better() -> None:
    """Mean over the same worlds of the best tracker's probability, by how many are told."""
    study = Study(KITE, 5)
    means = []
    for hidden in (2, 1, 0):
        answers = study.extend(study.cell(3, 0, 1, 5, hidden), 200)
        assert answers.cut == 0
        means.append(np.mean(answers.values))
    assert means[0] < means[1] - 0.02
    assert means[1] < means[2] - 0.02


def test_a_search_that_is_cut_short_answers_with_an_upper_bound() -> None:
    study = Study(CameraGraph.line(5), 11)
    tracker = Tracker(study.chain, 1)
    cut = 0
    for number in range(30):
        paths = study.world(2, 2, number, 9)
        counts = obfuscated(observed(paths, 5), 1)
        told = np.zeros_like(counts)
        hidden = [int(paths[0, 1])]
        whole = tracker.answer(2, hidden, told, counts, 1)
        for prefixes in (0, 1, 8):
            short = tracker.answer(2, hidden, told, counts, 1, prefixes=prefixes)
            assert short.probability >= whole.probability - 1e-12
            assert short.exact == (short.path != ())
            cut += not short.exact
    assert cut > 30


def test_a_hit_is_as_likely_as_the_tracker_says() -> None:
    study = Study(CameraGraph.line(4), 2)
    tracker = Tracker(study.chain, 1)
    hits, claims = [], []
    for number in range(400):
        paths = study.world(2, 1, number, 5)
        counts = obfuscated(observed(paths, 4), 1)
        answer = tracker.answer(1, [int(paths[0, 1])], np.zeros_like(counts), counts, 1)
        hits.append(answer.path == tuple(paths[:, 0]))
        claims.append(answer.probability)
    assert np.mean(hits) == pytest.approx(np.mean(claims), abs=3 * np.sqrt(0.25 / 400))


def test_impossible_counts_are_refused() -> None:
    tracker = Tracker(Chain.of(LINE), 0)
    nobody = np.zeros((3, 3), np.int64)
    seen = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1]])  # from camera 0 to camera 2 in one step
    with pytest.raises(UsageError):
        tracker.answer(0, [], nobody, seen, 0)
    with pytest.raises(UsageError):
        tracker.answer(0, [1], nobody, seen, 0)


def test_what_can_be_followed_jointly_depends_on_the_graph() -> None:
    small, large = Chain.of(CameraGraph.line(3)), Chain.of(CameraGraph.line(60))
    assert affordable(small, 10, 3) == 3
    assert affordable(large, 10, 30) <= 1
    assert affordable(small, 10, 0) == 0


# -- the thesis' example -------------------------------------------------------------------------
#
# Its figures 3 and 4 are pictures, and the text gives their numbers only in part: five cameras, two
# people, paths that are unique until t = 2, two people before one camera at t = 2 (the fourth, counted
# from one), and then either "orange" went on to the right or "orange" stopped. Somebody who comes
# from the second camera and another who stands at the fourth is an example of just this. The text says
# that orange goes on with p = 0.8 where its own model says 0.85; the value combined with the other
# observations is missing there.

ORANGE = (1, 2, 3, 4)
BLUE = (3, 3, 3, 3)


def _example(q: int, horizon: int):
    counts = observed(np.array([ORANGE, BLUE]).T[:horizon], 5)
    seen = obfuscated(counts, q)
    tracker = Tracker(Chain.of(CameraGraph.line(5)), 1)
    return tracker.answer(1, [3], np.zeros_like(seen), seen, q), seen


def test_without_dummies_the_paths_of_the_example_are_unique_until_two() -> None:
    answer, _ = _example(0, 3)
    assert answer.path == ORANGE[:3]
    assert answer.probability == pytest.approx(1.0)


def test_then_orange_went_on_or_stopped() -> None:
    answer, _ = _example(0, 4)
    assert answer.path == ORANGE
    on, stopped = 0.85 * 0.8, 0.1 * 0.1  # orange goes on and blue stays; orange stops and blue leaves
    assert answer.probability == pytest.approx(on / (on + stopped))


def test_with_q_1_the_first_that_is_seen_is_two_people_at_t_2() -> None:
    answer, seen = _example(1, 4)
    assert (seen[:2] == 1).all()
    assert seen[2].tolist() == [1, 1, 1, 2, 1]
    assert (seen[3] == 1).all()
    line = CameraGraph.line(5)
    paths = twin.joint(line.neighbours(), line.movement, 1, (3,), 1, 4)[tuple(map(tuple, seen.tolist()))]
    assert answer.probability == pytest.approx(max(paths.values()) / sum(paths.values()))
    assert len(paths) > 2
    assert _example(1, 2)[0].probability < 0.5 < 1.0 == pytest.approx(_example(0, 2)[0].probability)
    # Once both are seen together, knowing where they started gives most of the path away again.
    assert 0.9 < answer.probability < _example(0, 4)[0].probability
