"""Servers that cheat or break: a typed error, nothing harmed, and all well when they behave again."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import (
    ConflictError,
    KeyMismatchError,
    MalformedError,
    MismatchError,
    ParamsMismatchError,
    RollbackError,
    TamperedError,
    UnavailableError,
)
from blindsight.core.matching import Answer, Block, Changes
from blindsight.core.secrets import Secret
from blindsight.core.types import frozen
from blindsight.trusted.identity import recover
from blindsight.trusted.index import EncryptedIndex
from blindsight.trusted.ledger import MemoryLedger
from blindsight.trusted.schemes import encoding_for, key_holder
from blindsight.trusted.session import Session
from lying import Between, once_after

D = 16
COUNT = 700  # three blocks
CAUGHT = (TamperedError, MalformedError)  # RollbackError is a TamperedError


def vectors(count, seed=0):
    made = np.random.default_rng(seed).normal(size=(count, D))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


DATA = vectors(COUNT)


@pytest.fixture
def between(matcher):
    return Between(matcher)


@pytest.fixture(params=["approximate", "exact"])
def index(between, request):
    made = EncryptedIndex(D, precision=request.param, matcher=between)
    made.add(np.arange(COUNT), DATA)
    return made


def well(index, count=COUNT):
    """Everything is there, and can be changed."""
    some = np.arange(0, count, 13)
    assert (index.search(DATA[some], 1).ids[:, 0] == some).all()
    index.add([9999], -DATA[0])
    index.remove([9999])
    assert len(index) == count


def second(between, index):
    """Another client of the same gallery that knows nothing of its blocks."""
    key = index._session.identity.secret
    return Session(recover(between, index._session.identity.gallery_id, key), between, MemoryLedger())


# -- answers -----------------------------------------------------------------------------------------


def noisy(scores, block):
    changed = np.array(scores)
    changed[:, block] = np.random.default_rng(0).integers(0, 256, changed[:, block].shape, np.uint8)
    return changed


ANSWERS = {
    "an unlikely score": lambda a: replace(a, scores=np.full_like(a.scores, 0x7F)),
    "noise for one block": lambda a: replace(a, scores=noisy(a.scores, 2)),
    "blocks exchanged": lambda a: replace(a, scores=np.ascontiguousarray(a.scores[:, ::-1])),
    "a block fewer": lambda a: replace(a, scores=a.scores[:, 1:], block_ids=a.block_ids[1:]),
    "no blocks": lambda a: replace(a, scores=a.scores[:, :0], block_ids=a.block_ids[:0]),
    "a block twice": lambda a: replace(a, block_ids=a.block_ids[[0, 0, 2]]),
    "other names of blocks": lambda a: replace(a, block_ids=a.block_ids + 1),
    "fewer scores than it says": lambda a: replace(a, scores=a.scores[:, :2]),
    "cut scores": lambda a: replace(a, scores=np.ascontiguousarray(a.scores[:, :, :-4])),
    "scores of one probe": lambda a: replace(a, scores=a.scores[:1]),
    "an older revision": lambda a: replace(a, revision=a.revision - 1),
}  # fmt: skip


@pytest.mark.parametrize("lie", ANSWERS)
def test_answers_that_cannot_be_are_noticed(index, between, lie):
    between.lies["search"] = lambda answer, *_: ANSWERS[lie](answer)
    with pytest.raises(CAUGHT):
        index.search(DATA[:2])
    between.lies.clear()
    well(index)


def test_a_revision_that_does_not_exist_is_no_answer(index, between):
    between.lies["search"] = lambda answer, *_: replace(answer, revision=answer.revision + 1)
    with pytest.raises(ConflictError):
        index.search(DATA[:2])
    between.lies.clear()
    well(index)


def test_an_answer_from_an_older_state_is_noticed(index, between, tmp_path):
    """The server goes on with a stale copy for searches, and says that it is the present one."""
    kept = {}
    between.lies["search"] = lambda answer, *_: kept.setdefault("old", answer)
    index.search(DATA[0])
    index.remove([3])
    revision = index._session.identity.revision
    between.lies["search"] = lambda answer, *_: replace(kept["old"], revision=revision)
    with pytest.raises(TamperedError):
        index.search(DATA[0])
    between.lies.clear()
    assert 3 not in index.search(DATA[3], 5).ids


def test_a_search_never_tells_more_after_a_bad_answer(index, between):
    """What goes to the server when an answer cannot be: the same bytes again at most, never scores."""
    sent = []
    between.lies["search"] = lambda answer, g, k, p, probes: (
        sent.append(probes.tobytes()), replace(answer, scores=np.full_like(answer.scores, 0x7F)),
    )[1]  # fmt: skip
    with pytest.raises(TamperedError):
        index.search(DATA[0])
    assert len(set(sent)) == 1


# -- blocks ------------------------------------------------------------------------------------------


def one(change, number=1):
    return lambda blocks, *_: [change(b) if b.block_id == number else b for b in blocks]


def bit(data, at):
    changed = np.array(np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data)
    changed[at] ^= 1
    return changed.tobytes() if isinstance(data, bytes) else frozen(changed)


BLOCKS = {
    "a bit of the head": one(lambda b: replace(b, head=bit(b.head, 3))),
    "a bit of the body": one(lambda b: replace(b, body=bit(b.body, 4000))),
    "the last bit of the body": one(lambda b: replace(b, body=bit(b.body, -1))),
    "a bit of the record": one(lambda b: replace(b, record=bit(b.record, 40))),
    "no record": one(lambda b: replace(b, record=b"")),
    "a cut body": one(lambda b: replace(b, body=b.body[:-4])),
    "no head": one(lambda b: replace(b, head=b"")),
    "an older version": one(lambda b: replace(b, version=b.version - 1)),
    "blocks under each other's numbers": lambda blocks, *_: [
        replace(b, block_id=a.block_id) for a, b in zip(blocks, blocks[::-1], strict=True)
    ],
    "another order": lambda blocks, *_: blocks[::-1],
    "a block fewer": lambda blocks, *_: blocks[1:],
    "a block more": lambda blocks, *_: [*blocks, blocks[0]],
    "nothing": lambda blocks, *_: [],
}


@pytest.mark.parametrize("lie", BLOCKS)
def test_blocks_that_are_not_ours_are_noticed_by_a_new_client(index, between, lie, tmp_path, unlock):
    fresh = second(between, index)
    between.lies["fetch"] = BLOCKS[lie]
    with pytest.raises(CAUGHT):
        fresh.sync()
    assert len(fresh) == 0
    between.lies.clear()
    assert fresh.sync() == 3
    assert len(fresh) == COUNT


@pytest.mark.parametrize("index", ["approximate"], indirect=True)
@pytest.mark.parametrize("lie", BLOCKS)
@pytest.mark.parametrize("change", ["remove", "add", "rotate", "save", "rebuild"])
def test_blocks_that_are_not_ours_stop_every_change(index, between, lie, change, tmp_path, unlock):
    if change == "add":  # needs room in every block
        index.remove(np.arange(0, COUNT, 2))
    before, revision = index._session.identity, between.info(index._session.identity.gallery_id).revision
    between.lies["fetch"] = BLOCKS[lie]
    with pytest.raises(CAUGHT):
        {
            "remove": lambda: index.remove([1, 301, 601]),
            "add": lambda: index.add(np.arange(5000, 5600), vectors(600, 1)),
            "rotate": index.rotate,
            "save": lambda: index.save(tmp_path / "saved", key_file=unlock.key_file),
            "rebuild": index._session.rebuild,
        }[change]()
    between.lies.clear()
    assert index._session.identity == before
    assert between.info(before.gallery_id).revision == revision
    assert between.inner.totals()[:2] == (1, 0)
    assert not (tmp_path / "saved").exists()
    if change == "add":
        assert (index.search(DATA[1::2], 1).ids[:, 0] == np.arange(1, COUNT, 2)).all()
    else:
        well(index)


def test_a_record_from_the_same_block_of_another_version_is_noticed(index, between, tmp_path, unlock):
    gallery = index._session.identity.gallery_id
    old = next(iter(between.inner.fetch(gallery, [0])))
    index.remove([0])
    fresh = second(between, index)
    digests = {}

    def lie(blocks, *_):
        return [replace(old, version=b.version) if b.block_id == 0 else b for b in blocks]

    def announce(changes, *_):
        digests[0] = replace(old, version=2).digest()
        return replace(changes, blocks=tuple(
            replace(info, digest=digests[0]) if info.block_id == 0 else info for info in changes.blocks
        ))  # fmt: skip

    between.lies |= {"fetch": lie, "changes": announce}
    with pytest.raises(TamperedError):
        fresh.sync()
    between.lies.clear()
    fresh.sync()
    assert 0 not in fresh


def test_a_block_of_another_gallery_under_the_same_key_is_noticed(index, between, tmp_path, unlock):
    """A restored copy has the same key, and still its blocks do not pass as the first one's."""
    index.save(tmp_path / "saved", key_file=unlock.key_file)
    copy = EncryptedIndex.load(tmp_path / "saved", key_file=unlock.key_file, matcher=between)
    assert copy._session.key_id == index._session.key_id
    foreign = list(between.inner.fetch(copy._session.identity.gallery_id, [0, 1, 2]))
    fresh = second(between, index)
    infos = {b.block_id: b for b in foreign}
    between.lies["fetch"] = lambda blocks, *_: [infos[b.block_id] for b in blocks]
    between.lies["changes"] = lambda changes, *_: replace(changes, blocks=tuple(
        replace(info, digest=infos[info.block_id].digest()) for info in changes.blocks
    ))  # fmt: skip
    with pytest.raises(TamperedError):
        fresh.sync()


# -- lists of changes --------------------------------------------------------------------------------


def announced(change):
    return lambda changes, *_: replace(changes, blocks=tuple(change(info) for info in changes.blocks))


CHANGES = {
    "an older revision": lambda c, *_: replace(c, revision=c.revision - 1),
    "a revision that nothing has": lambda c, *_: replace(c, revision=c.revision + 5),
    "no blocks": lambda c, *_: replace(c, blocks=()),
    "older versions": announced(lambda i: replace(i, version=i.version - 1)),
    "newer versions": announced(lambda i: replace(i, version=i.version + 1)),
    "other digests": announced(lambda i: replace(i, digest=bytes(32))),
}


@pytest.mark.parametrize("lie", CHANGES)
def test_lists_of_changes_that_cannot_be_are_noticed(index, between, lie, tmp_path, unlock):
    index.save(tmp_path / "keys", key_file=unlock.key_file, include_blocks=False)
    behind = EncryptedIndex.load(tmp_path / "keys", key_file=unlock.key_file, matcher=between)
    index.remove([0, 300, 600])
    before = behind._session.identity
    between.lies["changes"] = CHANGES[lie]
    with pytest.raises(CAUGHT):
        behind._session.sync()
    assert behind._session.identity == before
    between.lies.clear()
    assert behind._session.sync() == 3
    assert len(behind) == COUNT - 3


def test_a_change_that_the_server_kept_to_itself_comes_to_light(index, between, tmp_path, unlock):
    """It names the newest revision and leaves out a block that led to it."""
    index.save(tmp_path / "keys", key_file=unlock.key_file, include_blocks=False)
    behind = EncryptedIndex.load(tmp_path / "keys", key_file=unlock.key_file, matcher=between)
    index.remove([0])
    index.remove([300])
    between.lies["changes"] = lambda changes, *_: Changes(
        changes.revision, tuple(info for info in changes.blocks if info.block_id)
    )
    behind._session.sync()
    with pytest.raises(TamperedError):
        behind.search(DATA[0])
    between.lies.clear()
    assert 0 not in behind.search(DATA[0], 5).ids
    assert 0 not in behind


def test_a_server_that_is_set_back_is_noticed(tmp_path, unlock):
    """Its folder comes from a backup: everything that depends on it stops, nothing is lost here."""
    folder, backup = tmp_path / "matcher", tmp_path / "backup"
    with EncryptedIndex(D, matcher=folder) as index:
        index.add(np.arange(COUNT), DATA)
        index.save(tmp_path / "before", key_file=unlock.key_file, include_blocks=False)
    shutil.copytree(folder, backup)
    load = lambda name: EncryptedIndex.load(tmp_path / name, key_file=unlock.key_file, matcher=folder)  # noqa: E731
    with load("before") as index:
        index.remove([5])
        index.save(tmp_path / "after", key_file=unlock.key_file, include_blocks=False)
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)
    with pytest.raises(RollbackError):
        load("after")
    with load("before") as other:  # an honest client that never saw the later state goes on
        other.remove([6])
        other.remove([300])
    with load("after") as index, pytest.raises(RollbackError):
        index.search(DATA[0])  # the numbers have caught up, the contents have not


def test_a_server_that_is_set_back_under_a_running_client(matcher, tmp_path):
    between = Between(matcher)
    index = EncryptedIndex(D, matcher=between)
    index.add(np.arange(COUNT), DATA)
    gallery = index._session.identity.gallery_id
    older = list(matcher.fetch(gallery, [0, 1, 2])), matcher.changes(gallery, 0)
    index.remove([0])
    revision = index._session.identity.revision
    between.lies["changes"] = lambda *_: older[1]
    between.lies["fetch"] = lambda blocks, *_: [older[0][b.block_id] for b in blocks]
    for attempt in (lambda: index.remove([1]), index.rotate, lambda: index.add([9999], DATA[1])):
        with pytest.raises(RollbackError):
            attempt()
    between.lies.pop("changes")
    for attempt in (lambda: index.remove([1]), index.rotate):
        with pytest.raises(RollbackError):
            attempt()
    between.lies.clear()
    assert index._session.identity.revision == revision
    assert 0 not in index
    assert index.search(DATA[1], 1).ids[0, 0] == 1


# -- commits -----------------------------------------------------------------------------------------


def test_a_commit_that_was_only_claimed_is_noticed(index, between):
    real = between.inner.commit
    between.inner.commit = lambda gallery, blocks: index._session.identity.revision + 1
    index.remove([0])  # cannot know yet
    del between.inner.commit
    assert between.inner.commit == real
    with pytest.raises(RollbackError):
        index.search(DATA[0])
    with pytest.raises(RollbackError):
        index.remove([1])


@pytest.mark.parametrize("offset", [-5, 0, 7, 10**9])
def test_a_wrong_revision_for_a_commit_does_no_harm(index, between, offset):
    between.lies["commit"] = lambda revision, *_: revision + offset
    index.remove([COUNT - 1])
    between.lies.clear()
    assert index._session.identity.revision <= between.info(index._session.identity.gallery_id).revision
    well(index, COUNT - 1)


def test_a_conflict_that_stays_is_an_error_and_changes_nothing(index, between):
    def conflict(method, when):
        if (method, when) == ("commit", "before"):
            raise ConflictError("Somebody else.")

    between.fails = conflict
    for attempt in (lambda: index.remove([1]), lambda: index.add([9999], DATA[0])):
        between.calls.clear()
        with pytest.raises(ConflictError):
            attempt()
        assert between.calls.count("commit") == 3
    between.fails = lambda method, when: None
    assert 1 in index
    assert 9999 not in index
    well(index)


# -- acknowledgements that got lost --------------------------------------------------------------------


def test_a_change_whose_acknowledgement_was_lost_is_found(index, between):
    between.fails = once_after("commit")
    with pytest.raises(UnavailableError):
        index.remove([1])
    assert index.search(DATA[1], 1).ids[0, 0] != 1
    assert 1 not in index
    between.fails = once_after("commit")
    with pytest.raises(UnavailableError):
        index.add([1], DATA[1])
    index.add([9999], -DATA[1])
    assert index.search(DATA[1], 1).ids[0, 0] == 1
    index.remove([9999])
    well(index)


# -- keys and parameters of others ---------------------------------------------------------------------


def test_another_key_opens_and_searches_nothing(index, between):
    identity = replace(index._session.identity, secret=Secret.fresh())
    stranger = Session(identity, between, MemoryLedger())
    with pytest.raises(TamperedError):
        stranger.rebuild()
    with pytest.raises(KeyMismatchError):
        stranger.scores(identity.encoding.probes(DATA[0]))
    with pytest.raises(MismatchError):
        recover(between, identity.gallery_id, Secret.fresh())
    assert len(stranger) == 0


def test_other_parameters_are_refused(index, between):
    wider = EncryptedIndex(D + 1, matcher=between)._session.identity
    identity = replace(index._session.identity, params=wider.params, encoding=wider.encoding)
    stranger = Session(identity, between, MemoryLedger())
    with pytest.raises(ParamsMismatchError):
        stranger.scores(wider.encoding.probes(np.ones(D + 1)))
    with pytest.raises(MismatchError):
        stranger.scores(encoding_for(D, "inner_product", 1.0, "exact").probes(DATA[0]))
    with pytest.raises(MalformedError):
        stranger.rebuild()


def test_the_key_alone_brings_a_gallery_back(index, between):
    identity = index._session.identity
    alone = Session(recover(between, identity.gallery_id, identity.secret), between, MemoryLedger())
    assert alone.identity.encoding == identity.encoding
    alone.sync()
    probes = identity.encoding.probes(DATA[:2])
    ours, theirs = index._session.scores(probes), alone.scores(probes)
    assert (ours.ids == theirs.ids).all()
    known = ours.ids != -1
    assert np.allclose(ours.raw[:, known] / 2**20, theirs.raw[:, known] / 2**20, atol=20)


def test_sessions_show_nothing_secret(index):
    session = index._session
    probes = session.identity.encoding.probes(DATA[0])
    hint = session.states[0].hint
    for value in (session, session.identity, session.states[0], session._key, session._seal,
                  session.scores(probes), session._prepared()):  # fmt: skip
        shown = repr(value) + str(value)
        assert "array" not in shown
        assert str(hint[:3])[1:-1] not in shown
    assert "redacted" in repr(session.identity)
    holder = key_holder("lattice", session.identity.params, session.identity.secret)
    assert "redacted" in repr(holder._key)


def test_the_matcher_gets_nothing_but_blocks_and_probes(index, between):
    """Every argument that ever goes to a server is of a kind that may travel."""
    seen = []
    original = Between.__getattr__

    def spy(self, method):
        call = original(self, method)
        return lambda *arguments: (seen.append((method, arguments)), call(*arguments))[1]

    between.__class__ = type("Spy", (Between,), {"__getattr__": spy})
    index.search(DATA[:2])
    index.remove([1])
    assert {method for method, _ in seen} == {"search", "changes", "fetch", "commit"}
    for method, arguments in seen:
        for value in arguments[1:]:
            if method == "commit":
                assert all(type(block) is Block for block in value)
                assert all(len(block.record) % 512 == 28 for block in value)
            elif method == "search" and not isinstance(value, str):
                assert value.dtype == np.uint8
    assert isinstance(between.inner, LocalMatcher)
    assert Answer.__slots__ == ("revision", "block_ids", "scores", "server_ms")
