"""How people walk past cameras, and what the two parties count.

The model of W. Koch's thesis, section 3.4, carried over from a line of cameras to any graph of them.
Time is discrete; at each step every person is before exactly one camera. What a person does next
depends on the last step only:

- who moved from u to v *repeats the movement* (goes on, not back), *stops*, or *changes direction*
  (goes back to u). On a line there is one way on; where a graph has several, they are equally likely;
- who stands stays standing, or leaves for one of the neighbours, each equally likely;
- at t = 0 nothing is known of an earlier movement: staying and each neighbour are equally likely.

The thesis' line has no ends (its cameras are numbered by the integers), a real one has. Where a person
cannot go on, at the end of a line or in a dead end, stopping and turning back share the whole
probability in their own proportion, so that nobody leaves the cameras and the number of people is
constant. A place without a camera is a camera in this model: whoever counts people there too knows
more, so that a figure found in this way is an upper bound.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.core.errors import UsageError
from blindsight.core.types import I64, frozen

F64 = NDArray[np.float64]

MAX_CAMERAS = 128
_MAX_EDGES = 1024
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Movement:
    """What a person does next; the thesis' figures where not said otherwise.

    Attributes:
        repeat: probability of going on, of someone who moves.
        stop: of stopping, of someone who moves.
        turn: of going back, of someone who moves. The three sum to 1; ``repeat`` is below 1.
        stay: of staying, of someone who stands.

    Raises:
        UsageError: not probabilities, or a sum other than 1.
    """

    repeat: float = 0.85
    stop: float = 0.10
    turn: float = 0.05
    stay: float = 0.80

    def __post_init__(self) -> None:
        values = asdict(self)
        for name, value in values.items():
            if type(value) not in (int, float) or not 0.0 <= value <= 1.0:
                raise UsageError(f"The movement's {name} is a probability, from 0 to 1.")
        if abs(self.repeat + self.stop + self.turn - 1.0) > 1e-9:
            raise UsageError("The movement's repeat, stop and turn sum to 1.")
        if self.stop + self.turn < 1e-9:
            raise UsageError("Someone must be able to stop or turn, or nobody could leave a dead end.")


@dataclass(frozen=True, slots=True)
class CameraGraph:
    """Cameras 0 … cameras − 1, and between which of them people walk in one step.

    Attributes:
        cameras: 2 to 128.
        edges: pairs (a, b), a < b, sorted, without repetition. Ways go in both directions.
        movement: what people do.

    Raises:
        UsageError: an edge to a camera that is not there, or a graph that falls apart.
    """

    cameras: int
    edges: tuple[tuple[int, int], ...]
    movement: Movement = Movement()

    def __post_init__(self) -> None:
        if type(self.cameras) is not int or not 2 <= self.cameras <= MAX_CAMERAS:
            raise UsageError(f"There are 2 to {MAX_CAMERAS} cameras.")
        if len(self.edges) > _MAX_EDGES:
            raise UsageError(f"There are at most {_MAX_EDGES} ways between cameras.")
        tidy = set()
        for edge in self.edges:
            whole = len(edge) == 2 and all(type(end) is int and 0 <= end < self.cameras for end in edge)
            if not whole or edge[0] == edge[1]:
                raise UsageError(
                    f"A way joins two different cameras, numbered from 0 to {self.cameras - 1}; one does not."
                )
            tidy.add((min(edge), max(edge)))
        object.__setattr__(self, "edges", tuple(sorted(tidy)))
        if max(self.distances(0)) >= self.cameras:
            raise UsageError("Every camera must be within reach of every other; plan separate parts apart.")

    @classmethod
    def line(cls, cameras: int, movement: Movement = Movement()) -> CameraGraph:
        """The thesis' cameras: one beside the other."""
        return cls(cameras, tuple((at, at + 1) for at in range(cameras - 1)), movement)

    @classmethod
    def load(cls, path: Path) -> CameraGraph:
        """Read a file as ``specs/obfuscation.md`` describes it.

        Raises:
            UsageError: it cannot be read, or is not such a file.
        """
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except OSError:
            raise UsageError(f"{path} cannot be opened; give a number of cameras or a graph file.") from None
        if len(data) > _MAX_BYTES:
            raise UsageError(f"{path} is larger than a camera graph can be (1 MiB).")
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError):
            raise UsageError(f"{path} is not JSON; see specs/obfuscation.md.") from None
        return cls.from_fields(fields)

    @classmethod
    def from_fields(cls, fields: Any) -> CameraGraph:
        """Parse what `fields` gives; ``movement`` may be absent or partial."""
        if not isinstance(fields, dict) or set(fields) - {"movement"} != {"cameras", "edges"}:
            raise UsageError('A camera graph has "cameras", "edges" and, if need be, "movement".')
        edges, movement = fields["edges"], fields.get("movement", {})
        if not isinstance(edges, list) or not all(isinstance(edge, list) for edge in edges):
            raise UsageError('"edges" is a list of pairs of cameras, as [[0, 1], [1, 2]].')
        names = {"repeat", "stop", "turn", "stay"}
        if not isinstance(movement, dict) or set(movement) - names:
            raise UsageError('"movement" has "repeat", "stop", "turn" and "stay".')
        return cls(fields["cameras"], tuple(tuple(edge) for edge in edges), Movement(**movement))

    def fields(self) -> dict[str, Any]:
        """Plain values, for a file."""
        edges = [list(edge) for edge in self.edges]
        return {"cameras": self.cameras, "edges": edges, "movement": asdict(self.movement)}

    def neighbours(self) -> list[list[int]]:
        """For each camera those one step away, ascending."""
        found: list[list[int]] = [[] for _ in range(self.cameras)]
        for a, b in self.edges:
            found[a].append(b)
            found[b].append(a)
        return [sorted(near) for near in found]

    def distances(self, start: int) -> list[int]:
        """Steps from ``start`` to each camera; the number of cameras where there is no way."""
        near = self.neighbours()
        steps = [self.cameras] * self.cameras
        steps[start], edge, reached = 0, [start], 0
        while edge:
            reached += 1
            edge = sorted({to for at in edge for to in near[at] if steps[to] == self.cameras})
            for to in edge:
                steps[to] = reached
        return steps


@dataclass(frozen=True, slots=True)
class Chain:
    """The Markov chain of one person: states are (camera, where from).

    ``origin`` is the camera that the last step left, the camera itself for one who stands. A path of
    cameras determines its states from t = 1 on.

    Attributes:
        cameras: their number C.
        camera: int64 (S,), the camera of each state; S = C + 2·edges.
        origin: int64 (S,).
        first: float64 (C, S), from a camera at t = 0 to the states at t = 1.
        step: float64 (S, S), from a state to the next; rows sum to 1.
    """

    cameras: int
    camera: I64
    origin: I64
    first: F64
    step: F64

    @classmethod
    def of(cls, graph: CameraGraph) -> Chain:
        """Work the model out for a graph."""
        near, movement = graph.neighbours(), graph.movement
        states = [(at, come) for at in range(graph.cameras) for come in sorted([at, *near[at]])]
        number = {state: position for position, state in enumerate(states)}
        first = np.zeros((graph.cameras, len(states)))
        step = np.zeros((len(states), len(states)))
        for at in range(graph.cameras):
            for to in (at, *near[at]):
                first[at, number[to, at]] = 1 / (1 + len(near[at]))
        for (at, come), row in number.items():
            if at == come:
                step[row, row] = movement.stay
                for to in near[at]:
                    step[row, number[to, at]] = (1 - movement.stay) / len(near[at])
                continue
            onward = [to for to in near[at] if to != come]
            whole = 1.0 if onward else movement.stop + movement.turn
            for to in onward:
                step[row, number[to, at]] = movement.repeat / len(onward)
            step[row, number[at, at]] = movement.stop / whole
            step[row, number[come, at]] = movement.turn / whole
        cameras, origins = (np.array(part, np.int64) for part in zip(*states, strict=True))
        return cls(graph.cameras, frozen(cameras), frozen(origins), frozen(first), frozen(step))

    @property
    def states(self) -> int:
        """S."""
        return len(self.camera)


def walk(chain: Chain, starts: Sequence[int] | I64, horizon: int, generator: np.random.Generator) -> I64:
    """Let people walk: int64 (horizon, people), the camera of each at t = 0 … horizon − 1.

    Args:
        chain: the model.
        starts: the camera of each person at t = 0.
        horizon: observations, at least 1.
        generator: simulation, not secrecy: seeded by the caller.
    """
    paths = np.empty((horizon, len(starts)), np.int64)
    paths[0] = starts
    if horizon == 1:
        return paths
    first, step = np.cumsum(chain.first, axis=1), np.cumsum(chain.step, axis=1)
    state = _drawn(first[paths[0]], generator)
    paths[1] = chain.camera[state]
    for t in range(2, horizon):
        state = _drawn(step[state], generator)
        paths[t] = chain.camera[state]
    return paths


def _drawn(cumulative: F64, generator: np.random.Generator) -> I64:
    """A column a row, by cumulative rows (n, S); the last sum may be a rounding below 1."""
    chance = generator.random(len(cumulative)) * cumulative[:, -1]
    return np.asarray((cumulative <= chance[:, np.newaxis]).sum(axis=1), np.int64)


def observed(paths: I64, cameras: int) -> I64:
    """v: people before each camera at each step, int64 (horizon, cameras), of paths (horizon, people)."""
    return np.stack([np.bincount(row, minlength=cameras) for row in paths]).astype(np.int64)


def obfuscated(counts: I64, q: int) -> I64:
    """What the parties count where every camera fills up to ``q`` faces: max(q, v), shape of ``counts``."""
    if q < 0:
        raise UsageError("q is not negative.")
    return np.maximum(counts, q)
