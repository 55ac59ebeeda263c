"""Simulated worlds and what the best tracker made of each: the planner's evidence.

A world is one draw of where the others start (every camera equally likely, each on its own) and how
everybody walks. World number k of a study's seed is always the same, so that a study that was
interrupted goes on where it stopped, and all q are compared on the same worlds. The file is
described in ``specs/obfuscation.md``.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.core.errors import UsageError
from blindsight.core.types import I64
from blindsight.evaluation.movement import CameraGraph, Chain, obfuscated, observed, walk
from blindsight.evaluation.tracking import Tracker, affordable

FORMAT = "blindsight obfuscation study"
VERSION = 1
_MAX_BYTES = 1 << 28
_MAX_SEED = 2**63


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One figure of a study: how likely the tracker is to be right here.

    Attributes:
        people: before all cameras together, the followed one included.
        start: camera of the followed at t = 0.
        q: what cameras fill up to.
        horizon: T, observations.
        hidden: others followed jointly; a genie tells the paths of the rest.
    """

    people: int
    start: int
    q: int
    horizon: int
    hidden: int

    @property
    def key(self) -> str:
        return f"{self.people}/{self.start}/{self.q}/{self.horizon}/{self.hidden}"


@dataclass(slots=True)
class Answers:
    """Of worlds 0, 1, … the most probable path's probability.

    Attributes:
        values: each in [0, 1].
        cut: how many of them are bounds of a search that was stopped.
    """

    values: list[float] = field(default_factory=list)
    cut: int = 0


class Study:
    """Answers of one graph and seed, kept in a file where one is given.

    Args:
        graph: cameras and movement.
        seed: of the simulation, 0 … 2^63 − 1.
        path: a file to go on from, if it is there, and to save to.

    Raises:
        UsageError: the file is no study, or one of another graph or seed.
    """

    def __init__(self, graph: CameraGraph, seed: int, path: Path | None = None) -> None:
        if not 0 <= seed < _MAX_SEED:
            raise UsageError("The seed lies between 0 and 2^63 - 1.")
        self.graph, self.seed, self.path = graph, seed, path
        self.chain = Chain.of(graph)
        self._cells: dict[str, Answers] = {}
        self._trackers: dict[int, Tracker] = {}
        self._unsaved = False
        if path is not None and path.exists():
            self._cells = _parsed(path, self._setting())

    def cell(self, people: int, start: int, q: int, horizon: int, hidden: int | None = None) -> Cell:
        """Name a figure; ``hidden`` is as many as can be afforded where not said."""
        most = people - 1
        return Cell(
            people,
            start,
            q,
            horizon,
            affordable(self.chain, horizon, most) if hidden is None else min(hidden, most),
        )

    def world(self, people: int, start: int, number: int, horizon: int) -> I64:
        """Paths int64 (horizon, people); column 0 is the followed, the rest by distance at t = 0."""
        generator = np.random.default_rng([self.seed, people, start, number])
        others = generator.integers(0, self.graph.cameras, people - 1)
        far = np.array(self.graph.distances(start))
        others = others[np.argsort(far[others], kind="stable")]
        return walk(self.chain, np.concatenate([[start], others]), horizon, generator)

    def known(self, cell: Cell) -> Answers:
        """What there is, without computing."""
        return self._cells.get(cell.key, Answers())

    def extend(self, cell: Cell, count: int) -> Answers:
        """Answers for the first ``count`` worlds, at least; those that are missing are computed."""
        answers = self._cells.setdefault(cell.key, Answers())
        if cell.hidden not in self._trackers:
            self._trackers = {cell.hidden: Tracker(self.chain, cell.hidden)}
        tracker = self._trackers[cell.hidden]
        while len(answers.values) < count:
            paths = self.world(cell.people, cell.start, len(answers.values), cell.horizon)
            counts = observed(paths, self.graph.cameras)
            # The nearest others are the ones to be confused with: the genie tells the rest.
            told = observed(paths[:, 1 + cell.hidden :], self.graph.cameras)
            hidden = [int(at) for at in paths[0, 1 : 1 + cell.hidden]]
            seen = obfuscated(counts, cell.q)
            answer = tracker.answer(cell.start, hidden, told, seen, cell.q)
            # In this order: interrupted in between, a bound is counted twice rather than not at all.
            answers.cut += not answer.exact
            answers.values.append(answer.probability)
            self._unsaved = True
        return answers

    def dummies(self, people: int, q: int, horizon: int, worlds: int = 50) -> float:
        """Mean over simulated worlds and steps of Σ_i max(0, q − v_i): dummies a step, all cameras."""
        total = 0
        for number in range(worlds):
            counts = observed(
                self.world(people, number % self.graph.cameras, number, horizon), self.graph.cameras
            )
            total += int((obfuscated(counts, q) - counts).sum())
        return total / (worlds * horizon)

    def _setting(self) -> dict[str, Any]:
        return {"graph": self.graph.fields(), "seed": self.seed}

    def save(self) -> None:
        """Write the file, whole or not at all; nothing where none was given or nothing is new."""
        if self.path is None or not self._unsaved:
            return
        cells = {key: {"values": answers.values, "cut": answers.cut} for key, answers in self._cells.items()}
        text = json.dumps({"format": FORMAT, "version": VERSION, **self._setting(), "cells": cells})
        try:
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError:
            raise UsageError(f"{self.path} cannot be written; choose another file for the study.") from None
        self._unsaved = False


def stored_seed(path: Path | None) -> int:
    """The seed of a study file; a fresh one from the operating system where there is no file.

    Raises:
        UsageError: the file is no study.
    """
    if path is not None and path.exists():
        return int(_fields(path)["seed"])
    return secrets.randbits(32)


def _fields(path: Path) -> dict[str, Any]:
    broken = _broken(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError:
        raise UsageError(f"{path} cannot be opened; choose another file for the study.") from None
    if len(data) > _MAX_BYTES:
        raise UsageError(broken)
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise UsageError(broken) from None
    if (
        not isinstance(fields, dict)
        or set(fields) != {"format", "version", "graph", "seed", "cells"}
        or (fields["format"], fields["version"]) != (FORMAT, VERSION)
        or not isinstance(fields["cells"], dict)
        or type(fields["seed"]) is not int
        or not 0 <= fields["seed"] < _MAX_SEED
    ):
        raise UsageError(broken)
    return fields


def _parsed(path: Path, setting: dict[str, Any]) -> dict[str, Answers]:
    fields, broken = _fields(path), _broken(path)
    if {name: fields[name] for name in setting} != setting:
        raise UsageError(f"{path} is a study of other cameras or another seed; choose another file.")
    cells = {}
    for key, cell in fields["cells"].items():
        if not isinstance(cell, dict) or set(cell) != {"values", "cut"}:
            raise UsageError(broken)
        values, cut = cell["values"], cell["cut"]
        sound = isinstance(values, list) and all(type(v) is float and 0.0 <= v <= 1.0 for v in values)
        if not sound or type(cut) is not int or not 0 <= cut <= len(values):
            raise UsageError(broken)
        cells[key] = Answers(values, cut)
    return cells


def _broken(path: Path) -> str:
    return f"{path} is not a study of this version; choose another file, or delete it."
