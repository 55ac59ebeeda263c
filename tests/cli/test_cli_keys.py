"""Identities made and trusted from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cli.running import run


def test_two_parties_get_to_know_each_other(tmp_path: Path) -> None:
    made = [
        run("keys", "new", tmp_path / name, "--role", f"party{i}", "--name", name, "--json")
        for i, name in enumerate(("north", "south"))
    ]
    assert [one.code for one in made] == [0, 0]
    certificate, fingerprint = made[1].json["certificate"], made[1].json["fingerprint"]
    assert run("keys", "trust", tmp_path / "north", certificate, "--fingerprint", "00" * 32).code == 2
    colons = ":".join(fingerprint[i : i + 2] for i in range(0, 64, 2)).upper()
    assert run("keys", "trust", tmp_path / "north", certificate, "--fingerprint", colons).code == 0
    shown = run("keys", "show", tmp_path / "north", "--json").json
    assert (shown["role"], shown["name"]) == ("party0", "north")
    assert [(peer["role"], peer["fingerprint"]) for peer in shown["trusted"]] == [("party1", fingerprint)]
    assert run("keys", "trust", tmp_path / "north", certificate, "--yes").code == 2
    assert fingerprint[:20] in run("keys", "show", tmp_path / "north").out.replace("\n", "")
    assert run("keys", "distrust", tmp_path / "north", "party1", "south").code == 0
    assert run("keys", "show", tmp_path / "north", "--json").json["trusted"] == []
    assert run("keys", "distrust", tmp_path / "north", "party1", "south").code == 3


def test_trust_asks(tmp_path: Path) -> None:
    for i, name in enumerate(("north", "south")):
        run("keys", "new", tmp_path / name, "--role", f"party{i}", "--name", name)
    command = ["keys", "trust", str(tmp_path / "north"), str(tmp_path / "south" / "certificate.pem")]
    for said, code in (("n\n", 130), ("y\n", 0)):
        done = subprocess.run(
            [sys.executable, "-m", "blindsight", *command],
            input=said,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        assert "fingerprint" in done.stderr


def test_bad_keys(tmp_path: Path) -> None:
    assert run("keys", "new", tmp_path / "a", "--role", "judge", "--name", "a").code == 2
    assert run("keys", "show", tmp_path / "nobody").code == 3
    assert run("keys", "new", tmp_path / "a", "--role", "camera", "--name", "gate").code == 0
    assert run("keys", "new", tmp_path / "a", "--role", "camera", "--name", "gate").code == 2
    (tmp_path / "no.pem").write_text("no")
    assert run("keys", "trust", tmp_path / "a", tmp_path / "no.pem", "--yes").code == 3


def test_an_operators_key(tmp_path: Path) -> None:
    made = run("keys", "operator", tmp_path / "operator.key", "--json")
    assert made.code == 0
    assert len(bytes.fromhex(made.json["public_key"])) == 32
    assert (tmp_path / "operator.key").stat().st_mode & 0o777 == 0o600
    assert run("keys", "operator", tmp_path / "operator.key").code == 2
    assert json.dumps(made.json).count((tmp_path / "operator.key").read_bytes().hex()) == 0
