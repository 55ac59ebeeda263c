from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.running import Home, new_home, run, stranger


def test_info_prints_the_scheme_in_its_own_words(people: Home) -> None:
    from blindsight.schemes.lattice.compute import LEAKAGE

    told, shown = people.run("gallery", "info", "people", "--json"), people.run("gallery", "info", "people")
    assert told.json["leakage"] == {role: list(sentences) for role, sentences in LEAKAGE.learns}
    assert told.json["claim"] == "IND-CPA"
    assert told.json["templates"] == 3
    assert told.json["predicted_noise"] > 0
    for sentence in (*LEAKAGE.of("matcher"), *LEAKAGE.not_claimed):
        assert sentence in shown.out
    assert people.run("gallery", "info", "none").code == 2


def test_list_and_audit(people: Home) -> None:
    listed = people.run("gallery", "list", "--json").json["galleries"]
    assert [(one["name"], one["scheme"]) for one in listed] == [("people", "lattice")]
    actions = [one["action"] for one in people.run("gallery", "audit", "people", "--json").json["entries"]]
    assert actions[:2] == ["create", "enroll"]
    assert people.run("gallery", "audit", "none").code == 2


def test_refusals_at_creation(home: Home, tmp_path: Path) -> None:
    create = ("gallery", "create", "people", "--json")
    assert home.run(*create).code == 2
    assert home.run(*create, "--folder", tmp_path / "m", "--server", "http://127.0.0.1:1").code == 2
    assert home.run(*create, "--server", "http://127.0.0.1:1").code == 2
    assert home.run(*create, "--folder", tmp_path / "m", "--precision", "vague").code == 2
    assert home.run(*create, "--folder", tmp_path / "m", "--embedder", "other").code == 2
    assert (
        home.run(*create, "--folder", tmp_path / "m", "--embedder", "onnx:none.onnx").json["error"] == "model"
    )
    assert home.run(*create, "--folder", tmp_path / "m", "--scheme", "clear").json["error"] == "refused"
    assert home.run("gallery", "create", "NOT A NAME", "--folder", tmp_path / "m").code == 2
    assert home.run(*create, "--folder", tmp_path / "m").code == 0
    assert home.run(*create, "--folder", tmp_path / "n").json["error"] == "duplicate"


def test_clear_says_that_it_protects_nothing(home: Home, photos: Path, tmp_path: Path) -> None:
    made = home.run(
        "gallery", "create", "open", "--folder", tmp_path / "m", "--scheme", "clear", "--insecure-clear"
    )
    assert made.code == 0
    assert "protects nothing" in made.err
    assert home.run("enroll", "open", photos / "people").code == 0
    told = home.run("identify", "open", photos / "people", "--json")
    assert [line["score"] for line in told.lines] == pytest.approx([0, 0], abs=0.1)


def test_exact_precision(home: Home, photos: Path, tmp_path: Path) -> None:
    assert home.run("gallery", "create", "e", "--folder", tmp_path / "m", "--precision", "exact").code == 0
    assert home.run("enroll", "e", photos / "people").code == 0
    told = home.run("identify", "e", photos / "people", "--json")
    assert [line["score"] for line in told.lines] == pytest.approx([0, 0], abs=0.1)


def test_rotate_export_import_delete(room: Home, photos: Path, tmp_path: Path) -> None:
    assert room.run("enroll", "people", photos / "people").code == 0
    rotated = room.run("gallery", "rotate", "people", "--json").json
    assert rotated["old_key_id"] != rotated["key_id"]
    secret, file = tmp_path / "secret", tmp_path / "people.export"
    secret.write_text("another horse\n")
    opened = ("--export-passphrase-file", secret)
    assert room.run("gallery", "export", "people", file).code == 2
    whole = room.run("gallery", "export", "people", file, *opened, "--json")
    assert (whole.code, whole.json["templates"]) == (0, 2)
    assert room.run("gallery", "export", "people", file, *opened).code == 2
    keys = tmp_path / "keys.export"
    assert room.run("gallery", "export", "people", keys, "--keys-only", *opened).code == 0

    other = new_home(tmp_path / "other")
    (tmp_path / "wrong").write_text("x\n")
    wrong = other.run("gallery", "import", file, "--export-passphrase-file", tmp_path / "wrong", "--json")
    assert (wrong.code, wrong.json["error"]) == (2, "vault-passphrase")
    copied = other.run(
        "gallery", "import", file, *opened, "--name", "copy", "--folder", tmp_path / "elsewhere", "--json"
    )
    assert copied.json == {
        "gallery": "copy", "templates": 2, "subjects": 1, "matcher": str(tmp_path / "elsewhere"),
    }  # fmt: skip
    assert other.run("identify", "copy", photos / "mirrored.jpg").code == 0
    assert other.run("gallery", "import", keys, *opened, "--json").json["matcher"] == str(
        tmp_path / "matcher"
    )
    assert other.run("identify", "people", photos / "mirrored.jpg").code == 0
    assert other.run("gallery", "sync", "people", "--rebuild", "--json").json["blocks_read"] == 1

    assert room.run("gallery", "delete", "people").code == 2
    assert room.run("gallery", "delete", "people", "--yes", "--json").json["deleted"] is True
    assert room.run("gallery", "list", "--json").json == {"galleries": []}
    lost = other.run("identify", "people", photos / "mirrored.jpg", "--json")
    assert (lost.code, lost.json["error"]) == (3, "not-found")
    assert other.run("gallery", "delete", "people", "--yes").code == 3
    assert other.run("gallery", "delete", "people", "--yes", "--key-only").code == 0


def test_erase(room: Home, photos: Path, tmp_path: Path) -> None:
    assert room.run("enroll", "people", photos / "people").code == 0
    with room.gallery() as gallery:
        gallery.enroll([("Ada Lovelace", stranger(gallery, 2), bytes(32))])
    file = tmp_path / "certificate.json"
    erase = ("subject", "erase", "people", "Eileen Collins", "--certificate", file)
    assert room.run(*erase).code == 2, "nobody confirmed"
    assert room.run("subject", "erase", "people", "Nobody", "--yes").code == 2
    nowhere = room.run("subject", "erase", "people", "Eileen Collins", "--yes", "--certificate", tmp_path)
    assert nowhere.code == 2
    assert len(room.run("subject", "list", "people", "--json").json["subjects"]) == 2

    erased = room.run(*erase, "--yes", "--json")
    assert erased.code == 0
    certificate = json.loads(file.read_text())
    assert certificate == erased.json["certificate"]
    assert [one["subject"] for one in room.run("subject", "list", "people", "--json").json["subjects"]] == [
        "Ada Lovelace"
    ]
    assert room.run("identify", "people", photos / "mirrored.jpg").code == 1

    key = room.run("gallery", "info", "people", "--json").json["certificate_public_key"]
    checked = run("subject", "check-certificate", file, "--public-key", key, "--json")
    assert (checked.code, checked.json["valid"], checked.json["subject"]) == (0, True, "Eileen Collins")
    assert run("subject", "check-certificate", file, "--public-key", "00" * 32).code == 3
    file.write_text(json.dumps(certificate | {"templates": 3}))
    tampered = run("subject", "check-certificate", file, "--json")
    assert (tampered.code, tampered.json["error"]) == (3, "tampered")
    for nonsense in ("", "[]", "{}", "\x00"):
        file.write_text(nonsense)
        assert run("subject", "check-certificate", file).code == 2
