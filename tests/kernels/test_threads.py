"""Splitting a range over the cores."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from blindsight.kernels import threads


@pytest.fixture(params=[1, 2, 3, 16])
def cores(request, monkeypatch):
    monkeypatch.setenv("BLINDSIGHT_THREADS", str(request.param))
    return request.param


@pytest.mark.parametrize("step", [1, 4, 16])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 100])
def test_slices_cover_the_range_once_in_order(cores, count, step):
    slices = threads.split(lambda a, b: (a, b), count, step)
    assert [k for a, b in slices for k in range(a, b)] == list(range(count))
    assert all(a < b and a % step == 0 for a, b in slices)
    assert len(slices) == min(cores, -(-count // step))
    sizes = [b - a for a, b in slices]
    assert max(sizes) - min(sizes) < 2 * step


def test_nothing_to_do(cores):
    assert threads.split(lambda a, b: pytest.fail("called"), 0) == []


def test_results_come_in_order_whatever_ends_first(cores):
    def work(start, stop):
        time.sleep(0.02 if start == 0 else 0)
        return start

    starts = threads.split(work, 16)
    assert starts == sorted(starts)
    assert starts[0] == 0


def test_the_first_error_is_raised(cores):
    def work(start, stop):
        if start > 0 or cores == 1:
            raise KeyError(start)

    with pytest.raises(KeyError) as caught:
        threads.split(work, 100)
    assert caught.value.args[0] == 100 // cores % 100
    assert threads.split(lambda a, b: b - a, 4) != []  # and the pool still works


def test_slices_really_run_at_once(monkeypatch):
    monkeypatch.setenv("BLINDSIGHT_THREADS", "4")
    barrier = threading.Barrier(4, timeout=10)
    assert sorted(threads.split(lambda a, b: barrier.wait(), 4)) == [0, 1, 2, 3]


def test_several_threads_may_split_at_once(monkeypatch):
    monkeypatch.setenv("BLINDSIGHT_THREADS", "3")

    def caller(k):
        return sum(threads.split(lambda a, b: sum(range(a, b)) * k, 1000))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(caller, range(50))) == [499_500 * k for k in range(50)]


@pytest.mark.parametrize("value", ["", "0", "-1", "two", "1.5", " 2"])
def test_nonsense_in_the_environment_is_ignored(monkeypatch, value):
    monkeypatch.delenv("BLINDSIGHT_THREADS", raising=False)
    default = threads.cores()
    assert default >= 1
    monkeypatch.setenv("BLINDSIGHT_THREADS", value)
    assert threads.cores() == default


def test_the_environment_decides(monkeypatch):
    monkeypatch.setenv("BLINDSIGHT_THREADS", "7")
    assert threads.cores() == 7
