"""A party's footage on disk: checked, limited, and whole after a crash at any point."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.blind import footage_store
from blindsight.blind.footage_store import HEAD_BYTES, FootageStore, Limits, kept_at, listed, read_kept
from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    NotFoundError,
    StorageFullError,
    TamperedError,
    TooLargeError,
    UsageError,
)
from blindsight.schemes.footage.compute import open_share
from blindsight.schemes.footage.protect import share_segment, share_still
from blindsight.schemes.footage.public import About
from recording import BEGAN, still

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CAMERA = KEY.public_key()
DAY = 86_400.0


def about(number: int, camera: str = "gate") -> About:
    first = BEGAN + timedelta(seconds=2 * number)
    return About(camera, number, first, first + timedelta(seconds=2))


def piece(number: int, size: int = 10_000, seeded: int = 1, camera: str = "gate"):
    """The share of party 0 and that of party 1."""
    data = np.random.default_rng(number).bytes(size)
    shares = share_segment(data, about(number, camera), KEY, seeded=seeded)
    return tuple(sorted(shares, key=lambda share: share.party))


def micros(number: int) -> int:
    return int((BEGAN.timestamp() + 2 * number) * 1_000_000)


@pytest.fixture
def store(tmp_path):
    made = FootageStore(tmp_path / "footage", 0, Limits(reserve=0))
    yield made
    made.close()


def test_what_is_kept_comes_back(store):
    shares = [piece(n, seeded=n % 2)[0] for n in range(6)]
    for share in shares:
        assert store.keep(share.encode(), "gate", CAMERA) == share.statement.digest()
        assert store.keep(share.encode(), "gate", CAMERA) == share.statement.digest()  # sent again
    for share in shares:
        assert store.share(share.statement.digest()).encode() == share.encode()
    assert [entry.number for entry in listed(store._folder)] == list(range(6))
    # Segments 1 to 3 overlap the range; 0 ends and 4 begins outside of it.
    found = store.held("gate", micros(1) + 1, micros(4) - 1)
    assert [entry.number for entry in found] == [1, 2, 3]
    assert store.held("hall", 0, 1 << 60) == []
    files = list(store._folder.glob("??/*"))
    assert len(files) == 6
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_stills(store):
    shares = share_still(still(3), about(1), KEY, seeded=0)
    store.keep(shares[0].encode(), "gate", CAMERA)
    (entry,) = listed(store._folder)
    assert entry.kind == "still"


def test_what_is_refused(store):
    own, other = piece(1)
    stranger = Ed25519PrivateKey.generate().public_key()
    cut = own.encode()[:-1]
    for error, data, camera, key in (
        (MalformedError, other.encode(), "gate", CAMERA),
        (MalformedError, open_share(own).encode(), "gate", CAMERA),
        (MalformedError, cut, "gate", CAMERA),
        (MalformedError, own.encode() + b"\x00", "gate", CAMERA),
        (MalformedError, b"", "gate", CAMERA),
        (UsageError, own.encode(), "hall", CAMERA),
        (TamperedError, own.encode(), "gate", stranger),
        (TamperedError, own.encode()[:-1] + bytes([own.encode()[-1] ^ 1]), "gate", CAMERA),
    ):
        with pytest.raises(error):
            store.keep(data, camera, key)
    assert not any(store._folder.glob("??"))
    assert listed(store._folder) == []
    assert store.size == 0


def test_a_number_of_64_bits(store):
    share = piece(1)[0]
    largest = About("gate", (1 << 64) - 1, BEGAN, BEGAN)
    share = share_segment(b"x", largest, KEY, seeded=0)[0]
    store.keep(share.encode(), "gate", CAMERA)
    assert listed(store._folder)[0].number == (1 << 64) - 1


class TestLimits:
    def test_the_oldest_go_when_there_is_too_much(self, tmp_path):
        """Six pieces of 12,288 bytes on disk into room for four."""
        store = FootageStore(tmp_path / "f", 0, Limits(size=4 * 12_288, reserve=0))
        digests = []
        gone = []
        for n in range(6):
            digests.append(store.keep(piece(n)[0].encode(), "gate", CAMERA))
            gone += store.drop_old(DAY)
        assert [(one.reason, one.count) for one in gone] == [("bytes", 1), ("bytes", 1)]
        assert [store.has(digest) for digest in digests] == [False] * 2 + [True] * 4
        assert [kept_at(tmp_path / "f", d).exists() for d in digests] == [False] * 2 + [True] * 4
        assert store.size == 4 * 12_288
        with pytest.raises(NotFoundError):
            store.share(digests[0])
        store.close()

    def test_by_age_since_they_came(self, store, monkeypatch):
        for n, came in enumerate((0.0, DAY, 5 * DAY)):
            monkeypatch.setattr(footage_store.time, "time", lambda at=came: at)
            store.keep(piece(n)[0].encode(), "gate", CAMERA)
        (gone,) = store.drop_old(8.5 * DAY)
        assert (gone.reason, gone.count, gone.oldest, gone.newest) == ("age", 2, 0.0, DAY)
        assert [entry.number for entry in listed(store._folder)] == [2]
        assert store.drop_old(8.5 * DAY) == []

    def test_many_at_once(self, store, monkeypatch):
        """More than go in one transaction, and what came at the limit stays."""
        monkeypatch.setattr(footage_store, "_BATCH", 3)
        for n in range(8):
            monkeypatch.setattr(footage_store.time, "time", lambda at=n: float(at))
            store.keep(piece(n, size=10)[0].encode(), "gate", CAMERA)
        (gone,) = store.drop_old(7 * DAY + 7.0)
        assert (gone.count, gone.oldest, gone.newest, gone.size) == (7, 0.0, 6.0, 7 * 4096)
        assert [entry.number for entry in listed(store._folder)] == [7]
        assert len(list(store._folder.glob("??/*"))) == 1
        assert store.size == 4096

    def test_larger_than_all_that_may_be_kept(self, tmp_path):
        for limit in (0, 8192):
            store = FootageStore(tmp_path / str(limit), 0, Limits(size=limit, reserve=0))
            with pytest.raises(TooLargeError):
                store.keep(piece(1)[0].encode(), "gate", CAMERA)
            store.close()

    @pytest.mark.parametrize(("days", "size"), [(0.0, 1), (4000.0, 1), (float("nan"), 1), (1.0, -1)])
    def test_limits_that_make_no_sense(self, days, size):
        with pytest.raises(UsageError):
            Limits(days, size)


class TestDamage:
    def test_each_byte_of_a_file_counts(self, store):
        share = piece(1, size=300)[0]
        digest = store.keep(share.encode(), "gate", CAMERA)
        path = kept_at(store._folder, digest)
        good = path.read_bytes()
        assert len(good) == HEAD_BYTES + len(share.encode())
        for at in range(len(good)):
            path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
            with pytest.raises(TamperedError):
                store.share(digest)
        for end in (0, 4, HEAD_BYTES, len(good) - 1):
            path.write_bytes(good[:end])
            with pytest.raises(TamperedError):
                store.share(digest)
        path.unlink()
        with pytest.raises(TamperedError):
            store.share(digest)
        path.write_bytes(good)
        assert store.share(digest).encode() == share.encode()

    def test_another_share_under_this_name(self, store):
        digests = [store.keep(piece(n)[0].encode(), "gate", CAMERA) for n in (1, 2)]
        kept_at(store._folder, digests[0]).write_bytes(kept_at(store._folder, digests[1]).read_bytes())
        with pytest.raises(TamperedError):
            store.share(digests[0])


class TestOpening:
    def fill(self, folder: Path) -> list[bytes]:
        store = FootageStore(folder, 0, Limits(reserve=0))
        digests = [store.keep(piece(n)[0].encode(), "gate", CAMERA) for n in range(4)]
        store.close()
        return digests

    def test_an_index_that_was_lost_is_made_anew(self, tmp_path):
        digests = self.fill(tmp_path / "f")
        before = listed(tmp_path / "f")
        for path in (tmp_path / "f").glob("index.sqlite*"):
            path.unlink()
        store = FootageStore(tmp_path / "f", 0, Limits(reserve=0))
        assert (store.found.adopted, store.found.missing, store.found.damaged) == (4, 0, 0)
        after = listed(tmp_path / "f")
        assert [entry.digest for entry in after] == digests == [entry.digest for entry in before]
        assert [(e.number, e.first, e.last, e.size) for e in after] == [
            (e.number, e.first, e.last, e.size) for e in before
        ]
        store.close()

    def test_files_that_are_gone_damaged_or_half_written(self, tmp_path):
        digests = self.fill(tmp_path / "f")
        kept_at(tmp_path / "f", digests[0]).unlink()
        stray = kept_at(tmp_path / "f", piece(9)[0].statement.digest())
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"BSFK\x01" + bytes(400))
        part = kept_at(tmp_path / "f", digests[1]).with_name(".x.part")
        part.write_bytes(b"half")
        store = FootageStore(tmp_path / "f", 0, Limits(reserve=0))
        assert (store.found.adopted, store.found.missing, store.found.damaged) == (0, 1, 1)
        assert not part.exists()
        assert not stray.exists()
        assert stray.with_name(stray.name + ".damaged").exists()
        assert [store.has(digest) for digest in digests] == [False, True, True, True]
        assert store.size == 3 * 12_288
        store.close()

    def test_an_index_that_is_none(self, tmp_path):
        self.fill(tmp_path / "f")
        (tmp_path / "f" / "index.sqlite").write_bytes(b"x" * 5000)
        with pytest.raises(UsageError, match="move it away"):
            FootageStore(tmp_path / "f", 0)
        with pytest.raises(UsageError):
            listed(tmp_path / "f")
        with pytest.raises(NotFoundError):
            listed(tmp_path)

    def test_of_the_other_party(self, tmp_path):
        """A folder that was given to the wrong party: nothing of it is taken for its own."""
        self.fill(tmp_path / "f")
        (tmp_path / "f" / "index.sqlite").unlink()
        store = FootageStore(tmp_path / "f", 1, Limits(reserve=0))
        assert (store.found.adopted, store.found.damaged) == (0, 4)
        store.close()


def _dying(folder: str, data: bytes, point: str) -> None:
    store = FootageStore(Path(folder), 0, Limits(reserve=0))
    points = {
        "fsync": (os, "fsync"),
        "replace": (Path, "replace"),
        "sync": (footage_store, "sync_folder"),
        "insert": (FootageStore, "_insert"),
    }
    owner, name = points[point]

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, die)
    store.keep(data, "gate", CAMERA)


@pytest.mark.parametrize("point", ["fsync", "replace", "sync", "insert"])
def test_killed_in_the_middle_of_storing(tmp_path, point):
    """What was not acknowledged is there whole or not at all; sent again, it is kept."""
    first, second = piece(1)[0], piece(2)[0]
    store = FootageStore(tmp_path / "f", 0, Limits(reserve=0))
    store.keep(first.encode(), "gate", CAMERA)
    store.close()
    process = multiprocessing.get_context("fork").Process(
        target=_dying, args=(str(tmp_path / "f"), second.encode(), point)
    )
    process.start()
    process.join(20)
    assert process.exitcode == -signal.SIGKILL
    store = FootageStore(tmp_path / "f", 0, Limits(reserve=0))
    assert store.found.damaged == store.found.missing == 0
    assert store.has(second.statement.digest()) == (point in ("sync", "insert"))
    assert not list((tmp_path / "f").glob("??/.*"))
    for share in (first, second):
        digest = store.keep(share.encode(), "gate", CAMERA)
        assert store.share(digest).encode() == share.encode()
        assert read_kept(kept_at(tmp_path / "f", digest), 0)[0].encode() == share.encode()
    store.close()


class TestFullDisk:
    def test_room_is_left_for_the_log(self, tmp_path):
        store = FootageStore(tmp_path / "f", 0, Limits(reserve=1 << 59))
        with pytest.raises(StorageFullError):
            store.keep(piece(1)[0].encode(), "gate", CAMERA)
        assert not list((tmp_path / "f").glob("??/*"))
        store.close()

    def test_a_disk_that_is_full(self, tmp_path):
        folder = tmp_path / "disk"
        folder.mkdir()
        try:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
                check=True, capture_output=True,
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting a small disk needs root")
        try:
            store = FootageStore(folder / "f", 0, Limits(reserve=0))
            kept = []

            def fill() -> None:
                for n in range(40):
                    kept.append(store.keep(piece(n, size=60_000)[0].encode(), "gate", CAMERA))

            with pytest.raises(StorageFullError, match="make room"):
                fill()
            assert len(kept) > 5
            assert not list(folder.glob("f/??/.*"))
            for digest in kept:
                store.share(digest)
            (gone,) = store.drop_old(time.time() + 8 * DAY)
            assert (gone.reason, gone.count) == ("age", len(kept))
            store.keep(piece(99, size=60_000)[0].encode(), "gate", CAMERA)
            store.close()
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_nothing_but_our_errors(store):
    """Random bytes and random changes: a sentence each, nothing kept."""
    generator = np.random.default_rng(5)
    good = piece(1, size=500)[0].encode()
    for _ in range(300):
        data = bytearray(good)
        for at in generator.integers(0, len(data), generator.integers(1, 5)):
            data[at] ^= int(generator.integers(1, 256))
        data = data[: int(generator.integers(0, len(data) + 1))] if generator.random() < 0.3 else data
        if bytes(data) == good:
            continue
        with pytest.raises(BlindsightError):
            store.keep(data, "gate", CAMERA)
    assert listed(store._folder) == []
