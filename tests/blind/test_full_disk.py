"""A full disk is an error with a sentence; nothing changes, and the space comes back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import StorageFullError
from blindsight.schemes.clear.params import Params
from raw_store import stained_slots
from servers import KEY_ID, block, same, server, spawn, spec, unit_probe

BIG = Params(width=64, rows=256)  # 64 KiB a block

_LIMITED = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
    + """
import pathlib, resource
from servers import block, spec
from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import StorageFullError
from blindsight.schemes.clear.params import Params
big = Params(width=64, rows=256)
matcher = LocalMatcher({folder!r}, allow_insecure_clear=True)
gallery_id = matcher.create(spec(params=big)).gallery_id
matcher.commit(gallery_id, [block(i, params=big) for i in range(8)])
def state():
    return matcher.info(gallery_id), (pathlib.Path({folder!r}, gallery_id + ".tiles")).stat().st_size
before = state()
resource.setrlimit(resource.RLIMIT_FSIZE, (12 << 16, resource.RLIM_INFINITY))
try:
    matcher.commit(gallery_id, [block(i, params=big) for i in range(8, 24)])
except StorageFullError as error:
    print(error.code, before == state())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(matcher.commit(gallery_id, [block(i, params=big) for i in range(8, 24)]), matcher.verify())
matcher.close()
"""
)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk needs root")
    yield folder / "data"
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(matcher, gallery_id):
    """Commit single blocks until the disk is full; how many."""
    for count in range(200):
        try:
            matcher.commit(gallery_id, [block(count, params=BIG)])
        except StorageFullError:
            return count
    raise AssertionError("the disk never filled")


def check_still_serving(matcher, gallery_id, count):
    assert matcher.info(gallery_id).revision == count
    assert matcher.info(gallery_id).blocks == count
    answer = matcher.search(gallery_id, KEY_ID, BIG.params_id, unit_probe(BIG))
    assert len(answer.block_ids) == count
    assert all(same(b, block(b.block_id, params=BIG)) for b in matcher.fetch(gallery_id, range(count)))


def test_a_full_disk_changes_nothing(small_disk):
    matcher = LocalMatcher(small_disk, allow_insecure_clear=True)
    spare = matcher.create(spec("spare", BIG)).gallery_id
    matcher.commit(spare, [block(i, params=BIG) for i in range(4)])
    gallery_id = matcher.create(spec("people", BIG)).gallery_id
    count = fill(matcher, gallery_id)
    assert count > 10
    check_still_serving(matcher, gallery_id, count)
    for _ in range(3):
        with pytest.raises(StorageFullError):
            matcher.commit(gallery_id, [block(i, params=BIG) for i in range(count, count + 40)])
    check_still_serving(matcher, gallery_id, count)
    matcher.delete(spare)
    assert matcher.commit(gallery_id, [block(count, params=BIG)]) == count + 1
    check_still_serving(matcher, gallery_id, count + 1)
    matcher.close()
    assert stained_slots(small_disk) == []
    again = LocalMatcher(small_disk, allow_insecure_clear=True)
    check_still_serving(again, gallery_id, count + 1)
    again.close()


def test_a_full_disk_travels_as_507(small_disk):
    with server(small_disk) as running:
        client = running.client()
        gallery_id = client.create(spec("people", BIG)).gallery_id
        count = fill(client, gallery_id)
        check_still_serving(client, gallery_id, count)
        client.close()
        assert running.stop() == 0


def test_a_write_that_fails_midway_is_undone(tmp_path):
    process = spawn(_LIMITED.format(folder=str(tmp_path)))
    said, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert said.splitlines() == ["storage-full True", "2 []"]
    assert stained_slots(tmp_path) == []
