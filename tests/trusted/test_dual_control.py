"""Two operators and two copies of one list: what enters, what is refused, what is noticed."""

from __future__ import annotations

import contextlib
import os
import sqlite3

import numpy as np
import pytest

from blindsight.blind.dual_control import WatchlistFile
from blindsight.core.dual_control import Add, Remove, SetThreshold, difference
from blindsight.core.errors import (
    ConflictError,
    DimensionError,
    MalformedError,
    ModelMismatchError,
    NotFoundError,
    ProtocolError,
    TamperedError,
    UsageError,
    VectorError,
)
from blindsight.core.types import Embedding
from blindsight.trusted.operator import Operator, addition, found, require_honest, template
from blindsight.wire.dual_control import (
    Signed,
    decode_founding,
    decode_proposal,
    decode_record,
    decode_verdict,
    encode_founding,
    encode_proposal,
    encode_record,
    encode_verdict,
)

MODEL = "test-model"
DIMENSION = 16


def embedding(seed, model=MODEL, dimension=DIMENSION):
    return Embedding(np.random.default_rng(seed).standard_normal(dimension).astype(np.float32), model)


class Pair:
    """Two operators and their parties' copies, kept in step as party 0's server does."""

    def __init__(self, folder):
        self.operators = Operator(0, os.urandom(32)), Operator(1, os.urandom(32))
        keys = tuple(o.public_key for o in self.operators)
        founding = found(MODEL, DIMENSION, True, 127, 130, 24, 1.0, keys)
        self.copies = tuple(WatchlistFile.create(folder / f"party{i}", founding) for i in (0, 1))

    def propose(self, by, change, photos=()):
        signed = self.operators[by].propose(self.copies[0].state.name, change, "because")
        (digest,) = {copy.propose(signed, photos) for copy in self.copies}
        return digest

    def decide(self, by, digest, approved=True):
        verdict = self.operators[by].decide(digest, approved)
        (approved,) = {copy.decide(verdict) for copy in self.copies}
        return approved

    def settle(self):
        while (record := self.copies[0].next_record()) is not None:
            self.copies[1].append(record)
            self.copies[0].append(record)

    def add(self, entry, seed, by=0):
        photo = f"photo {seed}".encode()
        change = addition(self.copies[0].state.founding, entry, [photo], [embedding(seed)])
        self.decide(1 - by, self.propose(by, change, [photo]))
        self.settle()


@pytest.fixture
def pair(tmp_path):
    made = Pair(tmp_path)
    yield made
    for copy in made.copies:
        copy.close()


def test_changes_that_both_agreed_to_reach_both(pair, tmp_path):
    pair.add("a", 1)
    pair.add("b", 2, by=1)
    pair.decide(0, pair.propose(1, SetThreshold(5000)))
    pair.settle()
    pair.decide(1, pair.propose(0, Remove("a")))
    pair.settle()
    here, there = (copy.state for copy in pair.copies)
    assert here.head == there.head != here.name
    assert (here.number, here.threshold, set(here.entries)) == (4, 5000, {"b"})
    names, table = here.templates()
    assert names == ("b",)
    assert np.array_equal(table[0], template(here.founding, [embedding(2)]))
    for copy in pair.copies:
        copy.close()
    again = WatchlistFile(tmp_path / "party1")
    assert again.state.head == here.head
    assert again.waiting() == []
    again.close()


def test_an_entry_needs_the_other_party(pair):
    digest = pair.propose(0, SetThreshold(7))
    assert pair.copies[0].next_record() is None
    with pytest.raises(ConflictError, match="other party"):
        pair.decide(0, digest)
    forged = Signed(pair.operators[1].decide(digest, True).value, os.urandom(64))
    with pytest.raises(TamperedError, match="signature"):
        pair.copies[0].decide(forged)
    thief = Operator(1, os.urandom(32))
    with pytest.raises(TamperedError, match="signature"):
        pair.copies[0].decide(thief.decide(digest, True))
    with pytest.raises(NotFoundError):
        pair.copies[0].decide(pair.operators[1].decide(os.urandom(32), True))
    assert pair.copies[0].next_record() is None


def test_rejecting_and_withdrawing_delete_the_photos(pair, tmp_path):
    for by in (1, 0):
        change = addition(pair.copies[0].state.founding, "a", [b"face of a person"], [embedding(1)])
        digest = pair.propose(0, change, [b"face of a person"])
        assert pair.copies[1].photos(digest) == [b"face of a person"]
        assert pair.decide(by, digest, approved=False) is False
        assert pair.copies[1].waiting() == []
    assert b"face of a person" not in (tmp_path / "party1").read_bytes()


def test_approval_deletes_the_photos(pair, tmp_path):
    pair.add("a", 3)
    assert b"photo 3" not in (tmp_path / "party0").read_bytes()


def test_an_old_approval_does_not_bring_an_entry_back(pair):
    photo = b"photo"
    change = addition(pair.copies[0].state.founding, "a", [photo], [embedding(1)])
    signed = pair.operators[0].propose(pair.copies[0].state.name, change, "because")
    (digest,) = {copy.propose(signed, [photo]) for copy in pair.copies}
    verdict = pair.operators[1].decide(digest, True)
    for copy in pair.copies:
        copy.decide(verdict)
    pair.settle()
    pair.decide(1, pair.propose(0, Remove("a")))
    pair.settle()
    with pytest.raises(TamperedError, match="before"):
        pair.copies[1].propose(signed, [photo])
    state = pair.copies[1].state
    with pytest.raises(TamperedError, match="before"):
        pair.copies[1].append(encode_record(state.number + 1, state.head, signed, verdict))
    assert "a" not in pair.copies[1].state.entries


def test_an_approval_is_for_one_proposal_only(pair):
    first = pair.operators[0].propose(pair.copies[0].state.name, SetThreshold(7), "because")
    second = pair.operators[0].propose(pair.copies[0].state.name, SetThreshold(9), "because")
    verdict = pair.operators[1].decide(pair.copies[0].propose(first, []), True)
    state = pair.copies[0].state
    with pytest.raises(TamperedError, match="no approval"):
        pair.copies[0].append(encode_record(1, state.head, second, verdict))
    rejected = pair.operators[1].decide(pair.copies[0].propose(second, []), False)
    with pytest.raises(TamperedError, match="no approval"):
        pair.copies[0].append(encode_record(1, state.head, second, rejected))
    own = pair.operators[0].decide(pair.copies[0].propose(second, []), True)
    with pytest.raises(TamperedError, match="that proposed it"):
        pair.copies[0].append(encode_record(1, state.head, second, own))


def test_the_approver_recomputes_the_embedding(pair):
    state = pair.copies[0].state
    change = addition(state.founding, "a", [b"photo"], [embedding(1)])
    honest = pair.operators[0].propose(state.name, change, "because")
    assert require_honest(state, honest, [embedding(1)]).change.entry == "a"
    nearly = Add("a", change.values + np.int16(2), change.photos)
    require_honest(state, pair.operators[0].propose(state.name, nearly, "rounding"), [embedding(1)])
    swapped = addition(state.founding, "a", [b"photo"], [embedding(2)])
    with pytest.raises(TamperedError, match="not the embedding"):
        require_honest(state, pair.operators[0].propose(state.name, swapped, "because"), [embedding(1)])
    with pytest.raises(ModelMismatchError):
        require_honest(state, honest, [embedding(1, model="another")])
    with pytest.raises(DimensionError):
        require_honest(state, honest, [embedding(1, dimension=8)])


def test_templates(pair):
    founding = pair.copies[0].state.founding
    with pytest.raises(UsageError):
        template(founding, [])
    there, back = embedding(1), Embedding(-embedding(1).vector, MODEL)
    with pytest.raises(VectorError, match="opposite"):
        template(founding, [there, back])
    raw = decode_founding(found(MODEL, DIMENSION, False, 1000, 9000, 24, 0.6, founding.operators))
    assert raw.threshold == 360_000
    assert np.array_equal(template(raw, [there]), np.rint(there.vector.astype(float) * 1000))
    with pytest.raises(VectorError, match="larger norm"):
        template(raw, [Embedding(np.full(DIMENSION, 40, np.float32), MODEL)])


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (lambda values: Add("a", values, (b"\x01" * 32,)), "already"),
        (lambda values: Add("b", values[:-1], (b"\x01" * 32,)), "coordinates"),
        (lambda values: Add("b", values + np.int16(40), (b"\x01" * 32,)), "long"),
        (lambda values: Remove("b"), "not on the list"),
        (lambda values: SetThreshold(127**2), "already"),
    ],
)
def test_changes_that_make_no_sense(pair, change, because):
    pair.add("a", 1)
    state = pair.copies[0].state
    signed = pair.operators[0].propose(state.name, change(state.entries["a"]), "because")
    with pytest.raises(ConflictError, match=because):
        state.require_fits(decode_proposal(signed.value), os.urandom(32))


def test_photos_are_those_that_were_signed(pair):
    change = addition(pair.copies[0].state.founding, "a", [b"one"], [embedding(1)])
    signed = pair.operators[0].propose(pair.copies[0].state.name, change, "because")
    for wrong in ([], [b"two"], [b"one", b"two"]):
        with pytest.raises(TamperedError, match="photos"):
            pair.copies[1].propose(signed, wrong)
    with pytest.raises(UsageError, match="twice"):
        addition(pair.copies[0].state.founding, "a", [b"one", b"one"], [embedding(1)])


def test_of_two_proposals_for_one_entry_the_later_is_dropped(pair):
    photos = [b"one"], [b"two"]
    for number, photo in enumerate(photos):
        change = addition(pair.copies[0].state.founding, "a", photo, [embedding(number)])
        pair.decide(1, pair.propose(0, change, photo))
    pair.settle()
    assert pair.copies[0].state.number == 1
    assert pair.copies[0].waiting() == []


def test_proposals_that_wait_are_limited(pair, monkeypatch):
    monkeypatch.setattr("blindsight.blind.dual_control.MAX_WAITING", 8)
    name = pair.copies[0].state.name
    for number in range(8):
        pair.copies[0].propose(pair.operators[0].propose(name, SetThreshold(number + 1), "because"), [])
    with pytest.raises(ProtocolError, match="wait already"):
        pair.copies[0].propose(pair.operators[0].propose(name, SetThreshold(9999), "because"), [])


def test_a_party_that_missed_a_record_catches_up(pair):
    pair.add("a", 1)
    digest = pair.propose(0, Remove("a"))
    pair.decide(1, digest)
    pair.copies[1].append(pair.copies[0].next_record())  # and party 0 dies here
    ahead, behind = pair.copies[1], pair.copies[0]
    assert behind.head(1) == ahead.head(1)
    for record in ahead.records(behind.state.number):
        behind.append(record)
    assert behind.state.head == ahead.state.head
    assert behind.head(3) is None
    assert behind.append(next(ahead.records(1))).number == 2  # the last one may come twice


def test_a_fork_is_named(pair):
    pair.add("a", 1)
    for copy, entry, seed in ((pair.copies[0], "b", 2), (pair.copies[1], "c", 3)):
        change = addition(copy.state.founding, entry, [b"x"], [embedding(seed)])
        signed = pair.operators[0].propose(copy.state.name, change, "because")
        digest = copy.propose(signed, [b"x"])
        copy.decide(pair.operators[1].decide(digest, True))
        copy.append(copy.next_record())
    here, there = (copy.state for copy in pair.copies)
    assert here.number == there.number
    assert here.head != there.head
    found_out = difference(here, there)
    assert (found_out.only_here, found_out.only_there, found_out.none) == (("b",), ("c",), False)
    with pytest.raises(TamperedError, match="does not follow"):
        pair.copies[0].append(next(pair.copies[1].records(1)))


def test_an_altered_file_does_not_open(pair, tmp_path):
    pair.add("a", 1)
    pair.add("b", 2)
    for copy in pair.copies:
        copy.close()
    path = tmp_path / "party0"
    whole = path.read_bytes()
    db = sqlite3.connect(path)
    (value,) = db.execute("SELECT value FROM records WHERE number = 2").fetchone()
    for at in range(0, len(value), 17):
        changed = bytearray(value)
        changed[at] ^= 1
        db.execute("UPDATE records SET value = ? WHERE number = 2", (bytes(changed),))
        db.commit()
        with pytest.raises((TamperedError, MalformedError)):
            WatchlistFile(path)
    db.execute("DELETE FROM records WHERE number = 1")
    db.commit()
    db.close()
    with pytest.raises(TamperedError):
        WatchlistFile(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TamperedError):
        WatchlistFile(path)
    path.write_bytes(b"")
    with pytest.raises(UsageError):
        WatchlistFile(path)
    path.unlink()
    with pytest.raises(NotFoundError):
        WatchlistFile(path)


def test_altered_bytes_are_another_value_or_none(pair):
    """Every byte of every value; of a record, which is signed, no altered byte passes."""
    change = addition(pair.copies[0].state.founding, "a", [b"one"], [embedding(1)])
    signed = pair.operators[0].propose(pair.copies[0].state.name, change, "because")
    verdict = pair.operators[1].decide(pair.copies[0].propose(signed, [b"one"]), True)
    founding = pair.copies[0].founding()
    for data, decode, encode in (
        (signed.value, decode_proposal, encode_proposal),
        (verdict.value, decode_verdict, encode_verdict),
        (founding, decode_founding, encode_founding),
    ):
        for at in range(len(data)):
            changed = data[:at] + bytes([data[at] ^ 0x81]) + data[at + 1 :]
            with contextlib.suppress(MalformedError):
                assert encode(decode(changed)) == changed
            with pytest.raises(MalformedError):
                decode(data[:at])
        with pytest.raises(MalformedError):
            decode(data + b"\x00")
    state = pair.copies[0].state
    record = encode_record(1, state.head, signed, verdict)
    for at in range(len(record)):
        for changed in (record[:at], record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]):
            with pytest.raises((MalformedError, TamperedError)):
                state.after(decode_record(changed, state.founding.operators))
    assert state.after(decode_record(record, state.founding.operators)).number == 1


def test_a_longer_form_of_the_same_value_is_refused(pair):
    verdict = pair.operators[1].decide(os.urandom(32), True).value
    at = verdict.index(b"\xa5party") + 6
    assert verdict[at] == 1
    with pytest.raises(MalformedError, match="encoding"):
        decode_verdict(verdict[:at] + b"\xcc\x01" + verdict[at + 1 :])


def test_signatures_of_one_kind_do_not_pass_for_another(pair):
    proposal = pair.operators[0].propose(pair.copies[0].state.name, SetThreshold(7), "because")
    with pytest.raises(TamperedError):
        proposal.require_by("verdict", pair.operators[0].public_key)
    proposal.require_by("proposal", pair.operators[0].public_key)


@pytest.mark.parametrize("reason", ["", "x" * 1001, "line\nbreak"])
def test_reasons(pair, reason):
    with pytest.raises(MalformedError):
        pair.operators[0].propose(pair.copies[0].state.name, SetThreshold(7), reason)


def test_operators_and_foundings(pair, tmp_path):
    with pytest.raises(UsageError):
        Operator(2, os.urandom(32))
    key = pair.operators[0].public_key
    with pytest.raises(MalformedError, match="same operator"):
        found(MODEL, DIMENSION, True, 127, 130, 24, 1.0, (key, key))
    with pytest.raises(UsageError, match="exists"):
        WatchlistFile.create(tmp_path / "party0", pair.copies[0].founding())
    with pytest.raises(MalformedError):
        WatchlistFile.create(tmp_path / "other", b"founding")
    assert not (tmp_path / "other").exists()
