"""The store on one machine: states, erasure, damage, who may open it."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from blindsight.blind.engines import ENGINES
from blindsight.blind.matcher import Limits, LocalMatcher
from blindsight.blind.tiles import TileFile
from blindsight.core.errors import (
    ConflictError,
    DuplicateError,
    KeyMismatchError,
    MalformedError,
    NotFoundError,
    ParamsMismatchError,
    RefusedError,
    TamperedError,
    TooLargeError,
    UnavailableError,
    UsageError,
)
from blindsight.core.matching import Block
from blindsight.schemes.clear.compute import ClearEngine
from raw_store import everything, orphans, stained_slots
from servers import KEY_ID, PARAMS, block, same, scores, serving_code, spawn, spec, unit_probe


class SlowEngine(ClearEngine):
    """Reads the gallery in two halves with a pause between, so that a torn state would show."""

    def __init__(self, pause: float = 0.02) -> None:
        self.pause = pause
        self.halfway = threading.Event()

    def match(self, params, bodies, slots, probes):
        half = len(slots) // 2
        first = super().match(params, bodies, slots[:half], probes)
        self.halfway.set()
        time.sleep(self.pause)
        return np.concatenate([first, super().match(params, bodies, slots[half:], probes)], axis=1)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def matcher(folder):
    found = LocalMatcher(folder, allow_insecure_clear=True)
    yield found
    found.close()


def search(matcher, gallery_id):
    return matcher.search(gallery_id, KEY_ID, PARAMS.params_id, unit_probe())


def test_blocks_survive_reopening(folder, matcher):
    gallery_id = matcher.create(spec()).gallery_id
    assert matcher.commit(gallery_id, [block(5), block(0), block(9)]) == 1
    assert matcher.commit(gallery_id, [block(0, 2), block(7)]) == 2
    matcher.close()
    again = LocalMatcher(folder, allow_insecure_clear=True)
    info = again.info(gallery_id)
    assert (info.name, info.revision, info.blocks, info.sealed) == ("people", 2, 4, b"sealed")
    changes = again.changes(gallery_id, 0)
    assert [(b.block_id, b.version, b.changed) for b in changes.blocks] == [
        (0, 2, 2),
        (5, 1, 1),
        (7, 1, 2),
        (9, 1, 1),
    ]
    assert [b.block_id for b in again.changes(gallery_id, 1).blocks] == [0, 7]
    assert changes.blocks[0].digest == block(0, 2).digest()
    fetched = list(again.fetch(gallery_id, [9, 0, 9]))
    assert all(same(a, b) for a, b in zip(fetched, [block(9), block(0, 2), block(9)], strict=True))
    answer = search(again, gallery_id)
    assert answer.block_ids.tolist() == [0, 5, 7, 9]
    wanted = [block(0, 2), block(5), block(7), block(9)]
    assert (scores(answer)[0] == [b.body.view("<i4").reshape(32, 16)[:, 0] for b in wanted]).all()
    assert again.verify() == []
    again.close()


def test_the_same_commit_sent_again_succeeds_and_another_conflicts(matcher):
    gallery_id = matcher.create(spec()).gallery_id
    sent = [block(1), block(2)]
    assert matcher.commit(gallery_id, sent) == 1
    assert matcher.commit(gallery_id, [block(3)]) == 2
    assert matcher.commit(gallery_id, sent) == 1
    assert matcher.info(gallery_id).revision == 2
    for other in (
        [block(1, 1, fill=7)],  # another block of the same version
        [block(1, 3)],  # a version too far
        [block(4, 2)],  # the second version of what is not there
        [block(5), block(1)],  # one new, one repeated
        [block(1), block(3)],  # repeated, of two different commits
    ):
        with pytest.raises(ConflictError):
            matcher.commit(gallery_id, other)
    assert matcher.info(gallery_id).revision == 2
    with pytest.raises(NotFoundError):
        matcher.fetch(gallery_id, [5])
    for nonsense in ([], [block(8), block(8)]):
        with pytest.raises(UsageError):
            matcher.commit(gallery_id, nonsense)


def test_of_two_writers_one_conflicts_and_nothing_is_mixed(matcher):
    gallery_id = matcher.create(spec()).gallery_id
    matcher.commit(gallery_id, [block(0), block(1)])
    outcomes = []

    def write(fill):
        try:
            outcomes.append(matcher.commit(gallery_id, [block(0, 2, fill), block(1, 2, fill)]))
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=write, args=(fill,)) for fill in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["2", "conflict", "conflict", "conflict"]
    assert len(np.unique(scores(search(matcher, gallery_id)))) == 1


def test_searches_while_replacing_see_one_revision(folder):
    matcher = LocalMatcher(folder, engines={"clear": SlowEngine()}, allow_insecure_clear=True)
    gallery_id = matcher.create(spec()).gallery_id
    matcher.commit(gallery_id, [block(i, 1, 1) for i in range(8)])
    torn, done = [], threading.Event()

    def read():
        while not done.is_set():
            answer = search(matcher, gallery_id)
            if not (scores(answer) == answer.revision).all():
                torn.append(answer.revision)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(2, 40):
        matcher.commit(gallery_id, [block(i, version, version) for i in range(8)])
    done.set()
    for reader in readers:
        reader.join()
    assert not torn
    matcher.close()
    assert stained_slots(folder) == []


def test_a_replaced_block_is_wiped_only_when_its_last_reader_has_gone(folder):
    engine = SlowEngine(pause=1.0)
    matcher = LocalMatcher(folder, engines={"clear": engine}, allow_insecure_clear=True)
    gallery_id = matcher.create(spec()).gallery_id
    old = block(0, 1, 123456)
    matcher.commit(gallery_id, [old, block(1, 1, 123456)])
    answers = []
    reader = threading.Thread(target=lambda: answers.append(search(matcher, gallery_id)))
    reader.start()
    assert engine.halfway.wait(10)
    matcher.commit(gallery_id, [block(0, 2, 1), block(1, 2, 1)])
    assert not answers  # a commit does not wait for readers
    assert old.body.tobytes() in everything(folder)
    reader.join()
    assert (scores(answers[0]) == 123456).all()
    assert old.body.tobytes() not in everything(folder)
    matcher.close()


def test_a_gallery_deleted_under_a_search_answers_it_and_goes(folder):
    engine = SlowEngine(pause=0.4)
    matcher = LocalMatcher(folder, engines={"clear": engine}, allow_insecure_clear=True)
    gallery_id = matcher.create(spec()).gallery_id
    matcher.commit(gallery_id, [block(0, 1, 3), block(1, 1, 3)])
    answers = []
    reader = threading.Thread(target=lambda: answers.append(search(matcher, gallery_id)))
    reader.start()
    assert engine.halfway.wait(10)
    matcher.delete(gallery_id)
    with pytest.raises(NotFoundError):
        search(matcher, gallery_id)
    reader.join()
    assert (scores(answers[0]) == 3).all()
    assert list(folder.glob("*.tiles")) == []
    matcher.close()


def test_erased_bytes_are_in_no_file(folder, matcher):
    rng = np.random.default_rng(0)
    gallery_id = matcher.create(spec()).gallery_id

    def marked(block_id, version, mark):
        record = mark * int(rng.integers(1, 500)) + rng.bytes(int(rng.integers(0, 3000)))
        values = np.full((PARAMS.rows, PARAMS.width), int.from_bytes(mark[:3], "little") & 0xFFFFF, "<i4")
        return Block(block_id, version, b"", values.view(np.uint8).reshape(-1), record)

    for first in range(0, 200, 20):
        matcher.commit(gallery_id, [marked(i, 1, b"ERASED!!") for i in range(first, first + 20)])
    old = marked(0, 1, b"ERASED!!").body.tobytes()
    assert b"ERASED!!" in everything(folder)
    assert old in everything(folder)
    order = rng.permutation(200)
    for first in range(0, 200, 8):
        matcher.commit(gallery_id, [marked(int(i), 2, b"kept....") for i in order[first : first + 8]])
    left = everything(folder)
    assert b"ERASED!!" not in left
    assert old not in left
    assert b"kept...." in left
    matcher.delete(gallery_id)
    left = everything(folder)
    assert b"kept...." not in left
    assert b"sealed" not in left.replace(b"sealed BLOB", b"")  # the schema's own word
    assert list(folder.glob("*.tiles")) == []


def test_staged_galleries_are_nameless_until_activated(matcher):
    old = matcher.create(spec()).gallery_id
    matcher.commit(old, [block(0)])
    new = matcher.create(spec(staged=True)).gallery_id
    matcher.commit(new, [block(0, 1, 5)])
    assert [info.gallery_id for info in matcher.galleries()] == [old]
    with pytest.raises(DuplicateError):
        matcher.create(spec())
    with pytest.raises(ConflictError):
        matcher.activate(new, old, 0)
    with pytest.raises(ConflictError):
        matcher.activate(old, new, 1)
    other = matcher.create(spec("others")).gallery_id
    with pytest.raises(DuplicateError):
        matcher.activate(new, other, 0)
    assert len(matcher.galleries()) == 2
    info = matcher.activate(new, old, 1)
    assert (info.gallery_id, info.staged, info.name) == (new, False, "people")
    with pytest.raises(NotFoundError):
        matcher.info(old)
    with pytest.raises(NotFoundError):
        matcher.activate(new, old, 1)


def test_what_search_and_commit_refuse(matcher):
    gallery_id = matcher.create(spec()).gallery_id
    matcher.commit(gallery_id, [block(0)])
    with pytest.raises(KeyMismatchError):
        matcher.search(gallery_id, "another-key", PARAMS.params_id, unit_probe())
    with pytest.raises(ParamsMismatchError):
        matcher.search(gallery_id, KEY_ID, "clear-0000", unit_probe())
    with pytest.raises(MalformedError):
        matcher.search(gallery_id, KEY_ID, PARAMS.params_id, unit_probe()[:, :-4])
    with pytest.raises(TooLargeError):
        matcher.search(gallery_id, KEY_ID, PARAMS.params_id, np.repeat(unit_probe(), 257, axis=0))
    whole = block(1)
    for bad, error in (
        (Block(1, 1, b"head", whole.body, b""), MalformedError),
        (Block(1, 1, b"", whole.body[:-1], b""), MalformedError),
        (block(1, 1, fill=1 << 21), MalformedError),
        (Block(1 << 18, 1, b"", whole.body, b""), UsageError),
        (Block(1, 1, b"", whole.body, bytes((64 << 10) + 1)), TooLargeError),
    ):
        with pytest.raises(error):
            matcher.commit(gallery_id, [bad])
    for name in ("", "A", "a/b", "../x", "x" * 65, "ä", "a b", "a\n"):
        with pytest.raises(UsageError):
            matcher.create(spec(name))
    with pytest.raises(UsageError):
        matcher.create(spec("b", scheme="rot13"))
    with pytest.raises(MalformedError):
        matcher.create(replace(spec("b"), params={"width": "16", "rows": 2}))
    with pytest.raises(TooLargeError):
        matcher.create(spec("b", sealed=bytes(4097)))


def test_a_scheme_that_protects_nothing_is_refused_unless_asked_for(folder, matcher):
    gallery_id = matcher.create(spec()).gallery_id
    matcher.commit(gallery_id, [block(0)])
    matcher.close()
    careful = LocalMatcher(folder)
    with pytest.raises(RefusedError, match="insecure"):
        careful.create(spec("more"))
    with pytest.raises(RefusedError, match="insecure"):
        search(careful, gallery_id)
    with pytest.raises(RefusedError, match="insecure"):
        careful.commit(gallery_id, [block(1)])
    careful.delete(gallery_id)
    careful.close()


def test_limits_on_galleries_and_answers(folder):
    limits = Limits(galleries=2, answer_bytes=8 * PARAMS.rows)
    matcher = LocalMatcher(folder, engines=ENGINES, allow_insecure_clear=True, limits=limits)
    gallery_id = matcher.create(spec("a")).gallery_id
    matcher.create(spec("b"))
    with pytest.raises(RefusedError):
        matcher.create(spec("c"))
    matcher.commit(gallery_id, [block(0)])
    search(matcher, gallery_id)
    matcher.commit(gallery_id, [block(1)])
    with pytest.raises(TooLargeError):
        search(matcher, gallery_id)
    matcher.close()


@pytest.mark.parametrize("scar", ["flipped body", "truncated", "emptied"])
def test_damage_on_the_disk_is_named(folder, matcher, scar):
    gallery_id = matcher.create(spec()).gallery_id
    other = matcher.create(spec("others")).gallery_id
    matcher.commit(gallery_id, [block(i) for i in range(4)])
    matcher.commit(other, [block(0)])
    matcher.close()
    tiles = folder / f"{gallery_id}.tiles"
    data = bytearray(tiles.read_bytes())
    data[3 * PARAMS.body_bytes + 100] ^= 1
    tiles.write_bytes(
        {"flipped body": data, "truncated": data[: 3 * PARAMS.body_bytes + 50], "emptied": b""}[scar]
    )
    again = LocalMatcher(folder, allow_insecure_clear=True)
    lost = {"flipped body": [3], "truncated": [3], "emptied": [0, 1, 2, 3]}[scar]
    assert [(d.name, d.block_id) for d in again.verify()] == [("people", i) for i in lost]
    with pytest.raises(TamperedError, match="Block 3 of gallery people"):
        list(again.fetch(gallery_id, [3]))
    if scar == "truncated":
        assert same(next(again.fetch(gallery_id, [2])), block(2))
    if scar != "flipped body":
        with pytest.raises(TamperedError, match="people"):
            search(again, gallery_id)
        with pytest.raises(TamperedError, match="people"):
            again.commit(gallery_id, [block(9)])
    assert len(search(again, other).block_ids) == 1
    again.delete(gallery_id)
    again.close()


def test_a_damaged_record_is_found(folder, matcher):
    import sqlite3

    gallery_id = matcher.create(spec()).gallery_id
    matcher.commit(gallery_id, [block(0), block(1)])
    matcher.close()
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("UPDATE records SET record = x'00' WHERE key & 1")
    database.commit()
    database.close()
    again = LocalMatcher(folder, allow_insecure_clear=True)
    assert [d.block_id for d in again.verify()] == [1]
    again.close()


def test_a_folder_has_one_process(folder, matcher):
    with pytest.raises(UsageError, match="Another process"):
        LocalMatcher(folder)
    process = spawn(serving_code(folder))
    _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert told.startswith("usage: Another process")
    assert "Traceback" not in told
    gallery_id = matcher.create(spec()).gallery_id
    matcher.close()
    matcher.close()
    for call in (lambda: matcher.info(gallery_id), lambda: matcher.commit(gallery_id, [block(0)])):
        with pytest.raises(UnavailableError):
            call()
    LocalMatcher(folder).close()


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError):
        LocalMatcher(tmp_path / "file")
    lost = tmp_path / "lost"
    lost.mkdir()
    (lost / f"{'0' * 32}.tiles").write_bytes(b"precious")
    with pytest.raises(UsageError, match="catalog"):
        LocalMatcher(lost)
    assert (lost / f"{'0' * 32}.tiles").read_bytes() == b"precious"


def test_leftovers_of_a_crash_are_cleared_at_open(folder, matcher):
    gallery_id = matcher.create(spec()).gallery_id
    matcher.commit(gallery_id, [block(i) for i in range(3)])
    matcher.commit(gallery_id, [block(0, 2)])
    matcher.close()
    tiles = folder / f"{gallery_id}.tiles"
    with tiles.open("r+b") as file:
        file.write(b"\x01" * PARAMS.body_bytes)  # the slot that version 1 of block 0 was in
        file.seek(0, os.SEEK_END)
        file.write(b"\x01" * (2 * PARAMS.body_bytes + 10))  # a commit that did not come to its end
    (folder / f"{'1' * 32}.tiles").write_bytes(b"\x01" * 5000)
    assert stained_or_ragged(folder)
    LocalMatcher(folder).close()
    assert stained_slots(folder) == []
    assert orphans(folder) == set()


def test_a_deletion_that_was_cut_short_is_finished_at_open(folder, matcher):
    import sqlite3

    gallery_id = matcher.create(spec()).gallery_id
    kept = matcher.create(spec("kept")).gallery_id
    matcher.commit(gallery_id, [block(0, record=b"a record to be erased")])
    matcher.commit(kept, [block(0)])
    matcher.close()
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("UPDATE galleries SET doomed = 1 WHERE name = 'people'")
    database.commit()
    database.close()
    again = LocalMatcher(folder, allow_insecure_clear=True)
    assert [info.name for info in again.galleries()] == ["kept"]
    assert not (folder / f"{gallery_id}.tiles").exists()
    assert b"a record to be erased" not in everything(folder)
    with pytest.raises(NotFoundError):
        again.info(gallery_id)
    again.create(spec())
    again.close()


def stained_or_ragged(folder):
    try:
        return bool(stained_slots(folder))
    except AssertionError:
        return True


def test_stored_bytes_stay_close_to_the_blocks(matcher):
    gallery_id = matcher.create(spec(params=type(PARAMS)(128, 256))).gallery_id
    body = np.zeros(131072, dtype=np.uint8)
    for first in range(0, 128, 32):
        matcher.commit(gallery_id, [Block(i, 1, b"", body, bytes(2200)) for i in range(first, first + 32)])
    info = matcher.info(gallery_id)
    assert info.blocks == 128
    assert 131072 + 2200 < info.stored_bytes / info.blocks < 1.06 * (131072 + 2200)


def test_a_file_can_be_mapped_while_it_grows(tmp_path):
    """A search takes its view at any moment of a commit that makes room."""
    tiles = TileFile(tmp_path / "tiles", 4096)
    ended = threading.Event()

    def grow():
        for slots in range(1, 1500):
            tiles.reserve(slots)
        ended.set()

    thread = threading.Thread(target=grow)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        while not ended.is_set():
            seen = tiles.capacity
            assert len(tiles.view()) >= seen
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert tiles.view().shape == (tiles.capacity, 4096)
    tiles.close()
