"""Training, protecting one camera's crowd, matching the other's, and the evaluation, as a user types it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from blindsight.trusted.gallery import Gallery
from blindsight.vision import PeopleModel
from cli.running import Home, new_home, run
from generated_people import write_crowd

SMALL = ["--dimension", "24", "--least-people", "3"]
TINY = ["--dimension", "16", "--least-people", "2"]
KNOWN, OTHERS = range(40), range(40, 58)


@pytest.fixture(scope="module")
def crowds(tmp_path_factory) -> Path:
    """Labelled crops to learn from under ``known``, others under ``others``, and a model."""
    root = tmp_path_factory.mktemp("crowds")
    write_crowd(root / "known", KNOWN)
    write_crowd(root / "others", OTHERS)
    done = run("people", "train", root / "known" / "crops", "--out", root / "people.model", *SMALL, "--json")
    assert done.code == 0, done.err
    assert done.json["people"] == 40
    assert done.json["crops"] == 120
    return root


@pytest.fixture(scope="module")
def galleries(crowds, tmp_path_factory) -> Home:
    """Camera 1's people under both exact schemes."""
    folder = tmp_path_factory.mktemp("galleries")
    home = new_home(folder / "home")
    for name, options in (
        ("bfv", ["--scheme", "bfv", "--batch", "16"]),
        ("lattice", ["--scheme", "lattice"]),
    ):
        made = home.run(
            "gallery", "create", name, "--folder", folder / name,
            "--embedder", f"people:{crowds / 'people.model'}", "--scheme", name, *options,
        )  # fmt: skip
        assert made.code == 0, made.err
        done = home.run("people", "enroll", name, crowds / "others" / "crops", "--camera", "1", "--json")
        assert done.code == 0, done.err
        assert (done.json["enrolled"], done.json["already"], done.json["subjects"]) == (18, 0, 18)
    return home


def test_two_crowds_are_matched_in_one_call(galleries, crowds):
    crops = crowds / "others" / "crops"
    answers = []
    for name in ("bfv", "lattice"):
        done = galleries.run("people", "match", name, crops, "--camera", "3", "--named", "-k", "3", "--json")
        assert done.code == 0, done.err
        answers.append(done.json)
    bfv, lattice = answers
    assert bfv["probes"] == lattice["probes"]
    assert bfv["named"] == lattice["named"]
    assert bfv["named"]["probes"] == 18
    assert bfv["named"]["rates"]["1"] > 4 / 18
    assert len({row["assigned"] for row in bfv["probes"]}) == 18
    first = bfv["probes"][0]
    assert first["crop"] == "0041_c3s1_000001_01.png"
    scores = [one["score"] for one in first["candidates"]]
    assert scores == sorted(scores)
    shown = galleries.run("people", "match", "bfv", crops, "--camera", "3", "--named")
    assert "18 crops compared with 18 people" in shown.out
    assert "rank 1" in shown.out


def test_enrolling_again_adds_nothing_and_broken_crops_stop_nothing(galleries, crowds, tmp_path):
    crops = tmp_path / "crops"
    crops.mkdir()
    for name in ("0041_c1s1_000001_01.png", "0042_c1s1_000001_01.png"):
        (crops / name).write_bytes((crowds / "others" / "crops" / name).read_bytes())
    (crops / "0043_c1s1_000001_01.png").write_bytes(b"no picture")
    done = galleries.run("people", "enroll", "lattice", crops, "--json")
    assert (done.code, done.json["enrolled"], done.json["already"]) == (0, 0, 2)
    assert [Path(one["crop"]).name for one in done.json["rejected"]] == ["0043_c1s1_000001_01.png"]
    found = galleries.run("people", "match", "lattice", crops, "--json")
    assert [row["candidates"][0]["score"] for row in found.json["probes"]] == [0.0, 0.0]
    assert len(found.json["rejected"]) == 1


def test_identify_takes_crops_too(galleries, crowds):
    done = galleries.run("identify", "bfv", crowds / "others" / "crops" / "0045_c1s1_000001_01.png", "--json")
    assert (done.code, done.json["subject"], done.json["score"]) == (0, "0045", 0.0)


def test_what_people_galleries_refuse(galleries, crowds, tmp_path):
    model = crowds / "people.model"
    crops = crowds / "others" / "crops"
    strangers = crowds / "known" / "crops"
    damaged = tmp_path / "damaged.model"
    damaged.write_bytes(model.read_bytes()[:-1] + b"?")
    create = ["gallery", "create", "x", "--folder", tmp_path / "m", "--embedder"]
    cases = [
        ([*create, f"people:{damaged}"], 2, "damaged"),
        ([*create, f"people:{tmp_path / 'none'}"], 2, "cannot be read"),
        ([*create, f"people:{model}", "--scheme", "ckks"], 2, "approximate"),
        ([*create, f"people:{model}", "--batch", "4"], 2, "Only the scheme bfv"),
        (["people", "match", "bfv", crops, "--camera", "9"], 2, "no crop of camera 9"),
        (["people", "match", "none", crops], 2, "none"),
        (["people", "match", "lattice", strangers, "--camera", "1", "--named"], 2, "same name"),
        (["people", "match", "bfv", tmp_path], 2, "no picture"),
    ]  # fmt: skip
    for arguments, code, said in cases:
        done = galleries.run(*arguments)
        assert (done.code, said in done.err) == (code, True), (arguments, done.err)
        assert done.err.count("\n") == 1
    known = PeopleModel.load(model)
    other = tmp_path / "other.model"
    PeopleModel(known.attributes, known.map, 5, known.limit, known.threshold).save(other)
    backup = model.read_bytes()
    try:
        model.write_bytes(other.read_bytes())
        done = galleries.run("people", "match", "bfv", crops)
    finally:
        model.write_bytes(backup)
    assert done.code == 3
    assert "holds templates of people-" in done.err


def test_what_cannot_be_trained_on(crowds, tmp_path):
    crops = write_crowd(tmp_path / "few", range(4))
    cases = [
        ([crops], "needs 20 people"),
        ([crops, "--attributes", tmp_path / "none.csv"], "cannot be read"),
        (
            [crowds / "known" / "crops", "--attributes", tmp_path / "few" / "attributes.csv"],
            "no row for person",
        ),
        ([crops, "--out", tmp_path / "no" / "folder" / "x"], "make it first"),
        ([tmp_path / "few"], "no row for person crops"),
    ]
    for arguments, said in cases:
        done = run("people", "train", "--out", tmp_path / "x.model", *arguments, *SMALL)
        assert done.code == 2, done.err
        assert said in done.err
        assert not (tmp_path / "x.model").exists()
    (tmp_path / "few" / "attributes.csv").unlink()
    assert "--attributes" in run("people", "train", crops).err


def test_evaluating(crowds, tmp_path):
    report = tmp_path / "reid.html"
    options = ["--splits", "2", "--bits", "4", "--scheme", "lattice", *TINY]
    folder = write_crowd(tmp_path / "all", range(44), (1, 2))
    done = run("evaluate", "reid", "--crops", folder, *options, "--report", report, "--json")
    assert done.code == 0, done.err
    assert done.json["by_bits"][0]["cmc_equal"] is True
    assert Path(done.json["report"]) == report
    assert "Matching rates" in report.read_text()
    assert (tmp_path / "reid-csv" / "matching-rates.csv").exists()
    shown = run("evaluate", "reid", "--crops", folder, *options)
    assert shown.code == 0
    assert "equal" in shown.out


def test_what_cannot_be_evaluated(tmp_path):
    one_camera = write_crowd(tmp_path / "one", range(6), (1,))
    cases = [
        (["--crops", one_camera], "seen by two cameras"),
        (["--crops", one_camera, "--bits", "9"], "1 to 8 bits"),
        (["--crops", one_camera, "--bits", "x"], "is no number of bits"),
        (["--crops", one_camera, "--bits", "4-"], "is no number of bits"),
        (["--crops", one_camera, "--scheme", "ckks"], "exact schemes"),
        (["--crops", one_camera, "--report", tmp_path], "HTML file"),
        (["--crops", one_camera, "--report", tmp_path / "no" / "r.html"], "make it first"),
        (["--crops", tmp_path / "none"], "not a folder"),
    ]
    for arguments, said in cases:
        done = run("evaluate", "reid", *arguments)
        assert (done.code, said in done.err) == (2, True), (arguments, done.err)
        assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "bits"),
    [("4", (4,)), ("1-8", tuple(range(1, 9))), ("2,4,6", (2, 4, 6)), ("6,2-4", (2, 3, 4, 6))],
)
def test_bits_as_they_are_typed(text, bits):
    from blindsight.cli.evaluate_reid import parse_bits

    assert parse_bits(text) == bits


def test_an_interrupted_evaluation_leaves_nothing(tmp_path, monkeypatch):
    folder = write_crowd(tmp_path / "all", range(44), (1, 2))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    seen = []

    def press(gallery, probes):
        seen.append((len(gallery), len(probes), len(list((tmp_path / "scratch").iterdir()))))
        raise KeyboardInterrupt

    monkeypatch.setattr("blindsight.evaluation.reid.match_crowds", press)
    report = tmp_path / "reid.html"
    done = run("evaluate", "reid", "--crops", folder, "--scheme", "lattice", *TINY, "--report", report)
    assert (done.code, done.out, done.err) == (130, "", "error: Interrupted.\n")
    assert seen == [(22, 22, 1)]
    assert {entry.name for entry in tmp_path.rglob("*") if entry.suffix != ".png"} == {
        "all", "crops", "attributes.csv", "scratch",
    }  # fmt: skip


def test_an_interrupted_enrolment_goes_on(crowds, tmp_path, monkeypatch):
    home = new_home(tmp_path / "home")
    model = f"people:{crowds / 'people.model'}"
    home.run("gallery", "create", "a", "--folder", tmp_path / "m", "--embedder", model)
    enroll, calls = Gallery.enroll, []

    def pressed(self, entries):
        calls.append(len(entries))
        if len(calls) == 3:
            raise KeyboardInterrupt
        enroll(self, entries)

    monkeypatch.setattr("blindsight.cli.people_match._BATCH", 5)
    monkeypatch.setattr(Gallery, "enroll", pressed)
    crops = crowds / "others" / "crops"
    assert home.run("people", "enroll", "a", crops, "--camera", "1").code == 130
    done = home.run("people", "enroll", "a", crops, "--camera", "1", "--json")
    assert (done.code, done.json["enrolled"], done.json["already"]) == (0, 8, 10)
    assert calls == [5, 5, 5, 0, 0, 5, 3]
