from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import PIL.Image
import pytest
import skimage.data

from cli.running import BLINDSIGHT, SMALL_BATCHES, Home, run, run_apart, served

MADE = "0123456789abcdef-secret-token"


def test_a_server_and_its_token(
    home: Home, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path / "data") as server:
        create = ("gallery", "create", "people", "--server", server.url)
        (tmp_path / "wrong").write_text(MADE)
        wrong = home.run(*create, "--token-file", tmp_path / "wrong", "--json")
        assert (wrong.code, wrong.json["error"]) == (3, "unauthorized")
        assert MADE not in wrong.out + wrong.err
        monkeypatch.setenv("BLINDSIGHT_TOKEN", server.token_file.read_text())
        assert home.run(*create).code == 0
        monkeypatch.delenv("BLINDSIGHT_TOKEN")
        assert home.run("enroll", "people", photos / "people").code == 0
        assert home.run("identify", "people", photos / "mirrored.jpg").code == 0
        found = run("doctor", "--server", server.url, "--token-file", server.token_file, "--json")
        assert {one["check"]: one["status"] for one in found.json["checks"]}["token"] == "ok"
        refused = run("doctor", "--server", server.url, "--token-file", tmp_path / "wrong", "--json")
        assert {one["check"]: one["status"] for one in refused.json["checks"]}["token"] == "fail"
        server.process.kill()
        server.process.wait()
        dead = home.run("identify", "people", photos / "mirrored.jpg", "--json")
        assert (dead.code, dead.json["error"]) == (3, "unavailable")
    with served(tmp_path / "data") as server:
        moved = home.run("gallery", "move", "people", "--server", server.url)
        assert moved.code == 0, moved.err
        assert home.run("identify", "people", photos / "mirrored.jpg").code == 0
        away = home.run("gallery", "move", "people", "--server", "http://127.0.0.1:1")
        assert away.code == 3
        assert home.run("gallery", "info", "people", "--json").json["templates"] == 2


def test_a_server_that_dies_in_the_middle(home: Home, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people" / "Eileen Collins"
    folder.mkdir(parents=True)
    whole = PIL.Image.fromarray(skimage.data.astronaut())
    for number in range(9):
        whole.crop((96 + number, 0, 352 + number, 256)).save(folder / f"{number}.jpg")
    with served(tmp_path / "data") as server:
        create = ("gallery", "create", "people", "--server", server.url, "--token-file", server.token_file)
        assert home.run(*create).code == 0
        command = ["enroll", "people", str(tmp_path / "people"), "--json", *home.options]
        process = subprocess.Popen(
            [sys.executable, "-c", SMALL_BATCHES, *command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            vault = home.vault()
            enrolled = sum(1 for _ in vault.audit()) - 1
            vault.close()
            if enrolled:
                break
            time.sleep(0.02)
        server.process.kill()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, json.loads(out)["error"]) == (3, "unavailable")
        assert "Traceback" not in err
    with served(tmp_path / "data") as server:
        assert home.run("gallery", "move", "people", "--server", server.url).code == 0
        done = home.run("enroll", "people", tmp_path / "people", "--json").json
        assert done["already"] >= 3
        assert done["already"] + done["enrolled"] == done["templates"] == 9


def test_serve_prints_the_token_only_when_asked(tmp_path: Path) -> None:
    command = [*BLINDSIGHT, "serve", "matcher", "--data", str(tmp_path / "data"), "--port", "0"]
    for option, shown in (("--json", False), ("--show-token", True)):
        process = subprocess.Popen(
            [*command, option], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        first = process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        # Not communicate(): it would miss what readline() has read ahead.
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait(30) == 0
        token = (tmp_path / "data" / "token").read_text().strip()
        assert (token in first + out) is shown
        assert token not in err


def test_serve_refuses_what_is_not_safe(tmp_path: Path) -> None:
    open_to_all = run_apart("serve", "matcher", "--data", tmp_path / "m", "--host", "0.0.0.0", "--json")
    assert (open_to_all.code, open_to_all.json["error"]) == (3, "refused")
    with served(tmp_path / "data"):
        second = run_apart("serve", "matcher", "--data", tmp_path / "data", "--port", "0")
        assert second.code == 2
        assert second.err.startswith("error: ")
