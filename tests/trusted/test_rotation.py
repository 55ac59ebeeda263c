"""Rotation of keys, cut off at every step: old or new, whole, and never in between."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import (
    ConflictError,
    KeyMismatchError,
    MalformedError,
    NotFoundError,
    TamperedError,
    UnavailableError,
)
from blindsight.core.secrets import ExportToken
from blindsight.core.types import Embedding
from blindsight.trusted.gallery import Gallery
from blindsight.trusted.index import EncryptedIndex
from blindsight.trusted.ledger import MemoryLedger
from blindsight.trusted.session import Session
from blindsight.trusted.vault import Vault
from lying import Between, Died, failing_at
from servers import spawn

D = 16
COUNT = 600  # three blocks
MODEL = {"model_id": "model", "dimension": D, "metric": "cosine", "threshold": 0.9}


def vectors(count, seed=0):
    made = np.random.default_rng(seed).normal(size=(count, D))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


DATA = vectors(COUNT)


def face(vector):
    return Embedding(np.asarray(vector, np.float32), "model")


def entries(count=COUNT):
    return [(f"s{i}", face(DATA[i]), i.to_bytes(32, "big")) for i in range(count)]


def whole(gallery, count=COUNT):
    some = range(0, count, 29)
    assert [d.subject for d in gallery.identify([face(DATA[i]) for i in some])] == [f"s{i}" for i in some]
    assert len(gallery) == count
    gallery.enroll([("extra", face(-DATA[0]), bytes(32))])
    gallery.erase("extra")


def secret_of(gallery):
    return gallery.session.identity.secret.export(ExportToken())


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("blindsight.trusted.session._BATCH_BLOCKS", 2)


@pytest.fixture
def gallery(vault, matcher):
    made = Gallery.create(vault, "people", **MODEL, matcher=matcher)
    made.enroll(entries())
    return made


def test_the_old_key_opens_nothing_that_is_left(gallery, vault, matcher, quick_path):
    old = gallery.session
    old_identity, old_key = old.identity, old._key
    old_states = dict(old.states)
    with contextlib.closing(sqlite3.connect(quick_path / "vault")) as database:
        sealed = {
            row[0] for t in ("galleries", "blocks") for row in database.execute(f"SELECT sealed FROM {t}")
        }
    bodies = [bytes(b.body[:64]) for b in matcher.fetch(old_identity.gallery_id, list(old_states))]
    secret = secret_of(gallery)
    gallery.rotate()
    assert gallery.session.key_id != old_key.key_id
    with pytest.raises(NotFoundError):
        matcher.info(old_identity.gallery_id)
    new = list(matcher.fetch(gallery.session.identity.gallery_id, list(gallery.session.states)))
    for block in new:
        with pytest.raises(TamperedError):
            old_key.open_block(block.head, block.body)
    stranger = Session(replace(gallery.session.identity, secret=old_identity.secret), matcher, MemoryLedger())
    with pytest.raises(TamperedError):
        stranger.rebuild()
    with pytest.raises(KeyMismatchError):
        stranger.scores(old_identity.encoding.probes(DATA[0]))
    data = (quick_path / "vault").read_bytes()
    assert not any(row[i : i + 32] in data for row in sealed for i in range(0, len(row) - 31, 32))
    place, fields = vault.find("people")
    known = [fields, *(data for _, data in vault.blocks(place))]
    assert secret not in repr(known).encode("unicode_escape")
    assert repr(secret)[2:-1] not in repr(known)
    stored = b"".join(path.read_bytes() for path in (quick_path / "matcher").iterdir())
    assert not any(body in stored for body in bodies)
    assert matcher.totals()[:2] == (1, 0)
    whole(gallery)


def steps(matcher):
    """How many calls a rotation makes."""
    index = EncryptedIndex(D, matcher=(between := Between(matcher)))
    index.add(np.arange(COUNT), DATA)
    between.calls.clear()
    index.rotate()
    matcher.delete(index._session.identity.gallery_id)
    return len(between.calls)


WHEN = ["before", "after"]


@pytest.mark.parametrize("when", WHEN)
def test_a_server_that_fails_at_any_call(matcher, unlock, quick_path, when):
    """The connection breaks once, at every call in turn: old or new, nothing else is on the server."""
    outcomes = set()
    total = steps(matcher)
    assert total >= 6
    for number in range(1, total + 1):
        vault = Vault.create(quick_path / f"vault {number}", unlock)
        between = Between(matcher)
        gallery = Gallery.create(vault, "people", **MODEL, matcher=between)
        gallery.enroll(entries(300))
        old = gallery.session.key_id
        between.calls.clear()
        between.fails = failing_at(number, when, UnavailableError("It broke."), for_good=False)
        try:
            gallery.rotate()
            failed = False
        except UnavailableError:
            failed = True
        if len(between.calls) < number:
            assert not failed
            break
        between.fails = lambda method, when: None
        changed = gallery.session.key_id != old
        assert changed is not failed or (failed and not changed), number
        outcomes.add((failed, changed))
        whole(gallery, 300)
        created_unheard = when == "after" and "create" in between.calls[number - 1 : number]
        assert matcher.totals()[:2] == (1, int(created_unheard)), number
        assert vault.find("people")[1]["staged"] is None
        reopened = Gallery.open(vault, "people", matcher=matcher)
        assert reopened.session.key_id == gallery.session.key_id
        whole(reopened, 300)
        gallery.rotate()
        assert gallery.session.key_id not in (old, reopened.session.key_id)
        gallery.delete()
        vault.close()
        for left in staged(matcher):
            matcher.delete(left)
    assert (True, False) in outcomes
    if when == "after":
        assert (False, True) in outcomes  # the activation whose answer was lost


def staged(matcher):
    return [info.gallery_id for info in matcher._store.galleries() if info.staged]


@pytest.mark.parametrize("when", WHEN)
def test_a_client_that_dies_at_any_call(matcher, unlock, quick_path, when):
    """Nothing more happens after the n-th call: the next opening puts everything in order."""
    outcomes = set()
    for number in range(1, steps(matcher) + 1):
        path = quick_path / f"vault {number}"
        vault = Vault.create(path, unlock)
        between = Between(matcher)
        gallery = Gallery.create(vault, "people", **MODEL, matcher=between)
        gallery.enroll(entries(300))
        old, secret = gallery.session.key_id, secret_of(gallery)
        between.calls.clear()
        between.fails = failing_at(number, when, Died(), for_good=True)
        with contextlib.suppress(Died):
            gallery.rotate()
        if len(between.calls) < number:
            break
        vault.close()
        vault = Vault.open(path, unlock)
        reopened = Gallery.open(vault, "people", matcher=matcher)
        changed = reopened.session.key_id != old
        outcomes.add(changed)
        whole(reopened, 300)
        assert vault.find("people")[1]["staged"] is None
        unheard = when == "after" and between.calls[number - 1] == "create"
        assert matcher.totals()[:2] == (1, int(unheard)), number
        if changed:
            assert repr(secret)[2:-1] not in repr(vault.galleries())
        reopened.rotate()
        whole(reopened, 300)
        reopened.delete()
        vault.close()
        for left in staged(matcher):
            matcher.delete(left)
    assert outcomes == ({False} if when == "before" else {False, True})


@pytest.mark.parametrize("write", ["stage", "replace", "unstage"])
@pytest.mark.parametrize("when", WHEN)
def test_a_client_that_dies_at_any_write_to_its_vault(
    vault, matcher, unlock, quick_path, write, when, gallery
):
    """And where the vault itself is what cannot be written."""
    ledger, old = gallery.session._ledger, gallery.session.key_id
    real, dead = getattr(ledger, write), []

    def dying(*arguments):
        if dead or when == "before":
            dead.append(1)
            raise Died
        real(*arguments)
        dead.append(1)
        raise Died

    setattr(ledger, write, dying)
    matcher_calls = gallery.session.matcher
    between = Between(matcher_calls)

    def after_death(method, moment):
        if dead:
            raise Died

    between.fails = after_death
    gallery.session.matcher = between
    with pytest.raises(Died):
        gallery.rotate()
    again = Vault.open(quick_path / "vault", unlock)
    reopened = Gallery.open(again, "people", matcher=matcher)
    assert (reopened.session.key_id != old) is (write != "stage")
    whole(reopened)
    assert again.find("people")[1]["staged"] is None
    assert matcher.totals()[0] == 1
    assert matcher.totals()[1] == ((write, when) == ("stage", "before"))  # the vault never knew of it


def test_an_index_ends_a_rotation_whose_outcome_it_did_not_hear(matcher):
    """No vault remembers the new key: the session itself does, until the server answers again."""
    between = Between(matcher)
    index = EncryptedIndex(D, matcher=between)
    index.add(np.arange(COUNT), DATA)
    old, down = index._session.key_id, []

    def gone(method, when):
        if (method, when) == ("activate", "after"):
            down.append(1)
        if down:
            raise UnavailableError("Down.")

    between.fails = gone
    with pytest.raises(UnavailableError):
        index.rotate()
    with pytest.raises(UnavailableError):
        index.search(DATA[0])
    between.fails = lambda method, when: None
    assert (index.search(DATA[::50], 1).ids[:, 0] == np.arange(0, COUNT, 50)).all()
    assert index._session.key_id != old
    assert matcher.totals()[:2] == (1, 0)


def test_a_change_by_another_client_stops_a_rotation(gallery, matcher, unlock, quick_path):
    other = Gallery.open(Vault.open(quick_path / "vault", unlock), "people", matcher=matcher)
    between = Between(matcher)
    gallery.session.matcher = between
    old = gallery.session.key_id

    def meanwhile(method, when):
        if (method, when) == ("commit", "after"):
            between.fails = lambda method, when: None
            other.erase("s0")

    between.fails = meanwhile
    with pytest.raises(ConflictError):
        gallery.rotate()
    assert gallery.session.key_id == old
    assert matcher.totals()[:2] == (1, 0)
    assert gallery._vault.find("people")[1]["staged"] is None
    assert gallery.identify([face(DATA[0])])[0].subject is None
    gallery.rotate()
    assert gallery.identify([face(DATA[1])])[0].subject == "s1"
    assert gallery.identify([face(DATA[0])])[0].subject is None


def test_two_rotations_at_once_do_not_lose_a_key(gallery, matcher, unlock, quick_path):
    """The vault remembers one prepared key; the second rotation is refused, not the first forgotten."""
    other = Gallery.open(Vault.open(quick_path / "vault", unlock), "people", matcher=matcher)
    between = Between(matcher)
    gallery.session.matcher = between
    refused = []

    def meanwhile(method, when):
        if (method, when) == ("commit", "before") and not refused:
            with pytest.raises(ConflictError) as caught:
                other.rotate()
            refused.append(caught.value)

    between.fails = meanwhile
    gallery.rotate()
    assert len(refused) == 1
    assert matcher.totals()[:2] == (1, 0)
    whole(gallery)
    whole(Gallery.open(Vault.open(quick_path / "vault", unlock), "people", matcher=matcher))


def test_an_opening_during_a_rotation_may_end_it_and_harms_nothing(gallery, matcher, unlock, quick_path):
    between = Between(matcher)
    gallery.session.matcher = between
    old = gallery.session.key_id
    opened = []

    def meanwhile(method, when):
        if (method, when) == ("commit", "after") and not opened:
            opened.append(Gallery.open(Vault.open(quick_path / "vault", unlock), "people", matcher=matcher))

    between.fails = meanwhile
    with pytest.raises(NotFoundError):
        gallery.rotate()
    assert gallery.session.key_id == opened[0].session.key_id == old
    assert matcher.totals()[:2] == (1, 0)
    whole(gallery)
    whole(opened[0])


KILLED = """
import sys, threading, time, os, signal
from pathlib import Path
from blindsight.trusted.gallery import Gallery
from blindsight.trusted.sealing import Unlock
from blindsight.trusted.vault import Vault
gallery = Gallery.open(Vault.open({vault!r}, Unlock(key_file=Path({key!r}))), "people", matcher={matcher!r})
gallery.rotate()
print("ready", flush=True)
while True:
    gallery.rotate()
"""


def test_a_rotating_process_that_is_killed(tmp_path, unlock):
    """A real process and a real signal, some times over; the gallery is always there and whole."""
    path, folder = tmp_path / "vault", tmp_path / "matcher"
    with contextlib.closing(Vault.create(path, unlock)) as vault:
        gallery = Gallery.create(vault, "people", **MODEL, matcher=folder)
        gallery.enroll(entries(300))
        gallery.close()
    random = np.random.default_rng(6)
    keys = set()
    for _ in range(5):
        process = spawn(KILLED.format(vault=str(path), key=str(unlock.key_file), matcher=str(folder)))
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(float(random.uniform(0, 0.3)))
        process.kill()
        process.communicate()
        with contextlib.closing(Vault.open(path, unlock)) as vault:
            gallery = Gallery.open(vault, "people")
            whole(gallery, 300)
            keys.add(gallery.session.key_id)
            assert vault.find("people")[1]["staged"] is None
            gallery.close()
    assert len(keys) == 5
    with contextlib.closing(LocalMatcher(folder)) as matcher:
        assert matcher.totals()[0] == 1
        assert matcher.totals()[1] <= 5  # created, and died before its vault knew


def test_a_rotation_refuses_blocks_that_are_missing(gallery, matcher):
    between = Between(matcher)
    gallery.session.matcher = between
    between.lies["fetch"] = lambda blocks, *_: blocks[:1]
    with pytest.raises(MalformedError):
        gallery.rotate()
    between.lies.clear()
    whole(gallery)
