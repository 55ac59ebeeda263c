"""A party's log: what was written stays, and an altered line is noticed."""

from __future__ import annotations

import json
import os

import msgpack
import pytest

from blindsight.blind import party_log
from blindsight.blind.party_log import PartyLog
from blindsight.core.errors import StorageFullError, TamperedError
from blindsight.core.evidence import Evidence

RECEIPTS = [bytes([n]) * 32 for n in range(4)]


@pytest.fixture
def written(tmp_path):
    log = PartyLog(tmp_path)
    log.append("opened", party=0)
    for receipt in RECEIPTS:
        log.append("result", receipt=receipt.hex(), camera="gate", session="00", matches=[[3, "é"]])
    log.append("confirmed", receipt=RECEIPTS[0].hex())
    log.append("raised", receipt=RECEIPTS[0].hex())
    log.append("confirmed", receipt=RECEIPTS[1].hex())
    log.append("unconfirmed", receipt=RECEIPTS[2].hex())
    log.close()
    return tmp_path


def test_what_is_open_after_a_restart(written):
    log = PartyLog(written)
    assert log.number == 9
    assert log.unresolved() == [RECEIPTS[3]]
    assert log.not_raised() == [RECEIPTS[1]]
    assert all(log.has(receipt) for receipt in RECEIPTS)
    assert not log.has(bytes(32)) or bytes(32) in RECEIPTS
    assert log.result(RECEIPTS[2])["matches"] == [[3, "é"]]
    before = log.head
    log.append("opened", party=0)
    log.close()
    lines = (written / "log").read_text().splitlines()
    assert json.loads(lines[-1])["previous"] == before.hex()
    assert (written / "log").stat().st_mode & 0o077 == 0


def test_a_line_that_was_not_finished_is_cut_off(written):
    path = written / "log"
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        log = PartyLog(written)
        assert log.number == 8
        log.append("again")
        log.close()
        assert PartyLog(written).number == 9


def test_an_altered_log_does_not_open(written):
    path = written / "log"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for at in range(len(whole) - len(lines[-1])):  # nothing follows the last line that names it
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(TamperedError):
            PartyLog(written)
    for altered in (lines[1:], lines[:3] + lines[4:], [*lines, lines[-1]], [lines[1], lines[0], *lines[2:]]):
        path.write_bytes(b"".join(altered))
        with pytest.raises(TamperedError):
            PartyLog(written)


def test_a_full_disk_leaves_the_log_whole(written, monkeypatch):
    log = PartyLog(written)
    write = os.write

    def half(file, data):
        if len(data) < 40:
            raise OSError(28, "No space left on device")
        return write(file, data[: len(data) // 2])

    monkeypatch.setattr(party_log.os, "write", half)
    with pytest.raises(StorageFullError, match="make room"):
        log.append("result", receipt=bytes(32).hex())
    monkeypatch.undo()
    assert log.number == 9
    log.append("opened")
    log.close()
    assert PartyLog(written).number == 10


def test_evidence_is_kept_up_to_a_number(written, monkeypatch):
    monkeypatch.setattr(party_log, "MOST_EVIDENCE", 2)
    log = PartyLog(written)
    for number in range(3):
        found = Evidence("abort-opening", 0, bytes(16), number, 1, bytes(32), (b"sent",), (b"got",))
        log.abort(found, "gate")
        path = written / "evidence" / found.digest().hex()
        assert path.exists() == (number < 2)
        if number < 2:
            assert msgpack.unpackb(path.read_bytes())["received"] == [b"got"]
    log.close()
    kept = [json.loads(line).get("kept") for line in (written / "log").read_text().splitlines()[-3:]]
    assert kept == [True, True, False]
