from __future__ import annotations

import json

import numpy as np
import pytest

from blindsight.core.errors import UsageError
from blindsight.evaluation.movement import CameraGraph, Chain, Movement, obfuscated, observed, walk

STAR = CameraGraph(5, ((0, 1), (0, 2), (0, 3), (3, 4)))


def number(chain: Chain, camera: int, origin: int) -> int:
    return int(np.flatnonzero((chain.camera == camera) & (chain.origin == origin))[0])


def step(chain: Chain, before: tuple[int, int], after: tuple[int, int]) -> float:
    return float(chain.step[number(chain, *before), number(chain, *after)])


def test_inside_a_line_people_move_as_the_thesis_says() -> None:
    chain = Chain.of(CameraGraph.line(5))
    assert step(chain, (2, 1), (3, 2)) == 0.85  # repeat the last movement
    assert step(chain, (2, 1), (2, 2)) == 0.1  # stop
    assert step(chain, (2, 1), (1, 2)) == 0.05  # change direction
    assert step(chain, (2, 2), (2, 2)) == 0.8  # remain standing still
    assert step(chain, (2, 2), (1, 2)) == pytest.approx(0.1)  # move left
    assert step(chain, (2, 2), (3, 2)) == pytest.approx(0.1)  # move right
    assert sorted(chain.first[2][chain.first[2] > 0]) == pytest.approx([1 / 3] * 3)


def test_at_the_end_of_a_line_people_stop_or_turn() -> None:
    chain = Chain.of(CameraGraph.line(5))
    assert step(chain, (4, 3), (4, 4)) == pytest.approx(0.1 / 0.15)
    assert step(chain, (4, 3), (3, 4)) == pytest.approx(0.05 / 0.15)
    assert step(chain, (4, 4), (3, 4)) == pytest.approx(0.2)
    assert chain.first[4, number(chain, 3, 4)] == 0.5


def test_where_ways_fork_each_is_equally_likely() -> None:
    chain = Chain.of(STAR)
    assert step(chain, (0, 1), (2, 0)) == step(chain, (0, 1), (3, 0)) == 0.425
    assert step(chain, (0, 0), (3, 0)) == pytest.approx(0.2 / 3)
    assert step(chain, (3, 4), (0, 3)) == 0.85


@pytest.mark.parametrize("graph", [CameraGraph.line(2), CameraGraph.line(9), STAR], ids=str)
def test_nobody_is_lost(graph: CameraGraph) -> None:
    chain = Chain.of(graph)
    assert chain.states == graph.cameras + 2 * len(graph.edges)
    np.testing.assert_allclose(chain.step.sum(axis=1), 1)
    np.testing.assert_allclose(chain.first.sum(axis=1), 1)


def test_walks_have_the_chains_frequencies() -> None:
    chain = Chain.of(STAR)
    paths = walk(chain, np.zeros(20_000, np.int64), 4, np.random.default_rng(3))
    at = {camera: float((paths[3] == camera).mean()) for camera in range(5)}
    exact = chain.first[0] @ chain.step @ chain.step
    for camera, share in at.items():
        assert share == pytest.approx(exact[chain.camera == camera].sum(), abs=0.015)
    near = STAR.neighbours()
    assert all(b == a or b in near[a] for a, b in zip(paths[:-1].ravel(), paths[1:].ravel(), strict=True))


def test_counts_are_filled_up() -> None:
    counts = observed(np.array([[0, 0, 2], [1, 0, 2]]), 4)
    assert counts.tolist() == [[2, 0, 1, 0], [1, 1, 1, 0]]
    assert obfuscated(counts, 1).tolist() == [[2, 1, 1, 1], [1, 1, 1, 1]]
    assert obfuscated(counts, 0).tolist() == counts.tolist()
    with pytest.raises(UsageError):
        obfuscated(counts, -1)


def test_a_graph_survives_its_file(tmp_path) -> None:
    graph = CameraGraph(3, ((1, 2), (1, 0)), Movement(0.5, 0.25, 0.25, 0.9))
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(graph.fields()))
    assert CameraGraph.load(file) == graph
    file.write_text('{"cameras": 3, "edges": [[0, 1], [1, 2]]}')
    assert CameraGraph.load(file) == CameraGraph.line(3)


GOOD = {"cameras": 3, "edges": [[0, 1], [1, 2]]}
BAD = [
    b"",
    b"\xff\xfe",
    b"[" * 100_000,
    b"[]",
    *(
        json.dumps(GOOD | change).encode()
        for change in (
            {"cameras": 1},
            {"cameras": "3"},
            {"cameras": True},
            {"cameras": 10**9},
            {"edges": {}},
            {"edges": [[0, 1]]},
            {"edges": [[0, 1], [1, 2, 0]]},
            {"edges": [[0, 1], [1, 3]]},
            {"edges": [[0, 1], [1, 2], [2, 2]]},
            {"edges": [[0, 1], [1, 2.0]]},
            {"edges": [[0, 1], [1, -1]]},
            {"edges": [[0, 1]] * 2000},
            {"movement": []},
            {"movement": {"repeat": 0.9}},
            {"movement": {"repeat": 1.0, "stop": 0.0, "turn": 0.0}},
            {"movement": {"stay": 1.1}},
            {"movement": {"stay": "often"}},
            {"movement": {"stay": float("nan")}},
            {"movement": {"jump": 0.1}},
            {"more": 1},
        )
    ),
    b" " * (1 << 20) + json.dumps(GOOD).encode(),
]


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_a_broken_graph_is_refused(tmp_path, content: bytes) -> None:
    file = tmp_path / "graph.json"
    file.write_bytes(content)
    with pytest.raises(UsageError):
        CameraGraph.load(file)
