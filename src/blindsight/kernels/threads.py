"""Splitting a range over the cores, for kernels that release the interpreter's lock.

Numba's own parallel loops may not run twice at once in one process on every threading layer,
and a server does just that; a pool of plain threads may.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


def cores() -> int:
    """Threads to use: ``BLINDSIGHT_THREADS``, or the cores this process may run on."""
    wanted = os.environ.get("BLINDSIGHT_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def split(work: Callable[[int, int], T], count: int, step: int = 1) -> list[T]:
    """Call ``work(start, stop)`` on slices of ``range(count)``, one for each core.

    Slices begin at multiples of ``step``. Results come in order; the first error is raised.
    """
    threads = cores()
    pieces = -(-count // step)
    edges = [min(count, step * (pieces * i // threads)) for i in range(threads)] + [count]
    slices = [(a, b) for a, b in pairwise(edges) if a < b]
    if len(slices) <= 1:
        return [work(a, b) for a, b in slices]
    return list(_pool(threads).map(lambda edge: work(*edge), slices))
