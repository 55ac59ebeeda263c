"""Parties that die while they fill or use their stocks: whole batches, and no face twice, on either side."""

import shutil
from collections import Counter

import pytest

from blindsight.blind.stock import read_batches
from stock_process import FACES, LISTED, Nursery, Place
from surveillance import free_port


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="module")
def first(tmp_path_factory, nursery):
    """A place with two batches of two faces."""
    place = Place(tmp_path_factory.mktemp("place"), free_port())
    assert nursery.make(place, 4) == [0, 0]
    return place


@pytest.fixture
def place(first, tmp_path):
    shutil.copytree(first.folder, tmp_path / "place")
    return Place(tmp_path / "place", free_port())


def names(place):
    return [[(b.name, b.left) for b in read_batches(folder)] for folder in place.stocks]


def used(place):
    """What each side used, in order; nobody uses anything twice, and results are right."""
    sides = []
    for log in place.logs:
        lines = log.read_text().splitlines() if log.exists() else []
        for line in lines:
            if line.startswith("found"):
                _, face, bits = line.split()
                expected = LISTED.matches(FACES[int(face) : int(face) + 1])[0]
                assert bits == "".join(str(int(bit)) for bit in expected)
        taken = [line for line in lines if line.startswith("used")]
        assert max(Counter(taken).values(), default=0) <= 1
        sides.append(taken)
    return sides


def test_both_use_what_both_made(place, nursery):
    assert names(place)[0] == names(place)[1]
    assert nursery.use(place) == [20, 20]
    one, other = used(place)
    assert one == other
    assert len(one) == 4
    assert names(place) == [[], []]


def test_filling_again_goes_on_where_it_stopped(place, nursery):
    assert nursery.make(place, 4) == [0, 0]
    before = names(place)
    assert len(before[0]) == 2
    assert nursery.make(place, 5) == [0, 0]
    assert before[0] == [batch for batch in names(place)[0] if batch in before[0]]
    assert names(place)[0] == names(place)[1]
    assert sorted(left for _, left in names(place)[0]) == [1, 2, 2]


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("point", ["before 1", "after 1", "before 2", "after 2"])
def test_dying_while_filling(place, nursery, victim, point):
    """Of each batch: the file is forced to the disk, then, after both have it, the folder."""
    points = ("", point) if victim else (point, "")
    codes = nursery.make(place, 6, points)
    assert codes[victim] == -9
    assert codes[1 - victim] in (0, 11)
    assert nursery.make(place, 6) == [0, 0]
    assert names(place)[0] == names(place)[1]
    assert sum(left for _, left in names(place)[0]) == 6
    assert not [path for folder in place.stocks for path in folder.glob("*.part")]


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("point", ["before 1", "after 1", "before 2", "after 2", "before 3"])
def test_dying_while_using(place, nursery, victim, point):
    """Of each run: the journal says taken, and then finished; a spent batch goes."""
    points = ("", point) if victim else (point, "")
    codes = nursery.use(place, 40, points)
    assert codes[victim] == -9
    assert codes[1 - victim] in (11, 20)
    used(place)
    assert nursery.use(place) == [20, 20]
    one, other = used(place)
    # The batch in which the one died is void; the other one is used whole.
    assert len(one) >= 2
    assert len(other) >= 2
    by_batch = Counter(line.split()[1] for line in one if line in other)
    assert 2 in by_batch.values()
