from __future__ import annotations

from pathlib import Path

import pytest

from cli.running import Home


def test_verify(people: Home, photos: Path) -> None:
    same = people.run("verify", "people", photos / "mirrored.jpg", "Eileen Collins", "--json")
    assert same.code == 0
    assert same.json["match"] is True
    assert same.json["score"] < 0.6 == same.json["threshold"]
    assert set(same.json["bytes"]) == {"up", "down"}
    other = people.run("verify", "people", photos / "mirrored.jpg", "Ada Lovelace")
    assert other.code == 1
    assert other.out.startswith("NO MATCH")
    strict = people.run("verify", "people", photos / "mirrored.jpg", "Eileen Collins", "--threshold", "0.001")
    assert strict.code in (0, 1)


def test_verify_against_nobody(people: Home, photos: Path) -> None:
    nobody = people.run("verify", "people", photos / "mirrored.jpg", "Nobody", "--json")
    assert nobody.code == 2
    assert nobody.json == {"error": "usage", "message": "Nobody named Nobody is enrolled in people."}


def test_identify(people: Home, photos: Path) -> None:
    told = people.run("identify", "people", photos / "mirrored.jpg", "--json")
    assert told.code == 0
    ranked = [(one["rank"], one["subject"]) for one in told.json["candidates"]]
    assert ranked == [(1, "Eileen Collins"), (2, "Ada Lovelace")]
    shown = people.run("identify", "people", photos / "mirrored.jpg", "-k", "1")
    assert "MATCH  Eileen Collins" in shown.out
    assert "Ada" not in shown.out
    unknown = people.run("identify", "people", photos / "mirrored.jpg", "--threshold", "-1", "--json")
    assert (unknown.code, unknown.json["match"], unknown.json["subject"]) == (1, False, None)
    assert len(unknown.json["candidates"]) == 2


@pytest.mark.parametrize(
    ("photo", "code", "error"),
    [
        ("faceless.png", 4, "no-face"),
        ("crowd.png", 2, "several-faces"),
        ("broken.jpg", 2, "image-unreadable"),
        ("missing.jpg", 2, "image-unreadable"),
    ],
)
def test_photos_that_cannot_be_used(people: Home, photos: Path, photo: str, code: int, error: str) -> None:
    for verb in (
        ["identify", "people", photos / photo],
        ["verify", "people", photos / photo, "Ada Lovelace"],
    ):
        told = people.run(*verb, "--json")
        assert (told.code, told.json["error"]) == (code, error)
        assert told.json["message"] in told.err


def test_several_faces(people: Home, photos: Path) -> None:
    every = people.run("identify", "people", photos / "crowd.png", "--all-faces", "--json")
    assert every.code == 0
    assert [face["subject"] for face in every.json["faces"]] == ["Eileen Collins"] * 2
    assert all(face["box"]["right"] > face["box"]["left"] for face in every.json["faces"])
    assert people.run("identify", "people", photos / "crowd.png", "--largest-face").code == 0
    assert people.run("identify", "people", photos / "crowd.png", "--largest-face", "--all-faces").code == 2
    assert people.run("identify", "people", photos / "faceless.png", "--all-faces").code == 4


def test_identify_a_folder(people: Home, photos: Path) -> None:
    told = people.run("identify", "people", photos, "--json")
    assert told.code == 0
    found = {Path(line["photo"]).name: line for line in told.lines}
    assert sorted(found) == sorted(path.name for path in photos.rglob("*.*") if path.is_file())
    assert found["mirrored.jpg"]["subject"] == found["portrait.jpg"]["subject"] == "Eileen Collins"
    assert found["faceless.png"]["error"] == "no-face"
    assert found["broken.jpg"]["error"] == "image-unreadable"
    shown = people.run("identify", "people", photos)
    assert "3 faces: 3 recognised, 0 unknown." in shown.out
    assert people.run("identify", "people", photos, "--threshold", "-1").code == 1


def test_a_folder_without_faces(people: Home, photos: Path, tmp_path: Path) -> None:
    assert people.run("identify", "people", tmp_path).code == 2
    (tmp_path / "a.png").write_bytes((photos / "faceless.png").read_bytes())
    assert people.run("identify", "people", tmp_path).code == 4
    (tmp_path / "a.png").write_bytes(b"")
    assert people.run("identify", "people", tmp_path, "--json").code == 2


def test_names_are_never_markup(home: Home, photos: Path, tmp_path: Path) -> None:
    assert home.run("gallery", "create", "people", "--folder", tmp_path / "m").code == 0
    name = "[red]Ann[/] :smile:"
    assert home.run("enroll", "people", photos / "mirrored.jpg", "--subject", name).code == 0
    assert name in home.run("identify", "people", photos / "mirrored.jpg").out
    assert name in home.run("subject", "list", "people").out


def test_hidden_scores_and_the_budget(home: Home, photos: Path, tmp_path: Path) -> None:
    made = home.run(
        "gallery", "create", "people", "--folder", tmp_path / "m", "--hide-scores", "--daily-probes", "2"
    )
    assert made.code == 0
    assert home.run("enroll", "people", photos / "people").code == 0
    hidden = home.run("identify", "people", photos / "mirrored.jpg", "--json")
    assert (hidden.code, hidden.json["score"], hidden.json["candidates"][0]["score"]) == (0, None, None)
    assert "distance" not in home.run("identify", "people", photos / "mirrored.jpg").out
    spent = home.run("identify", "people", photos / "mirrored.jpg", "--json")
    assert (spent.code, spent.json["error"]) == (3, "refused")
    changed = home.run("gallery", "policy", "people", "--daily-probes", "0", "--show-scores", "--json")
    assert changed.json == {"gallery": "people", "threshold": 0.6, "show_scores": True, "daily_probes": 0}
    assert home.run("identify", "people", photos / "mirrored.jpg", "--json").json["score"] is not None
