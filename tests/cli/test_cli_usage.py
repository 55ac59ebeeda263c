from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import subprocess
import termios
import time
from pathlib import Path

import pytest

from cli.running import BLINDSIGHT, Home, run, run_apart

GROUPS = {
    "": "demo init enroll verify identify lookup calibrate people keys plan-obfuscation evaluate bench doctor"
    " watchlist footage preprocess probe serve gallery subject image learn",
    "demo": "surveillance",
    "evaluate": "lfw reid etc learning surveillance",
    "bench": "lattice seal two-party camera etc aggregation",
    "learn": "new run status predict",
    "people": "train enroll match",
    "keys": "new operator show trust distrust",
    "watchlist": "new join propose show approve reject withdraw list history diff dump",
    "serve": "matcher watchlist learner party provider camera",
    "footage": "request consent reveal list",
    "gallery": "create list info export import rotate sync delete audit policy move",
    "image": "key encrypt decrypt train predict",
    "subject": "list show erase check-certificate",
}
VERBS = [[], *([*group.split(), verb] for group, verbs in GROUPS.items() for verb in verbs.split())]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_command_has_help(verb: list[str]) -> None:
    shown = run(*verb, "--help")
    assert shown.code == 0
    assert "Usage: blindsight" in shown.out
    assert shown.err == ""


def test_arguments_are_explained() -> None:
    assert "Who it is said to be." in run("verify", "--help").out


def test_help_is_quick() -> None:
    code = (
        "import sys; from blindsight.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'dlib', 'fastapi', 'onnxruntime', 'numpy', 'PIL', 'httpx', 'sklearn', 'scipy'} "
        "& set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([BLINDSIGHT[0], "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version() -> None:
    assert run("--version").out.startswith("blindsight 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("gallery",),
        ("gallery", "frobnicate"),
        ("identify", "people"),
        ("identify", "people", "x.jpg", "-k", "many"),
        ("serve", "matcher"),
        ("gallery", "create", "x"),
    ],
)
def test_nonsense_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    plain, told = run(*arguments), run(*arguments, "--json")
    assert plain.code == told.code == 2
    assert plain.out == ""
    assert plain.err.startswith("error: ")
    assert "Traceback" not in plain.err
    assert told.json["error"] == "usage"


def test_json_errors_are_the_only_thing_on_standard_output(tmp_path: Path) -> None:
    told = run_apart("gallery", "list", "--json", "--vault", tmp_path / "none")
    assert told.code == 2
    assert told.json["error"] == "usage"
    assert "There is no vault" in told.json["message"]


def test_a_bug_is_no_traceback_and_not_a_missing_match(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    monkeypatch.setattr("blindsight.trusted.vault.Vault.galleries", lambda self: 1 / 0)
    broken = home.run("gallery", "list", "--json")
    assert broken.code == 70
    assert broken.json == {"error": "bug", "message": broken.json["message"]}
    assert "ZeroDivisionError" in broken.err


def test_interrupted(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    def press(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("blindsight.trusted.vault.Vault.galleries", press)
    stopped = home.run("gallery", "list")
    assert (stopped.code, stopped.err) == (130, "error: Interrupted.\n")


def test_a_reader_that_leaves_is_no_error_of_ours(people: Home) -> None:
    command = " ".join([*BLINDSIGHT, "subject", "list", "people", *people.options])
    done = subprocess.run(["bash", "-c", f"{command} | true"], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


# -- the vault -----------------------------------------------------------------------------------


def _at_a_terminal(arguments: list[str], answers: list[str]) -> tuple[int, str]:
    """Run a command on a terminal of its own; answer each prompt in turn."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*BLINDSIGHT, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
    )
    os.close(slave)
    said, waiting, deadline = "", list(answers), time.monotonic() + 30
    since = 0
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.2)[0]:
            try:
                said += os.read(master, 4096).decode()
            except OSError:
                break
        elif process.poll() is not None:
            break
        if waiting and said[since:].rstrip().endswith((":", "]:")):
            since = len(said)
            os.write(master, waiting.pop(0).encode() + b"\n")
    os.close(master)
    return process.wait(10), said


def test_init_asks_twice_and_never_shows_the_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "vault"
    code, said = _at_a_terminal(["init", "--vault", str(path)], ["correct horse", "correct horse"])
    assert code == 0, said
    assert "horse" not in said
    assert "Back up the vault" in said
    assert path.stat().st_mode & 0o777 == 0o600
    opened = run_apart("gallery", "list", "--json", "--vault", path, BLINDSIGHT_PASSPHRASE="correct horse")
    assert opened.json == {"galleries": []}
    code, said = _at_a_terminal(["gallery", "list", "--vault", str(path)], ["correct horse"])
    assert code == 0, said


def test_init_makes_nothing_of_two_different_answers(tmp_path: Path) -> None:
    path = tmp_path / "vault"
    code, said = _at_a_terminal(["init", "--vault", str(path)], ["correct horse", "corect horse"])
    assert code == 2
    assert "differ" in said
    assert not path.exists()


def test_init_with_a_key_file(tmp_path: Path) -> None:
    vault, key = tmp_path / "vault", tmp_path / "key"
    made = run("init", "--vault", vault, "--key-file", key, "--json")
    assert made.json == {"vault": str(vault), "lock": "key-file", "key_file": str(key)}
    assert key.stat().st_mode & 0o777 == 0o600
    assert run("gallery", "list", "--vault", vault, "--key-file", key).code == 0
    again = run("init", "--vault", tmp_path / "other", "--key-file", key)
    assert again.code == 2
    assert not (tmp_path / "other").exists()


def test_init_overwrites_nothing(home: Home) -> None:
    before = home.path.read_bytes()
    assert run("init", "--vault", home.path, "--key-file", home.folder / "new").code == 2
    assert home.path.read_bytes() == before
    assert not (home.folder / "new").exists()


def test_wrong_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, right, wrong = tmp_path / "vault", tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse\n")
    wrong.write_text("battery staple\n")
    assert run("init", "--vault", path, "--passphrase-file", right).code == 0
    refused = run("gallery", "list", "--vault", path, "--passphrase-file", wrong, "--json")
    assert refused.code == 2
    assert refused.json["error"] == "vault-passphrase"
    assert "staple" not in refused.out + refused.err
    monkeypatch.setenv("BLINDSIGHT_PASSPHRASE", "battery staple")
    assert run("gallery", "list", "--vault", path, "--passphrase-file", right).code == 0
    assert run("gallery", "list", "--vault", path).code == 2
    both = run("gallery", "list", "--vault", path, "--passphrase-file", right, "--key-file", wrong)
    assert both.code == 2
    missing = run("gallery", "list", "--vault", path, "--passphrase-file", tmp_path / "none")
    assert missing.code == 2


def test_nobody_to_ask(tmp_path: Path, home: Home) -> None:
    asked = run_apart("gallery", "list", "--vault", home.path)
    assert asked.code == 2
    assert "BLINDSIGHT_PASSPHRASE" in asked.err
    assert run_apart("init", "--vault", tmp_path / "new").code == 2
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_no_vault(tmp_path: Path) -> None:
    path, key = tmp_path / "vault", tmp_path / "key"
    assert run("init", "--vault", tmp_path / "real", "--key-file", key).code == 0
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))
    broken = run("gallery", "list", "--vault", path, "--key-file", key, "--json")
    assert broken.code == 2
    assert broken.json["error"].startswith("vault")


# -- doctor --------------------------------------------------------------------------------------


def test_doctor_finds_nothing_wrong() -> None:
    found = run_apart("doctor", "--json")
    assert found.code == 0, found.out
    checks = {one["check"]: one["status"] for one in found.json["checks"]}
    assert checks["lattice self-test"] == "ok"
    assert "fail" not in checks.values()
    assert json.loads(found.out)["ok"] is True


def test_doctor_fails_where_the_server_is_not(tmp_path: Path) -> None:
    found = run("doctor", "--server", "http://127.0.0.1:1", "--json")
    assert found.code == 2
    assert found.json["ok"] is False
