"""`preprocess`: two processes that fill their stocks, an interrupt, and what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from blindsight.blind.stock import read_batches
from blindsight.wire.tls import Identity
from cli.running import BLINDSIGHT, run
from surveillance import free_port, introduce

SIZES = ["--entries", "3", "--dimension", "4", "--value-bits", "15", "--batch", "2"]


@pytest.fixture
def commands(tmp_path: Path) -> list[list[str]]:
    identities = [Identity.create(tmp_path / f"id{n}", f"party{n}", f"n{n}") for n in (0, 1)]
    introduce(*identities)
    port = free_port()
    where = [["--peer", f"127.0.0.1:{port}"], ["--listen", f"127.0.0.1:{port}"]]
    return [
        [
            *("preprocess", "--id", str(n), "--identity", str(identities[n].folder), *where[n]),
            *("--stock", str(tmp_path / f"stock{n}"), "--wait", "30", "--json", *SIZES),
        ]
        for n in (0, 1)
    ]


def start(command: list[str], *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*BLINDSIGHT, *command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, dict, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, json.loads(out), err


def test_filling_asking_and_an_interrupt(commands: list[list[str]], tmp_path: Path) -> None:
    both = [start(command, "--faces", wanted) for command, wanted in zip(commands, ("5", "3"), strict=True)]
    ends = [ended(process) for process in both]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert [(said["level"], said["made"], said["batches"]) for _, said, _ in ends] == [(3, 3, 2)] * 2
    assert ends[0][1]["sent_bytes"] == ends[1][1]["received_bytes"]
    assert ends[0][1]["megabytes_per_face"] > 0

    shown = run("preprocess", "--stock", tmp_path / "stock0", "--status", "--json").json
    assert shown["level"] == 3
    assert sorted(batch["left"] for batch in shown["batches"]) == [1, 2]
    assert shown["prepared_for"] == [{"entries": 3, "dimension": 4, "value_bits": 15, "security_bits": 40}]
    assert "3 faces prepared" in run("preprocess", "--stock", tmp_path / "stock1", "--status").out

    both = [start(command, "--faces", "10000") for command in commands]
    while sum(b.left for b in read_batches(tmp_path / "stock0")) < 5:
        assert both[0].poll() is None
        time.sleep(0.02)
    both[0].send_signal(signal.SIGINT)
    code, said, _ = ended(both[0])
    assert (code, said["error"]) == (130, "interrupted")
    code, said, _ = ended(both[1])
    assert (code, said["error"]) == (3, "abort-vanished")
    left = [{b.name: b.left for b in read_batches(tmp_path / f"stock{n}")} for n in (0, 1)]
    assert len(left[0].keys() ^ left[1].keys()) <= 1
    assert not list(tmp_path.glob("stock*/*.part"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--id", "0"], "--peer"),
        (["--id", "0", "--peer", "nowhere"], "host and a port"),
        (["--id", "0", "--peer", "127.0.0.1:99999"], "host and a port"),
        (["--id", "1", "--peer", "127.0.0.1:1", "--listen", "127.0.0.1:1"], "--listen"),
        (["--id", "1", "--listen", "127.0.0.1:1"], "--identity"),
        (["--listen", "127.0.0.1:1"], "--id 0 or --id 1"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, change: list[str], told: str) -> None:
    done = run("preprocess", "--stock", tmp_path / "stock", *change, "--entries", "3")
    assert done.code == 2
    assert told in done.err
    assert not (tmp_path / "stock").exists()


def test_longer_keys(commands: list[list[str]], tmp_path: Path) -> None:
    more = ("--security-bits", "64", "--faces", "1")
    ends = [ended(process) for process in [start(command, *more) for command in commands]]
    assert [(code, said["made"]) for code, said, _ in ends] == [(0, 1)] * 2
    for n in (0, 1):
        (batch,) = read_batches(tmp_path / f"stock{n}")
        assert (batch.kind.sizes.value_bits, batch.kind.sizes.security_bits) == (15, 64)


def test_a_list_must_be_named(tmp_path: Path) -> None:
    identity = Identity.create(tmp_path / "id", "party0", "north").folder
    done = run(
        *("preprocess", "--stock", tmp_path / "stock", "--id", "0"),
        *("--identity", identity, "--peer", "127.0.0.1:1"),
    )
    assert (done.code, "--entries N" in done.err) == (2, True)


def test_nobody_there(commands: list[list[str]]) -> None:
    for command in commands:
        done = run(*command, "--wait", "0.3")
        assert done.code == 3
        assert done.json["error"] == "unavailable"


def test_a_stock_that_is_not_there(tmp_path: Path) -> None:
    done = run("preprocess", "--stock", tmp_path / "none", "--status")
    assert done.code == 2
    assert "no stock" in done.err
