"""The vault: what opens it, what a damaged one does, and what is gone from it for good."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import sqlite3
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from blindsight.core.errors import (
    BlindsightError,
    CorruptVaultError,
    DuplicateError,
    NotFoundError,
    UsageError,
    VaultError,
    WrongPassphraseError,
)
from blindsight.trusted.sealing import Unlock, make_key_file
from blindsight.trusted.vault import Vault
from servers import spawn

CHILD = """
import sys
from pathlib import Path
from blindsight.core.errors import BlindsightError
from blindsight.trusted.sealing import Unlock
from blindsight.trusted.vault import Vault
vault = Vault.open({path!r}, Unlock(key_file=Path({key!r})))
"""


def child(path, unlock, code, **options):
    """A process that has the vault open as ``vault``."""
    return spawn(CHILD.format(path=str(path), key=str(unlock.key_file)) + code, **options)


def finished(process, seconds=60):
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return out.split()


def contents(vault):
    """All that a vault has to tell."""
    places = vault.galleries()
    return places, {place: list(vault.blocks(place)) for place in places}, list(vault.audit())


def files(path):
    """The bytes of a vault and of whatever SQLite keeps beside it."""
    return b"\n".join(found.read_bytes() for found in sorted(path.parent.glob(path.name + "*")))


def sealed_rows(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {
            row[0]
            for table in ("galleries", "blocks", "audit")
            for row in database.execute(f"SELECT sealed FROM {table}")
        }


def stocked(vault, galleries=2, blocks=3):
    """Galleries, blocks and audit entries, so that every table has pages of its own."""
    for number in range(galleries):
        place = vault.add_gallery({"name": f"g{number}", "secret": bytes([number]) * 32})
        vault.update(
            place,
            vault.gallery(place),
            {block: f"{number}/{block} ".encode() * 400 for block in range(blocks)},
        )
        vault.record("create", gallery=f"g{number}")
    return vault


# -- what opens it ---------------------------------------------------------------------------------


def test_a_vault_opens_again_with_what_made_it_and_with_nothing_else(tmp_path, unlock):
    path = tmp_path / "deep" / "vault"
    place = Vault.create(path, unlock).add_gallery({"name": "g", "secret": b"s" * 32})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Vault.open(path, unlock).gallery(place) == {"name": "g", "secret": b"s" * 32}
    other = tmp_path / "other"
    make_key_file(other)
    with pytest.raises(WrongPassphraseError):
        Vault.open(path, Unlock(key_file=other))
    with pytest.raises(WrongPassphraseError, match="key file"):
        Vault.open(path, Unlock(passphrase="x"))
    with pytest.raises(UsageError, match="exists already"):
        Vault.create(path, unlock)
    assert Vault.open(path, unlock).galleries()
    for nothing in (tmp_path / "none", tmp_path):
        with pytest.raises(NotFoundError):
            Vault.open(nothing, unlock)
    with pytest.raises(VaultError, match="cannot be made"):
        Vault.create(path / "below a file", unlock)


def test_relocking_shuts_the_old_passphrase_out(tmp_path, unlock):
    path = tmp_path / "vault"
    vault = stocked(Vault.create(path, Unlock(passphrase="old")))
    before = contents(vault)
    vault.relock(Unlock(passphrase="new \N{SNOWMAN}"))
    with pytest.raises(WrongPassphraseError, match="passphrase"):
        Vault.open(path, Unlock(passphrase="old"))
    assert contents(Vault.open(path, Unlock(passphrase="new \N{SNOWMAN}"))) == before
    vault.relock(unlock)
    assert contents(Vault.open(path, unlock)) == before
    with pytest.raises(WrongPassphraseError, match="key file"):
        Vault.open(path, Unlock(passphrase="new \N{SNOWMAN}"))


def test_a_key_file_is_long_private_and_never_overwritten(tmp_path, unlock):
    path = tmp_path / "key"
    make_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert len(content) == 32
    assert content != unlock.key_file.read_bytes()
    with pytest.raises(UsageError, match="never overwritten"):
        make_key_file(path)
    assert path.read_bytes() == content
    for mode in (0o640, 0o604, 0o620, 0o601):
        path.chmod(mode)
        with pytest.raises(UsageError, match="private"):
            Vault.create(tmp_path / "vault", Unlock(key_file=path))
    path.chmod(0o600)
    path.write_bytes(content[:31])
    with pytest.raises(UsageError, match="short"):
        Vault.create(tmp_path / "vault", Unlock(key_file=path))
    with pytest.raises(UsageError, match="cannot be read"):
        Vault.create(tmp_path / "vault", Unlock(key_file=tmp_path / "none"))
    with pytest.raises(UsageError, match="cannot be made"):
        make_key_file(tmp_path / "no folder" / "key")
    assert not (tmp_path / "vault").exists()


@pytest.mark.parametrize("arguments", [{}, {"passphrase": "x", "key_file": Path("y")}, {"passphrase": ""}])
def test_unlocking_takes_exactly_one_secret(arguments):
    with pytest.raises(UsageError):
        Unlock(**arguments)


def test_a_passphrase_that_is_not_text_is_refused_without_being_quoted():
    with pytest.raises(UsageError) as caught:
        Unlock(passphrase="hunter2\udcff")
    assert "hunter2" not in repr(caught.value)


def test_another_version_is_refused(tmp_path, unlock):
    path = tmp_path / "vault"
    Vault.create(path, unlock).close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE vault SET version = 2")
    with pytest.raises(CorruptVaultError, match="version"):
        Vault.open(path, unlock)


def test_a_closed_vault_says_that_it_is_closed(vault):
    vault.close()
    with pytest.raises(VaultError, match="closed") as caught:
        vault.galleries()
    assert not isinstance(caught.value, CorruptVaultError)


def test_names_of_galleries_are_taken_once(vault):
    place = vault.add_gallery({"name": "g"})
    with pytest.raises(DuplicateError):
        vault.add_gallery({"name": "g"})
    assert vault.find("g") == (place, {"name": "g"})
    vault.drop_gallery(place)
    with pytest.raises(NotFoundError):
        vault.find("g")
    with pytest.raises(NotFoundError):
        vault.gallery(place)
    vault.add_gallery({"name": "g"})


# -- a damaged vault -------------------------------------------------------------------------------


def reads_the_same_or_refuses(path, unlock, before):
    """Whether a damaged vault was refused; one that opens has to give back what was stored."""
    try:
        vault = Vault.open(path, unlock)
        try:
            assert contents(vault) == before
        finally:
            vault.close()
    except (CorruptVaultError, WrongPassphraseError):
        return True
    return False


@pytest.fixture
def original(tmp_path, unlock):
    path = tmp_path / "original"
    with contextlib.closing(stocked(Vault.create(path, unlock))) as vault:
        return path, contents(vault)


def test_a_vault_that_was_cut_off_is_refused(tmp_path, unlock, original):
    path, before = original
    data, copy = path.read_bytes(), tmp_path / "cut"
    sizes = {0, 1, 15, 16, 99, 100, 101, 4095, 4096, 4097, len(data) - 1, *range(0, len(data), 1777)}
    for size in sorted(sizes):
        copy.write_bytes(data[:size])
        assert reads_the_same_or_refuses(copy, unlock, before), f"cut to {size} of {len(data)} bytes"


def test_flipped_bits_never_give_other_contents_or_other_errors(tmp_path, unlock, original):
    path, before = original
    data, copy = path.read_bytes(), tmp_path / "flipped"
    random = np.random.default_rng(7)
    rows = [data.index(row) + len(row) // 2 for row in sealed_rows(path) if row in data]
    places = {*range(0, 100, 3), *rows, *random.integers(0, len(data), 600).tolist()}
    refused = 0
    for place in sorted(places):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(random.integers(8))
        copy.write_bytes(damaged)
        was_refused = reads_the_same_or_refuses(copy, unlock, before)
        assert was_refused or place not in rows, f"a flipped bit of a record at {place} went unnoticed"
        refused += was_refused
    assert refused > len(places) / 5  # most of the rest is unused space
    assert len(rows) >= 4


def test_every_field_of_the_lock_may_be_damaged(tmp_path, unlock, original):
    """The lock is read before anything authenticates it."""
    path, before = original
    with contextlib.closing(sqlite3.connect(path)) as database:
        lock = database.execute("SELECT lock FROM vault").fetchone()[0]
    copy = tmp_path / "damaged"
    for unlocking in (unlock, Unlock(passphrase="x")):
        for at in range(len(lock)):
            if unlocking is not unlock and at > 20:  # the kind comes first; the rest costs an Argon2
                break
            damaged = bytearray(lock)
            damaged[at] ^= 1
            shutil.copy(path, copy)
            with contextlib.closing(sqlite3.connect(copy)) as database, database:
                database.execute("UPDATE vault SET lock = ?", (bytes(damaged),))
            assert reads_the_same_or_refuses(copy, unlocking, before) or unlocking is unlock
    for other in (None, 7, "text", b"", b"\x80"):
        with contextlib.closing(sqlite3.connect(copy)) as database, database:
            database.execute("UPDATE vault SET lock = ?", (other,))
        with pytest.raises(CorruptVaultError):
            Vault.open(copy, unlock)


@pytest.mark.parametrize("table", ["galleries", "blocks", "audit"])
@pytest.mark.parametrize("other", [7, 1.5, "text", b"", bytes(11), bytes(12), bytes(40)])
def test_a_record_of_another_kind_is_corrupt(tmp_path, unlock, original, table, other):
    path, _ = original
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE {table} SET sealed = ?", (other,))
    vault = Vault.open(path, unlock)
    with pytest.raises(CorruptVaultError):
        contents(vault)
    if table == "audit":
        with contextlib.suppress(CorruptVaultError):
            vault.record("more")
        with pytest.raises(CorruptVaultError):
            list(vault.audit())


SWAPS = {
    "galleries": "SELECT rowid, sealed FROM galleries",
    "blocks of one gallery": "SELECT rowid, sealed FROM blocks WHERE place = (SELECT min(place) FROM blocks)",
    "blocks of two galleries": "SELECT rowid, sealed FROM blocks WHERE block_id = 0",
    "audit": "SELECT seq, sealed FROM audit",
}


@pytest.mark.parametrize("where", SWAPS)
def test_records_that_changed_places_are_noticed(original, unlock, where):
    path, _ = original
    table = where.split()[0]
    key = "seq" if table == "audit" else "rowid"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        (one, first), (two, second), *_ = database.execute(SWAPS[where]).fetchall()
        database.execute(f"UPDATE {table} SET sealed = ? WHERE {key} = ?", (second, one))
        database.execute(f"UPDATE {table} SET sealed = ? WHERE {key} = ?", (first, two))
    with pytest.raises(CorruptVaultError):
        contents(Vault.open(path, unlock))


def test_a_record_does_not_fit_into_another_table(original, unlock):
    path, _ = original
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE blocks SET sealed = (SELECT sealed FROM galleries LIMIT 1)")
    with pytest.raises(CorruptVaultError):
        contents(Vault.open(path, unlock))


def test_a_file_that_is_something_else_is_refused(tmp_path, unlock):
    path = tmp_path / "other"
    for content in (b"", b"hello\n", bytes(8192), os.urandom(8192)):
        path.write_bytes(content)
        with pytest.raises(CorruptVaultError):
            Vault.open(path, unlock)
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE vault (x)")
    with pytest.raises(CorruptVaultError):
        Vault.open(path, unlock)


# -- the audit log ---------------------------------------------------------------------------------


def altered_log(path, unlock, *statements):
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)
    with contextlib.closing(Vault.open(path, unlock)) as vault:
        return [entry["action"] for entry in vault.audit()]


@pytest.fixture
def logged(tmp_path, unlock):
    path = tmp_path / "logged"
    with contextlib.closing(Vault.create(path, unlock)) as vault:
        for number in range(5):
            vault.record(f"act {number}", count=number)
        entries = list(vault.audit())
    assert [(entry["action"], entry["count"]) for entry in entries] == [(f"act {n}", n) for n in range(5)]
    return path


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM audit WHERE seq = 1"],
        ["DELETE FROM audit WHERE seq = 3"],
        ["DELETE FROM audit WHERE seq = 3", "UPDATE audit SET seq = seq - 1 WHERE seq > 3"],
        ["UPDATE audit SET sealed = (SELECT sealed FROM audit WHERE seq = 2) WHERE seq = 3"],
        ["UPDATE audit SET seq = 9 WHERE seq = 2", "UPDATE audit SET seq = 2 WHERE seq = 3",
         "UPDATE audit SET seq = 3 WHERE seq = 9"],
        ["UPDATE audit SET sealed = zeroblob(length(sealed)) WHERE seq = 5"],
    ],
)  # fmt: skip
def test_a_log_that_was_tampered_with_is_refused(logged, unlock, statements):
    with pytest.raises(CorruptVaultError):
        altered_log(logged, unlock, *statements)


def test_an_entry_of_an_older_copy_of_the_vault_breaks_the_chain(logged, tmp_path, unlock):
    """Sealed for the same place under the same key, and still not of this log."""
    older = tmp_path / "older"
    shutil.copy(logged, older)
    for path, action in ((logged, "now"), (older, "then")):
        with contextlib.closing(Vault.open(path, unlock)) as vault:
            vault.record(action)
            vault.record("after")
    with contextlib.closing(sqlite3.connect(older)) as database:
        sealed = database.execute("SELECT sealed FROM audit WHERE seq = 6").fetchone()[0]
    with contextlib.closing(sqlite3.connect(logged)) as database, database:
        database.execute("UPDATE audit SET sealed = ? WHERE seq = 6", (sealed,))
    with pytest.raises(CorruptVaultError, match="entry 7"):
        altered_log(logged, unlock)


def test_a_log_that_lost_its_end_looks_whole(logged, unlock):
    """Known and stated: nothing outside the vault says how long its log was."""
    assert altered_log(logged, unlock, "DELETE FROM audit WHERE seq > 3") == ["act 0", "act 1", "act 2"]


# -- gone for good ---------------------------------------------------------------------------------


def test_what_was_replaced_or_dropped_is_in_no_file(tmp_path, unlock):
    random = np.random.default_rng(3)
    path = tmp_path / "vault"
    vault = Vault.create(path, unlock)
    vault._connection.execute("PRAGMA synchronous = OFF")
    seen, places = set(), []
    for step in range(150):
        action = random.integers(5)
        if action == 0 and len(places) < 8:
            places.append(
                vault.add_gallery({"name": f"g{step}", "x": random.bytes(random.integers(10, 900))})
            )
        elif action == 1 and places:
            place = places[random.integers(len(places))]
            vault.update(place, vault.gallery(place) | {"x": random.bytes(random.integers(10, 3000))}, {})
        elif action == 2 and places:
            place = places[random.integers(len(places))]
            blocks = {int(n): random.bytes(random.integers(99, 9000)) for n in random.integers(0, 20, 4)}
            vault.update(place, vault.gallery(place), blocks, replace_all=bool(random.integers(2)))
        elif action == 3 and len(places) > 3:
            vault.drop_gallery(places.pop(random.integers(len(places))))
        else:
            vault.record("x", y="z" * int(random.integers(300)))
        now = sealed_rows(path)
        seen |= now
    data = files(path)
    gone = seen - now
    assert len(gone) > 100
    assert all(row[i : i + 32] in data for row in now for i in (0, len(row) - 32))
    assert not any(row[i : i + 32] in data for row in gone for i in range(0, len(row) - 31, 32))


def test_the_old_lock_is_in_no_file_either(tmp_path, unlock):
    path = tmp_path / "vault"
    vault = Vault.create(path, Unlock(passphrase="old"))
    with contextlib.closing(sqlite3.connect(path)) as database:
        lock = database.execute("SELECT lock FROM vault").fetchone()[0]
    assert lock[-48:] in files(path)
    vault.relock(unlock)
    assert lock[-48:] not in files(path)


def test_nothing_stored_is_readable_in_the_file(tmp_path, unlock):
    path = tmp_path / "vault"
    vault = Vault.create(path, unlock)
    place = vault.add_gallery({"name": "front-door", "secret": b"SECRET-KEY-BYTES"})
    vault.update(place, vault.gallery(place), {0: b"hint of Alice Example"})
    vault.record("enroll", gallery="front-door")
    data = files(path)
    for word in (b"front-door", b"SECRET-KEY", b"Alice", b"enroll"):
        assert word not in data


# -- several processes, and their deaths -----------------------------------------------------------

WRITER = """
for number in range({count}):
    place = vault.add_gallery({{"name": f"{name}-{{number}}"}})
    vault.update(place, vault.gallery(place), {{0: b"{name}"}})
    vault.record("{name}", number=number)
"""


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path, unlock):
    path = tmp_path / "vault"
    vault = Vault.create(path, unlock)
    writers = [child(path, unlock, WRITER.format(count=15, name=name)) for name in ("a", "b")]
    for writer in writers:
        finished(writer)
    galleries, blocks, audit = contents(vault)
    names = {f"{name}-{number}" for name in "ab" for number in range(15)}
    assert {fields["name"] for fields in galleries.values()} == names
    assert all(found == [(0, galleries[place]["name"][0].encode())] for place, found in blocks.items())
    for name in "ab":
        assert [e["number"] for e in audit if e["action"] == name] == list(range(15))


def test_two_processes_cannot_take_one_name(tmp_path, unlock):
    path = tmp_path / "vault"
    Vault.create(path, unlock).close()
    code = """
for number in range(20):
    try:
        vault.add_gallery({"name": f"g{number}"})
        print(number)
    except BlindsightError as error:
        assert error.code == "duplicate", error
"""
    made = [int(n) for process in [child(path, unlock, code) for _ in range(2)] for n in finished(process)]
    assert sorted(made) == list(range(20))


def test_a_reader_sees_all_of_a_change_or_nothing(tmp_path, unlock):
    """Gallery record and blocks are one transaction, whoever looks on."""
    path = tmp_path / "vault"
    vault = Vault.create(path, unlock)
    place = vault.add_gallery({"name": "g", "turn": 0})
    vault.update(place, vault.gallery(place), {0: b"0", 1: b"0"})
    code = f"""
import itertools, time
for turn in itertools.count(1):
    data = str(turn).encode()
    vault.update({place!r}, {{"name": "g", "turn": turn}}, {{0: data, 1: data}})
    time.sleep(0.01)
"""
    writer = child(path, unlock, code)
    try:
        seen = set()
        deadline = time.monotonic() + 20
        while len(seen) < 5 and time.monotonic() < deadline:
            with vault.transaction():
                turn = str(vault.gallery(place)["turn"]).encode()
                assert dict(vault.blocks(place)) == {0: turn, 1: turn}
            seen.add(turn)
            time.sleep(0.01)  # SQLite is not fair to those who wait
        assert len(seen) >= 5
    finally:
        writer.kill()
        writer.communicate()


def test_a_killed_writer_leaves_what_it_had_committed_and_no_halves(tmp_path, unlock):
    path = tmp_path / "vault"
    vault = Vault.create(path, unlock)
    place = vault.add_gallery({"name": "g", "turn": 0})
    vault.close()
    code = f"""
turn = vault.gallery({place!r})["turn"]
while True:
    turn += 1
    data = str(turn).encode() * 3000
    vault.update({place!r}, {{"name": "g", "turn": turn}}, {{n: data for n in range(12)}})
    print(turn, flush=True)
"""
    random = np.random.default_rng(5)
    hot = 0
    for _ in range(8):
        writer = child(path, unlock, code)
        first = int(writer.stdout.readline())
        time.sleep(float(random.uniform(0, 0.05)))
        writer.send_signal(signal.SIGKILL)
        told = [first, *map(int, writer.communicate()[0].split())]
        hot += path.with_name("vault-journal").exists()
        vault = Vault.open(path, unlock)
        turn = vault.gallery(place)["turn"]
        assert turn in (told[-1], told[-1] + 1)
        assert dict(vault.blocks(place)) == {n: str(turn).encode() * 3000 for n in range(12)}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        vault.close()


def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path, unlock):
    path = tmp_path / "vault"
    stocked(Vault.create(path, unlock)).close()
    code = """
import resource
place, fields = vault.find("g0")
before = list(vault.blocks(place)), fields
size = Path(vault.path).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, resource.RLIM_INFINITY))
try:
    vault.update(place, fields | {"new": 1}, {9: bytes(100_000)})
except BlindsightError as error:
    print(error.code)
try:
    for _ in range(1000):
        vault.record("much", text="x" * 1000)
except BlindsightError as error:
    print(error.code)
print(before == (list(vault.blocks(place)), vault.gallery(place)))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
vault.update(place, fields | {"new": 1}, {9: bytes(100_000)})
list(vault.audit())
print(vault.gallery(place)["new"])
"""
    out = finished(child(path, unlock, code))
    assert out == [out[0], out[1], "True", "1"]
    assert set(out[:2]) <= {"vault", "storage-full"}


def test_a_vault_that_may_not_be_written_can_still_be_read(tmp_path, unlock):
    path = tmp_path / "vault"
    before = contents(stocked(Vault.create(path, unlock)))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        vault = Vault.open(path, unlock)
        assert contents(vault) == before
        vault._connection.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(VaultError, match="locked"):
            vault.record("x")
    vault.record("x")


# -- secrets do not show ---------------------------------------------------------------------------


def test_vaults_and_what_opens_them_show_nothing_secret(tmp_path, unlock):
    vault = Vault.create(tmp_path / "vault", unlock)
    secret = Unlock(passphrase="correct horse")
    for value, word in itertools.product((vault, secret, vault._secret, vault._seal), (repr, str, format)):
        assert "horse" not in word(value)
        assert unlock.key_file.read_bytes().hex() not in word(value)
    assert repr(secret) == "Unlock(<redacted>)"
    with pytest.raises(BlindsightError) as caught:
        Vault.open(tmp_path / "vault", Unlock(passphrase="correct horse"))
    assert "horse" not in str(caught.value)
