"""``blindsight footage``, with two real parties."""

from __future__ import annotations

import io

import pytest

from blindsight.core.errors import (
    NotFoundError,
    UsageError,
)
from blindsight.trusted.footage_reveal import camera_keys, reveal_footage
from blindsight.wire.tls import Identity
from cli.running import run
from recording import STILLS, stills_request


def test_the_commands(studio, tmp_path):
    """As both operators and the revealer would do it."""
    papers = tmp_path / "footage.request"
    asked = run(
        "footage", "request", "--camera", "gate", "--from", "2026-01-02T05:04:05+01:00",
        "--to", "2026-01-02T04:30:00Z", "--reason", "a theft", "--key", studio.keys[1],
        "--revealer", studio.auditor.folder / "certificate.pem", "--out", papers, "--json",
    )  # fmt: skip
    assert asked.code == 0
    assert (asked.json["first"], asked.json["operator"]) == (
        "2026-01-02T04:04:05Z",
        studio.operators[1].public_key.hex(),
    )
    consents = []
    for party, regions in ((0, ["--withhold", "0,0,20,10"]), (1, [])):
        out = tmp_path / f"consent{party}"
        given = run("footage", "consent", papers, "--key", studio.keys[party], *regions, "--out", out,
                    "--yes", "--json")  # fmt: skip
        assert given.json["request"]["request"] == asked.json["request"]
        consents.append(out)
    dial = ["--party0", f"127.0.0.1:{studio.ports[0]}", "--party1", f"127.0.0.1:{studio.ports[1]}",
            "--identity", studio.auditor.folder]  # fmt: skip
    done = run("footage", "reveal", papers, *consents, *dial, "--out", tmp_path / "out", "--json")
    assert done.code == 0
    assert [item["withheld"] for item in done.json["items"]] == [[[0, 0, 32, 16]]] * STILLS
    assert len(list((tmp_path / "out").glob("*.png"))) == STILLS
    # For a person.
    shown = run("footage", "reveal", papers, *consents, *dial, "--out", tmp_path / "more")
    assert "1 region withheld" in shown.out
    assert f"{STILLS} items of gate" in shown.out
    # Into the same folder, with one consent, by somebody else, of an unknown camera.
    assert (
        "not an empty folder"
        in run("footage", "reveal", papers, *consents, *dial, "--out", tmp_path / "out").err
    )
    one = run("footage", "reveal", papers, consents[0], consents[0], *dial, "--out", tmp_path / "n", "--json")
    assert (one.code, one.json["error"]) == (3, "refused")
    assert run("footage", "reveal", papers, consents[0], *dial, "--out", tmp_path / "n").code == 2
    dial[-1] = studio.identities[2].folder
    assert (
        "not a revealer's" in run("footage", "reveal", papers, *consents, *dial, "--out", tmp_path / "n").err
    )
    assert not (tmp_path / "n").exists()


def test_a_consent_is_asked_for(studio, tmp_path, monkeypatch):
    path = studio.write("asked.request", "request", stills_request(studio))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    said = run("footage", "consent", path, "--key", studio.keys[0])
    assert said.code == 130
    assert "a theft" in said.err
    assert studio.auditor.own.fingerprint in said.err
    assert not list(studio.folder.glob("asked.request.consent*"))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run("footage", "consent", path, "--key", studio.keys[0]).code == 0
    assert len(list(studio.folder.glob("asked.request.consent*"))) == 1
    assert "exists already" in run("footage", "consent", path, "--key", studio.keys[0], "--yes").err


def test_the_list(studio):
    document = run("footage", "list", studio.folder / "data1", "--json").json
    gate = next(row for row in document["footage"] if row["camera"] == "gate")
    assert (gate["stills"], gate["segments"]) == (STILLS, len(studio.pieces))
    assert gate["first"].startswith("2026-01-02T03:04:05")
    checked = run("footage", "list", studio.folder / "data1", "--check")
    assert "none damaged" in checked.out
    assert "gate" in checked.out
    pieces = run("footage", "list", studio.folder / "data1", "--camera", "gate", "--json").json["footage"]
    assert len(pieces) == STILLS + len(studio.pieces)
    assert run("footage", "list", studio.folder, "--json").json["error"] == "not-found"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "yesterday"], "is not a time"),
        (["--from", "2026-01-02T03:00:00"], "no time zone"),
        (["--to", "2025-01-01T00:00:00Z"], "does not end before it begins"),
        (["--reason", ""], "1 to 1000"),
        (["--camera", "no/where"], "bad camera"),
    ],
)
def test_requests_that_cannot_be(studio, tmp_path, options, message):
    good = {"--camera": "gate", "--from": "2026-01-02T03:00:00Z", "--to": "2026-01-02T04:00:00Z",
            "--reason": "why", "--key": studio.keys[0],
            "--revealer": studio.auditor.folder / "certificate.pem", "--out": tmp_path / "r"}  # fmt: skip
    good[options[0]] = options[1]
    said = run("footage", "request", *[word for pair in good.items() for word in pair])
    assert said.code in (2, 3)
    assert message in said.err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("region", ["1,2,3", "a,b,c,d", "0,0,0,5", "-1,0,5,5", ""])
def test_regions_that_cannot_be(studio, region):
    path = studio.folder / "regions.request"
    if not path.exists():
        studio.write("regions.request", "request", stills_request(studio))
    assert run("footage", "consent", path, "--key", studio.keys[0], f"--withhold={region}", "--yes").code == 2


def test_which_camera_keys(studio, tmp_path):
    stranger = Identity.create(tmp_path / "other", "camera", "gate")
    certificate = stranger.folder / "certificate.pem"
    assert len(camera_keys(studio.auditor, "gate")) == 1
    assert len(camera_keys(studio.auditor, "gate", [certificate])) == 2
    with pytest.raises(UsageError):
        camera_keys(studio.auditor, "hall", [certificate])
    with pytest.raises(NotFoundError):
        camera_keys(studio.auditor, "attic")
    # An older certificate beside the present one does no harm, a wrong one alone shows nothing.
    request = stills_request(studio)
    papers = studio.auditor, request, studio.consents(request), studio.addresses
    both = camera_keys(studio.auditor, "gate", [certificate])
    assert len(reveal_footage(*papers, both, tmp_path / "a").items) == STILLS
    found = reveal_footage(*papers, [stranger.own.public_key], tmp_path / "b")
    assert found.items == []
    assert {one["party"] for one in found.refused} == {None}
    assert "No certificate" in found.refused[0]["message"]
