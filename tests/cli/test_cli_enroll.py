from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import PIL.Image
import pytest
import skimage.data

from cli.running import SMALL_BATCHES, Home


def test_enroll_a_folder_with_bad_photos(room: Home, photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "people"
    for name, photo in {
        "Ann": "mirrored.jpg",
        "Bob": "broken.jpg",
        "Cy": "faceless.png",
        "Di": "crowd.png",
    }.items():
        (root / name).mkdir(parents=True)
        (root / name / photo).write_bytes((photos / photo).read_bytes())
    (root / "Zero\u200bWidth").mkdir()
    (root / "Zero\u200bWidth" / "a.jpg").write_bytes((photos / "mirrored.jpg").read_bytes())
    dry = room.run("enroll", "people", root, "--dry-run", "--json")
    assert (dry.code, dry.json["enrolled"], dry.json["templates"]) == (0, 1, 0)
    done = room.run("enroll", "people", root, "--json")
    assert done.code == 0
    assert (done.json["enrolled"], done.json["already"], done.json["templates"]) == (1, 0, 1)
    assert done.json["rejected"]["counts"] == {
        "folder-name": 1, "image-unreadable": 1, "no-face": 1, "several-faces": 1,
    }  # fmt: skip
    again = room.run("enroll", "people", root, "--largest-face", "--json")
    assert (again.json["enrolled"], again.json["already"], again.json["subjects"]) == (1, 1, 2)
    told = room.run("enroll", "people", root)
    assert "broken.jpg is not an image" in told.out


def test_enroll_one_subject(room: Home, photos: Path) -> None:
    one = photos / "mirrored.jpg"
    assert room.run("enroll", "people", one).code == 2
    assert room.run("enroll", "people", photos, "--subject", "Ann").code == 2
    assert room.run("enroll", "people", one, "--subject", "x" * 200).code == 2
    assert room.run("enroll", "people", photos / "faceless.png", "--subject", "Ann").code == 4
    assert room.run("enroll", "people", photos / "broken.jpg", "--subject", "Ann").code == 2
    done = room.run("enroll", "people", one, one, "--subject", "Ann", "--json")
    assert (done.code, done.json["enrolled"], done.json["templates"]) == (0, 1, 1)
    assert room.run("enroll", "people", one, "--subject", "Ann", "--json").json["already"] == 1
    shown = room.run("subject", "show", "people", "Ann", "--json")
    assert shown.json["templates"] == len(shown.json["photos_sha256"]) == 1


def test_enroll_nothing(room: Home, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert room.run("enroll", "people", tmp_path / "empty").code == 2
    assert room.run("enroll", "people", tmp_path / "missing").code == 2
    assert room.run("enroll", "nobody", tmp_path / "empty").code == 2


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_enrolment_goes_on(room: Home, tmp_path: Path, by: signal.Signals) -> None:
    folder = tmp_path / "people" / "Eileen Collins"
    folder.mkdir(parents=True)
    whole = PIL.Image.fromarray(skimage.data.astronaut())
    for number in range(24):
        whole.crop((96 + number, 0, 352 + number, 256)).save(folder / f"{number}.jpg")
    command = ["enroll", "people", str(tmp_path / "people"), *room.options]
    process = subprocess.Popen(
        [sys.executable, "-c", SMALL_BATCHES, *command], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        vault = room.vault()
        known = sum(1 for _ in vault.audit()) - 1
        vault.close()
        if known >= 2 or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(by)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == (-9 if by == signal.SIGKILL else 130), said
    if by == signal.SIGINT:
        assert "run the same command to go on" in said
        assert "Traceback" not in said
    done = room.run("enroll", "people", tmp_path / "people", "--json")
    assert done.code == 0
    assert done.json["already"] >= 6
    assert done.json["already"] + done.json["enrolled"] == done.json["templates"] == 24
    assert len(room.run("subject", "show", "people", "Eileen Collins", "--json").json["photos_sha256"]) == 24
