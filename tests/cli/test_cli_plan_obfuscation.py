from __future__ import annotations

import json

import pytest

from blindsight.evaluation.movement import CameraGraph, Movement
from cli.running import run, run_apart

RESTLESS = CameraGraph.line(3, Movement(0.4, 0.3, 0.3, 0.4))


@pytest.fixture
def graph(tmp_path):
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(RESTLESS.fields()))
    return file


def test_a_plan_as_json(graph, tmp_path) -> None:
    page = tmp_path / "plan.html"
    done = run_apart(
        "plan-obfuscation", "--cameras", graph, "--people", 2, "--horizon", 5, "--alpha", 0.13, "--json",
        "--seed", 3, "--report", page, "--bytes-per-face", 1000, "--ms-per-face", 2,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    told = done.json
    assert (told["q"], told["seed"], told["people"], told["cameras"]) == (2, 3, [2, 2], 3)
    assert told["trials"][-1]["worst"]["high"] < 0.13 <= told["trials"][-2]["worst"]["high"]
    assert told["cost"]["bytes_per_second"] == 4000
    assert told["cost"]["compute"] == pytest.approx(0.008)
    assert told["says"] in page.read_text()
    assert (tmp_path / "plan-files" / "trials.csv").exists()


def test_a_plan_for_a_person() -> None:
    done = run("plan-obfuscation", "--cameras", 4, "--people", 2, "--horizon", 6, "--alpha", 0.4)
    assert done.code == 0
    assert "keeps the best tracker below 0.4" in done.out
    assert "dummies a step" in done.out


def test_where_nothing_suffices_the_exit_code_says_so() -> None:
    done = run("plan-obfuscation", "--cameras", 4, "--people", "1-3", "--horizon", 5, "--json")
    assert done.code == 1
    assert done.json["q"] is None
    assert done.json["cost"] is None
    assert done.json["horizon_needed"] > 5


def test_the_same_seed_gives_the_same_and_a_study_remembers_it(graph, tmp_path) -> None:
    study = tmp_path / "study.json"
    command = ["plan-obfuscation", "--cameras", graph, "--people", 2, "--horizon", 12, "--json",
               "--alpha", 0.01, "--samples", 100, "--max-q", 1]  # fmt: skip
    first = run(*command, "--study", study)
    again = run(*command, "--study", study)
    fresh = run(*command, "--seed", first.json["seed"])
    assert first.json == again.json == fresh.json
    assert first.json["trials"][-1]["worst"]["worlds"] > 0
    other = run(*command, "--study", study, "--seed", first.json["seed"] + 1)
    assert (other.code, other.json["error"]) == (2, "usage")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cameras", "1"], "2 to 128"),
        (["--cameras", "none.json"], "cannot be opened"),
        (["--cameras", "5", "--people", "many"], "as 2-6"),
        (["--cameras", "5", "--people", "4-2"], "written 2-6"),
        (["--cameras", "5", "--people", "0"], "1 to 1000"),
        (["--cameras", "5", "--alpha", "0"], "between 0 and 1"),
        (["--cameras", "5", "--confidence", "1"], "confidence"),
        (["--cameras", "5", "--seed", str(2**63)], "seed"),
        (["--cameras", "5", "--horizon", "1"], "horizon"),
    ],
)
def test_nonsense_is_refused(options, said) -> None:
    given = {options[at]: options[at + 1] for at in range(0, len(options), 2)}
    whole = {"--people": "2", "--horizon": "5"} | given
    done = run("plan-obfuscation", *(part for pair in whole.items() for part in pair), "--json")
    assert (done.code, done.json["error"]) == (2, "usage")
    assert said in done.json["message"]


def test_interrupted_it_can_go_on(graph, tmp_path, monkeypatch) -> None:
    study = tmp_path / "study.json"
    command = ["plan-obfuscation", "--cameras", graph, "--people", 2, "--horizon", 12, "--alpha", 0.01,
               "--samples", 100, "--max-q", 1, "--study", study, "--seed", 1, "--json"]  # fmt: skip
    calls = []

    def press(values, error, planned):
        calls.append(len(values))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("blindsight.evaluation.obfuscation.upper_bound", press)
        stopped = run(*command)
    assert (stopped.code, stopped.json["error"], calls) == (130, "interrupted", [50])
    assert sum(len(cell["values"]) for cell in json.loads(study.read_text())["cells"].values()) == 50
    assert run(*command).code == 1
