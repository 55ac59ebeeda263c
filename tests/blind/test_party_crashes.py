"""Parties that are killed at every step and started again: no confirmed alert lost, none raised alone."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import party_process
from surveillance import PARAMS, Town, until
from two_parties import vectors

POINTS = (
    "exchange 1", "exchange 2", "exchange 3", "received 1", "received 2", "received 3",
    "before result", "after result", "before confirmed", "after confirmed", "before raised",
)  # fmt: skip


class Forked:
    """A party process that starts quickly, and what it told."""

    def __init__(self, town, party, point=""):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["party_process"])
        self.told, end = context.Pipe()
        self.alerts = []
        identity = str(town.identities[party].folder)
        arguments = (party, str(town.folder), identity, tuple(town.ports), end, point)
        self.process = context.Process(target=party_process.serve, args=arguments, daemon=True)
        self.process.start()
        end.close()
        assert self.told.poll(60)
        assert self.told.recv() == "listening"

    def hear(self):
        try:
            while self.told.poll(0):
                self.alerts.append(self.told.recv())
        except EOFError:
            pass
        return self.alerts

    def end(self):
        self.process.kill()
        self.process.join(20)
        self.hear()
        self.told.close()


@pytest.fixture
def town(tmp_path, monkeypatch):
    # The server that forks them imports by this path, and would leave the imports to each fork otherwise.
    paths = [str(Path(party_process.__file__).parent), *sys.path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    return Town(tmp_path)


def ends(town, party):
    """What became of each receipt in a party's log."""
    found = {}
    for line in town.log(party):
        if "receipt" in line:
            found[line["receipt"]] = line["kind"]
    return found


@pytest.mark.parametrize("killed", [0, 1])
def test_killed_at_every_step(town, killed):
    running = [Forked(town, 0), Forked(town, 1)]
    handed_on = [[], []]
    try:
        with town.camera() as camera:
            for point in POINTS:
                running[killed].end()
                handed_on[killed] += running[killed].alerts
                running[killed] = Forked(town, killed, point)
                camera.wait_open(20)
                camera.offer(town.listed[2:3].copy())
                running[killed].process.join(20)
                assert running[killed].process.exitcode == -9, point
            running[killed].end()
            handed_on[killed] += running[killed].alerts
            running[killed] = Forked(town, killed)
            camera.wait_open(20)
            camera.offer(vectors(PARAMS, 1, np.random.default_rng(3), longest=True))
            camera.offer(town.listed[4:5].copy())
            assert until(lambda: any("person-004" in names for _, names in running[killed].hear()))
            assert until(lambda: all(town.kinds(party)[-1] == "raised" for party in (0, 1)))
    finally:
        for one in running:
            one.end()
    for party in (0, 1):
        handed_on[party] += running[party].alerts
    here, there = ends(town, 0), ends(town, 1)
    assert set(here.values()) | set(there.values()) <= {"raised", "unconfirmed"}
    both = here.keys() & there.keys()
    for own, party in ((here, 0), (there, 1)):
        raised = {receipt for receipt, end in own.items() if end == "raised"}
        assert raised == both
        assert {receipt for receipt, _ in handed_on[party]} == both
    assert len(both) >= 5  # from "after result" on, and the last one
    one_sided = (here.keys() | there.keys()) - both
    assert one_sided  # "before result", at least
