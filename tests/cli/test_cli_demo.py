from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cli.running import BLINDSIGHT, run, run_apart


def test_demo(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    told = run_apart("demo", "--json", "--templates", "2000", "--keep", kept)
    assert told.code == 0, told.err
    content = told.json
    assert content["templates"] == 2001
    assert content["summary"]["recognised"] == content["summary"]["of"] == 6
    assert content["summary"]["same_decision_as_in_the_clear"] == content["summary"]["probes"] == 7
    assert content["summary"]["same_best_as_in_the_clear"] >= 6, "the stranger's best may be anybody"
    assert content["probes"][-1]["match"] is False
    looks = content["matcher_saw"]["second_byte"]
    for name in ("stored templates", "a probe", "an answer"):
        assert 0.5 < looks[name]["chi_square"] < 1.6
    assert looks["plain templates"]["chi_square"] > 1000
    assert content["matcher_saw"]["equal_numbers_in_the_same_probe_sent_twice"] < 5
    assert content["seconds"] < 60
    identified = run(
        "subject", "list", "demo", "--vault", kept / "vault", "--key-file", kept / "key", "--json"
    )
    assert identified.code == 3, "the matcher was stopped"
    assert run("demo", "--keep", kept).code == 2


def test_demo_with_photos(photos: Path, tmp_path: Path) -> None:
    shown = run_apart("demo", "--photos", photos / "people", "--templates", "300", TMPDIR=str(tmp_path))
    assert shown.code == 0, shown.err
    assert "1 of 1 photos of enrolled people recognised" in shown.out
    assert "generated" in shown.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, by: signal.Signals) -> None:
    process = subprocess.Popen(
        [*BLINDSIGHT, "demo", "--templates", "400000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("blindsight-demo-*/matcher/*.tiles")) and time.monotonic() < deadline:
        time.sleep(0.05)
    locks = list(tmp_path.glob("blindsight-demo-*/matcher/lock"))
    assert locks
    process.send_signal(by)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    assert not _running(tmp_path)


def _running(folder: Path) -> list[bytes]:
    """Processes that were started for a folder and are still there."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes())
    return [line for line in found if str(folder).encode() in line]


@pytest.mark.data
def test_demo_with_real_people(tmp_path: Path) -> None:
    root = Path(os.environ.get("BLINDSIGHT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    images = root / "lfw" / "images"
    if not images.is_dir():
        pytest.skip("no real photos here")
    several = [folder for folder in sorted(images.iterdir()) if len(list(folder.iterdir())) > 1][:8]
    for folder in several:
        (tmp_path / "people" / folder.name).mkdir(parents=True)
        for photo in sorted(folder.iterdir())[:2]:
            (tmp_path / "people" / folder.name / photo.name).write_bytes(photo.read_bytes())
    told = run_apart("demo", "--photos", tmp_path / "people", "--templates", "1000", "--json")
    assert told.code == 0, told.err
    summary = told.json["summary"]
    assert summary["recognised"] >= summary["of"] - 1
    assert summary["same_decision_as_in_the_clear"] >= summary["probes"] - 1
