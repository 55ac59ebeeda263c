"""``kill -9`` and Ctrl-C at random moments: nothing acknowledged is lost, nothing is half there."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from blindsight.blind.matcher import LocalMatcher
from blindsight.core.errors import UnavailableError
from raw_store import orphans, stained_slots
from servers import KEY_ID, PARAMS, block, same, server, spawn, spec, unit_probe

TESTS = str(Path(__file__).parents[1])

_START = (
    f"import sys; sys.path.insert(0, {TESTS!r})\n"
    + """
import random, time
from servers import block, spec
from blindsight.blind.matcher import LocalMatcher
matcher = LocalMatcher({folder!r}, allow_insecure_clear=True)
def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n"); sys.stdout.flush()
"""
)

_COMMITTER = (
    _START
    + """
gallery_id = matcher.galleries()[0].gallery_id
while True:
    state = {{b.block_id: b.version for b in matcher.changes(gallery_id, 0).blocks}}
    ids = random.sample(range(min(len(state), 60) + 4), random.randint(1, 4))
    todo = [(i, state.get(i, 0) + 1) for i in ids]
    names = " ".join(f"{{i}}:{{v}}" for i, v in todo)
    say("try", names)
    say("done", matcher.commit(gallery_id, [block(i, v) for i, v in todo]), names)
"""
)

_INTERRUPTED = (
    _START
    + """
import signal
matcher.create(spec())
matcher.close()
signal.signal(signal.SIGALRM, signal.default_int_handler)
dice, interrupted = random.Random(11), 0
for _ in range({rounds}):
    matcher = LocalMatcher({folder!r}, allow_insecure_clear=True)
    gallery_id = matcher.galleries()[0].gallery_id
    versions = {{b.block_id: b.version for b in matcher.changes(gallery_id, 0).blocks}}
    revision, ids = 0, []
    try:
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.0001, 0.01))
        give_up = time.monotonic() + 2  # an interrupt that falls into a callback of Python's is lost
        while time.monotonic() < give_up:
            ids = [dice.randrange(4), 4 + dice.randrange(4), 8 + len(versions)]
            next_versions = {{i: versions.get(i, 0) + 1 for i in ids}}
            revision = matcher.commit(gallery_id, [block(i, v) for i, v in next_versions.items()])
            versions = versions | next_versions
    except KeyboardInterrupt:
        interrupted += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    for _ in range(2):
        damage = matcher.verify()
        now = matcher.changes(gallery_id, 0)
        ahead = {{b.block_id: b.version for b in now.blocks}}
        half = {{ahead.get(i, 0) - versions.get(i, 0) for i in ids}}
        say(len(damage), now.revision >= revision, len(half) <= 1)
        matcher.close()
        matcher = LocalMatcher({folder!r}, allow_insecure_clear=True)
    matcher.close()
say(interrupted > {rounds} // 2)
"""
)

_SWAPPER = (
    _START
    + """
while True:
    old = matcher.galleries()[0]
    new = matcher.create(spec(staged=True)).gallery_id
    fill = matcher.changes(old.gallery_id, 0).blocks[0].block_id + 1
    matcher.commit(new, [block(fill, 1, fill), block(fill + 1, 1, fill)])
    matcher.activate(new, old.gallery_id, 1)
    say("done", new, fill)
"""
)


def pairs(words):
    return {int(i): int(v) for i, v in (word.split(":") for word in words)}


def run_and_kill(code, seconds):
    """The lines that a child said before it was killed."""
    process = spawn(code)
    first = process.stdout.readline()
    assert first, process.communicate()[1]
    time.sleep(seconds)
    process.kill()
    # Not communicate(): it would miss what readline() has read ahead.
    said, told = process.stdout.read(), process.stderr.read()
    process.wait()
    assert "Traceback" not in told, told
    lines = (first + said).splitlines(keepends=True)
    return [line.split() for line in lines if line.endswith("\n")]


def check_whole(folder, acknowledged, attempted, revision):
    """Every acknowledged block is there, every block is what some commit wrote, none is half there."""
    matcher = LocalMatcher(folder, allow_insecure_clear=True)
    gallery_id = matcher.galleries()[0].gallery_id
    assert matcher.verify() == []
    changes = matcher.changes(gallery_id, 0)
    assert changes.revision >= revision
    state = {b.block_id: b.version for b in changes.blocks}
    for block_id, version in acknowledged.items():
        assert state[block_id] >= version
    for found in matcher.fetch(gallery_id, state):
        assert same(found, block(found.block_id, found.version))
    if attempted:
        assert len({state.get(i, 0) >= v for i, v in attempted.items()}) == 1, "half a commit"
    assert len(matcher.search(gallery_id, KEY_ID, PARAMS.params_id, unit_probe()).block_ids) == len(state)
    matcher.close()
    assert stained_slots(folder) == []
    assert orphans(folder) == set()
    return state


def test_a_killed_store_loses_nothing_acknowledged(tmp_path):
    dice = random.Random(20)
    matcher = LocalMatcher(tmp_path, allow_insecure_clear=True)
    matcher.create(spec())
    matcher.close()
    acknowledged, revision = {}, 0
    for _ in range(15):
        lines = run_and_kill(_COMMITTER.format(folder=str(tmp_path)), dice.uniform(0, 0.15))
        attempted = {}
        for kind, *words in lines:
            if kind == "try":
                attempted = pairs(words)
            else:
                revision, attempted = int(words[0]), {}
                acknowledged |= pairs(words[1:])
        acknowledged = check_whole(tmp_path, acknowledged, attempted, revision)
    assert revision > 15


def test_an_interrupted_commit_is_whole_or_not_at_all(tmp_path):
    process = spawn(_INTERRUPTED.format(folder=str(tmp_path), rounds=50))
    said, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert said.splitlines() == [*["0 True True"] * 100, "True"]
    assert stained_slots(tmp_path) == []


def test_a_gallery_is_swapped_wholly_or_not_at_all(tmp_path):
    dice = random.Random(7)
    matcher = LocalMatcher(tmp_path, allow_insecure_clear=True)
    matcher.commit(matcher.create(spec()).gallery_id, [block(0, 1, 0), block(1, 1, 0)])
    matcher.close()
    for _ in range(10):
        lines = run_and_kill(_SWAPPER.format(folder=str(tmp_path)), dice.uniform(0, 0.1))
        said, fill = lines[-1][1], int(lines[-1][2])
        matcher = LocalMatcher(tmp_path, allow_insecure_clear=True)
        (active,) = matcher.galleries()
        ids = [b.block_id for b in matcher.changes(active.gallery_id, 0).blocks]
        assert ids in ([fill, fill + 1], [fill + 1, fill + 2])
        assert (active.gallery_id == said) == (ids[0] == fill)
        assert same(next(matcher.fetch(active.gallery_id, ids[:1])), block(ids[0], 1, ids[0]))
        assert matcher.verify() == []
        matcher.close()
        assert orphans(tmp_path) == set()
        assert stained_slots(tmp_path) == []


def test_a_killed_server_loses_nothing_acknowledged(tmp_path):
    dice = random.Random(3)
    matcher = LocalMatcher(tmp_path, allow_insecure_clear=True)
    gallery_id = matcher.create(spec()).gallery_id
    matcher.close()
    acknowledged, revision = {}, 0
    for _ in range(6):
        with server(tmp_path) as running:
            client, attempted = running.client(), {}
            killer = threading.Timer(dice.uniform(0.02, 0.4), running.process.kill)
            killer.start()
            alive = True
            while alive:
                try:
                    state = {b.block_id: b.version for b in client.changes(gallery_id, 0).blocks}
                    ids = dice.sample(range(min(len(state), 60) + 4), dice.randint(1, 4))
                    attempted = {i: state.get(i, 0) + 1 for i in ids}
                    revision = client.commit(gallery_id, [block(i, v) for i, v in attempted.items()])
                    acknowledged |= attempted
                    attempted = {}
                except UnavailableError:
                    alive = False
            killer.join()
            client.close()
        acknowledged = check_whole(tmp_path, acknowledged, attempted, revision)
    assert revision > 6
