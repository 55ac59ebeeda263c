"""``evaluate surveillance``: every part once, on little; what is refused; and Ctrl-C."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cli.running import BLINDSIGHT, run
from real_data import DATA, needs

COMMAND = ("evaluate", "surveillance")
COSTS = (
    "--only", "table", "--only", "dealerless", "--only", "entries", "--entries", "5", "--dims", "4",
    "--threads", "1",
    "--sizes", "5", "--repeats", "1", "--batch", "2",
)  # fmt: skip
REST = ("--only", "accuracy", "--only", "attack", "--scales", "40", "--entries", "20", "--hunted", "1")


def test_costs_with_party_processes(tmp_path):
    done = run(*COMMAND, *COSTS, "--report", tmp_path / "costs.html", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert [line["entries"] for line in found["table"]] == [5]
    assert found["entries"] == found["table"]  # measured once
    assert 0 < found["table"][0]["online_ms"] < found["table"][0]["total_ms"]
    assert found["accuracy"] is found["attacks"] is None
    alone = found["without_dealer"]
    assert (alone["entries"], alone["dim"], alone["security_bits"]) == (5, 4, 40)
    assert alone["offline_mb_per_face"] > 0 < alone["online_ms"]
    assert found["report"] == str(tmp_path / "costs.html")
    assert (tmp_path / "costs-csv" / "entries.csv").exists()
    assert done.err == ""


def test_accuracy_and_attack_without_photos(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = run(*COMMAND, *REST)
    assert done.code == 0, done.err
    assert "protocol equal to the integers" in done.out
    for words in ("without authentication", "moves its share by p − c (party 1)", "its checks taken out"):
        assert words in done.out


@pytest.mark.data
@needs("lfw", "pairs_fold01_02.txt")
def test_on_photos(tmp_path):
    lines = (DATA / "lfw" / "pairs_fold01_02.txt").read_text().splitlines()[1:]
    (tmp_path / "pairs.txt").write_text("\n".join([*lines[:4], *lines[300:306]]) + "\n")
    photos = ("--pairs", tmp_path / "pairs.txt", "--images", DATA / "lfw" / "images")
    kept = ("--embeddings", tmp_path / "kept.npz")
    done = run(*COMMAND, *REST[:4], "--scales", "127,1023", "--hunted", "2", *photos, *kept, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["accuracy"]["pairs"], found["accuracy"]["genuine_pairs"]) == (10, 4)
    assert found["accuracy"]["threshold"] == pytest.approx(0.36)
    ran, largest, refused = found["accuracy"]["scales"]
    assert (ran["scale"], ran["differences"], ran["pairs_equal"]) == (127, 0, 10)
    assert largest["differences"] == 0
    assert "security" in refused["refused"]
    tracked = found["attacks"]["outcomes"][1]
    assert tracked["hits_hunted"] == tracked["hunted"] >= 2
    assert tracked["noticed"] == 0
    assert found["attacks"]["outcomes"][4]["noticed"] == found["attacks"]["outcomes"][4]["faces"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--only", "everything"), "no part 'everything'; choose among table, dealerless"),
        (("--threads", "1,two"), "--threads takes whole numbers from 1 to 256"),
        (("--threads", "0"), "--threads takes"),
        (("--dims", "1"), "--dims takes whole numbers from 2"),
        (("--sizes", ""), "--sizes takes"),
        (("--sizes", "70000"), "65,536"),
        (("--scales", "-3"), "--scales takes"),
        (("--scales", "٣"), "--scales takes"),
        (("--pairs", "pairs.txt"), "Give --pairs and --images, or neither"),
        (("--pairs", "pairs.txt", "--images", "nowhere"), "not a folder"),
        (("--report", "report.pdf"), "HTML file"),
        (("--report", "no/where.html"), "no folder"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_sentence(tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    done = run(*COMMAND, *options)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def _children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_stopped_it_leaves_no_process_and_no_report(tmp_path, by):
    command = [*BLINDSIGHT, *COMMAND, *COSTS, "--repeats", "100000", "--report", str(tmp_path / "r.html")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(parties := _children(process.pid)) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(by)
        _, err = process.communicate(timeout=60)
    if by == signal.SIGINT:
        # Python itself ends by the signal where that came in code from a string, as compilers make it.
        assert process.returncode in (130, -signal.SIGINT)
        assert err == "error: Interrupted.\n"
    while any(_alive(party) for party in parties):
        assert time.monotonic() < deadline + 60
        time.sleep(0.05)
    assert not list(tmp_path.iterdir())


def _alive(pid):
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
