from __future__ import annotations

import json

import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation.movement import CameraGraph, Movement
from blindsight.evaluation.obfuscation import Question, Trial, figure, plan, summed
from blindsight.evaluation.obfuscation_report import (
    FACE_BYTES,
    cost,
    curves,
    over_horizon,
    over_q,
    report,
    sentence,
    write_page,
)
from blindsight.evaluation.obfuscation_study import Cell, Study, stored_seed
from blindsight.evaluation.tracking import blind_guess
from reference import tracking as twin

LINE = CameraGraph.line(3)
RESTLESS = CameraGraph.line(3, Movement(0.4, 0.3, 0.3, 0.4))


def asked(**changes) -> Question:
    return Question(**{"people": (2, 2), "horizon": 5, "alpha": 0.1, "samples": 300} | changes)


def test_the_exact_figure_is_inside_the_sampled_one(monkeypatch) -> None:
    """Eight figures, each interval wrong with probability 0.05 at most on either side."""
    study = Study(LINE, 4)
    exacts = {(start, q): summed(study, 2, start, q, 5) for start in range(3) for q in (0, 1)}
    three = {(start, 2): summed(study, 3, start, 2, 4) for start in range(2)}
    monkeypatch.setattr("blindsight.evaluation.obfuscation._SUMMED", 0)
    for (start, q), value in exacts.items():
        found = figure(study, asked(), 2, start, q, worlds=300)
        assert found.method == "sampled"
        assert found.low <= value <= found.high
        assert found.high - found.low < 0.25
    for (start, q), value in three.items():
        found = figure(study, asked(horizon=4, people=(3, 3)), 3, start, q, worlds=300)
        assert found.low <= value <= found.high


def test_the_exact_figure_is_the_mean_over_where_others_start() -> None:
    study = Study(LINE, 0)
    near, movement = LINE.neighbours(), LINE.movement
    tables = [twin.joint(near, movement, 0, (a, b), 1, 3) for a in range(3) for b in range(3)]
    value = sum(twin.best(table) for table in tables) / 9
    assert summed(study, 3, 0, 1, 3) == pytest.approx(value)
    assert summed(study, 3, 0, 1, 60) is None


def _smallest(graph: CameraGraph, question: Question) -> int | None:
    """The smallest q, from exact figures of every start alone."""
    study = Study(graph, 0)
    for q in range(question.people[1] + 1):
        values = [summed(study, question.people[1], start, q, question.horizon) for start in range(3)]
        if max(values) < question.alpha:
            return q
    return None


@pytest.mark.parametrize("alpha", [0.03, 0.06, 0.1, 0.2, 0.45, 0.9])
def test_the_plan_is_the_smallest_q(monkeypatch, alpha) -> None:
    question = asked(alpha=alpha)
    smallest = _smallest(RESTLESS, question)
    assert plan(Study(RESTLESS, 9), question).q == smallest
    monkeypatch.setattr("blindsight.evaluation.obfuscation._SUMMED", 0)
    made = plan(Study(RESTLESS, 9), question)
    assert made.q == smallest
    assert any(trial.worst.method == "sampled" for trial in made.trials) == (smallest is not None)


def test_where_no_q_suffices_the_horizon_that_would_is_said() -> None:
    made = plan(Study(LINE, 1), asked(alpha=0.05))
    assert made.q is None
    assert made.floor == max(blind_guess(Study(LINE, 1).chain, start, 5) for start in range(3))
    needed = made.horizon_needed
    assert needed is not None
    starts = range(3)
    assert max(blind_guess(Study(LINE, 1).chain, start, needed) for start in starts) < 0.05
    assert max(blind_guess(Study(LINE, 1).chain, start, needed - 1) for start in starts) >= 0.05
    assert str(needed) in sentence(made)


def test_people_who_never_go_are_never_hidden() -> None:
    still = CameraGraph.line(3, Movement(0.0, 1.0, 0.0, 1.0))
    made = plan(Study(still, 1), asked(alpha=0.3))
    assert (made.q, made.horizon_needed) == (None, None)
    assert "longer horizons do not help" in sentence(made)


def test_max_q_and_too_few_samples_are_said(monkeypatch) -> None:
    made = plan(Study(RESTLESS, 1), asked(alpha=0.1, max_q=1))
    assert made.q is None
    assert made.trials[-1].verdict == "broken"
    assert "Allow a larger q" in sentence(made)
    exact = summed(Study(RESTLESS, 1), 2, 0, 1, 5)
    monkeypatch.setattr("blindsight.evaluation.obfuscation._SUMMED", 0)
    undecided = plan(Study(RESTLESS, 1), asked(alpha=exact * 1.02, max_q=1, samples=50))
    assert undecided.trials[-1].verdict == "undecided"
    assert "More samples" in sentence(undecided)


def test_a_genies_bound_is_not_held_against_q(monkeypatch) -> None:
    monkeypatch.setattr("blindsight.evaluation.obfuscation._SUMMED", 0)
    made = plan(Study(RESTLESS, 1), asked(alpha=0.1, people=(3, 3), max_q=1, hidden=0))
    worst = made.trials[-1].worst
    assert (made.q, made.trials[-1].verdict, worst.method) == (None, "undecided", "bounded")
    assert worst.low == blind_guess(Study(RESTLESS, 1).chain, worst.start, 5)
    assert "followed jointly" in sentence(made)


def test_of_a_range_the_worst_number_of_people_counts() -> None:
    alone, ranged = (plan(Study(RESTLESS, 3), asked(people=people, alpha=0.1)) for people in ((1, 1), (1, 3)))
    assert (alone.q, ranged.q) == (1, 3)
    assert ranged.trials[-2].worst.people == 3


def test_a_study_goes_on_where_it_stopped(tmp_path) -> None:
    file = tmp_path / "study.json"
    cell = Cell(2, 1, 1, 8, 1)
    whole = Study(LINE, 7).extend(cell, 40).values
    first = Study(LINE, 7, file)
    first.extend(cell, 25)
    first.save()
    second = Study(LINE, stored_seed(file), file)
    assert second.known(cell).values == whole[:25]
    assert second.extend(cell, 40).values == whole
    second.save()
    assert Study(LINE, 7, file).known(cell).values == whole
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


def test_an_interrupted_plan_is_saved_and_gives_the_same(tmp_path, monkeypatch) -> None:
    alpha = summed(Study(RESTLESS, 7), 2, 0, 1, 5) * 1.1
    monkeypatch.setattr("blindsight.evaluation.obfuscation._SUMMED", 0)
    file, question = tmp_path / "study.json", asked(alpha=alpha)
    straight = plan(Study(RESTLESS, 7), question)
    seen = []

    def stop(what: str, done: int, of: int) -> None:
        seen.append((done, of))
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan(Study(RESTLESS, 7, file), question, stop)
    saved = json.loads(file.read_text())["cells"]
    assert sum(len(cell["values"]) for cell in saved.values()) == 100
    assert seen == [(50, 300), (100, 300)]
    assert plan(Study(RESTLESS, 7, file), question) == straight


def _edited(**changes):
    def edit(text: str) -> str:
        return json.dumps(json.loads(text) | changes)

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "",
        lambda text: text[:-5],
        lambda text: "[" * 100_000,
        lambda text: "[]",
        _edited(version=2),
        _edited(format="another"),
        _edited(seed=8),
        _edited(seed="7"),
        _edited(seed=-1),
        _edited(graph=CameraGraph.line(4).fields()),
        _edited(more=1),
        _edited(cells=[]),
        _edited(cells={"a": 1}),
        _edited(cells={"a": {"values": [0.5]}}),
        _edited(cells={"a": {"values": [1.5], "cut": 0}}),
        _edited(cells={"a": {"values": [float("nan")], "cut": 0}}),
        _edited(cells={"a": {"values": ["0"], "cut": 0}}),
        _edited(cells={"a": {"values": [0.5], "cut": 2}}),
    ],
)
def test_a_broken_or_foreign_study_is_refused_and_kept(tmp_path, edit) -> None:
    file = tmp_path / "study.json"
    study = Study(LINE, 7, file)
    study.extend(Cell(2, 1, 1, 4, 1), 3)
    study.save()
    file.write_text(edited := edit(file.read_text()))
    with pytest.raises(UsageError):
        Study(LINE, 7, file)
    assert file.read_text() == edited


def test_a_study_that_cannot_be_written_says_so(tmp_path) -> None:
    study = Study(LINE, 7, tmp_path / "nowhere" / "study.json")
    study.extend(Cell(2, 1, 1, 4, 1), 1)
    with pytest.raises(UsageError, match="cannot be written"):
        study.save()


@pytest.mark.parametrize(
    "changes",
    [
        {"people": (0, 2)},
        {"people": (3, 2)},
        {"people": (1, 1001)},
        {"horizon": 1},
        {"horizon": 201},
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"alpha": float("nan")},
        {"max_q": -1},
        {"samples": 49},
        {"confidence": 1.0},
        {"confidence": 0.4},
        {"hidden": -1},
    ],
    ids=str,
)
def test_questions_without_sense(changes) -> None:
    with pytest.raises(UsageError):
        asked(**changes)


@pytest.mark.parametrize(
    ("people", "max_q"), [(1, None), (2, None), (3, None), (40, None), (40, 7), (3, 0), (9, 1)]
)
def test_no_more_values_are_tried_than_share_the_error(monkeypatch, people, max_q) -> None:
    question = asked(people=(people, people), max_q=max_q, alpha=0.5)
    for smallest in range(question.largest + 1):
        tried = []

        def judged(study, question, q, progress, smallest=smallest, tried=tried):
            found = figure(Study(LINE, 1), asked(), 1, 0, 1)  # its values do not matter here
            tried.append(q)
            return Trial(q, "kept" if q >= smallest else "broken", found)

        monkeypatch.setattr("blindsight.evaluation.obfuscation.judge", judged)
        assert plan(Study(LINE, 1), question).q == smallest
        sampled = [q for q in tried if q < people]
        assert len(sampled) * question.error <= 0.05 * (1 + 1e-12)
        assert len(set(tried)) == len(tried)


def test_the_cost_is_counted() -> None:
    study = Study(LINE, 2)
    made = plan(study, asked(people=(2, 2), alpha=0.4))
    price = cost(study, made, 2, face_bytes=FACE_BYTES, steps=4.0, face_ms=1.5)
    assert price.dummies == 3 * 2 - 2  # nobody is ever in excess of 2, so only the sum counts
    assert price.most == 6
    assert price.bytes_per_second == 4 * 4 * FACE_BYTES
    assert price.compute == pytest.approx(16 * 0.0015)
    none = cost(study, made, 0, face_bytes=FACE_BYTES, steps=4.0, face_ms=None)
    assert (none.dummies, none.bytes_per_second, none.compute) == (0, 0, None)


def test_the_page_has_the_answer_the_drawings_and_their_points(tmp_path) -> None:
    study = Study(RESTLESS, 2)
    made = plan(study, asked(alpha=0.13))
    figures = curves(study, made, worlds=50)
    assert {at.q for at in figures} == {0, 1, 2}
    assert [at.horizon for at in figures if at.q == 1] == [2, 3, 4, 5]
    for plot in (over_horizon(figures, 0.13), over_q(figures, 0.13)):
        assert plot.png[:4] == b"\x89PNG"
        assert len(plot.svg) < 100_000
    price = cost(study, made, 2, face_bytes=1000, steps=1, face_ms=None)
    page, folder = write_page(report(study, made, figures, price, {"note": "<b>"}), tmp_path / "plan.html")
    html = page.read_text()
    assert sentence(made) in html
    assert "<b>" not in html
    assert html.count("<svg") == 2
    rows = (folder / "over-horizon.csv").read_text().splitlines()
    assert len(rows) == 1 + len(figures)
    assert {path.name for path in folder.iterdir()} == {
        "trials.csv", "cost.csv", "over-horizon.csv", "over-q.csv", "over-horizon.svg", "over-q.svg",
    }  # fmt: skip
    with pytest.raises(UsageError):
        write_page(report(study, made, figures, None, {}), tmp_path / "plan.html" / "inside.html")
