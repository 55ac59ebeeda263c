"""The matcher that measurements start for themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blindsight.core.errors import RefusedError, UnavailableError
from blindsight.evaluation.loopback import forget_peak, matcher_process, peak_bytes
from blindsight.wire.client import RemoteMatcher
from servers import spec

ORPHAN = """
import sys, time
from pathlib import Path
from blindsight.evaluation.loopback import matcher_process
with matcher_process(Path(sys.argv[1])) as (url, token, pid):
    print(pid, flush=True)
    time.sleep(60)
"""


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid, seconds=30):
    deadline = time.monotonic() + seconds
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(pid)


@pytest.mark.parametrize("insecure", [True, False])
def test_it_serves_and_ends(tmp_path, insecure):
    with matcher_process(tmp_path, insecure_clear=insecure) as (url, token, pid):
        matcher = RemoteMatcher(url, token)
        if insecure:
            assert matcher.create(spec()).name == "people"
        else:
            with pytest.raises(RefusedError):
                matcher.create(spec())
        matcher.close()
        assert peak_bytes(pid) > 1 << 20
        assert forget_peak(pid)
    assert gone(pid)
    assert peak_bytes(pid) == 0
    assert not forget_peak(pid)


def test_it_does_not_outlive_a_killed_client(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)], stdout=subprocess.PIPE) as client:
        pid = int(client.stdout.readline())
        os.kill(client.pid, signal.SIGKILL)
    assert gone(pid)


def test_it_says_where_it_cannot_start(tmp_path):
    (tmp_path / "matcher").write_text("not a folder")
    with pytest.raises(UnavailableError, match="server"), matcher_process(tmp_path):
        pass


def test_a_peak_can_be_forgotten():
    block = bytearray(os.urandom(1 << 20) * 64)
    before = peak_bytes()
    del block
    assert forget_peak()
    assert peak_bytes() < before - (32 << 20)
