"""Two clients of one gallery: with one key each, or with one vault between them."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import (
    ConflictError,
    DuplicateError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from blindsight.core.types import Embedding
from blindsight.trusted.deciding import Policy
from blindsight.trusted.gallery import Gallery
from blindsight.trusted.index import EncryptedIndex
from blindsight.trusted.sealing import unpack
from blindsight.trusted.vault import Vault
from lying import Between, once_after
from servers import server

D = 16


def vectors(count, seed=0):
    made = np.random.default_rng(seed).normal(size=(count, D))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def face(vector):
    return Embedding(np.asarray(vector, np.float32), "model")


def photo(number):
    return int(number).to_bytes(32, "big")


@pytest.fixture
def gallery(vault, matcher):
    return Gallery.create(
        vault, "people", model_id="model", dimension=D, metric="cosine", threshold=0.9, matcher=matcher
    )


def twin(path, unlock, matcher):
    """The same vault in another process, as far as it matters here: its own connection and session."""
    return Gallery.open(Vault.open(path, unlock), "people", matcher=matcher)


def who(gallery, vectors):
    return [d.subject for d in gallery.identify([face(v) for v in np.atleast_2d(vectors)])]


# -- two clients, each with its own memory -------------------------------------------------------------


def two(index, tmp_path, unlock, matcher):
    index.save(tmp_path / "keys", key_file=unlock.key_file, include_blocks=False)
    return EncryptedIndex.load(tmp_path / "keys", key_file=unlock.key_file, matcher=matcher)


@pytest.mark.parametrize("remote", [False, True])
def test_changes_of_both_clients_converge(remote, tmp_path, unlock, matcher):
    with contextlib.ExitStack() as stack:
        if remote:
            running = stack.enter_context(server(tmp_path / "served"))
            matchers = [stack.enter_context(contextlib.closing(running.client())) for _ in range(2)]
        else:
            matchers = [matcher, matcher]
        one = EncryptedIndex(D, matcher=matchers[0])
        clients = [one, two(one, tmp_path, unlock, matchers[1])]
        random, model = np.random.default_rng(12), {}
        data = vectors(3000, 12)
        following = 0
        for _ in range(25 if remote else 60):
            client = clients[random.integers(2)]
            if random.random() < 0.55 or not model:
                count = int(random.choice([1, 3, 200, 300]))
                if following + count > len(data):
                    continue
                ids = np.arange(following, following + count)
                client.add(ids, data[ids])
                model |= {int(i): data[i] for i in ids}
                following += count
            else:
                some = random.permutation(sorted(model))[: random.choice([1, 5, 150])].tolist()
                client.remove(some)
                for i in some:
                    del model[i]
            if random.random() < 0.3 and model:
                probe = int(random.choice(sorted(model)))
                assert [c.search(data[probe], 1).ids[0, 0] for c in clients] == [probe, probe]
        for client in clients:
            client._session.sync()
            assert len(client) == len(model)
            assert all(i in client for i in model)
        states = [client._session.states for client in clients]
        assert {n: s.digest for n, s in states[0].items()} == {n: s.digest for n, s in states[1].items()}
        ids = np.array(sorted(model))
        for client in clients:
            assert (client.search(data[ids[::7]], 1).ids[:, 0] == ids[::7]).all()


def test_an_identifier_is_taken_for_both(tmp_path, unlock, matcher):
    one = EncryptedIndex(D, matcher=matcher)
    data = vectors(4)
    one.add([1], data[0])
    other = two(one, tmp_path, unlock, matcher)
    one.add(np.arange(1000, 1300), vectors(300, 5))  # its block is full, and the next has room
    one.add([2], data[1])
    with pytest.raises(DuplicateError):
        other.add([2], data[2])
    other.remove([2])
    with pytest.raises(NotFoundError):
        one.remove([2])
    one.add([2], data[2])
    assert other.search(data[2], 1).ids[0, 0] == 2


def test_an_identifier_that_both_stored_at_once_is_removed_twice(tmp_path, unlock, matcher):
    """They cannot know of each other; whoever removes it removes both templates."""
    between = Between(matcher)
    one = EncryptedIndex(D, matcher=between)
    data = vectors(2)
    one.add(np.arange(1000, 1200), vectors(200, 3))  # leaves room for one, and not for a hundred
    other = two(one, tmp_path, unlock, matcher)

    def meanwhile(method, when):
        if (method, when) == ("commit", "before"):
            between.fails = lambda method, when: None
            other.add([7, *range(3000, 3099)], np.concatenate([data[1:], vectors(99, 5)]))

    between.fails = meanwhile
    one.add([7], data[0])
    one._session.sync()
    assert [7 in one._session.states[number].ids for number in (0, 1)] == [True, True]
    one.remove([7])
    assert not any(7 in state.ids for state in one._session.states.values())
    assert 7 not in other.search(data, 5).ids
    assert 7 not in other


@pytest.mark.parametrize("action", ["add", "remove"])
def test_one_that_was_faster_is_read_and_the_change_is_made(action, tmp_path, unlock, matcher):
    between = Between(matcher)
    one = EncryptedIndex(D, matcher=between)
    data = vectors(6)
    one.add(np.arange(3), data[:3])
    other = two(one, tmp_path, unlock, matcher)
    raced = []

    def meanwhile(method, when):
        if (method, when) == ("commit", "before") and len(raced) < 2:
            raced.append(other.remove([0]) if not raced else other.add([10], data[5]))

    between.fails = meanwhile
    if action == "add":
        one.add([3, 4], data[3:5])
    else:
        one.remove([1])
    assert len(raced) == 2
    found = {5: 10, 2: 2} | ({3: 3, 4: 4, 1: 1} if action == "add" else {})
    for client in (one, other):
        for row, identifier in found.items():
            assert client.search(data[row], 1).ids[0, 0] == identifier
        assert len(client) == len(found)


def test_a_search_waits_for_what_happens_while_it_reads(tmp_path, unlock, matcher):
    """A block that changes again between the list of changes and its coming is no damage."""
    between = Between(matcher)
    one = EncryptedIndex(D, matcher=matcher)
    data = vectors(5)
    one.add(np.arange(5), data)
    behind = two(one, tmp_path, unlock, between)
    one.remove([0])

    def meanwhile(method, when):
        if (method, when) == ("fetch", "before"):
            between.fails = lambda method, when: None
            one.remove([1])

    between.fails = meanwhile
    assert behind.search(data[2], 1).ids[0, 0] == 2
    assert sorted(behind.search(data[2], 5).ids[0].tolist()) == [-1, -1, 2, 3, 4]


# -- two sessions over one vault -----------------------------------------------------------------------


def stored(vault):
    place, fields = vault.find("people")
    return fields, {number: unpack(data)["version"] for number, data in vault.blocks(place)}


def consistent(vault, matcher):
    """The vault says of every block what the server has, up to the revision that it names."""
    fields, versions = stored(vault)
    known = {info.block_id: info for info in matcher.changes(fields["gallery_id"], 0).blocks}
    reached = {n: info.version for n, info in known.items() if info.changed <= fields["revision"]}
    return all(versions.get(number) == version for number, version in reached.items())


def test_a_slower_session_does_not_set_the_vault_back(gallery, quick_path, unlock, matcher, vault):
    """One has read a block, the other changes it, then the first writes down what it read."""
    data = vectors(300)
    gallery.enroll([(f"s{i}", face(v), photo(i)) for i, v in enumerate(data[:3])])
    slow = twin(quick_path / "vault", unlock, matcher)
    old, revision = slow.session.states[0], slow.session.identity.revision
    gallery.erase("s0")
    gallery.enroll([("s4", face(data[4]), photo(4))])
    slow.session._adopt({0: old}, revision)
    assert consistent(vault, matcher)
    assert stored(vault)[0]["revision"] == gallery.session.identity.revision
    gallery.enroll([("s5", face(data[5]), photo(5))])
    fresh = twin(quick_path / "vault", unlock, matcher)
    between = Between(matcher)
    fresh.session.matcher = between
    assert who(fresh, data[[1, 4, 5, 0]]) == ["s1", "s4", "s5", None]
    assert between.calls == ["search"]  # the vault was right, nothing had to be read


def test_sessions_over_one_vault_leave_it_consistent(gallery, quick_path, unlock, matcher, vault):
    random, data = np.random.default_rng(4), vectors(400, 4)
    sessions = [gallery, twin(quick_path / "vault", unlock, matcher)]
    present, following = [], 0
    for step in range(40):
        client = sessions[random.integers(2)]
        if random.random() < 0.6 or len(present) < 2:
            count = int(random.choice([1, 40]))
            if following + count > len(data):
                continue
            client.enroll([(f"s{i}", face(data[i]), photo(i)) for i in range(following, following + count)])
            present += range(following, following + count)
            following += count
        else:
            client.erase(f"s{present.pop(int(random.integers(len(present))))}")
        assert consistent(vault, matcher), step
    fresh = twin(quick_path / "vault", unlock, matcher)
    assert {s.name for s in fresh.subjects()} <= {f"s{i}" for i in range(following)}
    assert who(fresh, data[present]) == [f"s{i}" for i in present]
    assert {s.name for s in fresh.subjects()} == {f"s{i}" for i in present}


def test_a_rotation_by_another_process_is_never_undone(gallery, quick_path, unlock, matcher, vault):
    """An old session that writes, spends or changes the policy must not bring the old key back."""
    data = vectors(3)
    gallery.enroll([(f"s{i}", face(v), photo(i)) for i, v in enumerate(data)])
    old = twin(quick_path / "vault", unlock, matcher)
    state = old.session.states[0]
    gallery.rotate()
    fields = stored(vault)[0]
    with pytest.raises(ConflictError):
        old.session._adopt({0: state}, 99)
    for attempt in (lambda: who(old, data[0]), lambda: old.erase("s0"), old.rotate,
                    lambda: old.enroll([("x", face(data[0]), photo(9))])):  # fmt: skip
        with pytest.raises(NotFoundError):
            attempt()
    old.set_policy(Policy(0.8, daily_probes=5))
    with pytest.raises(NotFoundError):
        who(old, data[0])
    after = stored(vault)[0]
    assert (after["secret"], after["gallery_id"]) == (fields["secret"], fields["gallery_id"])
    assert after["policy"]["threshold"] == 0.8
    assert who(twin(quick_path / "vault", unlock, matcher), data) == ["s0", "s1", "s2"]


def test_spending_and_rotating_at_once_keeps_the_new_key(gallery, quick_path, unlock, matcher, vault):
    """The budget is written between another process's reading and writing of the same record."""
    data = vectors(2)
    gallery.enroll([("a", face(data[0]), photo(0))])
    gallery.set_policy(Policy(0.9, daily_probes=100))
    old = twin(quick_path / "vault", unlock, matcher)
    reading = old._vault.gallery

    def slowly(place):
        fields = reading(place)
        if not old._vault._connection.in_transaction:  # nobody can come between inside of one
            gallery.rotate()
            gallery._rotated = True
        return fields

    old._vault.gallery = slowly
    old.charge(1)
    old._vault.gallery = reading
    assert stored(vault)[0]["gallery_id"] == gallery.session.identity.gallery_id
    assert who(twin(quick_path / "vault", unlock, matcher), data[0]) == ["a"]


def test_two_processes_share_one_budget(gallery, quick_path, unlock, matcher):
    data = vectors(1)
    gallery.enroll([("a", face(data[0]), photo(0))])
    gallery.set_policy(Policy(0.9, daily_probes=5))
    other = twin(quick_path / "vault", unlock, matcher)
    assert who(gallery, np.repeat(data, 2, axis=0)) == ["a", "a"]
    assert who(other, np.repeat(data, 2, axis=0)) == ["a", "a"]
    for client in (gallery, other):
        with pytest.raises(RefusedError):
            who(client, np.repeat(data, 2, axis=0))
    assert who(other, data) == ["a"]
    with pytest.raises(RefusedError):
        who(gallery, data)


# -- what was lost here, and comes back -----------------------------------------------------------------


@pytest.mark.parametrize("lost", ["DELETE FROM blocks", "DELETE FROM blocks WHERE block_id = 1"])
@pytest.mark.parametrize("how", ["rebuild", "search", "enroll", "erase"])
def test_lost_hints_are_made_anew(gallery, quick_path, unlock, matcher, vault, lost, how):
    data = vectors(400)
    gallery.enroll([(f"s{i}", face(v), photo(i)) for i, v in enumerate(data)])
    with contextlib.closing(sqlite3.connect(quick_path / "vault")) as database, database:
        database.execute(lost)
    fresh = twin(quick_path / "vault", unlock, matcher)
    assert len(fresh) < 400
    if how == "rebuild":
        assert fresh.rebuild() == 2
    elif how == "enroll":
        fresh.enroll([("new", face(-data[0]), photo(999))])
        fresh.erase("new")
    elif how == "erase":
        fresh.rebuild()
        fresh.erase("s399")
        fresh.enroll([("s399", face(data[399]), photo(399))])
    assert who(fresh, data[::9]) == [f"s{i}" for i in range(0, 400, 9)]
    assert len(fresh.subjects()) == 400
    assert who(twin(quick_path / "vault", unlock, matcher), data[::9]) == [f"s{i}" for i in range(0, 400, 9)]


def test_a_vault_from_a_backup_catches_up(gallery, quick_path, unlock, matcher, vault):
    data = vectors(3)
    gallery.enroll([("a", face(data[0]), photo(0))])
    backup = (quick_path / "vault").read_bytes()
    gallery.enroll([("b", face(data[1]), photo(1))])
    gallery.erase("a")
    (quick_path / "restored").write_bytes(backup)
    restored = twin(quick_path / "restored", unlock, matcher)
    assert who(restored, data) == [None, "b", None]
    assert [s.name for s in restored.subjects()] == ["b"]


def test_one_row_of_an_older_vault_does_not_mislead(gallery, quick_path, unlock, matcher, vault):
    """An old record of a block authenticates in its place; the answer gives it away."""
    data = vectors(3)
    gallery.enroll([("a", face(data[0]), photo(0))])
    with contextlib.closing(sqlite3.connect(quick_path / "vault")) as database:
        (old,) = database.execute("SELECT sealed FROM blocks").fetchone()
    gallery.erase("a")
    gallery.enroll([("b", face(data[1]), photo(1))])
    with contextlib.closing(sqlite3.connect(quick_path / "vault")) as database, database:
        database.execute("UPDATE blocks SET sealed = ?", (old,))
    fresh = twin(quick_path / "vault", unlock, matcher)
    assert [s.name for s in fresh.subjects()] == ["a"]
    assert who(fresh, data) == [None, "b", None]


@pytest.mark.parametrize("action", ["enroll", "erase"])
def test_a_client_that_died_before_writing_down_what_was_acknowledged(
    gallery, quick_path, unlock, matcher, action
):
    data = vectors(4)
    gallery.enroll([("a", face(data[0]), photo(0)), ("b", face(data[1]), photo(1))])
    between = Between(matcher)
    dying = Gallery.open(Vault.open(quick_path / "vault", unlock), "people", matcher=between)
    between.fails = once_after("commit")
    with pytest.raises(UnavailableError):
        dying.enroll([("c", face(data[2]), photo(2))]) if action == "enroll" else dying.erase("a")
    expected = ["a", "b", "c"] if action == "enroll" else [None, "b", None]
    for client in (twin(quick_path / "vault", unlock, matcher), dying, gallery):
        assert who(client, data[:3]) == expected
    assert {s.name for s in dying.subjects()} == {name for name in expected if name}
    gallery.enroll([("d", face(data[3]), photo(3))])
    assert who(dying, data) == [*expected, "d"]


def test_a_commit_with_the_vault_failing_is_found_again(
    gallery, quick_path, unlock, matcher, vault, monkeypatch
):
    """The server has acknowledged, and the vault's disk is full."""
    data = vectors(2)
    real = gallery.session._ledger.write

    def full(identity, blocks):
        monkeypatch.setattr(gallery.session._ledger, "write", real)
        raise UnavailableError("full")

    monkeypatch.setattr(gallery.session._ledger, "write", full)
    with pytest.raises(UnavailableError):
        gallery.enroll([("a", face(data[0]), photo(0))])
    assert who(gallery, data[0]) == ["a"]
    assert consistent(vault, matcher)


def test_a_restored_gallery_is_a_second_client(gallery, tmp_path, unlock, matcher):
    data = vectors(6)
    gallery.enroll([(f"s{i}", face(v), photo(i)) for i, v in enumerate(data[:2])])
    gallery.export(tmp_path / "keys", unlock, keys_only=True)
    other_vault = Vault.create(tmp_path / "vault 2", unlock)
    served = {"matcher": matcher}
    with pytest.MonkeyPatch.context() as patch:  # the same matcher, which only one process may open
        patch.setattr("blindsight.trusted.gallery.connect", lambda *_, **__: served["matcher"])
        place, fields = gallery._vault.find("people")
        gallery._vault.update(place, fields | {"matcher": "somewhere"}, {})
        gallery.export(tmp_path / "keys", unlock, keys_only=True)
        other = Gallery.restore(other_vault, tmp_path / "keys", unlock, name="copy")
    assert isinstance(matcher, LocalMatcher)
    other.enroll([("s2", face(data[2]), photo(2))])
    gallery.erase("s0")
    gallery.enroll([("s3", face(data[3]), photo(3))])
    other.erase("s1")
    for client in (gallery, other):
        assert who(client, data) == [None, None, "s2", "s3", None, None]
    assert other.name == "copy"
    assert replace(other.session.identity, name="people").gallery_id == gallery.session.identity.gallery_id
