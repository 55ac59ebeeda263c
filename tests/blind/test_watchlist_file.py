"""A list's file used by two processes at once, and two copies compared: also one that was altered."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from hashlib import sha256

import numpy as np
import pytest

from blindsight.blind import watchlist_copy
from blindsight.blind.dual_control import WatchlistFile
from blindsight.blind.watchlist_copy import Copy, compare, read_copy
from blindsight.core.dual_control import Add, Remove, SetThreshold, named
from blindsight.core.errors import (
    BlindsightError,
    ConflictError,
    MalformedError,
    NotFoundError,
    ParameterError,
    TamperedError,
    UsageError,
)
from blindsight.schemes.spdz2k.params import Params
from blindsight.trusted.operator import Operator, found
from blindsight.wire.dual_control import decode_copy, encode_copy, encode_record

D = 8


class Pair:
    """Two operators and the folder with their parties' files."""

    def __init__(self, folder):
        self.operators = Operator(0, os.urandom(32)), Operator(1, os.urandom(32))
        keys = tuple(operator.public_key for operator in self.operators)
        self.founding = found("m", D, True, 100, 110, 20, 0.5, keys)
        self.paths = [folder / "list0", folder / "list1"]
        self.opened = []
        for path in self.paths:
            WatchlistFile.create(path, self.founding).close()

    def open(self, party):
        self.opened.append(WatchlistFile(self.paths[party]))
        return self.opened[-1]

    def approved(self, change, by=0):
        """A proposal and the other operator's approval, as the operators sign them."""
        signed = self.operators[by].propose(named("founding", self.founding), change, "because")
        return signed, self.operators[1 - by].decide(named("proposal", signed.value), True)

    def record(self, number, head, change):
        return encode_record(number, head, *self.approved(change))

    def chain(self, changes):
        head, records = named("founding", self.founding), []
        for number, change in enumerate(changes, 1):
            records.append(self.record(number, head, change))
            head = named("record", records[-1])
        return records


@pytest.fixture
def pair(tmp_path):
    made = Pair(tmp_path)
    yield made
    for file in made.opened:
        file.close()


def person(name, seed=1):
    values = np.random.default_rng(seed).integers(-30, 31, D).astype(np.int16)
    return Add(name, values, (bytes([seed]) * 32,))


# -- beside the party that serves from it ----------------------------------------------------------


def test_a_command_decides_on_what_the_party_has_just_changed(pair):
    server, command = pair.open(0), pair.open(0)
    signed, verdict = pair.approved(SetThreshold(7))
    command.propose(signed, [])
    command.decide(verdict)
    server.append(server.next_record())
    assert command.state.number == 0
    with pytest.raises(TamperedError, match="before"):
        command.propose(signed, [])
    assert command.state.number == 1
    with pytest.raises(NotFoundError):
        command.decide(verdict)
    with pytest.raises(ConflictError, match="already"):
        command.propose(pair.operators[0].propose(server.state.name, SetThreshold(7), "again"), [])


def test_of_two_that_extend_the_chain_the_later_is_refused(pair):
    one, other = pair.open(0), pair.open(0)
    head = one.state.head
    one.append(pair.record(1, head, SetThreshold(7)))
    with pytest.raises(TamperedError, match="does not follow"):
        other.append(pair.record(1, head, SetThreshold(8)))
    assert other.append(pair.record(2, one.state.head, SetThreshold(8))).number == 2


def test_commands_and_a_party_at_the_same_time(pair):
    """One serves, four propose and decide, each through a file of its own: nothing is lost or broken."""
    server, faults = pair.open(0), []
    stop = threading.Event()

    def serve():
        while not stop.is_set() or server.next_record() is not None:
            record = server.next_record()
            if record is not None:
                server.append(record)

    def change(number):
        try:
            for count in range(4):
                file = WatchlistFile(pair.paths[0])
                signed, verdict = pair.approved(SetThreshold(1000 + 10 * number + count))
                file.propose(signed, [])
                file.decide(verdict)
                file.close()
        except BlindsightError as error:
            faults.append(error)

    party = threading.Thread(target=serve)
    threads = [threading.Thread(target=change, args=(n,)) for n in range(4)]
    for thread in (party, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    party.join()
    assert faults == []
    assert server.state.number == 16
    assert pair.open(0).state.head == server.state.head
    assert server.waiting() == []


def test_a_withdrawal_that_meets_an_approval_ends_it(pair):
    ours, theirs = pair.open(0), pair.open(1)
    signed, verdict = pair.approved(SetThreshold(7))
    digest = ours.propose(signed, [])
    theirs.propose(signed, [])
    theirs.decide(verdict)
    withdrawn = pair.operators[0].decide(digest, False, "a mistake")
    assert ours.decide(withdrawn) is False
    assert theirs.decide(withdrawn) is False  # as the parties relay it
    assert theirs.waiting() == []
    assert theirs.next_record() is None
    assert [(one.party, one.reason) for one in theirs.ended()] == [(0, "a mistake")]
    with pytest.raises(ConflictError, match="rejected"):
        theirs.propose(signed, [])


def test_of_two_approved_for_one_entry_both_parties_drop_the_later(pair):
    ours, theirs = pair.open(0), pair.open(1)
    photo = b"photo"
    for file in (ours, theirs):
        assert file.waiting() == []
    for seed in (1, 2):
        change = Add("a", person("a", seed).values, (sha256(photo).digest(),))
        signed, verdict = pair.approved(change)
        for file in (ours, theirs):
            file.propose(signed, [photo])
            file.decide(verdict)
    late, verdict = pair.approved(change)
    theirs.propose(late, [photo])
    record = ours.next_record()
    for file in (theirs, ours):
        file.append(record)
    assert ours.waiting() == []
    assert [one.verdict for one in theirs.waiting()] == [None]
    with pytest.raises(ConflictError, match="already"):
        theirs.decide(verdict)
    assert ours.next_record() is theirs.next_record() is None


def test_who_approved_cannot_reject_any_more(pair):
    file = pair.open(1)
    signed, verdict = pair.approved(SetThreshold(7))
    digest = file.propose(signed, [])
    file.decide(verdict)
    with pytest.raises(ConflictError, match="opposite"):
        file.decide(pair.operators[1].decide(digest, False))


def test_what_could_not_be_compared_with_is_not_agreed_on(pair, tmp_path):
    file = pair.open(0)
    founding = file.state.founding
    largest = Params(D, founding.scale, founding.norm, founding.value_bits).largest_threshold
    assert founding.largest_threshold == largest
    operator = pair.operators[0]
    file.propose(operator.propose(file.state.name, SetThreshold(largest), "all"), [])
    with pytest.raises(ConflictError, match="larger"):
        file.propose(operator.propose(file.state.name, SetThreshold(largest + 1), "more"), [])
    keys = founding.operators
    for bad in (found("m", D, True, 100, 9000, 20, 0.5, keys), found("m", D, True, 100, 110, 20, 90.0, keys)):
        with pytest.raises(ParameterError):
            WatchlistFile.create(tmp_path / "bad", bad)
        assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        "DROP TABLE photos",
        "DELETE FROM founding",
        "CREATE VIEW extra AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM waiting; END",
        "ALTER TABLE records ADD COLUMN more BLOB",
    ],
)
def test_other_tables_are_no_watchlist(pair, spoil):
    db = sqlite3.connect(pair.paths[0])
    db.execute(spoil)
    db.commit()
    db.close()
    for read in (WatchlistFile, read_copy):
        with pytest.raises(TamperedError):
            read(pair.paths[0])


# -- two copies ------------------------------------------------------------------------------------


def test_the_same_and_one_that_is_behind(pair):
    records = pair.chain([person("a"), person("b", 2), SetThreshold(7)])
    for party, count in ((0, 3), (1, 3)):
        pair.open(party).extend(records[:count])
    ours, theirs = (read_copy(path) for path in pair.paths)
    assert compare(ours, theirs).same
    found_out = compare(ours, Copy(theirs.founding, theirs.records[:1]))
    assert (found_out.same, found_out.common, found_out.difference.fork) == (False, 1, None)
    assert found_out.difference.only_here == ("b",)
    assert found_out.difference.thresholds == (7, 2500)
    assert found_out.parted[0].proposal.change.entry == "b"
    assert found_out.parted[1] is None


def test_a_fork_of_valid_histories(pair):
    first = pair.chain([person("a")])
    head = named("record", first[0])
    pair.open(0).extend([*first, pair.record(2, head, person("b", 2))])
    pair.open(1).extend([*first, pair.record(2, head, person("c", 3))])
    found_out = compare(*(read_copy(path) for path in pair.paths))
    assert (found_out.difference.fork, found_out.common) == (2, 1)
    assert (found_out.difference.only_here, found_out.difference.only_there) == (("b",), ("c",))
    assert found_out.here.fault is found_out.there.fault is None
    assert [one.proposal.change.entry for one in found_out.parted] == ["b", "c"]


def test_the_same_entry_with_another_face(pair):
    pair.open(0).extend(pair.chain([person("a")]))
    pair.open(1).extend(pair.chain([person("a", 2)]))
    found_out = compare(*(read_copy(path) for path in pair.paths))
    assert (found_out.difference.other_template, found_out.difference.fork) == (("a",), 1)


def test_an_altered_copy_is_compared_all_the_same(pair):
    """One's own operator signs for both: the record is not valid, and what it claims is named."""
    records = pair.chain([person("a"), person("b", 2)])
    head = named("record", records[-1])
    pair.open(0).extend(records)
    signed = pair.operators[1].propose(named("founding", pair.founding), person("enemy", 3), "because")
    forger = Operator(0, os.urandom(32))
    forged = encode_record(3, head, signed, forger.decide(named("proposal", signed.value), True))
    db = sqlite3.connect(pair.paths[1])
    for number, value in enumerate([*records, forged], 1):
        db.execute("INSERT INTO records VALUES (?, ?)", (number, value))
    db.commit()
    db.close()
    with pytest.raises(TamperedError):
        WatchlistFile(pair.paths[1])
    found_out = compare(*(read_copy(path) for path in pair.paths))
    assert not found_out.same
    assert (found_out.there.state.number, found_out.there.said.number) == (2, 3)
    assert "signature" in found_out.there.fault
    assert found_out.difference.only_there == ("enemy",)
    back = compare(*(read_copy(path) for path in reversed(pair.paths)))
    assert back.difference.only_here == ("enemy",)
    assert back.here.fault == found_out.there.fault


@pytest.mark.parametrize("where", ["first", "last"])
def test_wherever_a_byte_is_altered_the_record_is_named(pair, where):
    records = pair.chain([person("a"), person("b", 2), Remove("a")])
    at = 0 if where == "first" else 2
    whole = Copy(pair.founding, tuple(records))
    for position in range(0, len(records[at]), 13):
        altered = bytearray(records[at])
        altered[position] ^= 1
        other = Copy(pair.founding, (*records[:at], bytes(altered), *records[at + 1 :]))
        found_out = compare(whole, other)
        assert not found_out.same
        assert (found_out.difference.fork, found_out.there.state.number) == (at + 1, at)
        assert found_out.there.fault


def test_records_in_another_order_or_without_one(pair):
    records = pair.chain([person("a"), person("b", 2), Remove("a")])
    whole = Copy(pair.founding, tuple(records))
    for other, valid in (((records[1], records[0], records[2]), 0), ((records[0], records[2]), 1)):
        found_out = compare(whole, Copy(pair.founding, other))
        assert found_out.there.state.number == valid
        assert "does not follow" in found_out.there.fault
        assert found_out.difference.fork == valid + 1


def test_lists_founded_apart(pair, tmp_path):
    (tmp_path / "other").mkdir()
    other = Pair(tmp_path / "other")
    found_out = compare(read_copy(pair.paths[0]), read_copy(other.paths[0]))
    assert found_out.other_list
    assert not found_out.same


def test_a_copy_as_a_file(pair, tmp_path):
    records = pair.chain([person("a"), SetThreshold(7)])
    pair.open(0).extend(records)
    path = tmp_path / "copy"
    data = encode_copy(pair.founding, records)
    path.write_bytes(data)
    assert compare(read_copy(path), read_copy(pair.paths[0])).same
    for cut in range(0, len(data), 7):
        with pytest.raises(MalformedError):
            decode_copy(data[:cut])
    for wrong in (
        data + b"\x00",
        pair.founding,
        encode_copy(b"", records),
        encode_copy(pair.founding, ["a"]),
    ):
        path.write_bytes(wrong)
        with pytest.raises(MalformedError, match="neither"):
            read_copy(path)
    path.write_bytes(encode_copy(b"no founding", records))
    with pytest.raises(MalformedError):
        compare(read_copy(path), read_copy(path))
    with pytest.raises(NotFoundError):
        read_copy(tmp_path / "none")
    with pytest.raises(UsageError):
        read_copy(tmp_path)


def test_a_hostile_file_is_not_believed(pair, monkeypatch):
    """Somebody else's SQLite file: cut anywhere, with values that are too large, or another's tables."""
    pair.open(0).extend(pair.chain([person("a"), person("b", 2)]))
    pair.opened.pop().close()
    whole, copy, survived = pair.paths[0].read_bytes(), read_copy(pair.paths[0]), 0
    sizes = range(17, len(whole), 1500)
    for size in sizes:
        pair.paths[1].write_bytes(whole[:size])
        with contextlib.suppress(TamperedError, UsageError):
            assert read_copy(pair.paths[1]) == copy  # what is missing belonged to other tables
            survived += 1
    assert survived < len(sizes) / 2
    pair.paths[1].write_bytes(whole)
    monkeypatch.setattr(watchlist_copy, "MAX_RECORD_BYTES", 100)
    with pytest.raises(TamperedError, match="larger"):
        read_copy(pair.paths[1])
